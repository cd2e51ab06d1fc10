"""What operations do to stored documents: the reference for every persistor.

One tree of values for each side (partition, encrypted or not). Sides may be of different age, as
after a crash in the middle of a checkpoint: `floors` says which commits a side includes already,
and an operation is applied only to the sides that it is newer than.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from grebe.core import path as paths
from grebe.core.operation import (
    Clear,
    Delete,
    Move,
    Operation,
    PathsIn,
    Put,
    PutMany,
    Record,
    RecordGroup,
)
from grebe.core.tree import Tree

PAUSE_EVERY = 32
"""Documents between two pauses."""

Side = tuple[str, bool]
"""A partition's name, and whether its encrypted documents are meant."""


class Contents:
    """Documents by side and path, changed by operations."""

    def __init__(self, pause: Callable[[], None] = lambda: None) -> None:
        """Begin empty; `pause` is called now and then during long work."""
        self._pause = pause
        self._applied = 0
        self.sides: dict[Side, Tree[bytes]] = {}
        self.floors: dict[Side, int] = {}
        """Number of the last commit that a side includes; 0 if not here."""
        self.moved: dict[Side, dict[str, None]] = {}
        """Paths that came into a side by a move."""
        self.changed: set[Side] = set()
        """Sides on which an operation had an effect."""

    def add_side(self, side: Side, groups: Iterable[RecordGroup], lsn: int) -> None:
        """Add a side as of commit `lsn`. O(documents)."""
        tree = self.sides[side] = Tree()
        self.floors[side] = lsn
        for collection, ids, values, _, _ in groups:
            tree.ensure(collection).documents.update(zip(ids, values, strict=True))
            self._pause()

    def apply(self, operation: Operation | PutMany, lsn: int, *, plain_only: bool = False) -> None:
        """Apply an operation of commit `lsn`. Applying it twice changes nothing.

        With `plain_only` a deletion leaves encrypted documents alone.
        """
        match operation:
            case Put(path, value, partition, encrypted):
                if lsn > self.floors.get((partition, encrypted), 0):
                    self._side((partition, encrypted)).put(path, value)
                    self._count()
                    self.changed.add((partition, encrypted))
            case PutMany(documents, values, partition, encrypted):
                if lsn > self.floors.get((partition, encrypted), 0):
                    self._put_many(self._side((partition, encrypted)), documents, values)
                    self.changed.add((partition, encrypted))
            case Delete(path, recursive):
                for side, tree in self.sides.items():
                    if side[1] and plain_only:
                        continue
                    if lsn > self.floors.get(side, 0) and _delete(tree, path, recursive):
                        self.changed.add(side)
            case Move(path, source, target):
                self._move(path, (source, False), (target, False), lsn)
            case Clear():
                for side, tree in self.sides.items():
                    if lsn > self.floors.get(side, 0):
                        tree.clear()
                        self.changed.add(side)

    def _put_many(
        self, tree: Tree[bytes], documents: Sequence[str], values: Sequence[bytes]
    ) -> None:
        if type(documents) is PathsIn and values:
            found = tree.ensure(documents.collection).documents
            rows = zip(documents.ids, values, strict=True)
            while some := list(islice(rows, PAUSE_EVERY)):
                found.update(some)
                self._pause()
            return
        for path, value in zip(documents, values, strict=True):
            tree.put(path, value)
            self._count()

    def _count(self) -> None:
        self._applied += 1
        if self._applied % PAUSE_EVERY == 0:
            self._pause()

    def groups(self) -> Iterator[RecordGroup]:
        """Yield all documents, by collection; those above others first."""
        for (partition, encrypted), tree in self.sides.items():
            for node in tree.nodes():
                documents = node.documents
                yield RecordGroup(
                    node.path, list(documents), list(documents.values()), partition, encrypted
                )

    def records(self, path: str = "") -> Iterator[Record]:
        """Yield the documents at and under a path; all of them for ""."""
        for (partition, encrypted), tree in self.sides.items():
            for place in tree.walk(path):
                yield Record(place.path, place.leaf, partition, encrypted)

    def _side(self, side: Side) -> Tree[bytes]:
        tree = self.sides.get(side)
        if tree is None:
            tree = self.sides[side] = Tree()
        return tree

    def _move(self, path: str, source: Side, target: Side, lsn: int) -> None:
        if source == target or lsn <= self.floors.get(source, 0):
            return
        tree = self.sides.get(source)
        if tree is None:
            return
        places = tree.remove(path) if path else list(tree.walk())
        if not path:
            tree.clear()
        if places:
            self.changed |= {source, target}
        if lsn > self.floors.get(target, 0):
            moved = self.moved.setdefault(target, {})
            wanted = self._side(target)
            for place in places:
                wanted.put(place.path, place.leaf)
                moved[place.path] = None


def select(groups: Iterable[RecordGroup], wanted: Sequence[str] | None) -> Iterator[RecordGroup]:
    """Yield what is at or under the paths that are wanted. O(documents), not O(paths)."""
    asked = None if wanted is None else set(wanted)
    for group in groups:
        if asked is None or not asked.isdisjoint(paths.ancestors(group.collection)):
            yield group
            continue
        prefix = group.collection + "/"
        kept = [i for i, document_id in enumerate(group.ids) if prefix + document_id in asked]
        if kept:
            ids, values = [group.ids[i] for i in kept], [group.values[i] for i in kept]
            yield group._replace(ids=ids, values=values)


def difference(before: Iterable[Record], after: Iterable[Record]) -> list[Operation | PutMany]:
    """Return the operations that make one of the other. O(documents)."""
    old = {record.path: record for record in before}
    changed: list[Operation | PutMany] = []
    for record in after:
        if old.pop(record.path, None) != record:
            changed.append(Put(*record))
    return [*(Delete(path, False) for path in old), *changed]


def _delete(tree: Tree[bytes], path: str, recursive: bool) -> bool:
    """Delete from one side; tell whether anything was there."""
    if recursive:
        return bool(tree.remove(path))
    if paths.is_document(path):
        return tree.discard(path) is not None
    node = tree.collections.get(path)
    ids = list(node.documents) if node is not None else []
    for document_id in ids:
        tree.discard(f"{path}/{document_id}")
    return bool(ids)
