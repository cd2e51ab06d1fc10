"""A persistor at work: what the tests ask of it, and how they compare what they got."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from grebe.core.operation import DEFAULT_PARTITION, Batch, Operation, PutMany, Record
from grebe.persistence.persistor import Persistor

T = TypeVar("T")
Make = Callable[[], Persistor]
Row = tuple[str, str, bool, bytes]
"""Path, partition, whether it is encrypted, value."""
Commit = Iterable[Any]
"""The operations of one commit. (Of lists of several classes mypy knows `object` only.)"""

HAS_THREADS = sys.platform != "emscripten"
SHOWN_MAX = 5


class Session:
    """A persistor between open and close. Its methods may be plain or `async def`."""

    def __init__(self, persistor: Persistor) -> None:
        self.persistor = persistor

    async def open(self) -> None:
        """Open it."""
        await call(self.persistor.open)

    async def close(self) -> None:
        """Close it."""
        await call(self.persistor.close)

    async def commit(self, *operations: Operation | PutMany, metadata: bytes | None = None) -> None:
        """Commit a batch of these operations."""
        await call(self.persistor.commit, Batch(operations, metadata))

    async def checkpoint(self) -> None:
        """Make a checkpoint if it can."""
        checkpoint = getattr(self.persistor, "checkpoint", None)
        if checkpoint is not None:
            await call(checkpoint)

    async def records(self, wanted: Sequence[str] | None = None) -> list[Record]:
        """Load; check that what comes are records, and the same by `load_groups`."""
        found = list(await call(self.persistor.load, wanted))
        for record in found:
            shape = type(record.path), type(record.partition), type(record.encrypted)
            assert shape == (str, str, bool), f"a record has fields of the types {shape}"
            assert isinstance(record.value, bytes), f"a value is {type(record.value)}, not bytes"
        load_groups = getattr(self.persistor, "load_groups", None)
        if load_groups is not None:
            grouped = [r for group in await call(load_groups, wanted) for r in group.records()]
            compare(map(_row, grouped), map(_row, found), "load_groups beside load")
        return found

    async def rows(self, wanted: Sequence[str] | None = None) -> list[Row]:
        """Load, as a sorted list without duplicates."""
        rows = [_row(record) for record in await self.records(wanted)]
        twice = [row[:3] for row, count in Counter(rows).items() if count > 1]
        assert not twice, f"loaded twice: {twice[:SHOWN_MAX]}"
        return sorted(rows)

    async def paths(self, *wanted: str) -> list[str]:
        """Load these paths; return the sorted paths of what is there."""
        return [path for path, *_ in await self.rows(wanted)]

    async def in_order(self, wanted: Sequence[str] | None = None) -> list[str]:
        """Load; return the paths as they come."""
        return [record.path for record in await self.records(wanted)]

    async def values(self) -> dict[str, bytes]:
        """Load everything; return the values by path."""
        return {path: value for path, _, _, value in await self.rows()}

    async def metadata(self) -> bytes | None:
        """Load the metadata."""
        found: bytes | None = await call(self.persistor.load_metadata)
        return found


async def call(method: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a method returns, awaited if need be."""
    result = method(*arguments)
    return await result if inspect.isawaitable(result) else result


async def call_elsewhere(method: Callable[..., Any], *arguments: Any) -> Any:
    """Do as `call`, in another thread if the method is plain and there are threads.

    An iterator is read to its end there: a load goes on while it is read.
    """
    if inspect.iscoroutinefunction(method) or not HAS_THREADS:
        return await call(method, *arguments)

    def work() -> Any:
        result = method(*arguments)
        return list(result) if isinstance(result, Iterator) else result

    with ThreadPoolExecutor(1) as new:  # a thread of its own for each call
        result = await asyncio.get_running_loop().run_in_executor(new, work)
    return await result if inspect.isawaitable(result) else result


@asynccontextmanager
async def session(make: Make) -> AsyncIterator[Session]:
    """Open a persistor for the time of a block."""
    opened = Session(make())
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def check_everywhere(make: Make, commits: Sequence[Commit], rows: Iterable[Row]) -> None:
    """Check that the commits make these rows: at once, after a reopen, and after a checkpoint.

    What is wrong in one of these ways only is told apart by that.
    """
    wanted = sorted(rows)
    async with session(make) as first:
        for operations in commits:
            await first.commit(*operations)
        compare(await first.rows(), wanted, "at once")
    async with session(make) as second:
        compare(await second.rows(), wanted, "after closing and opening")
        await second.checkpoint()
        compare(await second.rows(), wanted, "after a checkpoint")
    async with session(make) as third:
        compare(await third.rows(), wanted, "after a checkpoint, closing and opening")


def compare(found: Iterable[Row], wanted: Iterable[Row], when: str) -> None:
    """Check that these are the same rows; say which are not."""
    there, should = Counter(found), Counter(wanted)
    missing, surplus = list((should - there).elements()), list((there - should).elements())
    if missing or surplus:
        raise AssertionError(
            f"{when}: missing {_shown(missing)}; not expected {_shown(surplus)}"
            " (path, partition, encrypted, value)"
        )


def equal(found: object, wanted: object, what: str) -> None:
    """Check that two values are equal; say what they are of."""
    if found != wanted:
        raise AssertionError(f"{what}: {found!r:.500} instead of {wanted!r:.500}")


def _shown(rows: Sequence[Row]) -> str:
    shown = ", ".join(repr((*row[:3], row[3][:40])) for row in rows[:SHOWN_MAX])
    return shown + (f" and {len(rows) - SHOWN_MAX} more" if len(rows) > SHOWN_MAX else "") or "none"


def row(path: str, value: bytes, partition: str = DEFAULT_PARTITION, sealed: bool = False) -> Row:
    """Return a row as `Session.rows` does."""
    return path, partition, sealed, value


def _row(record: Record) -> Row:
    return record.path, record.partition, record.encrypted, record.value


class Suite:
    """What the groups of tests share: how a test is run."""

    in_memory = False
    """Whether the place ends with the process, so that it cannot outlive a kill."""

    def run(self, test: Coroutine[Any, Any, None]) -> None:
        """Run a test to its end."""
        asyncio.run(test)


S = TypeVar("S", bound=Suite)


def check(test: Callable[[S, Make], Awaitable[None]]) -> Callable[[S, Make], None]:
    """Have pytest run a coroutine; the coroutine itself stays as `.check`, for where it cannot."""

    @functools.wraps(test)
    def run(self: S, make: Make) -> None:
        self.run(test(self, make))  # type: ignore[arg-type]

    run.check = test  # type: ignore[attr-defined]
    return run
