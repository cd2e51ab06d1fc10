"""The file persistor: a directory of plain JSON files. See docs/file_format.md.

This module holds the state and the locks; recovery.py reads a directory, checkpoint.py writes one.

Invariants:
1. Every commit above the manifest's is in `_commits`, and durable in the journals (`_unsealed`
   apart, until the first commit or checkpoint).
2. A commit is acknowledged only after the sync of the journal that holds it.
3. After a failed write or sync a journal is not used any more; the commit goes into a new one.
4. Journals are removed only when the manifest that makes them obsolete is durable.

Locks: `_turn` (one checkpoint or load at a time), then `_mutex` (one commit at a time). No commit
waits for `_turn`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from grebe.core.operation import Batch, Clear, Delete, Move, Put, PutMany, Record, RecordGroup
from grebe.errors import GrebeError, PersistenceError, ReadOnlyError
from grebe.persistence.contents import Contents, Side
from grebe.persistence.resolver import Resolver, readable_resolver
from grebe.persistors.file import names
from grebe.persistors.file.checkpoint import (
    JournalWriter,
    carry_record,
    dirty_sides,
    remove_files,
    write_manifest,
    write_partitions,
)
from grebe.persistors.file.filesystem import FileSystem, OsFileSystem, make_directories
from grebe.persistors.file.journal import JournalRecord
from grebe.persistors.file.manifest import Manifest
from grebe.persistors.file.recovery import (
    Found,
    fold,
    read_consistently,
    read_directory,
    read_partition,
    select,
)

log = logging.getLogger("grebe")

CHECKPOINT_BYTES = 1_048_576
JOURNAL_SHARE_MAX = 0.4
"""A checkpoint is due when the journal is this large beside the files that it would replace: old
file, new file and journal together then stay below 2.5 times the data."""


class FilePersistor:
    """Documents in a directory of JSON files, one a partition, and a journal of commits."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        read_only: bool = False,
        file_system: FileSystem | None = None,
    ) -> None:
        """Name the directory; `open` makes it.

        Args:
            directory: where the files are.
            checkpoint_bytes: size of the journal below which no checkpoint is made by itself.
            read_only: never write, take no lock.
            file_system: what does the disk work; for tests.
        """
        if checkpoint_bytes < 0:
            raise ValueError(f"checkpoint_bytes= is a number of bytes, not {checkpoint_bytes}")
        self.directory = Path(directory)
        self._path = os.path.abspath(directory)
        self._checkpoint_bytes = checkpoint_bytes
        self._read_only = read_only
        self._fs: FileSystem = file_system if file_system is not None else OsFileSystem()
        self._turn = threading.Lock()
        self._mutex = threading.Lock()
        self._release: Callable[[], None] | None = None
        self._forget()

    def _forget(self) -> None:
        self._manifest = Manifest("")
        self._metadata: bytes | None = None
        self._resolver: Resolver | None = None
        self._snapshot: Contents | None = None
        self._files: dict[Side, str] = {}
        self._commits: list[JournalRecord] = []
        self._unsealed: list[JournalRecord] = []
        self._dirty: set[Side] = set()
        self._moves = False
        self._journals: list[int] = []
        self._journal_bytes = 0
        self._writer: JournalWriter | None = None
        self._lsn = 0
        self._checkpoint_wanted_bytes = 0
        self._checkpointer: threading.Thread | None = None
        self.found = Found(None)
        """What opening found."""

    # --- Persistor

    def open(self) -> None:
        """Take the lock, make the directory if need be, read what it holds. See Persistor."""
        with self._as_persistence_error("opened"):
            if self._read_only:
                if not self._fs.is_directory(self._path):
                    raise PersistenceError(f"{self._path} does not exist; open it for writing")
                found, self._snapshot = read_consistently(self._fs, self._path)
                if found.manifest is None:
                    raise PersistenceError(f"{self._path} holds no store; open it for writing")
                self._adopt(found)
                return
            make_directories(self._fs, self._path)
            lock = os.path.join(self._path, names.LOCK)
            self._release = self._fs.lock(lock, self._path)
            try:
                found = read_directory(self._fs, self._path)
                self._adopt(found)
                # The names that were read may not be on the disk yet: an earlier process may have
                # died before it synced them.
                remove_files(self._fs, self._path, found.temporary)
                if found.manifest is None:
                    self._manifest = Manifest(secrets.token_hex(8))
                    write_manifest(self._fs, self._path, self._manifest)
            except BaseException:
                self._unlock()
                raise

    def commit(self, batch: Batch) -> None:
        """Append the batch to the journal and sync it. O(batch). See Persistor."""
        if self._read_only:
            raise ReadOnlyError(self._path)
        with self._mutex, self._as_persistence_error("written to"):
            record = JournalRecord(self._lsn + 1, batch.parts, batch.metadata)
            self._append(record)
            self._lsn = record.lsn
            self._commits.append(record)
            self._note(record)
        self._start_checkpoint_if_due()

    def load(self, wanted: Sequence[str] | None) -> Iterable[Record]:
        """Return documents; reads the partition files that may hold them. See Persistor."""
        for group in self.load_groups(wanted):
            yield from group.records()

    def load_groups(self, wanted: Sequence[str] | None) -> Iterator[RecordGroup]:
        """Do as `load`, by collection. See Persistor."""
        if self._snapshot is not None:
            yield from select(self._snapshot.groups(), wanted)
            return
        with self._turn, self._as_persistence_error("read"):
            with self._mutex:
                commits, dirty, moves = list(self._commits), set(self._dirty), self._moves
            files = self._files_for(wanted)
            changed = dirty & files.keys() if wanted is not None else dirty
            if moves:
                changed = dirty
            clean = {side: name for side, name in files.items() if side not in changed}
            for name in clean.values():
                yield from select(read_partition(self._fs, self._path, name)[1], wanted)
            if commits:
                contents = fold(
                    self._fs, self._path, dirty_sides(self._files, changed), self._manifest, commits
                )
                found = (g for g in contents.groups() if (g.partition, g.encrypted) not in clean)
                yield from select(found, wanted)

    def load_metadata(self) -> bytes | None:
        """See Persistor."""
        return self._metadata

    def checkpoint(self) -> None:
        """Fold the journals into the partition files. O(partitions that changed)."""
        if self._read_only:
            return
        with self._turn, self._as_persistence_error("written to"):
            self._checkpoint()

    def close(self) -> None:
        """Let a running checkpoint end, and release the lock. See Persistor."""
        thread = self._checkpointer
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        if self._writer is not None:
            self._writer.close()
        self._unlock()
        found = self.found
        self._forget()
        self.found = found

    # --- how

    def _adopt(self, found: Found) -> None:
        self.found = found
        if found.manifest is not None:
            self._manifest = found.manifest
        self._set_metadata(found.metadata)
        self._files = dict(found.sides)
        self._commits = list(found.commits)
        self._unsealed = list(found.commits)
        self._journals = list(found.journals)
        self._lsn = found.lsn
        for commit in found.commits:
            self._note(commit)

    def _unlock(self) -> None:
        if self._release is not None:
            release, self._release = self._release, None
            release()

    def _append(self, record: JournalRecord) -> None:
        writer = self._writer
        if writer is None:
            # What recovery accepted may be in the page cache only: it is written anew first.
            self._writer = self._new_journal([*self._unsealed, record])
            self._unsealed = []
            return
        before = writer.size
        try:
            writer.append(record)
        except BaseException:
            # Its tail is in doubt now, on the disk and in the page cache: go on in another file.
            self._writer = None
            writer.close()
            raise
        finally:
            self._journal_bytes += writer.size - before

    def _new_journal(self, records: list[JournalRecord]) -> JournalWriter:
        store, number = self._manifest.store, self._next_journal()
        writer = JournalWriter.create(self._fs, self._path, store, number, records)
        self._journal_bytes += writer.size
        return writer

    def _next_journal(self) -> int:
        number = self._journals[-1] + 1 if self._journals else 1
        self._journals.append(number)
        return number

    def _note(self, record: JournalRecord) -> None:
        """Note which partitions a commit may have changed."""
        for operation in record.operations:
            match operation:
                case Put(_, _, partition, encrypted) | PutMany(_, _, partition, encrypted):
                    self._dirty.add((partition, encrypted))
                case Move(_, source, target):
                    self._moves = True
                    self._dirty |= {(source, False), (target, False)}
                case Delete(path, _):
                    self._dirty |= self._files_for([path]).keys()
                case Clear():
                    self._dirty |= self._files.keys()
        if record.metadata is not None:
            self._set_metadata(record.metadata)

    def _set_metadata(self, metadata: bytes | None) -> None:
        self._metadata = metadata
        self._resolver = readable_resolver(metadata)

    def _files_for(self, wanted: Sequence[str] | None) -> dict[Side, str]:
        """Return the partition files that may hold something at or under the paths; None: all."""
        if wanted is None or self._resolver is None:
            return dict(self._files)
        known = {partition for path in wanted for partition in self._resolver.candidates(path)}
        return {side: name for side, name in self._files.items() if side[0] in known}

    def _start_checkpoint_if_due(self) -> None:
        if self._journal_bytes <= max(self._checkpoint_bytes, self._checkpoint_wanted_bytes):
            return
        with self._mutex:
            replaced = sum(
                listed.size
                for listed in self._manifest.partitions.values()
                if (listed.partition, listed.encrypted) in self._dirty
            )
            if self._journal_bytes <= replaced * JOURNAL_SHARE_MAX:
                # Do not add it all up again before the journal can be large enough.
                self._checkpoint_wanted_bytes = int(replaced * JOURNAL_SHARE_MAX)
                return
            running = self._checkpointer
            if running is not None and running.is_alive():
                return
            self._checkpointer = threading.Thread(
                target=self._checkpoint_by_itself, name="grebe-checkpoint", daemon=True
            )
            self._checkpointer.start()

    def _checkpoint_by_itself(self) -> None:
        try:
            self.checkpoint()
        except (GrebeError, OSError):
            # Nothing is lost: the journals still have it all. Tried again when they have grown.
            log.warning("checkpoint of %s failed; it is tried again", self._path, exc_info=True)
            with self._mutex:
                grown = self._journal_bytes + max(self._checkpoint_bytes, 65_536)
                self._checkpoint_wanted_bytes = grown

    def _checkpoint(self) -> None:
        with self._mutex:
            if not self._commits and not self._journals:
                return
            if self._unsealed:
                # Partitions must not get ahead of a commit that the disk may not have yet: after a
                # power failure some would include it and some would not.
                self._new_journal(self._unsealed).close()
                self._unsealed = []
            commits, dirty, lsn = list(self._commits), set(self._dirty), self._lsn
            metadata, size, moves = self._metadata, self._journal_bytes, self._moves
            # The carry's journal gets its number now: later commits must come after it.
            carry_number = self._next_journal() if moves else 0
            journals = list(self._journals)
            writer, self._writer = self._writer, None
            self._dirty, self._moves = set(), False
            self._journal_bytes, self._checkpoint_wanted_bytes = 0, 0
        if writer is not None:
            writer.close()
        try:
            contents = self._fold_and_carry(commits, dirty, lsn, carry_number)
            self._replace_files(contents, commits, lsn, metadata, journals)
        except BaseException:
            with self._mutex:
                self._dirty |= dirty
                self._moves |= moves
                self._journal_bytes += size
            raise

    def _fold_and_carry(
        self, commits: list[JournalRecord], dirty: set[Side], lsn: int, carry_number: int
    ) -> Contents:
        """Return the new contents of the dirty partitions; adds a carry to the commits."""
        files = dirty_sides(self._files, dirty)
        contents = fold(self._fs, self._path, files, self._manifest, commits)
        carry = carry_record(contents, lsn)
        if carry is not None:
            store = self._manifest.store
            JournalWriter.create(self._fs, self._path, store, carry_number, [carry]).close()
            with self._mutex:
                self._commits.insert(len(commits), carry)
            commits.append(carry)
        return contents

    def _replace_files(
        self,
        contents: Contents,
        commits: list[JournalRecord],
        lsn: int,
        metadata: bytes | None,
        journals: list[int],
    ) -> None:
        fs, directory = self._fs, self._path
        partitions, emptied = write_partitions(fs, directory, self._manifest, contents, lsn)
        for side in contents.changed:
            name = names.partition_file(*side)
            if name in partitions:
                self._files[side] = name
        kept_removed = [name for name in self._manifest.removed if name not in partitions]
        removed = tuple(dict.fromkeys([*kept_removed, *emptied]))
        manifest = replace(
            self._manifest, lsn=lsn, partitions=partitions, removed=removed, metadata=metadata
        )
        write_manifest(fs, directory, manifest)
        with self._mutex:
            self._manifest = manifest
            del self._commits[: len(commits)]
            self._unsealed = [record for record in self._unsealed if record.lsn > lsn]
        self._files = {
            side: name for side, name in self._files.items() if name in manifest.partitions
        }
        remove_files(fs, directory, [*removed, *map(names.journal_file, journals)])
        self._manifest = replace(manifest, removed=())
        with self._mutex:
            self._journals = [number for number in self._journals if number not in journals]

    @contextlib.contextmanager
    def _as_persistence_error(self, what: str) -> Iterator[None]:
        """Turn the system's errors into PersistenceError, with the cause."""
        try:
            yield
        except GrebeError:
            raise
        except OSError as error:
            found = PersistenceError(
                f"{self._path} could not be {what}: {error.strerror or error}; "
                "what is stored there stays as it was"
            )
            found.errno, found.strerror = error.errno, error.strerror
            found.filename = error.filename
            raise found from error

    def __repr__(self) -> str:
        """Show the directory."""
        return f"FilePersistor({str(self.directory)!r})"
