"""A batch is whole or not there: when it fails, when it is given again, when others look."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, cast

from grebe.core.operation import Batch, Clear, Delete, Move, Operation, Put, PutMany
from grebe.errors import StoreLockedError
from grebe.testing.conformance.session import (
    HAS_THREADS,
    Make,
    Session,
    Suite,
    call,
    call_elsewhere,
    check,
    compare,
    equal,
    row,
    session,
)

ROUNDS = 40
DOCUMENTS = 40
REST_S = 0.005 if sys.platform == "emscripten" else 0.0
"""In a page, tasks that only yield keep the browser's own events waiting, for seconds."""


BEGINNINGS: tuple[list[Any], ...] = (
    [Put("u/1", b"9"), Put("u/3", b"9")],
    [Delete("u")],
    [Move("u", "p", "q")],
    [Clear()],
)
"""Each changes what is there, in the batches that fail behind it."""


class Unknown:
    """An operation that no persistor knows: this version of Grebe has none such."""


class FailuresTests(Suite):
    """Atomicity, repetition, concurrency."""

    @check
    async def test_unknown_operation_is_refused(self, make: Make) -> None:
        """An operation that is not understood is an error, not left out: data would be lost."""
        async with session(make) as opened:
            try:
                await opened.commit(_unknown())
            except Exception:
                return
        raise AssertionError("a batch with an operation that nobody knows was accepted")

    @check
    async def test_failed_batch_leaves_nothing(self, make: Make) -> None:
        """Of a batch that fails in the middle nothing is stored, and later ones work."""
        before = [Put("u/1", b"1"), Put("u/2", b"2", "p")]
        rows = [row(*put) for put in before]
        async with session(make) as opened:
            await opened.commit(*before, metadata=b"before")
            for begun in BEGINNINGS:
                with contextlib.suppress(Exception):
                    await opened.commit(*begun, _unknown(), metadata=b"after")
                compare(await opened.rows(), rows, f"after a batch of {begun} that failed")
                assert await opened.metadata() == b"before", "metadata of a batch that failed"
        async with session(make) as again:
            compare(await again.rows(), rows, "after batches that failed, and a reopen")
            await again.commit(Put("u/4", b"4"), metadata=b"later")
            await again.checkpoint()
            compare(await again.rows(), [*rows, row("u/4", b"4")], "a batch after one that failed")
            equal(await again.metadata(), b"later", "metadata of a batch after one that failed")

    @check
    async def test_batch_given_twice(self, make: Make) -> None:
        """A batch of which nobody knows whether it was stored is given again: as if it were once.

        Behind a move, a document is deleted before it is put, for this to hold.
        """
        batch: list[Any] = [
            Put("u/1", b"1", "a"),
            Delete("v"),
            Move("w", "a", "b"),
            Delete("w/1", recursive=False),
            Put("w/1", b"9", "b"),
            PutMany(["x/1", "x/2"], [b"5", b"6"], "a"),
        ]
        wanted = [
            row("u/1", b"1", "a"),
            row("w/1", b"9", "b"),
            row("w/2", b"4", "b"),
            row("x/1", b"5", "a"),
            row("x/2", b"6", "a"),
        ]
        async with session(make) as opened:
            await opened.commit(Put("v/1", b"2"), Put("w/1", b"3", "a"), Put("w/2", b"4", "a"))
            for time in ("once", "twice"):
                await opened.commit(*batch, metadata=b"m")
                compare(await opened.rows(), wanted, f"given {time}")
                found = [path for path in await opened.in_order() if path[0] == "x"]
                assert found == ["x/1", "x/2"], f"order, given {time}: {found}"
        async with session(make) as again:
            await again.commit(*batch, metadata=b"m")
            compare(await again.rows(), wanted, "given again after a reopen")
            equal(await again.metadata(), b"m", "metadata given again")

    @check
    async def test_batch_is_seen_whole(self, make: Make) -> None:
        """Whoever loads beside commits sees one of them, not half of it."""
        async with session(make) as opened:
            operations = [Put(f"u/{n}", b"0", "pq"[n % 2]) for n in range(DOCUMENTS)]
            await opened.commit(*operations)
            done = asyncio.Event()
            seen: list[set[bytes]] = []

            async def look() -> None:
                while not done.is_set():
                    found = list(await call_elsewhere(opened.persistor.load, None))
                    assert len(found) == DOCUMENTS, f"{len(found)} of {DOCUMENTS} documents"
                    seen.append({bytes(record.value) for record in found})
                    await asyncio.sleep(REST_S)

            looking = asyncio.ensure_future(look())
            with _switching_often():
                try:
                    for number in range(1, ROUNDS):
                        batch = [put._replace(value=b"%d" % number) for put in operations]
                        await call_elsewhere(opened.persistor.commit, Batch(batch))
                        await asyncio.sleep(0)
                finally:
                    done.set()
                    await looking
            mixed = [sorted(values) for values in seen if len(values) != 1]
            assert not mixed, f"a load saw parts of several commits: {mixed[0]}"

    @check
    async def test_load_beside_commits(self, make: Make) -> None:
        """What is being loaded when a commit comes is the state before or after it."""
        async with session(make) as opened:
            await opened.commit(*(Put(f"u/{number}", b"1") for number in range(600)))
            loading = iter(await call(opened.persistor.load, None))
            first = next(loading)
            await opened.commit(*(Put(f"u/{number}", b"2") for number in range(600, 900)))
            await opened.commit(Clear())
            found = [first, *loading]
            values = {bytes(record.value) for record in found}
            assert (len(found), values) == (600, {b"1"}), f"{len(found)} documents, {values}"
            compare(await opened.rows(), [], "after clearing")

    @check
    async def test_any_thread(self, make: Make) -> None:
        """Calls come from any thread, and not always from the same."""
        persistor = make()
        async with AsyncExitStack() as lasting:
            if inspect.iscoroutinefunction(persistor.open) or not HAS_THREADS:
                await call(persistor.open)
            else:
                # This thread lives on, so that no other one gets its number.
                first = lasting.enter_context(ThreadPoolExecutor(1))
                await asyncio.get_running_loop().run_in_executor(first, persistor.open)
            lasting.push_async_callback(call, persistor.close)
            for number in range(4):
                await asyncio.gather(
                    call_elsewhere(persistor.commit, Batch([Put(f"u/{number}", b"1")])),
                    call_elsewhere(persistor.load, None),
                )
            found = await call_elsewhere(persistor.load, None)
            equal(len(list(found)), 4, "documents of four commits")
            await call_elsewhere(persistor.load_metadata)

    @check
    async def test_second_open_is_refused(self, make: Make) -> None:
        """While it is open, nobody else opens the same place for writing."""
        async with session(make) as opened:
            await opened.commit(Put("u/1", b"1"))
            other = Session(make())
            try:
                await other.open()
            except StoreLockedError:
                pass
            else:
                raise AssertionError("a second open was not refused with StoreLockedError")
            compare(await opened.rows(), [row("u/1", b"1")], "after a second open was refused")
            await opened.commit(Put("u/2", b"2"))
        async with session(make) as again:
            assert await again.paths("u") == ["u/1", "u/2"]

    def test_commit_is_durable_when_it_returns(self, make: Make) -> None:
        """A process that ends without closing loses nothing of what `commit` returned for."""
        if self.in_memory or not hasattr(os, "fork") or not HAS_THREADS:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
            child = os.fork()
        if child == 0:
            status = 1
            try:
                asyncio.run(_commit_and_stay_open(make))
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0, "a commit failed in another process"
        self.run(_check_what_is_left(make))


async def _commit_and_stay_open(make: Make) -> None:
    opened = Session(make())
    await opened.open()
    for number in range(3):
        await opened.commit(Put(f"u/{number}", b"%d" % number), metadata=b"m%d" % number)


async def _check_what_is_left(make: Make) -> None:
    async with session(make) as opened:
        wanted = [row(f"u/{number}", b"%d" % number) for number in range(3)]
        compare(await opened.rows(), wanted, "after the process ended without closing")
        assert await opened.metadata() == b"m2", "metadata after the process ended"


def _unknown() -> Operation:
    return cast("Operation", Unknown())


@contextlib.contextmanager
def _switching_often() -> Any:
    """Have threads take turns so often that one is interrupted in the middle of what it does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
