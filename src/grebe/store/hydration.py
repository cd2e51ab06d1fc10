"""Loading: what a persistor gives goes into memory, where memory does not know better.

Between the moment a persistor looks and the moment its records arrive, documents may be deleted
or moved. A load therefore notes all deletions and moves since it began, those that wait for a
commit included, and applies them to the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, repeat
from typing import NamedTuple

from grebe.core import path as paths
from grebe.core.entry import Entry, home_of
from grebe.core.operation import Clear, Delete, Move, OnSealed, Operation, Part, RecordGroup
from grebe.core.tree import Tree


class Loaded(NamedTuple):
    """Documents of a collection that a load brought."""

    collection: str
    ids: Sequence[str]
    order: int
    """Last insertion number that was given."""


class Hydration:
    """What is loaded, and what happened since loads began. The store's lock is held."""

    def __init__(self, tree: Tree[Entry]) -> None:
        self._tree = tree
        self._everything = False
        self._loaded: set[str] = set()
        self._hidden: list[Operation] = []
        """Deletions in memory only (persist=False): the disk still has what they deleted."""
        self._watching: list[list[Operation]] = []
        self.shadowed: list[str] = []
        """Documents that are stored in plain beside the encrypted one, found by loading."""

    def is_loaded(self, path: str) -> bool:
        """Tell whether all that is stored at and under a path is in memory."""
        return self._everything or not self._loaded.isdisjoint(paths.ancestors(path))

    def knows_all(self, path: str) -> bool:
        """Tell whether nothing is stored at or under a path but what is in memory."""
        return not self._hidden and self.is_loaded(path)

    def hidden_in(self, collection: str) -> list[str]:
        """Return the documents of a collection that were deleted in memory only."""
        found = [operation.path for operation in self._hidden if type(operation) is Delete]
        return [
            path for path in found if paths.is_document(path) and paths.split(path)[0] == collection
        ]

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

    def begin(self, waiting: Iterable[Part]) -> list[Operation]:
        """Begin a load; `waiting` are the operations that are not committed yet."""
        watch = list(self._hidden)
        for part in waiting:
            operation = part.operation if type(part) is OnSealed else part
            if isinstance(operation, Delete | Move | Clear):
                watch.append(operation)
        self._watching.append(watch)
        return watch

    def end(self, watch: list[Operation]) -> None:
        """End a load."""
        self._watching = [other for other in self._watching if other is not watch]

    def merge(
        self, groups: Iterable[RecordGroup], watch: list[Operation], last_order: int
    ) -> Iterator[Loaded]:
        """Put documents into the tree where there is nothing, and yield those. O(documents).

        `last_order` is the last insertion number in use; each document gets the next.
        """
        if any(type(operation) is Clear for operation in watch):
            return
        for group in _still_there(groups, watch):
            node = self._tree.ensure(group.collection)
            node.settled = None
            documents = node.documents
            home = home_of(group.partition, group.encrypted, True, False)
            entries = list(map(Entry, group.values, count(last_order + 1), repeat(home)))
            last_order += len(entries)
            ids = group.ids
            there = list(map(documents.setdefault, ids, entries))
            if there != entries:  # what is in memory stays
                if not group.encrypted:
                    self._note_shadowed(group, there)
                ids = [i for i, kept, e in zip(ids, there, entries, strict=True) if kept is e]
            yield Loaded(group.collection, ids, last_order)

    def _note_shadowed(self, group: RecordGroup, there: Iterable[Entry]) -> None:
        for document_id, entry in zip(group.ids, there, strict=True):
            if entry.home.encrypted:
                self.shadowed.append(f"{group.collection}/{document_id}")


def _still_there(groups: Iterable[RecordGroup], watch: list[Operation]) -> Iterator[RecordGroup]:
    """Yield the groups without what was deleted, and with what was moved where it is now."""
    deletions = [operation for operation in watch if type(operation) is Delete]
    alone = {operation.path for operation in deletions if not operation.recursive}
    deleted = {operation.path for operation in deletions if operation.recursive}
    moves = [operation for operation in watch if type(operation) is Move]
    for group in groups:
        if not deletions and not moves:
            if group.ids:
                yield group
            continue
        for path, value, partition, encrypted in group.records():
            if path not in alone and deleted.isdisjoint(paths.ancestors(path)):
                for move in moves:
                    if partition == move.source and paths.is_under(path, move.path):
                        partition = move.target
                collection, document_id = paths.split(path)
                yield RecordGroup(collection, [document_id], [value], partition, encrypted)
