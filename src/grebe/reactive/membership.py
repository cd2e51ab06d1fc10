"""Which documents are in a query's result, and where: asked again for each that was written."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from grebe.core.entry import Entry
from grebe.core.values import ReadOnlyDict
from grebe.documents.conditions import Condition
from grebe.documents.document import Document
from grebe.documents.models import PLAIN, Adapter
from grebe.documents.orders import row_key_of
from grebe.documents.query import Query
from grebe.documents.scanning import look_of
from grebe.documents.snapshot import Snapshot, snapshot_of
from grebe.reactive.observer import log

Member = tuple[Any, Snapshot[Any], Entry]
"""A document that meets the conditions: its place among the rows, its snapshot, its entry."""
Look = Callable[[str, Entry], Member | None]


class Membership:
    """Conditions and order of a query, made ready to look at single documents."""

    __slots__ = ("_conditions", "_name", "_source", "_test", "adapter", "is_pure", "row_key")

    def __init__(self, query: Query[Any], name: str) -> None:
        self._source = query.source
        self._name = name
        self._conditions: tuple[Any, ...] = query.spec.conditions
        self._test = _test_of(self._conditions)
        self.row_key = row_key_of(query.spec.orders)
        self.is_pure = query.spec.is_pure
        """Whether a document's data alone decides, so that an entry needs one look."""
        self.adapter = query.source._adapter()
        """How the documents are read; None: as their collections say."""

    def look(self, document_id: str, entry: Entry) -> Member | None:
        """Return the member that a document is, or None if it is not in the result.

        A failing condition must not stop the others' broadcast: it is logged.
        """
        view: Snapshot[Any] | None = entry.view
        test, row_key = self._test, self.row_key
        if view is None or view._adapter is not self.adapter:
            view = read(self._source, document_id, entry, self.adapter)
        try:
            if test is not None and not test(view):
                return None
            key = entry.order if row_key is None else row_key(view, entry.order)
        except Exception:
            log.exception("%s failed on %s, which is left out", self._name, view.path)
            return None
        return key, view, entry

    def looker(self, *, is_met: bool = False) -> Look:
        """Return what does the same as `look`, made to measure if data alone decides.

        `is_met`: for documents of which it is known that they meet the conditions.
        """
        conditions = () if is_met else self._conditions
        other = copy.copy(self)
        other._test = _test_of(conditions)
        if not self.is_pure or self.adapter is not PLAIN:
            return other.look
        return look_of(conditions, self.row_key, other.look) or other.look


def read(source: Any, document_id: str, entry: Entry, adapter: Adapter | None) -> Snapshot[Any]:
    """Return the snapshot of a document of a query's source, for this adapter.

    None: the source is a group of collections, each of which has its own.
    """
    if adapter is None:
        snapshot: Snapshot[Any] = source._snapshot(document_id, entry)
        return snapshot
    return snapshot_of(Document(source, document_id), entry, adapter)


def _test_of(conditions: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any] | None:
    """Return one function of a snapshot that tests all conditions."""
    if not conditions:
        return None
    if len(conditions) > 1:
        tests = [_test_of([one]) for one in conditions]
        return lambda snapshot: all(test(snapshot) for test in tests if test is not None)
    condition = conditions[0]
    if not isinstance(condition, Condition):
        return condition
    test = condition.test

    def of_snapshot(snapshot: Any) -> bool:
        data = snapshot._data
        return test(data if data.__class__ is ReadOnlyDict else snapshot.data)

    return of_snapshot
