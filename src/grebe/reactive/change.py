"""What observers are told."""

from __future__ import annotations

import enum
from typing import Any, Generic, TypeVar

from grebe.core import encoding
from grebe.documents.document import Document
from grebe.documents.snapshot import Snapshot

T = TypeVar("T")

LOUD = 1
"""Mark: at least one write since the last broadcast wants to be announced."""
TOUCHED = 2
"""Mark: announce the document even if it did not change."""
HYDRATED = 4
"""Mark: loading brought it."""
WRITTEN = 8
"""Mark: the document itself was written, loaded or deleted; without it, it was only touched."""
AGAIN = 16
"""Mark: what was written may be what was there before: it was marked more than once, or somebody
else wrote it."""
FLAG_BITS = 5
FLAGS = (1 << FLAG_BITS) - 1
ONE_WRITE = LOUD | WRITTEN
"""The flags of most marks: a single write, which is announced."""


class Event(enum.Enum):
    """What happened to a document, from the point of view of one observer."""

    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"
    TOUCHED = "touched"
    HYDRATED = "hydrated"


IS_ADDED, IS_MODIFIED, IS_REMOVED, IS_TOUCHED, IS_HYDRATED = Event
"""The members, where one is needed for each change: to look one up takes as long as a look-up in
five dicts."""


class Change(encoding.Record, Generic[T], eq=False):
    """The difference of one document between what an observer was last told and now. Immutable."""

    _event: Event
    _before: Snapshot[T] | None
    _after: Snapshot[T] | None
    _prev_index: int | None = None
    _index: int | None = None

    @property
    def event(self) -> Event:
        """What happened."""
        return self._event

    @property
    def doc(self) -> Document[T]:
        """The document that changed."""
        return self._one.doc

    @property
    def id(self) -> str:
        """Id of the document."""
        return self._one.id

    @property
    def path(self) -> str:
        """Path of the document."""
        return self._one.path

    @property
    def _one(self) -> Snapshot[T]:
        snapshot = self._after or self._before
        assert snapshot is not None
        return snapshot

    @property
    def data(self) -> T | None:
        """The data now, or None if the document was removed."""
        return None if self._after is None else self._after.data

    @property
    def prev_data(self) -> T | None:
        """The data that was last delivered, or None if there was none."""
        return None if self._before is None else self._before.data

    @property
    def prev_index(self) -> int | None:
        """Position in a query's result from which the document is taken, or None.

        Positions are those of a list to which the changes before this one were applied: delete at
        `prev_index`, then insert at `index`, change by change.
        """
        return self._prev_index

    @property
    def index(self) -> int | None:
        """Position in a query's result at which the document is put, or None; see `prev_index`."""
        return self._index

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
    before: Snapshot[T] | None, after: Snapshot[T] | None, *, changed: bool, flags: int
) -> Change[T] | None:
    """Return the change between two states of a document, or None if there is nothing to tell."""
    event = event_of(before is not None, after is not None, changed, flags)
    return None if event is None else Change(event, before, after)


def event_of(was: bool, is_there: bool, changed: bool, flags: int) -> Event | None:
    """Return what is told of a document that was, or was not, there before and is now; or None.

    `changed`: its data or its place in an ordered result did. `flags` are those of its mark: with
    TOUCHED it is announced even if nothing changed, with HYDRATED loading brought it.
    """
    if not was:
        if not is_there:
            return None
        return IS_HYDRATED if flags & HYDRATED else IS_ADDED
    if not is_there:
        return IS_REMOVED
    if changed:
        return IS_MODIFIED
    return IS_TOUCHED if flags & TOUCHED else None
