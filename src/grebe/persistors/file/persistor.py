"""The file persistor: a directory of plain JSON files. See docs/file_format.md.

This module holds the state and the locks; recovery.py reads a directory, checkpoint.py writes one.

Invariants:
1. Every commit above the manifest's is in `_commits`, and durable in the journals (`_unsealed`
   apart, until the first commit or checkpoint).
2. A commit is acknowledged only after the sync of the journal that holds it.
3. After a failed write or sync a journal is not used any more; the commit goes into a new one.
4. Journals are removed only when the manifest that makes them obsolete is durable.
5. A damaged file is copied aside, durably, before it is replaced (sides.py).

Locks: `_turn` (one checkpoint or load at a time), then `_mutex` (one commit at a time). Commits
may wait for a checkpoint (pace.py), so `_turn` is never held while a caller has its turn.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal

from grebe.core.operation import Batch, Record, RecordGroup
from grebe.errors import GrebeError, PersistenceError, ReadOnlyError, StoreLockedError
from grebe.persistence.contents import Contents, Side, difference, select
from grebe.persistence.formats.journal import JournalRecord
from grebe.persistence.persistor import FindAuthenticator
from grebe.persistence.report import RecoveryReport
from grebe.persistence.resolver import Resolver, readable_resolver
from grebe.persistors.file import names
from grebe.persistors.file.authenticity import Authentication, signed, signed_manifest
from grebe.persistors.file.checkpoint import (
    CheckpointJob,
    JournalWriter,
    carry_record,
    next_manifest,
    remove_files,
    touched_sides,
    write_manifest,
    write_partitions,
)
from grebe.persistors.file.filesystem import (
    FileSystem,
    OsFileSystem,
    as_persistence_error,
    make_directories,
)
from grebe.persistors.file.manifest import Manifest
from grebe.persistors.file.pace import BackgroundCheckpoint, never
from grebe.persistors.file.reading import (
    ReadSide,
    commits_behind,
    fold,
    read_consistently,
    sides_under,
)
from grebe.persistors.file.recovery import Found, read_directory
from grebe.persistors.file.remainder import open_journal, write_remainders
from grebe.persistors.file.sides import SideReader

log = logging.getLogger("grebe")

CHECKPOINT_BYTES = 1_048_576


class FilePersistor:
    """Documents in a directory of JSON files, one a partition, and a journal of commits."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        read_only: bool = False,
        on_corruption: Literal["quarantine", "raise"] = "quarantine",
        mend: bool = False,
        file_system: FileSystem | None = None,
    ) -> None:
        """Name the directory; `open` makes it.

        Args:
            directory: where the files are.
            checkpoint_bytes: size of the journal below which no checkpoint is made by itself.
            read_only: never write, take no lock.
            on_corruption: "quarantine" sets damaged files aside and loads the rest; "raise"
                refuses to open and changes nothing.
            mend: take partition files that are whole JSON as they are, whatever their checksums
                say: somebody mended them by hand.
            file_system: what does the disk work; for tests.
        """
        if checkpoint_bytes < 0:
            raise ValueError(f"checkpoint_bytes= is a number of bytes, not {checkpoint_bytes}")
        self.directory = Path(directory)
        self._path = os.path.abspath(directory)
        self._read_only = read_only
        self._fs: FileSystem = file_system if file_system is not None else OsFileSystem()
        strict = on_corruption == "raise"
        self._sides = SideReader(self._fs, self._path, strict=strict, mend=mend)
        self._background = BackgroundCheckpoint(self.checkpoint, checkpoint_bytes, self._path)
        self._turn = threading.Lock()
        self._mutex = threading.Lock()
        self._manifest_turn = threading.Lock()
        self._authentication = Authentication()
        self._writing = as_persistence_error(self._path, "written to")
        self._release: Callable[[], None] | None = None
        self._forget()

    def _forget(self) -> None:
        self._metadata: bytes | None = None
        self._resolver: Resolver | None = None
        self._snapshot: Contents | None = None
        self._commits: list[JournalRecord] = []
        self._unsealed: list[JournalRecord] = []
        self._dirty: set[Side] = set()
        self._being_written: set[Side] = set()
        self._moves = False
        self._journals: list[int] = []
        self._journal_bytes = 0
        self._writer: JournalWriter | None = None
        self._lsn = 0
        self._found = Found(None)

    # --- Persistor

    def authenticate_with(self, find: FindAuthenticator) -> None:
        """Have what is stored authenticated, once there are encrypted documents. See Persistor."""
        self._authentication = Authentication(find)

    def open(self) -> None:
        """Take the lock, make the directory if need be, read what it holds. See Persistor."""
        if self._release is not None or self._snapshot is not None:
            raise StoreLockedError(self._path, os.getpid())
        self._forget()
        with as_persistence_error(self._path, "opened"):
            if self._read_only:
                self._open_read_only()
                return
            make_directories(self._fs, self._path)
            lock = os.path.join(self._path, names.LOCK)
            self._release = self._fs.lock(lock, self._path)
            try:
                self._adopt(read_directory(self._fs, self._path, self._authentication.find))
                self._sides.refuse_damage()
                # The names that were read may not be on the disk yet: an earlier process may have
                # died before it synced them.
                remove_files(self._fs, self._path, self._found.temporary)
                if self._found.manifest is None:
                    new = Manifest(secrets.token_hex(8))
                    self._write_manifest(new, self._authentication)
                if self._found.rebuilt:
                    self._rebuild_metadata()
            except BaseException:
                self._unlock()
                raise
            self._heal()

    def _open_read_only(self) -> None:
        if not self._fs.is_directory(self._path):
            raise PersistenceError(f"{self._path} does not exist; open it for writing")
        found, self._snapshot = self._look_consistently()
        if found.manifest is None:
            raise PersistenceError(f"{self._path} holds no store; open it for writing")
        self._sides.refuse_damage()

    def commit(self, batch: Batch) -> None:
        """Append the batch to the journal and sync it. O(batch). See Persistor."""
        if self._read_only:
            raise ReadOnlyError(self._path)
        self._background.wait_for_room(self._journal_bytes, batch)
        with self._mutex, self._writing:
            before = self._metadata
            records = open_journal(self._sides.manifest, self._lsn)
            record = JournalRecord(self._lsn + len(records) + 1, batch.parts, batch.metadata)
            records.append(record)
            try:
                if batch.metadata is not None:  # it may bring a key
                    self._authentication.follow(batch.metadata)
                self._append(records)
                self._note(record)
                self._commits += records
                self._lsn = record.lsn
            except BaseException:
                self._set_metadata(before)
                self._authentication.follow(before)
                # An interrupt counts too, at any point: with the number not counted yet the commit
                # will be written again, and that must not be behind this record in one journal.
                writer, self._writer = self._writer, None
                if writer is not None:
                    writer.close()
                raise
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
        with self._turn, as_persistence_error(self._path, "read"):
            with self._mutex:
                commits, dirty, moves = list(self._commits), set(self._dirty), self._moves
            files = sides_under(self._sides.files, self._resolver, wanted)
            changed = dirty & files if wanted is not None else dirty
            if moves:
                changed = dirty
            clean = [side for side in self._sides.files if side in files and side not in changed]
            # All of it before the first is given: who takes their time with these must not keep
            # a checkpoint waiting, and with it commits, perhaps their own.
            found = [group for side in clean for group in self._sides.read(side)[1]]
            if commits or changed:  # no commits behind a checkpoint that failed at its very end
                groups = self._fold(changed, commits, never).groups()
                found += [g for g in groups if (g.partition, g.encrypted) not in clean]
        yield from select(found, wanted)
        self._heal()

    def load_metadata(self) -> bytes | None:
        """See Persistor."""
        return self._metadata

    def checkpoint(self) -> None:
        """Fold the journals into the partition files. O(partitions that changed)."""
        if self._read_only:
            return
        with self._turn, as_persistence_error(self._path, "written to"):
            self._checkpoint()

    def refresh(self) -> Batch | None:
        """Read what a writer has committed since; for `read_only`. Returns it, or None.

        O(the new commits) while the writer makes no checkpoint, otherwise O(documents).
        """
        with self._turn, as_persistence_error(self._path, "read"):
            before, known = self._snapshot, self._commits
            assert before is not None, "only a reader is refreshed"
            found = read_directory(self._fs, self._path, self._authentication.find)
            appended = commits_behind(found, self._sides.manifest, known)
            if appended is None:
                found, self._snapshot = self._look_consistently()
                self._sides.refuse_damage()
                parts = difference(before.records(), self._snapshot.records())
            else:
                for commit in appended:
                    for operation in commit.operations:
                        before.apply(operation, commit.lsn, plain_only=commit.plain_only)
                self._adopt(found)
                parts = [operation for commit in appended for operation in commit.operations]
            return Batch(parts, self._metadata) if parts else None

    def close(self) -> None:
        """Let a running checkpoint end, and release the lock. See Persistor."""
        self._background.join()
        if self._writer is not None:
            self._writer.close()
        self._snapshot = None
        self._unlock()

    @property
    def recovery(self) -> RecoveryReport:
        """What opening and reading found."""
        return self._sides.report(self._found)

    def _reader(self, found: Found, last: bool) -> ReadSide:
        self._adopt(found)
        return self._sides.read if last else self._sides.read_whole

    # --- damage

    def _heal(self) -> None:
        """Replace damaged files by what was salvaged. What fails is tried again by checkpoints."""
        if not self._sides.not_aside or self._read_only:
            return
        try:
            with self._turn:
                self._checkpoint()
        except (GrebeError, OSError):
            log.warning("damage in %s could not be mended yet", self._path, exc_info=True)

    def _rebuild_metadata(self) -> None:
        """Find out anew which partitions hold what, from all documents."""
        groups = self._fold(self._sides.files, self._commits, never).groups()
        resolver = Resolver.of_stored(groups, self._authentication.encryption)
        self._set_metadata(resolver.encode())

    # --- how

    def _look_consistently(self) -> tuple[Found, Contents]:
        return read_consistently(self._fs, self._path, self._reader, self._authentication.find)

    def _write_manifest(self, manifest: Manifest, by: Authentication) -> None:
        """Replace the manifest, with its MACs. `_manifest_turn` is held, or nobody else there."""
        self._sides.in_doubt = True
        write_manifest(self._fs, self._path, signed_manifest(manifest, by.by))
        self._sides.manifest, self._sides.in_doubt = manifest, False

    def _adopt(self, found: Found) -> None:
        self._found = found
        self._sides.adopt(found)
        # As of the first commit: what a deletion concerns may not be in later metadata any more.
        self._set_metadata(None if found.rebuilt else self._sides.manifest.metadata)
        self._authentication.follow(found.metadata)
        self._commits = list(found.commits)
        self._unsealed = list(found.commits)
        self._journals = list(found.journals)
        self._lsn = max(found.lsn, found.newest)
        self._dirty = set(found.ahead)
        for commit in found.commits:
            self._note(commit)
        self._set_metadata(found.metadata)

    def _unlock(self) -> None:
        if self._release is not None:
            release, self._release = self._release, None
            release()

    def _append(self, records: list[JournalRecord]) -> None:
        writer = self._writer
        if writer is None:
            # What recovery accepted may be in the page cache only: it is written anew first.
            self._writer = self._new_journal([*self._unsealed, *records])
            self._unsealed = []
            return
        before = writer.size
        try:
            # If it fails, its tail is in doubt, on the disk and in the page cache: the caller goes
            # on in another file.
            by, store = self._authentication.by, self._sides.manifest.store
            for record in records:
                writer.append(record if by is None else signed(record, store, by))
        finally:
            self._journal_bytes += writer.size - before

    def _new_journal(self, records: list[JournalRecord]) -> JournalWriter:
        store, number = self._sides.manifest.store, self._next_journal()
        by = self._authentication.by
        writer = JournalWriter.create(self._fs, self._path, store, number, records, by=by)
        self._journal_bytes += writer.size
        if by is not None:
            # So that it is missed if somebody takes it away.
            with self._manifest_turn:
                manifest = replace(self._sides.manifest, reaches=records[-1].lsn)
                self._write_manifest(manifest, self._authentication)
        return writer

    def _next_journal(self) -> int:
        # Never one that was used before: the number goes into the checksums of the records.
        number = max([self._sides.manifest.journal, *self._journals]) + 1
        self._journals.append(number)
        return number

    def _note(self, record: JournalRecord) -> None:
        """Note which partitions a commit may have changed."""
        sides, moves = touched_sides(record, self._sides_for)
        self._dirty |= sides
        self._moves |= moves
        if record.metadata is not None:
            self._set_metadata(record.metadata)

    def _sides_for(self, path: str) -> set[Side]:
        """Return the sides that may hold something at or under a path; all for ""."""
        # Those that a checkpoint is writing for the first time are no files yet.
        return sides_under(self._sides.files.keys() | self._being_written, self._resolver, [path])

    def _set_metadata(self, metadata: bytes | None) -> None:
        self._metadata = metadata
        self._resolver = readable_resolver(metadata)

    def _start_checkpoint_if_due(self) -> None:
        if self._background.may_be_due(self._journal_bytes):
            with self._mutex:
                replaced = self._sides.manifest.size_of(self._dirty)
                self._background.start_if_due(self._journal_bytes, replaced)

    def _checkpoint(self) -> None:
        job = self._begin_checkpoint()
        if job is None:
            return
        try:
            write_remainders(self._fs, self._path, self._sides, job)
            self._finish_checkpoint(job, self._fold_and_carry(job))
        except BaseException:
            with self._mutex:
                self._dirty |= job.dirty
                self._moves |= job.moves
                self._journal_bytes += job.journal_bytes
            raise
        finally:
            self._being_written = set()

    def _begin_checkpoint(self) -> CheckpointJob | None:
        """Close the journal in use; what comes now is not part of the checkpoint."""
        sides = self._sides.damaged() | self._found.ahead
        if not self._authentication.may_checkpoint(self._commits, sides):
            return None  # it would need the key
        damaged = bool(self._sides.not_aside)
        self._sides.salvage_suspects()
        self._sides.set_aside()
        with self._mutex:
            if not self._commits and not self._journals and not damaged and not self._sides.base:
                return None
            if self._unsealed:
                # Partitions must not get ahead of a commit that the disk may not have yet: after a
                # power failure some would include it and some would not.
                self._new_journal(self._unsealed).close()
                self._unsealed = []
            if (damaged or self._sides.base) and self._lsn <= max(
                self._sides.manifest.lsn, self._found.newest
            ):
                # A replaced file must be newer than the manifest, as by any other checkpoint.
                record = JournalRecord(self._lsn + 1, ())
                self._append([record])
                self._lsn = record.lsn
                self._commits.append(record)
            job = CheckpointJob(
                commits=list(self._commits),
                dirty=self._dirty | self._sides.base.keys(),
                moves=self._moves,
                lsn=self._lsn,
                metadata=self._metadata,
                # The carry's journal gets its number now: later commits must come after it.
                carry_number=self._next_journal() if self._moves else 0,
                journals=list(self._journals),
                journal_bytes=self._journal_bytes,
                pause=self._background.pause,
                by=copy(self._authentication),
            )
            writer, self._writer = self._writer, None
            self._being_written = job.dirty
            self._dirty, self._moves = set(), False
            self._journal_bytes = 0
            self._background.begun()
        if writer is not None:
            writer.close()
        return job

    def _fold(
        self, sides: Iterable[Side], commits: list[JournalRecord], pause: Callable[[], None]
    ) -> Contents:
        there = [side for side in self._sides.files if side in sides]
        contents = fold(there, self._sides.read, self._sides.manifest, commits, pause=pause)
        contents.changed |= self._sides.base.keys() & contents.sides.keys()
        return contents

    def _fold_and_carry(self, job: CheckpointJob) -> Contents:
        """Return the new contents of the dirty partitions; adds a carry to the commits."""
        contents = self._fold(job.dirty, job.commits, job.pause)
        carry = carry_record(contents, job.lsn)
        if carry is not None:
            store = self._sides.manifest.store
            given = store, job.carry_number, [carry]
            JournalWriter.create(self._fs, self._path, *given, by=job.by.by).close()
            with self._mutex:
                self._commits.insert(len(job.commits), carry)
            job.commits.append(carry)
        return contents

    def _finish_checkpoint(self, job: CheckpointJob, contents: Contents) -> None:
        """Replace partition files and manifest, then remove what they make obsolete."""
        # Damage that the fold came upon: nothing is replaced before it is set aside.
        self._sides.set_aside()
        fs, directory, before = self._fs, self._path, self._sides.manifest
        partitions, emptied = write_partitions(
            fs, directory, before, contents, job.lsn, by=job.by, pause=job.pause
        )
        for side in contents.changed:
            name = names.partition_file(*side)
            if name in partitions:
                self._sides.files[side] = name
        with self._manifest_turn:
            manifest = next_manifest(before, job, partitions, emptied)
            # Commits beside the checkpoint may have begun another journal.
            manifest = replace(manifest, reaches=self._sides.manifest.reaches)
            self._write_manifest(manifest, job.by)
        with self._mutex:
            del self._commits[: len(job.commits)]
            self._sides.healed()
        self._sides.keep(manifest.partitions)
        remove_files(fs, directory, [*manifest.removed, *map(names.journal_file, job.journals)])
        with self._manifest_turn:
            self._sides.manifest = replace(self._sides.manifest, removed=())
        with self._mutex:
            self._journals = [n for n in self._journals if n not in job.journals]

    def __repr__(self) -> str:
        """Show the directory."""
        return f"FilePersistor({str(self.directory)!r})"
