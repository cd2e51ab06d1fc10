"""Collection groups: all collections of one name, wherever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from grebe.core import path as paths
from grebe.core.tree import group_scope
from grebe.documents.collection import document_at
from grebe.documents.query import EVERYTHING, Query
from grebe.documents.snapshot import Snapshot, snapshot_of

if TYPE_CHECKING:
    from grebe.core.entry import Entry
    from grebe.documents.engine import Engine

T = TypeVar("T")


class CollectionGroup(Query[T]):
    """The query for the documents of all collections of one name; by `store.collection_group`.

    Each document is read through the model that its own collection was given. Without an order
    they are as inserted, over all collections. Indexes of single collections do not serve it.
    """

    __slots__ = ("_engine", "_scope", "id")

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.id = paths.check_segment(name)
        """The name of the collections."""
        self._scope = group_scope(self.id)

    _spec = EVERYTHING
    _choice = _reading = None

    @property
    def _source(self) -> CollectionGroup[T]:  # type: ignore[override]
        return self

    def _adapter(self) -> None:
        """Return None: each collection has its own."""

    def _snapshot(self, key: str, entry: Entry) -> Snapshot[T]:
        doc = document_at(self._engine, key)
        return snapshot_of(doc, entry, doc.parent._adapter())

    def __repr__(self) -> str:
        """Show the name."""
        return f"<CollectionGroup {self.id!r}>"
