"""Loading: what a persistor gives goes into memory, where memory does not know better.

Between the moment a persistor looks and the moment its records arrive, documents may be deleted
or moved. A load therefore notes all deletions and moves since it began, those that wait for a
commit included, and applies them to the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from grebe.core import path as paths
from grebe.core.entry import Entry, home_of
from grebe.core.operation import Clear, Delete, Move, Operation, Record
from grebe.core.tree import Tree


class Loaded(NamedTuple):
    """A document that a load brought."""

    collection: str
    id: str
    entry: Entry


class Hydration:
    """What is loaded, and what happened since loads began. The store's lock is held."""

    def __init__(self, tree: Tree[Entry]) -> None:
        self._tree = tree
        self._everything = False
        self._loaded: set[str] = set()
        self._hidden: list[Operation] = []
        """Deletions in memory only (persist=False): the disk still has what they deleted."""
        self._watching: list[list[Operation]] = []

    def is_loaded(self, path: str) -> bool:
        """Tell whether all that is stored at and under a path is in memory."""
        return self._everything or not self._loaded.isdisjoint(paths.ancestors(path))

    @property
    def hides_anything(self) -> bool:
        """Whether something was deleted in memory only."""
        return bool(self._hidden)

    def mark_loaded(self, wanted: Iterable[str] | None) -> None:
        """Note that these paths, or everything, are in memory."""
        if wanted is None:
            self._everything = True
        else:
            self._loaded.update(wanted)

    def note(self, operation: Operation, *, in_memory_only: bool = False) -> None:
        """Note a deletion, move or clearing, for loads under way."""
        for watch in self._watching:
            watch.append(operation)
        if in_memory_only:
            self._hidden.append(operation)

    def begin(self, waiting: Iterable[Operation]) -> list[Operation]:
        """Begin a load; `waiting` are the operations that are not committed yet."""
        watch = [*self._hidden, *(op for op in waiting if isinstance(op, Delete | Move | Clear))]
        self._watching.append(watch)
        return watch

    def end(self, watch: list[Operation]) -> None:
        """End a load."""
        self._watching = [other for other in self._watching if other is not watch]

    def merge(
        self, records: Iterable[Record], watch: list[Operation], first_order: int
    ) -> Iterator[Loaded]:
        """Put records into the tree where there is nothing, and yield those. O(records)."""
        if any(type(operation) is Clear for operation in watch):
            return
        deleted = {op.path for op in watch if type(op) is Delete}
        moves = [op for op in watch if type(op) is Move]
        above, node = None, None
        order = first_order
        for path, value, partition, encrypted in records:
            collection, _, document_id = path.rpartition("/")
            if deleted and not deleted.isdisjoint(paths.ancestors(path)):
                continue
            for move in moves:
                if partition == move.source and paths.is_under(path, move.path):
                    partition = move.target
            if node is None or collection != above:
                above, node = collection, self._tree.ensure(collection)
                node.settled = None
            if document_id in node.documents:
                continue
            order += 1
            entry = Entry(value, order, home_of(partition, encrypted, True, False))
            node.documents[document_id] = entry
            yield Loaded(collection, document_id, entry)
