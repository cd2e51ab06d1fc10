"""Opening, loading, committing and closing: each written once, as a coroutine.

On the desktop the persistor's methods block, so these coroutines never wait: `drive` runs them
like functions, and `run` does so on another thread for the asynchronous API. Where there are no
threads (Pyodide) the methods are awaited and `run` awaits the coroutine; `drive` then suspends its
caller, where the browser can.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import logging
import os
import weakref
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from grebe.core import path as paths
from grebe.core.bulk import garbage_collection_paused
from grebe.core.operation import Batch, RecordGroup
from grebe.documents.collection import Collection
from grebe.documents.document import Document
from grebe.documents.query import Query
from grebe.errors import GrebeError
from grebe.persistence.blocking import HAS_THREADS, BlockingCalls, can_suspend, suspend
from grebe.persistence.clock import Clock
from grebe.persistence.drivers import AsyncioDriver, Reports, ThreadDriver
from grebe.persistence.encryption.keys import KeySource
from grebe.persistence.encryption.sealing import Encryption, SealingPersistor
from grebe.persistence.persistor import Persistor
from grebe.persistence.report import RecoveryReport
from grebe.persistence.resolver import Resolver
from grebe.reactive.broadcast import Scheduler
from grebe.reactive.change import HYDRATED, LOUD
from grebe.store.following import apply_followed
from grebe.store.migrating import MigrationProgress, Migrator, Report
from grebe.store.rotating import Rotation
from grebe.store.writing import Writer

R = TypeVar("R")
log = logging.getLogger("grebe")


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What a user wants to be told, and on which thread."""

    on_commit: Callable[[Batch], object] | None = None
    on_error: Callable[[BaseException], object] | None = None
    on_hydrate: Callable[[list[str] | None], object] | None = None
    scheduler: Scheduler | None = None


class Lifecycle:
    """The life of one store, from open to closed."""

    def __init__(
        self,
        writer: Writer,
        persistor: Persistor | None,
        callbacks: Callbacks,
        *,
        encryption: Encryption | None = None,
        hydrate: bool | Iterable[Any],
        commit_interval_s: float,
        read_only: bool,
        threads: bool = HAS_THREADS,
        clock: Clock | None = None,
    ) -> None:
        self._writer = writer
        self._encryption = encryption if encryption is not None else writer.encryption
        writer.encryption = self._encryption
        self._persistor = persistor
        self._sealed = None if persistor is None else SealingPersistor(persistor, self._encryption)
        self._hydrate_at_open = hydrate
        self._threads = threads
        self._waits = not threads and _is_asynchronous(persistor)
        self._calls = BlockingCalls()
        self._reports = Reports(callbacks.on_commit, callbacks.on_error, callbacks.scheduler)
        self._on_hydrate = callbacks.on_hydrate
        self._driver: ThreadDriver | AsyncioDriver | None = None
        self.migrator = Migrator(writer, self.commit, threads=threads)
        self.name = "memory:" if persistor is None else str(persistor)
        writer.read_only = self.name if read_only else None
        if self._sealed is None:
            writer.hydration.mark_loaded(None)
            writer.placement.resolver.hide = str  # nothing is stored, so nothing is hidden
            return
        if threads:
            self._driver = ThreadDriver(
                self._sealed,
                self._calls,
                writer.lock,
                commit_interval_s,
                self._reports,
                clock=clock,
            )
        else:
            self._driver = AsyncioDriver(
                self._sealed, writer.lock, commit_interval_s, self._reports
            )
        if not read_only:
            writer.committer = self._driver.committer

    @property
    def recovery(self) -> RecoveryReport:
        """What the persistor found when it opened and loaded."""
        return RecoveryReport() if self._sealed is None else self._sealed.recovery

    async def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run one of the coroutines of this class without blocking the event loop."""
        if self._threads:
            return await asyncio.to_thread(_drive, coroutine)
        return await coroutine

    def drive(self, coroutine: Coroutine[Any, Any, R], instead: str, *, rests: bool = False) -> R:
        """Run one of the coroutines of this class like a function.

        `rests` says that it waits now and then by itself where there are no threads.

        Raises:
            RuntimeError: it would have to wait and cannot here; it says to use `instead`.
        """
        if self._threads or not (self._waits or rests):
            return _drive(coroutine)
        if can_suspend():
            return suspend(coroutine)
        coroutine.close()
        raise RuntimeError(
            f"{self.name}: nothing can wait here without threads; use {instead} "
            "(a browser with JSPI can wait where JavaScript called Python asynchronously)"
        )

    async def open(self) -> None:
        """Open the persistor and load. Raises PersistenceError, StoreLockedError."""
        persistor = self._sealed
        if persistor is None:
            return
        opened = False
        persistor.remembers = self._writer.committer is None or hasattr(persistor.inner, "follow")
        try:
            await self._call(persistor.open)
            opened = True
            metadata = await self._call(persistor.load_metadata)
            resolver = Resolver.decode(metadata)
            self._encryption.unlock(resolver.encryption)
            self._encryption.connect(resolver)
            if self._writer.options.defaults.encrypted and self._writer.committer is not None:
                self._encryption.begin_if_unused(resolver)
            self._writer.placement.resolver = resolver
            wanted = self._hydrate_at_open
            if wanted is True:
                await self.hydrate(None)
            elif wanted is not False:
                await self.hydrate(paths_of(wanted))
            follow = getattr(persistor.inner, "follow", None)
            if follow is not None:
                await self._call(follow, self._apply_followed)
            when_leaving = getattr(persistor.inner, "when_leaving", None)
            if when_leaving is not None and isinstance(self._driver, AsyncioDriver):
                when_leaving(self._driver.commit_at_once)
        except BaseException:
            self._writer.closed = True
            await self._let_go(close_persistor=opened)
            raise
        _open.add(self)
        atexit.register(self._at_exit)

    async def hydrate(self, wanted: list[str] | None) -> None:
        """Load subtrees, or everything. O(what is loaded)."""
        writer, persistor = self._writer, self._sealed
        writer.check_open()
        if persistor is None or (wanted is not None and not wanted):
            return
        with writer.lock:
            committer = writer.committer
            waiting = [] if committer is None else [*committer.in_flight, *committer.pending]
            watch = writer.hydration.begin(waiting)
        try:
            with garbage_collection_paused():
                groups = await self._call(persistor.load_groups, wanted)
                self._merge(groups, wanted, watch)
        finally:
            with writer.lock:
                writer.hydration.end(watch)
        writer.written()
        if self._on_hydrate is not None:
            self._reports.call(self._on_hydrate, wanted)

    def _merge(
        self, groups: Iterable[RecordGroup], wanted: list[str] | None, watch: list[Any]
    ) -> None:
        writer = self._writer
        groups = list(groups)  # read before the lock is taken: it may take long
        depending: list[Document[Any]] = []
        versioned: set[str] = set()
        with writer.lock:
            writer.check_open()
            merged = writer.hydration.merge(groups, watch, writer.order)
            for collection, ids, order in merged:
                writer.order = order
                writer.note(collection, ids, LOUD | HYDRATED)
                if collection in writer.schemas:
                    versioned.add(collection)
                if writer.options.resolve(collection).depends_on is not None:
                    depending += [writer.reference(f"{collection}/{i}") for i in ids]
            writer.hydration.mark_loaded(wanted)
            writer.drop_shadowed()
            for doc in depending:
                try:
                    writer.rebuild_dependencies(doc)
                except Exception:
                    log.exception("depends_on of %s failed; it depends on nothing", doc.path)
        self.migrator.wake(versioned)

    async def commit(self) -> None:
        """Return when everything written before is durable. Raises PersistenceError."""
        driver = self._driver
        if driver is not None and self._writer.read_only is None:
            if isinstance(driver, AsyncioDriver):
                await driver.acommit()
            else:
                driver.commit()

    def commit_here(self) -> None:
        """Do as `commit` on this thread. Raises PersistenceError, RuntimeError as `drive`."""
        if isinstance(self._driver, ThreadDriver):  # without a coroutine: commits are many
            if self._writer.read_only is None:
                self._driver.commit()
        else:
            self.drive(self.commit(), "await store.acommit()")

    async def checkpoint(self) -> None:
        """Commit, and have the persistor put the data in its lasting form."""
        writer, persistor = self._writer, self._sealed
        if persistor is None or writer.read_only is not None:
            return
        with writer.lock:
            writer.forget_plain_names()
        await self.commit()
        await self._call(persistor.checkpoint)
        with writer.lock:
            rotated = self._encryption.forget_previous(writer.placement.resolver)
            if rotated and writer.committer is not None:
                writer.save_resolver()
                writer.committer.wrote()
        if rotated:  # no file is left that needs the key of before
            await self.commit()
            await self._call(persistor.checkpoint)

    async def rotate_key(self, source: KeySource) -> None:
        """Have everything encrypted sealed under another key, and the old bytes gone."""
        writer, persistor = self._writer, self._sealed
        writer.check_writable()
        if persistor is None:
            return
        rotation = Rotation(writer, persistor, self._call)
        await self.commit()
        while not rotation.begin():
            await self.commit()
        try:
            await rotation.run(source)
        finally:
            rotation.end()
        await self.checkpoint()

    async def migrate(self, report: Report | None) -> dict[str, MigrationProgress]:
        """Migrate what is loaded of all collections that have a version."""
        found = list(self._writer.schemas)
        return {collection: await self.migrator.migrate(collection, report) for collection in found}

    def migrations(self) -> dict[str, MigrationProgress]:
        """Return how far the collections that have a version are."""
        return {name: self.migrator.survey(name)[0] for name in list(self._writer.schemas)}

    async def refresh(self) -> None:
        """Bring in what a writing process has committed since."""
        self._writer.check_open()
        refresh = None if self._sealed is None else getattr(self._sealed.inner, "refresh", None)
        if refresh is not None and self._writer.read_only is not None:
            batch = await self._call(refresh)
            if batch is not None:
                self._apply_followed(batch)

    def _apply_followed(self, batch: Batch) -> None:
        assert self._sealed is not None
        apply_followed(self._writer, self._sealed.unsealed_batch(batch))

    async def close(self) -> None:
        """Commit, checkpoint, let go. If the commit fails the store stays open."""
        writer = self._writer
        await self.commit()
        with writer.lock:
            if writer.closed:  # by another thread, meanwhile
                return
            writer.closed = True
        self.migrator.stop()
        # What was written between the commit and now, by another thread.
        try:
            await self.commit()
            await self.checkpoint()
        finally:
            await self._let_go()
            atexit.unregister(self._at_exit)
            _open.discard(self)
            for observer in writer.broadcasting.observers():
                observer.close()

    async def clear(self, broadcast: bool) -> None:
        """Delete everything, in memory and on disk."""
        self._writer.clear(broadcast)
        await self.commit()

    def batch_ended(self) -> None:
        """Wake those who wait for the end of a batch. The store's lock is held."""
        if self._driver is not None:
            self._driver.changed()

    def inspect(self) -> dict[str, Any]:
        """Return the state of commits, for debugging."""
        committer = self._writer.committer
        if committer is None:
            return {"persistor": self.name, "waiting": 0, "failures": 0}
        return {
            "persistor": self.name,
            "waiting": len(committer.pending) + len(committer.in_flight),
            "failures": committer.failures,
            "written": committer.written,
            "durable": committer.durable,
        }

    async def _let_go(self, *, close_persistor: bool = True) -> None:
        if self._driver is not None:
            self._driver.stop()
        # One that could not be opened may be in use elsewhere.
        if self._sealed is not None and close_persistor:
            await self._call(self._sealed.close)
        self._calls.close()

    async def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        if self._threads:
            return self._calls.call(method, *arguments)
        result = method(*arguments)
        return await result if inspect.isawaitable(result) else result

    def _at_exit(self) -> None:
        """Commit at the interpreter's exit what a store that was not closed still has."""
        try:
            self.drive(self.close(), "await store.aclose()")
        except (GrebeError, RuntimeError):
            log.exception("%s could not be closed at exit", self.name)


def _drive(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("another task of this loop is in the way; use the asynchronous call")


def _is_asynchronous(persistor: Persistor | None) -> bool:
    """Tell whether any method of a persistor has to be awaited."""
    names = ("open", "commit", "load", "load_groups", "load_metadata", "checkpoint", "close")
    return any(inspect.iscoroutinefunction(getattr(persistor, name, None)) for name in names)


_open: weakref.WeakSet[Lifecycle] = weakref.WeakSet()


def _close_in_child() -> None:
    """Take the stores that a fork copied for closed: the parent goes on with the same files."""
    for lifecycle in _open:
        lifecycle._writer.closed = True
        atexit.unregister(lifecycle._at_exit)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def paths_of(wanted: Iterable[Any]) -> list[str]:
    """Return the paths of references, queries' collections, or paths.

    Raises:
        InvalidPathError: a path is malformed.
        TypeError: an item is none of these.
    """
    if isinstance(wanted, str):
        raise TypeError(f"give a list of paths, not a str; write [{wanted!r}]")
    found = []
    for item in wanted:
        if isinstance(item, Query) and isinstance(item.source, Collection):
            found.append(item.source.path)
        elif isinstance(item, Document):
            found.append(item.path)
        elif isinstance(item, str):
            found.append(paths.check_path(item))
        else:
            kind = type(item).__name__
            raise TypeError(f"give paths or references to load, not {kind}")
    return found
