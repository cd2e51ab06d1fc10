"""Two copies of a database, as a browser may lose one; and what keeps them the same.

Chromium deletes a whole database when it finds the files of it damaged, and a kill in the middle of
a write is enough for that (docs/browser.md). So both copies are in files of their own, and:
1. One change at a time, first in the first copy, when that is complete in the second, then it is
   done. So a kill can damage one of them only.
2. A copy whose manifest is there is whole: one that is made gets its manifest last.
3. When opened, the copy that is in order and has more commits counts. The other follows it: by the
   commits that it lacks if that is all, otherwise it is deleted, files and all, and made anew.
4. Nothing is written before both are the same again. If there is no room for the second, the
   store goes on with one, and says so.

Where a browser cannot keep two apart (all but Chromium and its kin, which keep IndexedDB in files
that a kill does not harm), there is one, at the place MAIN.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from grebe.persistors.indexeddb.database import (
    CHUNKS,
    DAMAGED,
    LAST,
    LOG,
    MANIFEST,
    Change,
    Database,
    Range,
)
from grebe.persistors.indexeddb.recovery import Found, Values, find

MAIN = 0
"""Where a database is that has no copy. Earlier versions kept all there."""
APART = (1, 2)
"""The places of two copies."""
CHUNKS_AT_ONCE = 32
"""Chunks that are copied in one transaction; in between the page has its turn."""


class Places(Protocol):
    """Where a browser can keep a database. Everything raises OSError."""

    async def apart(self) -> list[int] | None:
        """Return those of APART that are there; None: this browser has nothing of the kind."""

    def database(self, place: int) -> Database:
        """Return the database of a place, not open. MAIN has the lock for all of them."""

    async def delete(self, place: int) -> None:
        """Delete a database and its files, damaged or not."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A database that is open, and what was in it."""

    database: Database
    head: Values
    lines: Values
    found: Found

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """What makes it better than another: whole, in order, with more commits."""
        found = self.found
        return self.is_whole, not found.messages, found.manifest.lsn + len(found.commits)

    @property
    def is_whole(self) -> bool:
        """Whether it was made to its end."""
        return 0 in self.head

    def agrees(self, other: Copy | None) -> bool:
        """Tell whether the chunks of another copy are the same: the manifest lists them."""
        return other is not None and self.is_whole and self.head == other.head


class TwoCopies:
    """A Database that is kept twice."""

    def __init__(self, places: Places, *, read_only: bool = False) -> None:
        self._places = places
        self._read_only = read_only
        self._main = places.database(MAIN)
        self._copies: list[Database] = []
        """Those that are open. The first one is read."""
        self._turn = asyncio.Lock()
        self._owed: list[Change] = []
        """What the first copy may have, and the second may not."""
        self._leave: Callable[[], None] | None = None
        self._lost = False
        self.deleted = ""
        self.mended: tuple[str, ...] = ()

    @property
    def lost(self) -> bool:
        """See Database."""
        return self._lost or any(copy.lost for copy in self._copies)

    async def lock(self) -> bool:
        """See Database."""
        return await self._main.lock()

    async def unlock(self) -> None:
        """See Database."""
        await self._main.unlock()

    async def open(self, *, create: bool) -> None:
        """See Database. Makes the copies the same, but for a reader."""
        self._lost = self.lost  # until it is open again
        self.close()
        self.deleted, self.mended, self._owed = "", (), []
        there = await self._places.apart()
        if there is None:
            await self._main.open(create=create)
            self._copies, self.deleted = [self._main], self._main.deleted
        else:
            await self._open_apart(there, create=create)
        self._lost = False
        if self._leave is not None:
            self._copies[0].when_leaving(self._leave)

    async def write(self, change: Change) -> None:
        """See Database. Issued before anything is awaited, if nothing else is being written."""
        async with self._turn:
            if not self._copies:
                raise OSError(errno.ENOTCONN, "it is not open")
            await self._pay()
            first, *second = self._copies
            done = first.write(change)
            if second:
                self._owed.append(change)
            try:
                await done
            except OSError:
                self._owed.clear()
                raise
            await self._pay()

    async def read(self, *ranges: Range) -> list[dict[int, bytes]]:
        """See Database."""
        if not self._copies:
            raise OSError(errno.ENOTCONN, "it is not open")
        return await self._copies[0].read(*ranges)

    async def spare(self, name: str, number: int) -> bytes | None:
        """See Database."""
        if len(self._copies) < 2:
            return None
        async with self._turn:  # not between the two writes of a change
            return (await self._copies[1].read((name, number, number)))[0].get(number)

    def when_leaving(self, callback: Callable[[], None]) -> None:
        """See Database."""
        self._leave = callback
        self._copies[0].when_leaving(callback)

    def close(self) -> None:
        """See Database."""
        for copy in self._copies:
            copy.close()
        self._copies = []

    async def _pay(self) -> None:
        """Write to the second copy what it lacks. Doing so twice changes nothing."""
        while self._owed:
            await self._copies[1].write(self._owed[0])
            del self._owed[0]

    # --- opening

    async def _open_apart(self, there: list[int], *, create: bool) -> None:
        copies: dict[int, Copy] = {}
        try:
            for place in there:
                await self._open_one(place, copies)
            if not self.deleted and not any(copy.is_whole for copy in copies.values()):
                await self._open_one(MAIN, copies)
            if copies:
                best = max(copies, key=lambda place: copies[place].rank)
                await self._keep(best, copies)
            elif create:
                self._copies = [self._places.database(place) for place in APART]
                for copy in self._copies:
                    await copy.open(create=True)
            else:
                raise FileNotFoundError(errno.ENOENT, "it does not exist")
        except BaseException:
            self.close()
            raise
        finally:
            for one in copies.values():
                if one.database not in self._copies:
                    one.database.close()

    async def _open_one(self, place: int, copies: dict[int, Copy]) -> None:
        """Add the copy of a place, if there is one."""
        database = self._places.database(place)
        try:
            await database.open(create=False)
        except FileNotFoundError:
            self.deleted = self.deleted or database.deleted
            return
        try:
            head, lines = await database.read((MANIFEST, 0, 1), (LOG, 0, LAST))
        except BaseException:
            database.close()
            raise
        for other in copies.values():
            if (head, lines) == (other.head, other.lines):
                copies[place] = Copy(database, head, lines, other.found)
                return
        copies[place] = Copy(database, head, lines, find(head, lines, {}))

    async def _keep(self, best: int, copies: dict[int, Copy]) -> None:
        """Go on with the copy of a place, and make the others the same."""
        kept = copies[best]
        self._copies = [kept.database]
        if not self._read_only:
            made = {best: kept.database}
            others = [place for place in APART if place != best]
            # Before one of them is deleted: what cannot be read here may be there.
            changes = [] if all(kept.agrees(copies.get(at)) for at in others) else await _all(kept)
            try:
                for place in others:
                    made[place] = await self._follow(kept, place, copies.get(place), changes)
            except OSError as error:
                await self._go_on_alone(best, made, error)
            else:
                self._copies = [made[place] for place in APART]
                if best == MAIN:
                    kept.database.close()
                    await self._places.delete(MAIN)
        if kept.is_whole:
            self.deleted = ""

    async def _follow(
        self, kept: Copy, place: int, other: Copy | None, changes: list[Change]
    ) -> Database:
        """Return the database of another place, with what is in the one that is kept."""
        damage = self.deleted if other is None else "; ".join(other.found.messages)
        if damage and kept.is_whole:
            self._tell(f"one of the two copies was damaged, and follows the other now ({damage})")
        if other is not None and kept.agrees(other):
            await _write(other.database, _difference(other.lines, kept.lines))
            return other.database
        if other is not None:
            other.database.close()
        # Not emptied but deleted: what a kill left at the end of its files must not stay there.
        await self._places.delete(place)
        made = self._places.database(place)
        await made.open(create=True)
        try:
            for change in changes:
                await _write(made, change)
        except BaseException:
            made.close()
            raise
        return made

    async def _go_on_alone(self, best: int, made: dict[int, Database], error: OSError) -> None:
        """Do with one copy: a full disk must not keep anybody from what is stored."""
        for place in APART:
            if place != best:
                if place in made:
                    made[place].close()
                # It will be out of date soon, and must not be taken for the whole then.
                await self._places.delete(place)
        self._tell(f"there is one copy only, as a second could not be made ({error})")

    def _tell(self, message: str) -> None:
        self.mended = (*self.mended, message)


def _difference(old: Values, new: Values) -> Change:
    """Return what makes one log another."""
    return Change(
        [(LOG, number, line) for number, line in new.items() if old.get(number) != line],
        [(LOG, number, number) for number in old if number not in new],
    )


async def _write(database: Database, change: Change) -> None:
    """Write, if there is something: a browser refuses a transaction of nothing."""
    if change.puts or change.deletions:
        await database.write(change)


async def _all(kept: Copy) -> list[Change]:
    """Return what makes a copy: some chunks at a time, and the manifest last."""
    numbers = sorted(kept.found.manifest.chunks)
    parts = [numbers[at : at + CHUNKS_AT_ONCE] for at in range(0, len(numbers), CHUNKS_AT_ONCE)]
    ranges = [(CHUNKS, part[0], part[-1]) for part in parts]
    if kept.found.messages:
        ranges = [(CHUNKS, 0, LAST)]  # nobody knows which of them count
    changes = []
    for some in ranges:
        (values,) = await kept.database.read(some)
        changes.append(Change([(CHUNKS, number, data) for number, data in values.items()]))
    (damaged,) = await kept.database.read((DAMAGED, 0, LAST))
    maps = {DAMAGED: damaged, LOG: kept.lines, MANIFEST: kept.head}
    puts = [(name, n, data) for name, values in maps.items() for n, data in values.items()]
    return [*changes, Change(puts)]
