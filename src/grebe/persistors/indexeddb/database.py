"""What the persistor asks of a browser: the contract. browser.py meets it with IndexedDB.

A database has four ordered maps from numbers to bytes. They are changed by transactions only, so
tests can run the persistor on the desktop and let any transaction fail.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from grebe.errors import GrebeError, PersistenceError

MANIFEST = "manifest"
"""0: the manifest; 1: the first line of the journal, which names the store."""
LOG = "log"
"""Commits since the last compaction, by LSN: a line of a journal each."""
CHUNKS = "chunks"
"""Some hundred documents each: a partition file each, by ascending numbers."""
DAMAGED = "damaged"
"""Damaged values that were replaced, by ascending numbers."""

MAPS = (MANIFEST, LOG, CHUNKS, DAMAGED)
LAST = 2**52
"""Above all numbers. JavaScript keeps those up to here exactly, and no BigInt is a key."""

Range = tuple[str, int, int]
"""A map, and the first and last number that are meant in it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction does: first the deletions, then the puts."""

    puts: Sequence[tuple[str, int, bytes]] = ()
    """Map, number, value."""
    deletions: Sequence[Range] = field(default=())


@contextlib.contextmanager
def as_persistence_error(store: object, what: str) -> Iterator[None]:
    """Turn the browser's errors into PersistenceError, with the cause."""
    try:
        yield
    except GrebeError:
        raise
    except OSError as error:
        found = PersistenceError(
            f"{store} could not be {what}: {error.strerror or error}; "
            "what is stored there stays as it was"
        )
        found.errno, found.strerror = error.errno, error.strerror
        raise found from error


class Database(Protocol):
    """One database of one origin. Everything raises OSError."""

    deleted: str
    """Why the browser has deleted a database of this name just before it was opened: it found its
    own files damaged. Empty: it has not, or does not say (only Chromium and its kin do)."""

    mended: tuple[str, ...]
    """What was damaged when it was opened, and is whole again, with nothing lost."""

    @property
    def lost(self) -> bool:
        """Whether the browser has closed the connection, for another tab or of its own accord."""

    async def lock(self) -> bool:
        """Become the only writer; tell whether that worked. Let go of by `unlock`."""

    async def unlock(self) -> None:
        """Let another writer in. Doing so twice is fine."""

    async def open(self, *, create: bool) -> None:
        """Connect.

        Raises:
            FileNotFoundError: there is none, and `create` is false.
        """

    def write(self, change: Change) -> Awaitable[None]:
        """Do a transaction: issued before anything is awaited, and durable when this ends."""

    async def read(self, *ranges: Range) -> list[dict[int, bytes]]:
        """Return the values in each range, in one transaction, by ascending numbers."""

    async def spare(self, name: str, number: int) -> bytes | None:
        """Return another copy of a value, if there is one."""

    def when_leaving(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the page is hidden or about to go, until `close`."""

    def close(self) -> None:
        """Disconnect, when what was issued is done. Closing twice is fine."""
