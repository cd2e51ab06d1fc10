"""Indexes: the documents of a collection, sorted by a field.

Writes only note which documents changed; an index is brought up to date when a query uses it. So
a write does not decode its document, a load of all documents none of them, and many writes of one
document cost one update. All of it happens under the store's lock.

An index holds rows `(*sort key, insertion number, id)`. A document that the collection's model
cannot hold is in `unreadable`; while there is one, queries look at the documents themselves, and
raise what reading it raises, as they would without an index.

Invariants, tested by `check()`:
1. Every document of the collection that is not pending is in each index once, or unreadable.
2. The rows of an index are those of its documents' present data.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sortedcontainers import SortedList

from grebe.core.bulk import garbage_collection_paused
from grebe.core.entry import Entry
from grebe.core.ordering import (
    RANK_DICT,
    RANK_NAN,
    RANK_NONE,
    RANK_NUMBER,
    RANK_TEXT,
    SortKey,
    ascending,
    prefix_end,
)
from grebe.documents.conditions import Comparison, Condition, Exists, OneOf, StartsWith, getter_of
from grebe.errors import DocumentTypeError

Row = tuple[Any, ...]
"""Sort key of the field, insertion number, id."""
_INFINITY = float("inf")
"""Greater than any insertion number: `(*key, _INFINITY)` is behind all rows with this key."""
_REBUILT_SHARE = 8
"""With more than 1/8 of the documents pending, sorting anew is faster than single updates."""
_BLOCK_MIN, _BLOCK_MAX = 16, 256
"""Rows that are looked at together when an index is walked backwards: more and more of them."""


class Span(NamedTuple):
    """Rows from `lower` up to, but not including, `upper`."""

    lower: Row
    upper: Row

    @property
    def is_equal(self) -> bool:
        """Whether all of these rows have the same key, and so are in the order of insertion."""
        return self.upper == (*self.lower, _INFINITY)


EVERYTHING = Span((), (_INFINITY,))


def spans_of(condition: Condition) -> list[Span] | None:
    """Return the rows of an index on the condition's field that meet it, exactly; None: any may.

    The spans ascend and are apart from each other.
    """
    match condition:
        case Comparison():
            return _spans_of_comparison(condition)
        case OneOf() if all(_is_indexable(key) for key in condition.keys):
            return [_equal(key) for key in sorted(condition.keys)]
        case StartsWith(prefix=prefix):
            end = prefix_end(prefix)
            upper = (RANK_TEXT + 1,) if end is None else (RANK_TEXT, end)
            return [Span((RANK_TEXT, prefix), upper)]
        case Exists():
            return [Span((RANK_NONE,), (_INFINITY,))]
    return None


def _spans_of_comparison(condition: Comparison) -> list[Span] | None:
    key, symbol = condition.key, condition.symbol
    if not _is_indexable(key) or symbol == "!=":
        return None
    equal = _equal(key)
    of_type = Span((key[0],), (key[0] + 1,))
    if symbol == "==":
        return [equal]
    if symbol in ("<", "<="):
        return [Span(of_type.lower, equal.lower if symbol == "<" else equal.upper)]
    return [Span(equal.upper if symbol == ">" else equal.lower, of_type.upper)]


def _is_indexable(key: SortKey) -> bool:
    """Tell whether bounds made of a key compare with every row: not if its order is the type's."""
    rank: int = key[0]
    return RANK_NONE <= rank <= RANK_DICT and rank != RANK_NAN


def _equal(key: SortKey) -> Span:
    return Span(key, (*key, _INFINITY))


def intersection(left: list[Span], right: list[Span]) -> list[Span]:
    """Return the rows that are in both lists of spans; ascending."""
    found = []
    for one in left:
        for other in right:
            span = Span(max(one.lower, other.lower), min(one.upper, other.upper))
            if span.lower < span.upper:
                found.append(span)
    return found


class Index:
    """The documents of a collection, sorted by one field."""

    __slots__ = ("_get", "_rows", "_rows_by_id", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._get = getter_of(path)
        self._rows: Any = SortedList()
        self._rows_by_id: dict[str, Row] = {}

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self._rows)

    def row_of(self, document_id: str, number: int, data: Any) -> Row:
        """Return the row of a document."""
        value = self._get(data)
        kind = value.__class__
        if kind is int or kind is str:  # most fields
            return RANK_NUMBER if kind is int else RANK_TEXT, value, number, document_id
        return (*ascending(value), number, document_id)

    def put(self, document_id: str, row: Row | None) -> None:
        """Set the row of a document, or take it out. O(log n) if it changed."""
        before = self._rows_by_id.get(document_id)
        if before == row:
            return
        if before is not None:
            self._rows.remove(before)
        if row is None:
            del self._rows_by_id[document_id]
        else:
            self._rows_by_id[document_id] = row
            self._rows.add(row)

    def replace(self, rows_by_id: dict[str, Row]) -> None:
        """Set all rows. O(n log n)."""
        self._rows_by_id = rows_by_id
        self._rows = SortedList(rows_by_id.values())

    def places(self, spans: Iterable[Span]) -> list[tuple[int, int]]:
        """Return where the rows of spans begin and end. O(spans log n)."""
        find = self._rows.bisect_left
        found = [(find(span.lower), find(span.upper)) for span in spans]
        return [(start, stop) for start, stop in found if start < stop]

    def between(self, span: Span) -> list[Row]:
        """Return the rows of a span. O(log n and the rows)."""
        return list(self._rows.irange(span.lower, span.upper, (True, False)))

    def rows(self, places: list[tuple[int, int]], desc: bool = False) -> Iterator[Row]:
        """Yield the rows at these places, sorted; among equals by insertion in both directions."""
        if not desc:
            for start, stop in places:
                yield from self._rows.islice(start, stop)
        else:
            for start, stop in reversed(places):
                yield from self._descending(start, stop)

    def _descending(self, start: int, stop: int) -> Iterator[Row]:
        rows, size = self._rows, _BLOCK_MIN
        while start < stop:
            begin = max(start, stop - size)
            block = list(rows.islice(begin, stop))
            values = [row[1] for row in block]
            if not any(map(operator.eq, values, values[1:])):  # no equal keys to be turned around
                kept = block if begin == start else block[1:]  # the first may equal one before it
                yield from reversed(kept)
                stop -= len(kept)
                size = min(2 * size, _BLOCK_MAX)
                continue
            key = block[-1][:-2]
            begin = max(start, rows.bisect_left(key))
            yield from rows.islice(begin, stop)  # all rows with this key, in order of insertion
            stop = begin

    def check(self, wanted: dict[str, Row]) -> None:
        """Raise AssertionError if the rows are not these."""
        assert self._rows_by_id == wanted, f"index {self.path} is out of date"
        assert list(self._rows) == sorted(wanted.values()), f"index {self.path} is out of order"


_UNREADABLE = object()


class Indexes:
    """The indexes of one collection."""

    __slots__ = ("_pending", "_read", "_stale", "by_path", "unreadable")

    def __init__(self, fields: Iterable[str], read: Callable[[str, Entry], Any]) -> None:
        """Index these fields of what `read` makes of a document's id and entry: its data."""
        self.by_path = {path: Index(path) for path in fields}
        self._read = read
        self._pending: dict[str, None] = {}
        self._stale = True
        """Everything has to be looked at again."""
        self.unreadable: set[str] = set()

    def note(self, ids: Iterable[str]) -> None:
        """Note that documents were written or removed. O(ids)."""
        if not self._stale:
            for document_id in ids:
                self._pending[document_id] = None

    def catch_up(self, documents: Mapping[str, Entry]) -> None:
        """Bring the indexes up to date. O(what changed since, log n each)."""
        pending = self._pending
        if self._stale or len(pending) * _REBUILT_SHARE > len(documents):
            self._rebuild(documents)
        elif pending:
            indexes = list(self.by_path.values())
            for document_id in pending:
                entry = documents.get(document_id)
                data = self._data_of(document_id, entry)
                for index in indexes:
                    index.put(
                        document_id,
                        None
                        if entry is None or data is _UNREADABLE
                        else index.row_of(document_id, entry.order, data),
                    )
        else:
            return
        self._pending = {}

    def _rebuild(self, documents: Mapping[str, Entry]) -> None:
        self._stale = True  # until it is done: reading may raise
        self.unreadable.clear()
        with garbage_collection_paused():
            for index, rows in zip(self.by_path.values(), self._rows(documents), strict=True):
                index.replace(rows)
        self._stale = False

    def _rows(self, documents: Mapping[str, Entry]) -> list[dict[str, Row]]:
        """Return the rows of all documents, for each index."""
        indexes = list(self.by_path.values())
        found: list[dict[str, Row]] = [{} for _ in indexes]
        for document_id, entry in documents.items():
            data = self._data_of(document_id, entry)
            if data is not _UNREADABLE:
                for index, rows in zip(indexes, found, strict=True):
                    rows[document_id] = index.row_of(document_id, entry.order, data)
        return found

    def _data_of(self, document_id: str, entry: Entry | None) -> Any:
        """Return the data of a document that is there, and note whether it can be read."""
        if self.unreadable:
            self.unreadable.discard(document_id)
        if entry is None:
            return None
        try:
            return self._read(document_id, entry)
        except DocumentTypeError:
            self.unreadable.add(document_id)
            return _UNREADABLE

    def check(self, documents: Mapping[str, Entry]) -> None:
        """Raise AssertionError if an index differs from one made anew."""
        self.catch_up(documents)
        assert self.unreadable <= set(documents), "an unreadable document is gone"
        for index, rows in zip(self.by_path.values(), self._rows(documents), strict=True):
            index.check(rows)
