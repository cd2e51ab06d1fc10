"""Immutable sequences of snapshots, made without copying what they share with older ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from grebe.core import encoding
from grebe.documents.models import UNREAD
from grebe.documents.reading_ahead import FEW, Unmade, fetching, reading_ahead
from grebe.documents.snapshot import Snapshot

T = TypeVar("T")


if TYPE_CHECKING:

    class _Rows(encoding.Record, Sequence[Snapshot[T]], eq=False): ...

else:

    class _Rows(encoding.Record, Generic[T], eq=False):
        """A sequence that is made in C, which classes below Sequence are not."""

        index, count = Sequence.index, Sequence.count
        __contains__, __reversed__ = Sequence.__contains__, Sequence.__reversed__

        def __rich_repr__(self) -> None:
            """Have rich show what `repr` shows."""


class Results(_Rows[T], eq=False):
    """The documents of a collection or query at one moment.

    Equal to a list or tuple of the same snapshots. Holds the rows in chunks that nobody changes
    any more, so a live query can hand out a new one without copying all rows. Indexing costs
    O(log of the number of chunks), a slice is an ordinary list.
    """

    _chunks: Sequence[Sequence[Snapshot[T]]] = ()
    _length: int = 0
    _ends: list[int] | None = None

    def __len__(self) -> int:
        """Return the number of documents."""
        return self._length

    def __iter__(self) -> Iterator[Snapshot[T]]:
        """Yield the snapshots in order; reads ahead if each is looked at."""
        chunks = self._chunks
        rows = chain.from_iterable(chunks)
        if self._length > FEW and chunks[-1][-1]._data is UNREAD:
            only = chunks[0]
            fetch = only.fetching() if type(only) is Unmade else fetching(rows)
            return chain.from_iterable(reading_ahead(fetch))
        return rows

    @overload
    def __getitem__(self, index: int) -> Snapshot[T]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Snapshot[T]]: ...
    def __getitem__(self, index: int | slice) -> Snapshot[T] | list[Snapshot[T]]:
        """Return a snapshot by position, or a list of them for a slice."""
        if isinstance(index, slice):
            start, stop, step = index.indices(self._length)
            if step == 1:
                return self._part(start, stop)
            return [self[i] for i in range(start, stop, step)]
        position = index + self._length if index < 0 else index
        if not 0 <= position < self._length:
            raise IndexError(f"index {index} out of range: there are {self._length} documents")
        if position < len(self._chunks[0]):
            return self._chunks[0][position]
        if position == self._length - 1:
            return self._chunks[-1][-1]
        chunk, place = self._find(position)
        return self._chunks[chunk][place]

    def _find(self, position: int) -> tuple[int, int]:
        if self._ends is None:
            self._ends = list(accumulate(map(len, self._chunks)))
        chunk = bisect_right(self._ends, position)
        return chunk, position - (self._ends[chunk - 1] if chunk else 0)

    def _part(self, start: int, stop: int) -> list[Snapshot[T]]:
        """Return the snapshots from one position up to another. O(their number)."""
        if start >= stop:
            return []
        if stop <= len(self._chunks[0]):
            return list(self._chunks[0][start:stop])
        chunk, place = self._find(start)
        found = list(self._chunks[chunk][place : place + stop - start])
        while len(found) < stop - start:
            chunk += 1
            found += self._chunks[chunk][: stop - start - len(found)]
        return found

    def __eq__(self, other: object) -> bool:
        """Compare with another result, a list or a tuple."""
        if not isinstance(other, Results | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show the number of documents and the first ids."""
        first = ", ".join(repr(snapshot.id) for snapshot in self[:3])
        more = ", ..." if self._length > 3 else ""
        return f"<Results: {self._length} documents [{first}{more}]>"


Sequence.register(Results)


class LazySnapshots(Sequence[Snapshot[T]]):
    """Snapshots of documents just written, made when somebody looks."""

    __slots__ = ("_ids", "_make")

    def __init__(self, ids: Sequence[str], make: Callable[[int], Snapshot[T]]) -> None:
        self._ids = ids
        self._make = make

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> Snapshot[T]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Snapshot[T]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Return a snapshot by position, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self._make(i) for i in range(len(self._ids))[index]]
        return self._make(range(len(self._ids))[index])

    def __repr__(self) -> str:
        """Show the number of documents."""
        return f"<{len(self._ids)} snapshots>"
