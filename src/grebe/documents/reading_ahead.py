"""Decoding documents before they are looked at, when the ones before them all were.

Who goes through a result and looks at each document has them decoded some thousands at a time,
with the garbage collector paused: it would look at all of them again and again meanwhile. Who
looks at none, or at some, has nothing decoded for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from operator import attrgetter
from typing import Any, TypeVar, overload

from grebe.core.bulk import garbage_collection_paused
from grebe.core.entry import Entry
from grebe.core.many_values import decode_plain_many
from grebe.documents.models import PLAIN, UNREAD
from grebe.documents.snapshot import Snapshot, snapshot_of, snapshots_of

T = TypeVar("T")
Fetch = Callable[[int, bool], Iterator[list[Snapshot[T]]]]
"""Yields the next snapshots, up to a number of them, in parts; decoded if the flag says so."""

FEW = 16
"""Documents after which it is known whether they are looked at."""
BLOCK_MAX = 4096
BLOCK_BYTES = 1 << 20
"""JSON that is decoded ahead, at most."""


def reading_ahead(fetch: Fetch[T]) -> Iterator[list[Snapshot[T]]]:
    """Yield snapshots in parts; once `FEW` were all looked at, the next are decoded before."""
    few = [row for part in fetch(FEW, False) for row in part]
    yield few
    is_looked_at = all(row._data is not UNREAD for row in few)
    size, part = 8 * FEW, few
    while part:
        part = []
        for part in fetch(size, is_looked_at):
            yield part
        size = min(8 * size, BLOCK_MAX)


def fetching(rows: Iterator[Snapshot[T]]) -> Fetch[T]:
    """Return what fetches snapshots that were made."""

    def fetch(size: int, read: bool) -> Iterator[list[Snapshot[T]]]:
        block = list(islice(rows, size))
        for part in _parts([row._value for row in block]) if read else [slice(size)]:
            some = block[part]
            if read:
                read_all(some)
            yield some

    return fetch


class Unmade(Sequence[Snapshot[T]]):
    """Plain documents of a collection at one moment; snapshots are made when somebody looks."""

    __slots__ = ("_collection", "_entries", "_ids")

    def __init__(self, collection: Any, ids: list[str], entries: list[Entry]) -> None:
        self._collection = collection
        self._ids = ids
        self._entries = entries

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
            return self._made(self._ids[index], self._entries[index])
        return snapshot_of(self._collection.doc(self._ids[index]), self._entries[index], PLAIN)

    def fetching(self) -> Fetch[T]:
        """Return what fetches the snapshots, making them."""
        all_ids, all_entries = iter(self._ids), iter(self._entries)

        def fetch(size: int, read: bool) -> Iterator[list[Snapshot[T]]]:
            ids, entries = list(islice(all_ids, size)), list(islice(all_entries, size))
            if not read:
                yield self._made(ids, entries)
                return
            texts = [entry.value for entry in entries]
            for part in _parts(texts):
                yield self._read(ids[part], entries[part], texts[part])

        return fetch

    def _made(self, ids: list[str], entries: list[Entry]) -> list[Snapshot[T]]:
        with garbage_collection_paused():
            return snapshots_of(self._collection, ids, entries, PLAIN)

    def _read(self, ids: list[str], entries: list[Entry], texts: list[bytes]) -> list[Snapshot[T]]:
        """Return snapshots of documents that are decoded before."""
        with garbage_collection_paused():
            if any(map(attrgetter("view"), entries)):  # somebody has looked at some
                found = snapshots_of(self._collection, ids, entries, PLAIN)
                read_all(found)
                return found
            try:
                data = decode_plain_many(texts)
            except (ValueError, RecursionError):
                return snapshots_of(self._collection, ids, entries, PLAIN)
            found = list(map(Snapshot, repeat(self._collection), ids, texts, repeat(PLAIN), data))
            for entry, snapshot in zip(entries, found, strict=True):
                entry.view = snapshot
            return found


def _parts(texts: list[bytes]) -> Iterator[slice]:
    """Yield where to cut a block, into parts that are not too large, or of one document."""
    left = [(0, len(texts))]
    while left:
        start, stop = left.pop()
        if stop - start > 1 and sum(map(len, texts[start:stop])) > BLOCK_BYTES:
            middle = (start + stop) // 2
            left += [(middle, stop), (start, middle)]
        elif stop > start:
            yield slice(start, stop)


def read_all(rows: Iterable[Snapshot[Any]]) -> None:
    """Decode plain documents that nobody has looked at. O(their size).

    One that cannot be decoded is left as it is: whoever looks at it gets the error.
    """
    unread = [row for row in rows if row._data is UNREAD and row._adapter is PLAIN]
    if not unread:
        return
    with garbage_collection_paused():
        try:
            found = decode_plain_many([row._value for row in unread])
        except (ValueError, RecursionError):
            return
        for row, data in zip(unread, found, strict=True):
            row._data = data
