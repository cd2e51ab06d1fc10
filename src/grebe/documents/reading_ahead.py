"""Decoding documents before they are looked at, when the ones before them all were.

Who goes through a result and looks at each document has them decoded some thousands at a time,
with the garbage collector paused: it would look at all of them again and again meanwhile. Who
looks at none, or at some, has nothing decoded for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

from grebe.core.bulk import garbage_collection_paused
from grebe.core.many_values import decode_plain_many
from grebe.documents.models import PLAIN, UNREAD
from grebe.documents.snapshot import Snapshot

T = TypeVar("T")

FEW = 16
"""Documents after which it is known whether they are looked at."""
BLOCK_MAX = 4096
BLOCK_BYTES = 1 << 20
"""JSON that is decoded ahead, at most."""


def reading_ahead(rows: Iterator[Snapshot[T]]) -> Iterator[Snapshot[T]]:
    """Yield snapshots; once `FEW` have all been looked at, decode the next before they are."""
    block = list(islice(rows, FEW))
    yield from block
    if any(row._data is UNREAD for row in block):
        yield from rows
        return
    size = 8 * FEW
    while block := list(islice(rows, size)):
        for part in _parts(block):
            read_all(part)
            yield from part
        size = min(8 * size, BLOCK_MAX)


def _parts(block: list[Snapshot[T]]) -> Iterator[list[Snapshot[T]]]:
    """Yield a block in parts that are not too large, or of one document."""
    left = [block]
    while left:
        part = left.pop()
        if len(part) > 1 and sum(map(len, map(attrgetter("_value"), part))) > BLOCK_BYTES:
            middle = len(part) // 2
            left += [part[middle:], part[:middle]]
        else:
            yield part


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
