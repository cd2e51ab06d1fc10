"""A database in memory that behaves as IndexedDB does, for tests on the desktop."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable

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

    def database(self, name: str = "app") -> SimulatedDatabase:
        """Return a connection of a page, not open yet."""
        return SimulatedDatabase(self, name)

    def kill(self) -> None:
        """Let all pages die: the browser lets go of their locks."""
        self.locks.clear()


class SimulatedDatabase:
    """See Database. A transaction ends some turns of the loop after it was issued, or aborts."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self._name = name
        self._open = False
        self._lock_name = f"grebe:{name}"
        self.lost = False
        self.deleted = ""
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
        if self._name not in self._site.databases:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "it does not exist")
            self._site.databases[self._name] = {name: {} for name in MAPS}
        self._open, self.lost = True, False

    def write(self, change: Change) -> Awaitable[None]:
        maps = self._maps()
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

    def when_leaving(self, callback: Callable[[], None]) -> None:
        self.leave = callback

    def close(self) -> None:
        self._open = False

    def lose(self) -> None:
        """Close the connection as the browser does."""
        self._open, self.lost = False, True

    def _maps(self) -> Maps:
        if not self._open:
            raise OSError(errno.ENOTCONN, "closed")
        return self._site.databases[self._name]
