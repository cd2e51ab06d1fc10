"""What the store keeps for a document."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from grebe.core.operation import DEFAULT_PARTITION


class Home(NamedTuple):
    """Where a document belongs; one object shared by all documents of which it is true."""

    partition: str = DEFAULT_PARTITION
    encrypted: bool = False
    saved: bool = True
    """Given to the committer or loaded from it; False after a write with persist=False."""
    canonical: bool = True
    """Encoded by this process, so that an equal value of other length cannot exist."""


home_of = lru_cache(maxsize=4096)(Home)
"""Return the shared home with these fields."""


class Entry:
    """A document in memory: its JSON and where it belongs.

    A write makes a new entry, so an entry's identity says whether a document was written since;
    only `home` and the cached `view` change in place.
    """

    __slots__ = ("home", "order", "value", "view")

    def __init__(self, value: bytes, order: int, home: Home) -> None:
        self.value = value
        self.order = order
        """Place among the documents of its collection: ascending by insertion."""
        self.home = home
        self.view: Any = None
        """The snapshot that was last made of it, kept so that it is decoded once."""

    @property
    def partition(self) -> str:
        """Partition that holds the document."""
        return self.home.partition
