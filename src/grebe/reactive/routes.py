"""Which live queries a write concerns, by the value of a field.

Of a thousand live queries with `field("user") == ...`, a written document concerns the one that
its value names, and those that hold it, or have not told yet that they do not any more. A route
finds these without asking the others.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from grebe.core.entry import Entry
from grebe.core.ordering import MISSING
from grebe.core.values import ReadOnlyDict
from grebe.documents.bounds import Token, token_of, token_of_key
from grebe.documents.conditions import Comparison, Condition, OneOf, getter_of
from grebe.documents.query import Query
from grebe.errors import DocumentTypeError
from grebe.reactive.membership import read

if TYPE_CHECKING:
    from grebe.reactive.live import Marks


def routing_condition(query: Query[Any]) -> Comparison | OneOf | None:
    """Return a condition without which no document is in the result, if it asks for values."""
    for condition in query.spec.conditions:
        for part in condition.parts() if isinstance(condition, Condition) else ():
            if isinstance(part, OneOf) or (isinstance(part, Comparison) and part.symbol == "=="):
                return part
    return None


class Route:
    """The live queries of a scope that ask for values of one field."""

    __slots__ = (
        "_adapter",
        "_by_value",
        "_get",
        "_holders",
        "_lives",
        "_name",
        "_source",
        "key",
        "path",
    )

    def __init__(self, key: Hashable, path: str, source: Any) -> None:
        """Route by a field of the documents of a query's source, as they are read now."""
        self.key = key
        """What it is found by."""
        self.path = path
        self._adapter = source._adapter()
        self._get = getter_of(path)
        self._name = None if "." in path else path
        self._source = source
        self._lives: set[Any] = set()
        self._by_value: dict[Token, dict[Any, None]] = {}
        self._holders: dict[str, dict[Any, None]] = {}

    def __bool__(self) -> bool:
        """Tell whether there is any live query."""
        return bool(self._lives)

    def add(self, live: Any) -> None:
        """Add a live query. O(documents that it holds)."""
        self._lives.add(live)
        for value in _values(live.query):
            self._by_value.setdefault(value, {})[live] = None
        for document_id in live.held():
            self._holders.setdefault(document_id, {})[live] = None
        live.route = self

    def remove(self, live: Any) -> None:
        """Remove a live query. O(documents that it holds)."""
        self._lives.discard(live)
        for value in _values(live.query):
            _discard(self._by_value, value, live)
        for document_id in live.held():
            _discard(self._holders, document_id, live)
        live.route = None

    def hold(self, document_id: str, live: Any, holds: bool) -> None:
        """Note whether changes of a document concern a live query, whatever its data."""
        if holds:
            self._holders.setdefault(document_id, {})[live] = None
        else:
            _discard(self._holders, document_id, live)

    def collect(self, marks: Marks, documents: Mapping[str, Entry]) -> None:
        """Have the live queries that marked documents concern tell their observers.

        O(documents and what they concern).
        """
        holders, by_value = self._holders, self._by_value
        found: dict[Any, Marks] = {}
        for document_id, mark in marks.items():
            for live in holders.get(document_id, ()):
                found.setdefault(live, {})[document_id] = mark
            for live in by_value.get(self._value(document_id, documents.get(document_id)), ()):
                found.setdefault(live, {})[document_id] = mark
        for live, its in found.items():
            live.collect(its, documents)

    def collect_one(self, document_id: str, number: int, entry: Entry | None) -> None:
        """Do as `collect` for one document that was written once; see LiveQuery."""
        value = self._value(document_id, entry)
        lives = self._by_value.get(value, _NONE)
        holding = self._holders.get(document_id)
        if holding is not None:
            for live in tuple(holding):
                if live not in lives:  # so it has to let go, without a test
                    live.collect_one(document_id, number, entry if value is NO_VALUE else None)
        for live in lives:
            live.collect_one(document_id, number, entry, True)

    def check(self) -> None:
        """Raise AssertionError if it is not known who holds which document."""
        wanted = {(key, live) for live in self._lives for key in live.held()}
        kept = {(key, live) for key, alike in self._holders.items() for live in alike}
        assert kept == wanted, f"the route by {self.path} does not know who holds what"

    def _value(self, document_id: str, entry: Entry | None) -> Token:
        if entry is None:
            return NO_VALUE
        view = entry.view
        if view is None or view._adapter is not self._adapter:
            view = read(self._source, document_id, entry, self._adapter)
        try:
            data = view._data
            if data.__class__ is ReadOnlyDict and self._name is not None:
                value = data.get(self._name, MISSING)
                kind = value.__class__
                return value if kind is str or kind is int else token_of(value)
            return token_of(self._get(view.data))
        except DocumentTypeError:  # no query can have it: reading it fails there too
            return NO_VALUE


NO_VALUE: Token = ()
_NONE: dict[Any, None] = {}


def _values(query: Query[Any]) -> set[Token]:
    condition = routing_condition(query)
    assert condition is not None
    keys = condition.keys if isinstance(condition, OneOf) else (condition.key,)
    return set(map(token_of_key, keys))


def _discard(kept: dict[Any, dict[Any, None]], key: Any, live: Any) -> None:
    alike = kept.get(key)
    if alike is not None:
        alike.pop(live, None)
        if not alike:
            del kept[key]
