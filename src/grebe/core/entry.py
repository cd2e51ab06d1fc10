"""What the store keeps for a document."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from zlib import adler32

from grebe.core import encoding
from grebe.core.operation import DEFAULT_PARTITION


class Home(encoding.Record, frozen=True, gc=False):
    """Where a document belongs; one object shared by all documents of which it is true."""

    partition: str = DEFAULT_PARTITION
    encrypted: bool = False
    saved: bool = True
    """Given to the committer or loaded from it; False after a write with persist=False."""
    canonical: bool = True
    """Encoded by this process, so that an equal value of other length cannot exist."""


home_of = lru_cache(maxsize=4096)(Home)
"""Return the shared home with these fields."""


def moved(home: Home, partition: str) -> Home:
    """Return what a home becomes by a move to another partition."""
    return home_of(partition, home.encrypted, home.saved, home.canonical)


class Entry(encoding.Record, eq=False):
    """A document in memory: its JSON and where it belongs.

    A write makes a new entry, so an entry's identity says whether a document was written since;
    only `home` and the cached `view` change in place, and the value by the migration of a schema,
    which is the same to readers.

    Made in C, as there is one for each document that is loaded; and the garbage collector does not
    look at it before somebody has looked at the document.
    """

    value: bytes
    order: int
    """Place among the documents of its collection: ascending by insertion."""
    home: Home
    view: Any = None
    """The snapshot that was last made of it, kept so that it is decoded once."""

    @property
    def partition(self) -> str:
        """Partition that holds the document."""
        return self.home.partition

    def __repr__(self) -> str:
        """Show how large the document is, not its data."""
        return f"<Entry: {len(self.value)} bytes>"


def is_same(old: Entry, value: bytes) -> bool:
    """Tell whether a value that this process encoded is the JSON that is stored already."""
    stored = old.value
    if stored == value:
        return True
    # Two texts by the same encoder are of one value only if one is a permutation of the other; the
    # low half of this checksum is the sum of the bytes.
    if (
        len(stored) != len(value) or (adler32(stored) ^ adler32(value)) & 0xFFFF
    ) and old.home.canonical:
        return False
    return encoding.same_json(stored, value)


def holds_same(left: Entry, right: Entry) -> bool:
    """Tell whether two entries hold the same JSON: types count, the order of keys does not."""
    if left is right:
        return True
    if right.home.canonical:
        return is_same(left, right.value)
    return encoding.same_json(left.value, right.value)
