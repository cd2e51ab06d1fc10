"""The checkpoint: the journals' commits go into the partition files.

Steps, each durable before the next begins:
1. The journal in use is closed (by the persistor); later commits begin another.
2. A large file of which the journals replace much is replaced by what they leave of it
   (remainder.py): its room is needed for the new one.
3. If commits moved documents, what moved is written to a journal of its own, the carry. Partition
   files are replaced one after the other: after a crash in between, the source of a move may have
   lost a document already that its target has not got yet.
4. Each partition that changed is replaced; the directory is synced.
5. The manifest is replaced; the directory is synced. This is the commit point of the checkpoint.
6. Files of emptied partitions and the old journals are removed; the directory is synced.
A crash between any two steps leaves what recovery.py reads as the same state.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from grebe.core.operation import Clear, Delete, Move, Put, PutMany
from grebe.persistence.contents import Contents, Side
from grebe.persistence.formats.journal import JournalRecord, encode_journal_header, encode_record
from grebe.persistence.formats.partition import encode_partition
from grebe.persistence.persistor import Authenticator
from grebe.persistors.file import names
from grebe.persistors.file.authenticity import Authentication, partition_tag, signed
from grebe.persistors.file.damage import clear_place
from grebe.persistors.file.filesystem import FileSystem, NewFile, write_file
from grebe.persistors.file.manifest import Manifest, PartitionFile, encode_manifest
from grebe.persistors.file.pace import never


@dataclass(slots=True)
class CheckpointJob:
    """What one checkpoint includes, as of the moment when it began."""

    commits: list[JournalRecord]
    dirty: set[Side]
    moves: bool
    lsn: int
    metadata: bytes | None
    carry_number: int
    """Number reserved for the carry's journal, if there are moves."""
    journals: list[int]
    """Journals that it makes obsolete."""
    journal_bytes: int
    pause: Callable[[], None]
    by: Authentication
    """The key as it was then: one that comes meanwhile may go again."""


RESERVE_SHARE = 8
"""A journal is at most by this part longer than what is in it, or by RESERVE_BYTES_MIN."""
RESERVE_BYTES_MIN = 16384
RESERVE_BYTES_MAX = 65536
_DISK_IS_FULL = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT") if hasattr(errno, name)
)


class JournalWriter:
    """A journal file that commits are appended to.

    It is kept a little longer than what is in it, filled with spaces: a commit that does not change
    the length of the file leaves the system nothing to sync but the bytes of the commit.
    """

    __slots__ = ("_file", "_reserved", "_seed", "number", "size")

    def __init__(self, file: NewFile, seed: int, number: int, size: int) -> None:
        self._file = file
        self._seed = seed
        self.number = number
        self.size = size
        """Length of its records in bytes."""
        self._reserved = 0

    @classmethod
    def create(
        cls,
        fs: FileSystem,
        directory: str,
        store: str,
        number: int,
        records: Iterable[JournalRecord],
        *,
        by: Authenticator | None,
    ) -> JournalWriter:
        """Make a journal that begins with these records, durably, with MACs if there is a key.

        Written under a temporary name first: a journal file that can be seen is never half made.
        """
        header, seed = encode_journal_header(store, number)
        name = os.path.join(directory, names.journal_file(number))
        temporary = name + names.TEMPORARY_SUFFIX
        size = 0
        file = fs.create(temporary)
        try:
            signed_ones = (signed(record, store, by) for record in records)
            for part in _journal_parts(header, signed_ones, seed):
                file.write(part)
                size += len(part)
            file.sync()
            fs.rename(temporary, name)
            fs.sync_directory(directory)
        except BaseException:
            close_doubtful(file)
            # On a full disk its room is needed; and each attempt makes another.
            with contextlib.suppress(OSError):
                fs.remove(temporary)
            raise
        return cls(file, seed, number, size)

    def append(self, record: JournalRecord) -> None:
        """Append a record and sync. If it raises, the file must not be used any more."""
        for part in encode_record(record, self._seed):
            self._file.write(part)
            size = len(part)
            self.size += size
            self._reserved -= size
        if self._reserved < 0:
            self._reserve()
        self._file.sync()

    def _reserve(self) -> None:
        """Make room for the next commits; on a disk that is too full for that they do without."""
        size = min(max(self.size // RESERVE_SHARE, RESERVE_BYTES_MIN), RESERVE_BYTES_MAX)
        self._reserved = 0
        try:
            self._file.reserve(size)
            self._reserved = size
        except OSError as error:
            if error.errno not in _DISK_IS_FULL:
                raise

    def close(self) -> None:
        """Close the file; everything acknowledged in it was synced."""
        close_doubtful(self._file)


def _journal_parts(header: bytes, records: Iterable[JournalRecord], seed: int) -> Iterator[bytes]:
    """Yield a journal in parts; the first line goes with the one behind it."""
    start = header
    for record in records:
        for part in encode_record(record, seed):
            yield start + part
            start = b""


def close_doubtful(file: NewFile) -> None:
    """Close a file on whose last bytes nothing depends; so an error says nothing either."""
    with contextlib.suppress(OSError):
        file.close()


def carry_record(contents: Contents, lsn: int) -> JournalRecord | None:
    """Return the carry of a checkpoint at commit `lsn`: see the module, step 3."""
    puts = []
    for side, moved in contents.moved.items():
        tree = contents.sides[side]
        for path in moved:
            value = tree.get(path)
            if value is not None:
                puts.append(Put(path, value, *side))
    return JournalRecord(lsn, tuple(puts), carry=True) if puts else None


def write_partitions(
    fs: FileSystem,
    directory: str,
    manifest: Manifest,
    contents: Contents,
    lsn: int,
    *,
    by: Authentication,
    pause: Callable[[], None] = never,
) -> tuple[dict[str, PartitionFile], list[str]]:
    """Do step 4. Returns the manifest's new list, and the files of emptied partitions."""
    partitions = dict(manifest.partitions)
    emptied = []
    for side in sorted(contents.changed):
        name = names.partition_file(*side)
        tree = contents.sides.get(side)
        # What the manifest does not list was left by a checkpoint that failed, or is not ours.
        is_ours = name in manifest.partitions or clear_place(
            fs, directory, manifest.store, side, wanted=bool(tree)
        )
        if not tree:
            partitions.pop(name, None)
            if is_ours:
                emptied.append(name)
            continue
        documents = ((place.path, place.leaf) for place in tree.walk())
        header, parts = encode_partition(
            manifest.store,
            *side,
            lsn,
            documents,
            pause=pause,
            tag=partition_tag(by.by),
            encryption=by.encryption_to_keep(),
        )
        write_file(fs, directory, name, parts)
        size = sum(len(part) for part in parts)
        listed = PartitionFile(*side, lsn, header.documents, size, header.crc32, header.mac)
        partitions[name] = listed
    fs.sync_directory(directory)
    return partitions, emptied


def next_manifest(
    before: Manifest,
    job: CheckpointJob,
    partitions: dict[str, PartitionFile],
    emptied: Iterable[str],
) -> Manifest:
    """Return the manifest behind a checkpoint."""
    kept_removed = [name for name in before.removed if name not in partitions]
    return replace(
        before,
        lsn=job.lsn,
        journal=max([before.journal, *job.journals]),
        partitions=partitions,
        removed=tuple(dict.fromkeys([*kept_removed, *emptied])),
        metadata=job.metadata,
    )


def touched_sides(
    record: JournalRecord, sides_for: Callable[[str], set[Side]]
) -> tuple[set[Side], bool]:
    """Return which sides a commit may have changed, and whether it moves documents.

    `sides_for` gives those that may hold something at or under a path.
    """
    found: set[Side] = set()
    moves = False
    for operation in record.operations:
        if isinstance(operation, Put | PutMany):  # not in the match: that takes each apart
            found.add((operation[2], operation[3]))
            continue
        match operation:
            case Move(_, source, target):
                moves = True
                found |= {(source, False), (target, False)}
            case Delete(path, _):
                found |= sides_for(path)
            case Clear():
                found |= sides_for("")
    return found, moves


def write_manifest(fs: FileSystem, directory: str, manifest: Manifest) -> None:
    """Do step 5."""
    write_file(fs, directory, names.MANIFEST, [encode_manifest(manifest)])
    fs.sync_directory(directory)


def remove_files(fs: FileSystem, directory: str, obsolete: Iterable[str]) -> None:
    """Do step 6. Files that are gone already are fine."""
    for name in obsolete:
        with contextlib.suppress(FileNotFoundError):
            fs.remove(os.path.join(directory, name))
    fs.sync_directory(directory)
