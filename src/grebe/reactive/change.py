"""What observers are told."""

from __future__ import annotations

import enum
from typing import Any, Generic, TypeVar

from grebe.documents.document import Document
from grebe.documents.snapshot import Snapshot

T = TypeVar("T")


class Event(enum.Enum):
    """What happened to a document, from the point of view of one observer."""

    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"
    TOUCHED = "touched"
    HYDRATED = "hydrated"


class Change(Generic[T]):
    """The difference of one document between what an observer was last told and now. Immutable."""

    __slots__ = ("_after", "_before", "_event")

    def __init__(self, event: Event, before: Snapshot[T] | None, after: Snapshot[T] | None) -> None:
        self._event = event
        self._before = before
        self._after = after

    @property
    def event(self) -> Event:
        """What happened."""
        return self._event

    @property
    def doc(self) -> Document[T]:
        """The document that changed."""
        snapshot = self._after or self._before
        assert snapshot is not None
        return snapshot.doc

    @property
    def id(self) -> str:
        """Id of the document."""
        return self.doc.id

    @property
    def path(self) -> str:
        """Path of the document."""
        return self.doc.path

    @property
    def data(self) -> T | None:
        """The data now, or None if the document was removed."""
        return None if self._after is None else self._after.data

    @property
    def prev_data(self) -> T | None:
        """The data that was last delivered, or None if there was none."""
        return None if self._before is None else self._before.data

    def __eq__(self, other: object) -> bool:
        """Compare event, document, data and previous data."""
        if not isinstance(other, Change):
            return NotImplemented
        mine: tuple[Any, ...] = (self.event, self._before, self._after)
        return mine == (other.event, other._before, other._after)

    def __hash__(self) -> int:
        """Hash by event and document."""
        return hash((self.event, self.doc))

    def __repr__(self) -> str:
        """Show event and path, not the data."""
        return f"<Change {self.event.value} {self.path!r}>"


def difference(
    before: Snapshot[T] | None,
    after: Snapshot[T] | None,
    *,
    moved: bool = False,
    touched: bool = False,
    hydrated: bool = False,
) -> Change[T] | None:
    """Return the change between two states of a document, or None if there is nothing to tell.

    `moved`: its place in an ordered result changed. `touched`: it is announced even if nothing
    changed. `hydrated`: loading, not a write, brought it.
    """
    if before is None:
        if after is None:
            return None
        return Change(Event.HYDRATED if hydrated else Event.ADDED, before, after)
    if after is None:
        return Change(Event.REMOVED, before, None)
    if moved or (after is not before and after != before):
        return Change(Event.MODIFIED, before, after)
    return Change(Event.TOUCHED, before, after) if touched else None
