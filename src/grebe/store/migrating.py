"""Bringing stored documents up to the version of their collection, batch by batch.

Readers do not wait for this: an old document is migrated when it is read. Here the result is put
in its place, in memory and on disk, so that it need not be done again.

1. A document is replaced only if nobody wrote it since it was looked at.
2. To readers it is the same document: nobody is told, and no transaction conflicts.
3. A batch is one commit. What is not done after a crash is found by the versions in the documents.
4. What cannot be migrated, or is newer than the program, stays as it is, and is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from grebe.core.entry import Entry, home_of
from grebe.documents.models.versioned import VersionedAdapter, version_of
from grebe.documents.snapshot import respell
from grebe.errors import DocumentTypeError, GrebeError, StoreClosedError
from grebe.store.writing import Writer

log = logging.getLogger("grebe")

BATCH_DOCUMENTS = 500
"""Few enough that a write does not wait long for the lock, enough to share a sync."""
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 30.0


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """How far the loaded documents of a collection are."""

    collection: str
    version: int
    """The version that they are to have."""
    current: int = 0
    """Documents that have it."""
    waiting: int = 0
    """Older documents; they are migrated when they are read, and in the background."""
    failed: int = 0
    """Older documents whose migration failed, or gave what the model does not take."""
    newer: int = 0
    """Documents that a newer program has written; they cannot be read here."""


Report = Callable[[MigrationProgress], object]


class Old(NamedTuple):
    """An old document as it was found."""

    id: str
    entry: Entry
    value: bytes


class Migrator:
    """Migrates the documents of one store, when it is told that there may be old ones."""

    def __init__(
        self, writer: Writer, commit: Callable[[], Coroutine[Any, Any, None]], *, threads: bool
    ) -> None:
        self._writer = writer
        self._commit = commit
        self._threads = threads
        self._mutex = threading.Lock()
        self._waiting: dict[str, None] = {}
        """Collections to be looked at in the background."""
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._stop = threading.Event()

    # --- in the background

    def wake(self, collections: Iterable[str]) -> None:
        """Have these collections migrated soon, if their documents are to be written."""
        if self._writer.committer is None or self._stop.is_set():
            return
        with self._mutex:
            self._waiting.update(dict.fromkeys(collections))
            if self._waiting:
                self._start()

    def _start(self) -> None:
        if self._threads:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run_thread, name="grebe-migration", daemon=True
                )
                with contextlib.suppress(RuntimeError):  # the interpreter is about to exit
                    thread.start()
                    self._thread = thread
        elif self._task is None or self._task.done():
            loop = asyncio.events._get_running_loop()
            if loop is not None:  # otherwise with the next call that is made in one
                self._task = loop.create_task(self._work())

    def _run_thread(self) -> None:
        with contextlib.suppress(StopIteration):  # it never waits
            self._work().send(None)

    async def _work(self) -> None:
        while True:
            with self._mutex:
                if not self._waiting or self._stop.is_set():
                    self._thread = None
                    return
                collection = next(iter(self._waiting))
                del self._waiting[collection]
            try:
                await self._persist(collection)
            except Exception:
                log.exception("the migration of %s ended; it is tried at the next open", collection)

    async def _persist(self, collection: str) -> None:
        """Migrate a collection; where a commit fails, go on when the disk does."""
        pause_s = PAUSE_FIRST_S
        while not self._stop.is_set():
            try:
                await self.migrate(collection)
            except StoreClosedError:
                return
            except GrebeError as error:
                log.warning("the migration of %s waits: %s", collection, error)
                await self._pause(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
            else:
                return

    async def _pause(self, seconds: float) -> None:
        if self._threads:  # where nothing is awaited, see lifecycle.py
            self._stop.wait(seconds)
        else:
            await asyncio.sleep(seconds)

    def stop(self) -> None:
        """End what runs in the background, after the document that it is at."""
        self._stop.set()
        with self._mutex:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        if self._task is not None:
            self._task.cancel()

    # --- one collection

    async def migrate(self, collection: str, report: Report | None = None) -> MigrationProgress:
        """Migrate a collection's loaded documents; return how that went.

        Raises:
            PersistenceError: a batch could not be committed; it is kept and tried again.
            StoreClosedError: the store was closed meanwhile.
        """
        progress, found = self.survey(collection)
        adapter = self._writer.adapter(collection)
        if not isinstance(adapter, VersionedAdapter):
            return progress
        for start in range(0, len(found), BATCH_DOCUMENTS):
            if self._writer.adapter(collection) is not adapter:
                break  # it has another schema by now, which wakes us again
            batch = found[start : start + BATCH_DOCUMENTS]
            upgraded, failed = self._upgraded(collection, adapter, batch)
            self._put(collection, adapter, upgraded)
            await self._commit()
            progress = replace(
                progress,
                current=progress.current + len(batch) - failed,
                waiting=progress.waiting - len(batch),
                failed=progress.failed + failed,
            )
            if report is not None:
                report(progress)
            await self._breathe()
        self._log(progress, len(found))
        return progress

    def survey(self, collection: str) -> tuple[MigrationProgress, list[Old]]:
        """Count the documents by version, and return the old ones. O(documents)."""
        writer = self._writer
        with writer.lock:
            writer.check_open()
            schema = writer.schemas.get(collection)
            node = writer.tree.collections.get(collection)
            documents = {} if node is None else node.documents
            # With their values: another run may be in the middle of a batch the next moment.
            entries = [(i, entry, entry.value) for i, entry in documents.items()]
        if schema is None:
            return MigrationProgress(collection, 1, current=len(entries)), []
        found: list[Old] = []
        newer = failed = 0
        for document_id, entry, value in entries:
            try:
                version = version_of(value)
            except DocumentTypeError:
                failed += 1
                continue
            if version < schema.version:
                found.append(Old(document_id, entry, value))
            elif version > schema.version:
                newer += 1
        current = len(entries) - len(found) - newer - failed
        return (
            MigrationProgress(collection, schema.version, current, len(found), failed, newer),
            found,
        )

    def _upgraded(
        self, collection: str, adapter: VersionedAdapter, batch: Iterable[Old]
    ) -> tuple[list[tuple[Old, bytes]], int]:
        """Return what is still as it was, with its new JSON, and how many documents failed.

        Without the lock: users' functions run.
        """
        upgraded: list[tuple[Old, bytes]] = []
        errors: list[DocumentTypeError] = []
        for old in batch:
            if self._writer.closed:
                raise StoreClosedError
            if old.entry.value is not old.value:  # another run was faster
                continue
            try:
                upgraded.append((old, adapter.upgrade(old.value, f"{collection}/{old.id}")))
            except DocumentTypeError as error:
                errors.append(error)
        if errors:  # one for all: they tend to be alike, and to be many
            log.warning("%s (and %d more)", errors[0], len(errors) - 1)
        return upgraded, len(errors)

    def _put(
        self, collection: str, adapter: VersionedAdapter, upgraded: Iterable[tuple[Old, bytes]]
    ) -> None:
        writer = self._writer
        with writer.lock:
            if writer.closed:
                raise StoreClosedError
            node = writer.tree.collections.get(collection)
            if node is None or writer.adapter(collection) is not adapter:
                return
            for old, value in upgraded:
                entry = old.entry
                if node.documents.get(old.id) is not entry or entry.value is not old.value:
                    continue
                home = entry.home
                new_home = home_of(home.partition, home.encrypted, home.saved, True)
                respell(entry, value, new_home, adapter)
                if home.saved and writer.committer is not None:
                    path = f"{collection}/{old.id}"
                    writer.committer.put((path, value, home.partition, home.encrypted))

    async def _breathe(self) -> None:
        if not self._threads:
            await asyncio.sleep(0)

    def _log(self, progress: MigrationProgress, old: int) -> None:
        if old:
            log.info(
                "%s: of %d old documents, %d are of version %d now; %d failed, %d are newer",
                *(progress.collection, old, old - progress.failed, progress.version),
                *(progress.failed, progress.newer),
            )
