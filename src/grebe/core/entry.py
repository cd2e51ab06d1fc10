"""What the store keeps for a document."""

from __future__ import annotations

from typing import Any

from grebe.core.operation import DEFAULT_PARTITION


class Entry:
    """A document in memory: its JSON and where it belongs.

    A write makes a new entry, so an entry's identity says whether a document was written since;
    only `partition`, `saved` and the cached `view` change in place.
    """

    __slots__ = ("canonical", "encrypted", "order", "partition", "saved", "value", "view")

    def __init__(
        self,
        value: bytes,
        order: int,
        partition: str = DEFAULT_PARTITION,
        encrypted: bool = False,
        saved: bool = True,
        canonical: bool = True,
    ) -> None:
        self.value = value
        self.order = order
        """Place among the documents of its collection: ascending by insertion."""
        self.partition = partition
        self.encrypted = encrypted
        self.saved = saved
        """Given to the committer or loaded from it; False after a write with persist=False."""
        self.canonical = canonical
        """Encoded by this process, so that equal values of other length cannot exist."""
        self.view: Any = None
        """The snapshot that was last made of it, kept so that it is decoded once."""
