"""A database in memory that behaves as IndexedDB does, for tests on the desktop."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable

from grebe.persistors.indexeddb.copies import APART
from grebe.persistors.indexeddb.database import MAPS, Change, Range

Maps = dict[str, dict[int, bytes]]


class Site:
    """What a browser keeps for an origin: it outlives the pages."""

    def __init__(self) -> None:
        self.databases: dict[str, Maps] = {}
        self.locks: dict[str, SimulatedDatabase] = {}
        self.writes: list[Change] = []
        self.fail: Callable[[Change], OSError | None] = lambda change: None
        """Says with what error a transaction aborts, if it does."""
        self.buckets: set[str] = set()
        """Databases that have files of their own. They stay when the browser deletes one in it."""
        self.life = 0
        self.in_flight: dict[str, Maps] = {}
        """Databases that are being written to, and what was in them before."""
        self.torn: set[str] = set()
        """Databases whose files end in half a write: the next life goes on behind it."""
        self.poisoned: set[str] = set()
        """Databases whose files are found damaged at the next opening, and deleted."""

    def database(self, name: str = "app") -> SimulatedDatabase:
        """Return a connection of a page, not open yet."""
        return SimulatedDatabase(self, name)

    def places(self, name: str = "app") -> SimulatedPlaces:
        """Return where the copies of a database are."""
        return SimulatedPlaces(self, name)

    def kill(self) -> None:
        """Let all pages die: the browser lets go of their locks."""
        self.locks.clear()

    def crash(self, *, tear: bool, undo: bool) -> None:
        """Kill the browser. What is being written is torn, not there, or there."""
        self.kill()
        self.life += 1
        for name, before in self.in_flight.items():
            if tear or undo:
                self.databases[name] = before
            if tear:
                self.torn.add(name)
        self.in_flight.clear()


class SimulatedDatabase:
    """See Database. A transaction ends some turns of the loop after it was issued, or aborts."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self._name = name
        self._open = False
        self._life = site.life
        self._lock_name = f"grebe:{name}"
        self.lost = False
        self.deleted = ""
        self.mended: tuple[str, ...] = ()
        self.leave: Callable[[], None] = lambda: None

    async def lock(self) -> bool:
        await asyncio.sleep(0)
        return self._site.locks.setdefault(self._lock_name, self) is self

    async def unlock(self) -> None:
        await asyncio.sleep(0)
        if self._site.locks.get(self._lock_name) is self:
            del self._site.locks[self._lock_name]

    async def open(self, *, create: bool) -> None:
        await asyncio.sleep(0)
        self._check_life()
        self.deleted = ""
        if self._name in self._site.poisoned:
            del self._site.databases[self._name]
            self._site.poisoned.discard(self._name)
            self._site.torn.discard(self._name)
            self.deleted = "checksum mismatch"
        if self._name in self._site.torn:
            # The browser writes to a database that it opens, behind what is torn.
            self._site.poisoned.add(self._name)
        if self._name not in self._site.databases:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "it does not exist")
            self._site.databases[self._name] = {name: {} for name in MAPS}
        self._open, self.lost = True, False

    def write(self, change: Change) -> Awaitable[None]:
        maps = self._maps()
        assert change.puts or change.deletions, "a browser refuses a transaction of no map"
        self._site.writes.append(change)
        error = self._site.fail(change)
        if error is None:
            # Transactions with the same maps run one after the other, as they were issued.
            for name, first, last in change.deletions:
                for number in [n for n in maps[name] if first <= n <= last]:
                    del maps[name][number]
            for name, number, data in change.puts:
                assert type(data) is bytes
                maps[name][number] = data
        return self._end(error)

    async def _end(self, error: OSError | None) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            self._check_life()
        if error is not None:
            raise error

    async def read(self, *ranges: Range) -> list[dict[int, bytes]]:
        maps = self._maps()
        found = [
            {n: maps[name][n] for n in sorted(maps[name]) if first <= n <= last}
            for name, first, last in ranges
        ]
        await self._end(None)
        return found

    async def spare(self, name: str, number: int) -> bytes | None:
        return None

    def when_leaving(self, callback: Callable[[], None]) -> None:
        self.leave = callback

    def close(self) -> None:
        self._open = False

    def lose(self) -> None:
        """Close the connection as the browser does."""
        self._open, self.lost = False, True

    def _check_life(self) -> None:
        if self._life != self._site.life:
            raise OSError(errno.ENOTCONN, "the browser was killed")

    def _maps(self) -> Maps:
        self._check_life()
        if not self._open:
            raise OSError(errno.ENOTCONN, "closed")
        return self._site.databases[self._name]


class SimulatedPlaces:
    """See Places. The copies of "app" are "app 1" and "app 2"."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self._name = name
        self._life = site.life

    async def apart(self) -> list[int] | None:
        await asyncio.sleep(0)
        return [place for place in APART if f"{self._name} {place}" in self._site.buckets]

    def database(self, place: int) -> SimulatedDatabase:
        return CopiedDatabase(self._site, f"{self._name} {place}" if place else self._name)

    async def delete(self, place: int) -> None:
        await asyncio.sleep(0)
        if self._life != self._site.life:
            raise OSError(errno.ENOTCONN, "the browser was killed")
        name = f"{self._name} {place}" if place else self._name
        self._site.buckets.discard(name)
        self._site.databases.pop(name, None)
        self._site.torn.discard(name)
        self._site.poisoned.discard(name)


class CopiedDatabase(SimulatedDatabase):
    """One of several copies. While it is written to, the others are not."""

    async def open(self, *, create: bool) -> None:
        await super().open(create=create)
        self._site.buckets.add(self._name)

    def write(self, change: Change) -> Awaitable[None]:
        before = {name: dict(values) for name, values in self._maps().items()}
        assert not self._site.in_flight, "a kill might tear both"
        self._site.in_flight[self._name] = before
        return self._end_of(super().write(change))

    async def _end_of(self, done: Awaitable[None]) -> None:
        try:
            await done
        finally:
            if self._life == self._site.life:
                self._site.in_flight.clear()
