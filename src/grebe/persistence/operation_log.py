"""Operations that wait, coalesced: of each document only the last put or deletion is kept.

Rule: a put or deletion takes the place of an earlier one of the same path, at the end. That is
the same as applying both: nothing else depends on the value that was overwritten.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import repeat

from grebe.core import path as paths
from grebe.core.operation import Clear, Delete, Move, Operation, Put


class OperationLog:
    """An ordered, coalescing log. Not thread-safe."""

    __slots__ = ("_moves", "_operations")

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        # Puts are keyed by path, so that the hot path makes no key; everything else by a tuple.
        self._operations: dict[Hashable, Operation] = {}
        self._moves = 0
        self.extend(operations)

    def put(self, operation: Put) -> None:
        """Add a put. O(1)."""
        operations = self._operations
        operations.pop(operation.path, None)
        operations[operation.path] = operation

    def put_many(self, documents: Sequence[str], values: Sequence[bytes], partition: str) -> None:
        """Add puts of plain documents that are not here yet, in one go. O(documents)."""
        rows = zip(documents, values, repeat(partition), repeat(False), strict=False)
        self._operations.update(zip(documents, map(Put._make, rows), strict=True))

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
        self._moves += 1
        self._operations[("move", self._moves)] = operation

    def clear(self) -> None:
        """Drop everything that waits and add the removal of everything."""
        self._operations = {("clear",): Clear()}

    def reset(self) -> None:
        """Drop everything."""
        self._operations = {}

    def extend(self, operations: Iterable[Operation]) -> None:
        """Add operations in order. O(operations)."""
        for operation in operations:
            match operation:
                case Put():
                    self.put(operation)
                case Delete():
                    self.delete(operation)
                case Move():
                    self.move(operation)
                case Clear():
                    self.clear()

    def drop_deleted(self) -> None:
        """Drop the puts that a later deletion covers. O(operations)."""
        deleted: set[str] = set()
        for key, operation in reversed(list(self._operations.items())):
            if isinstance(operation, Delete) and operation.recursive:
                deleted.add(operation.path)
            elif isinstance(operation, Put) and not deleted.isdisjoint(
                paths.ancestors(operation.path)
            ):
                del self._operations[key]

    def __iter__(self) -> Iterator[Operation]:
        """Yield the operations in order."""
        return iter(self._operations.values())

    def __len__(self) -> int:
        """Return the number of operations."""
        return len(self._operations)
