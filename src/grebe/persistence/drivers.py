"""Drivers of the committer: a thread on the desktop, an asyncio task where there are no threads.

Both commit by themselves within `interval_s` of a write, or after a growing delay when an attempt
failed. `ThreadDriver.commit` runs the commit on the calling thread when no attempt is out, so that
no hand-over between threads is paid; calls that come while one is out share the next (group
commit).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from grebe.core.operation import Batch
from grebe.errors import GrebeError, PersistenceError
from grebe.persistence.blocking import BlockingCalls
from grebe.persistence.clock import Clock, SystemClock
from grebe.persistence.committer import Attempt, Committer
from grebe.persistence.persistor import Persistor

log = logging.getLogger("grebe")

IDLE_TICKS_MAX = 5
"""Intervals without work after which the thread sleeps until a write wakes it. Before that a
write need not wake it, which would cost the writer a switch of threads."""


class Reports:
    """What a driver tells the store about; called without locks."""

    def __init__(
        self,
        on_commit: Callable[[Batch], object] | None,
        on_error: Callable[[BaseException], object] | None,
        run: Callable[[Callable[[], None]], object] | None,
    ) -> None:
        self._on_commit = on_commit
        self._on_error = on_error
        self._run = run

    def committed(self, batch: Batch) -> None:
        """Report a durable batch."""
        if self._on_commit is not None:
            self.call(self._on_commit, batch)

    def failed(self, error: BaseException) -> None:
        """Report a failed attempt."""
        log.warning("commit failed and will be tried again: %s", error)
        if self._on_error is not None:
            self.call(self._on_error, error)

    def call(self, callback: Callable[[Any], object], argument: Any) -> None:
        """Run a user's callback, through the scheduler if there is one; log what it raises."""

        def guarded() -> None:
            try:
                callback(argument)
            except Exception:
                name = getattr(callback, "__qualname__", repr(callback))
                log.exception("callback %s failed", name)

        if self._run is None:
            guarded()
        else:
            self._run(guarded)


def as_persistence_error(error: Exception) -> GrebeError:
    """Return the error that a user sees for whatever a persistor raised."""
    if isinstance(error, GrebeError):
        return error
    found = PersistenceError(f"the commit failed: {error}; it is kept and tried again")
    found.__cause__ = error
    if isinstance(error, OSError):
        found.errno, found.strerror, found.filename = error.errno, error.strerror, error.filename
    return found


class ThreadDriver:
    """Commits on the calling thread when asked, and on a daemon thread by itself."""

    def __init__(
        self,
        persistor: Persistor,
        calls: BlockingCalls,
        lock: threading.RLock,
        interval_s: float,
        reports: Reports,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._clock: Clock = clock if clock is not None else SystemClock()
        self.committer = Committer(self._wake)
        self._persistor = persistor
        self._calls = calls
        self._lock = lock
        self._changed = threading.Condition(lock)
        self._waiting = 0
        """Threads in `_changed.wait()`; to notify nobody takes as long as half a commit."""
        self._interval_s = interval_s
        self._reports = reports
        self._error: GrebeError | None = None
        self._failed_upto = 0
        self._awake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def commit(self) -> None:
        """Return when all that was written before is durable. Raises PersistenceError."""
        committer = self.committer
        target: int | None = None
        while True:
            with self._lock:
                if target is None:
                    target = committer.written
                if committer.durable >= target:
                    return
                attempt = committer.begin()
                if attempt is None:
                    if committer.durable >= target:
                        return
                    failures = committer.failures
                    self._wait()
                    failed = committer.failures > failures and self._failed_upto >= target
                    if failed and self._error is not None and committer.durable < target:
                        raise self._error
                    continue
            error = self._attempt(attempt)
            if error is not None:
                raise error

    def changed(self) -> None:
        """Wake those who wait, after a batch has ended. The lock is held."""
        if self._waiting:
            self._changed.notify_all()

    def _wait(self) -> None:
        """Wait for a call of `changed`. The lock is held, and let go meanwhile."""
        self._waiting += 1
        try:
            self._changed.wait()
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        """End the thread; nothing is committed by itself any more."""
        self._stop.set()
        self._awake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _attempt(self, attempt: Attempt) -> GrebeError | None:
        """Commit one batch; return why it failed, if it did."""
        try:
            self._calls.call(self._persistor.commit, attempt.batch)
        except BaseException as error:
            # KeyboardInterrupt too: whether the batch was stored is not known, so it goes again.
            failure = as_persistence_error(error) if isinstance(error, Exception) else None
            with self._lock:
                self.committer.fail()
                if failure is None:
                    failure = PersistenceError("the commit was interrupted; it is tried again")
                self._error, self._failed_upto = failure, attempt.upto
                self.changed()
            if not isinstance(error, Exception):
                raise
            self._reports.failed(failure)
            return failure
        with self._lock:
            self.committer.succeed(attempt)
            self._error = None
            self.changed()
        self._reports.committed(attempt.batch)
        return None

    def _wake(self) -> None:
        if not self._stop.is_set():
            self.committer.asleep = False
            if self._thread is None:
                self._thread = self._clock.start(self._run, "grebe-committer")
            self._awake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._clock.wait(self._awake, None)
            idle_ticks = 0
            while idle_ticks < IDLE_TICKS_MAX:
                with self._lock:
                    delay_s = max(self._interval_s, self.committer.retry_delay_s)
                if self._clock.wait(self._stop, delay_s):
                    return
                with self._lock:
                    attempt = self.committer.begin()
                if attempt is not None:
                    idle_ticks = 0
                    self._attempt(attempt)
                else:
                    idle_ticks += 1
            with self._lock:
                self._awake.clear()
                self.committer.asleep = True
                if self.committer.has_work:
                    self._wake()


class AsyncioDriver:
    """Commits in the running event loop; for platforms without threads."""

    def __init__(
        self, persistor: Persistor, lock: threading.RLock, interval_s: float, reports: Reports
    ) -> None:
        self.committer = Committer(self._wake)
        self._persistor = persistor
        self._lock = lock
        self._interval_s = interval_s
        self._reports = reports
        self._task: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._stopped = False

    async def acommit(self) -> None:
        """Return when all that was written before is durable. Raises PersistenceError."""
        target = self.committer.written
        while self.committer.durable < target:
            async with self._turn:
                if self.committer.durable >= target:
                    return
                error = await self._attempt_next()
                if error is not None:
                    raise error
            if self.committer.open_batches:
                await asyncio.sleep(self._interval_s)

    def commit_at_once(self) -> None:
        """Begin to commit what waits, before this returns as far as the persistor can.

        For a page that goes away: nobody will run the event loop any more. Not if an attempt is
        out already.
        """
        loop = asyncio.events._get_running_loop()
        if loop is None or self._stopped or not self.committer.has_work:
            return
        if sys.version_info >= (3, 12):
            self._leaving = asyncio.Task(self._take_turn(), loop=loop, eager_start=True)
        else:
            self._leaving = loop.create_task(self._take_turn())

    def changed(self) -> None:
        """Nobody waits for the end of a batch here."""

    def stop(self) -> None:
        """Commit nothing by itself any more."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def _attempt_next(self) -> GrebeError | None:
        attempt = self.committer.begin()
        if attempt is None:
            return None
        try:
            result: Any = self._persistor.commit(attempt.batch)
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            failure = as_persistence_error(error)
            self.committer.fail()
            self._reports.failed(failure)
            return failure
        except BaseException:
            self.committer.fail()
            raise
        self.committer.succeed(attempt)
        self._reports.committed(attempt.batch)
        return None

    def _wake(self) -> None:
        if self._stopped or (self._task is not None and not self._task.done()):
            return
        loop = asyncio.events._get_running_loop()
        if loop is not None:
            self._task = loop.create_task(self._run())

    async def _run(self) -> None:
        while self.committer.has_work:
            await asyncio.sleep(max(self._interval_s, self.committer.retry_delay_s))
            await self._take_turn()

    async def _take_turn(self) -> None:
        async with self._turn:
            await self._attempt_next()
