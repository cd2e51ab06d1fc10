"""Operations that wait, coalesced: of each document only the last put or deletion is kept.

Rule: a put or deletion takes the place of an earlier one of the same path, at the end. That is
the same as applying both: nothing else depends on the value that was overwritten. Bulk puts are
kept as they are until they are handed out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import compress

from grebe.core import path as paths
from grebe.core.operation import Clear, Delete, Move, Operation, Put, PutMany


class OperationLog:
    """An ordered, coalescing log. Not thread-safe."""

    __slots__ = ("_count", "_operations")

    def __init__(self, operations: Iterable[Operation | PutMany] = ()) -> None:
        # Puts are keyed by path, so that the hot path makes no key; everything else by a tuple.
        self._operations: dict[Hashable, Operation | PutMany] = {}
        self._count = 0
        self.extend(operations)

    def put(self, operation: Put) -> None:
        """Add a put. O(1)."""
        operations = self._operations
        operations.pop(operation.path, None)
        operations[operation.path] = operation

    def put_many(self, operation: PutMany) -> None:
        """Add puts of documents that do not wait here. O(1)."""
        self._count += 1
        self._operations[("many", self._count)] = operation

    def delete(self, operation: Delete) -> None:
        """Add a deletion; drops a waiting put of the same path. O(1)."""
        self._operations.pop(operation.path, None)
        key = (operation.path, operation.recursive)
        self._operations.pop(key, None)
        self._operations[key] = operation

    def forget(self, path: str) -> None:
        """Drop a waiting put: what it stored is deleted by an operation that covers it. O(1)."""
        self._operations.pop(path, None)

    def move(self, operation: Move) -> None:
        """Add a move. O(1)."""
        self._count += 1
        self._operations[("move", self._count)] = operation

    def clear(self) -> None:
        """Drop everything that waits and add the removal of everything."""
        self._operations = {("clear",): Clear()}

    def reset(self) -> None:
        """Drop everything."""
        self._operations = {}

    def extend(self, operations: Iterable[Operation | PutMany]) -> None:
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

    def drop_deleted(self) -> None:
        """Drop the puts that a later deletion covers. O(operations)."""
        deleted: set[str] = set()
        kept: list[tuple[Hashable, Operation | PutMany]] = []
        for key, operation in reversed(self._operations.items()):
            match operation:
                case Delete(path, True):
                    deleted.add(path)
                case Put(path) if not deleted.isdisjoint(paths.ancestors(path)):
                    continue
                case PutMany() if deleted:
                    operation = _without(operation, deleted)
            kept.append((key, operation))
        self._operations = dict(reversed(kept))

    def make_repeatable(self) -> None:
        """Have a second application give what the first one gave. O(operations).

        An attempt that failed may have been stored all the same. Then a move takes along what was
        put behind it, and the put would make a second copy; so that is deleted in between.
        """
        moved: set[str] = set()
        found: list[Operation | PutMany] = []
        for operation in self._operations.values():
            if isinstance(operation, Move):
                moved.add(operation.path)
            elif moved and isinstance(operation, Put | PutMany):
                written = [operation.path] if isinstance(operation, Put) else operation.paths
                found += [
                    Delete(path, False)
                    for path in written
                    if not moved.isdisjoint(paths.ancestors(path))
                ]
            found.append(operation)
        if moved:
            self.reset()
            self.extend(found)

    def hand_out(self) -> tuple[Operation | PutMany, ...]:
        """Return the operations in order, with one put for each document at most. O(operations)."""
        found = tuple(self._operations.values())
        if len(found) < 2 or not any(type(operation) is PutMany for operation in found):
            return found
        # A document of a bulk put may have been written again since, by itself or in bulk.
        later: set[str] = set()
        kept: list[Operation | PutMany] = []
        for operation in reversed(found):
            match operation:
                case Put(path):
                    if path in later:
                        continue
                    later.add(path)
                case PutMany(documents):
                    if not later.isdisjoint(documents):
                        operation = _select(operation, [path not in later for path in documents])
                    later.update(documents)
            kept.append(operation)
        return tuple(reversed(kept))

    def __iter__(self) -> Iterator[Operation | PutMany]:
        """Yield the operations in order."""
        return iter(self._operations.values())

    def __len__(self) -> int:
        """Return the number of operations."""
        return len(self._operations)


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
