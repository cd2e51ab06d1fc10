"""Operations that wait, coalesced: of each document only the last put or deletion is kept.

Rule: a put replaces an earlier one of the same path, in its place, so that documents keep the order
in which they were inserted; at the end if a deletion or move in between covers the path. A deletion
replaces an earlier one, at the end. That is the same as applying both: nothing else depends on what
was overwritten. Bulk puts are kept as they are until they are handed out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import compress

from grebe.core import path as paths
from grebe.core.operation import (
    Clear,
    Delete,
    Move,
    OnSealed,
    Part,
    Put,
    PutMany,
)


class OperationLog:
    """An ordered, coalescing log. Not thread-safe."""

    __slots__ = ("_count", "_put_at", "covered", "operations")

    def __init__(self, operations: Iterable[Part] = ()) -> None:
        self.operations: dict[Hashable, Part] = {}
        """Puts by path, so that the hot path makes no key; everything else by a tuple."""
        self._count = 0
        self.covered: dict[str, int] = {}
        """Number of the last deletion or move of each path. While empty, puts simply go in."""
        self._put_at: dict[str, int] = {}
        """Number of the deletion or move behind which a put stands; missing: before all."""
        if operations:
            self.extend(operations)

    def put(self, operation: Put) -> None:
        """Add a put. O(1)."""
        operations, path = self.operations, operation.path
        if self.covered:
            at = self._put_at.get(path, 0)
            covered = self.covered
            if path not in operations or any(
                covered.get(above, 0) > at for above in (*paths.ancestors(path), "")
            ):
                operations.pop(path, None)
                self._put_at[path] = self._count
        operations[path] = operation

    def put_many(self, operation: PutMany) -> None:
        """Add puts of documents that do not wait here. O(1)."""
        self._count += 1
        self.operations[("many", self._count)] = operation

    def delete(self, operation: Delete) -> None:
        """Add a deletion; drops a waiting put of the same path. O(1)."""
        self.operations.pop(operation.path, None)
        key = (operation.path, operation.recursive)
        self.operations.pop(key, None)
        self.operations[key] = operation
        self._cover(operation.path)

    def forget(self, path: str) -> None:
        """Drop a waiting put: another operation deletes or stores its document. O(1)."""
        self.operations.pop(path, None)

    def move(self, operation: Move) -> None:
        """Add a move. O(1)."""
        self._cover(operation.path)
        self.operations[("move", self._count)] = operation

    def on_sealed(self, operation: OnSealed) -> None:
        """Add a deletion or move of encrypted documents. O(1)."""
        inner = operation.operation
        if isinstance(inner, Delete):
            self.operations.pop(inner.path, None)
            key: Hashable = ("sealed", *inner)
            self.operations.pop(key, None)
            self.operations[key] = operation
            self._cover(inner.path)
        else:
            self._cover(inner.path)
            self.operations[("move", self._count)] = operation

    def clear(self) -> None:
        """Drop everything that waits and add the removal of everything."""
        self.reset()
        self.operations = {("clear",): Clear()}

    def reset(self) -> None:
        """Drop everything."""
        self.operations = {}
        self.covered, self._put_at = {}, {}

    def _cover(self, path: str) -> None:
        self._count += 1
        self.covered[path] = self._count

    def extend(self, operations: Iterable[Part]) -> None:
        """Add operations in order. O(operations)."""
        for operation in operations:
            match operation:
                case Put():
                    self.put(operation)
                case PutMany():
                    self.put_many(operation)
                case Delete():
                    self.delete(operation)
                case Move():
                    self.move(operation)
                case Clear():
                    self.clear()
                case OnSealed():
                    self.on_sealed(operation)

    def drop_deleted(self) -> None:
        """Drop the puts that a later deletion covers. O(operations)."""
        deleted: set[str] = set()
        kept: list[tuple[Hashable, Part]] = []
        for key, operation in reversed(self.operations.items()):
            match operation:
                case Delete(path, True) | OnSealed(Delete(path, True)):
                    deleted.add(path)
                case Put(path) if not deleted.isdisjoint(paths.ancestors(path)):
                    continue
                case PutMany() if deleted:
                    operation = _without(operation, deleted)
            kept.append((key, operation))
        self.operations = dict(reversed(kept))

    def make_repeatable(self) -> None:
        """Have a second application give what the first one gave. O(operations).

        An attempt that failed may have been stored all the same. Then a move takes along what was
        put behind it, and the put would make a second copy; so that is deleted in between.
        """
        moved: set[str] = set()
        found: list[Part] = []
        for operation in self.operations.values():
            if isinstance(operation, Move):
                moved.add(operation.path)
            elif isinstance(operation, OnSealed) and isinstance(operation.operation, Move):
                moved.add(operation.operation.path)
            elif moved and isinstance(operation, Put | PutMany):
                written = [operation.path] if isinstance(operation, Put) else operation.paths
                for path in written:
                    if not moved.isdisjoint(paths.ancestors(path)):
                        deletion = Delete(path, False)
                        # A deletion of plain documents would tell the path of an encrypted one.
                        found.append(OnSealed(deletion) if operation.encrypted else deletion)
            found.append(operation)
        if moved:
            self.reset()
            self.extend(found)

    def hand_out(self) -> tuple[Part, ...]:
        """Return the operations in order, with one put for each document at most. O(operations)."""
        found = tuple(self.operations.values())
        if len(found) < 2 or not any(type(operation) is PutMany for operation in found):
            return found
        # A document of a bulk put may have been written again since, by itself or in bulk.
        return _once_each(found) if _overlap(found) else found

    def __iter__(self) -> Iterator[Part]:
        """Yield the operations in order."""
        return iter(self.operations.values())

    def __len__(self) -> int:
        """Return the number of operations."""
        return len(self.operations)


def _overlap(operations: Iterable[Part]) -> bool:
    """Tell whether a document is put more than once."""
    seen: set[str] = set()
    count = 0
    for operation in operations:
        if isinstance(operation, Put | PutMany):
            written = [operation.path] if isinstance(operation, Put) else operation.paths
            seen.update(written)
            count += len(written)
    return len(seen) < count


def _once_each(operations: Iterable[Part]) -> tuple[Part, ...]:
    """Return single operations of which none puts what a later one puts; see the module's rule."""
    kept: list[Part | None] = []
    place: dict[str, int] = {}
    covered: dict[str, int] = {}
    for part in operations:
        for operation in part.puts() if type(part) is PutMany else (part,):
            at = len(kept)
            kept.append(operation)
            if type(operation) is not Put:
                inner = operation.operation if isinstance(operation, OnSealed) else operation
                covered[getattr(inner, "path", "")] = at
                continue
            before = place.setdefault(operation.path, at)
            if before == at:
                continue
            kept[before] = None
            above = (*paths.ancestors(operation.path), "")
            if any(covered.get(path, -1) > before for path in above):
                place[operation.path] = at
            else:
                kept[before] = kept.pop()
    return tuple(operation for operation in kept if operation is not None)


def _without(operation: PutMany, deleted: set[str]) -> PutMany:
    """Return a bulk put without the documents at or under deleted paths."""
    return _select(
        operation, [deleted.isdisjoint(paths.ancestors(path)) for path in operation.paths]
    )


def _select(operation: PutMany, chosen: Sequence[bool]) -> PutMany:
    return operation._replace(
        paths=list(compress(operation.paths, chosen)),
        values=list(compress(operation.values, chosen)),
    )
