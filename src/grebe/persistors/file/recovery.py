"""What a directory holds: read, checked and put together. Changes nothing.

What may be found after a crash, and what it means:
1. No manifest and no data: a store that was being created. It is empty.
2. `*.tmp`: a file that was being written. Never read.
3. A partition file newer than the manifest: a checkpoint was interrupted. It includes the commits
   up to its own number; the journals still have them all.
4. A file that the manifest calls removed: a checkpoint was interrupted at its end. Obsolete.
5. A torn tail of a journal: a commit that was not acknowledged. Ignored.
6. A journal whose first commit has a number that an earlier journal reaches too: the earlier one
   failed there, and the commit was written again. The later journal counts from that number on.
Everything else that does not fit is damage.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from grebe.core import path as paths
from grebe.core.operation import RecordGroup
from grebe.errors import CorruptDataError
from grebe.persistence.contents import Contents, Side
from grebe.persistors.file import names
from grebe.persistors.file.filesystem import FileSystem
from grebe.persistors.file.journal import Journal, JournalRecord, decode_journal
from grebe.persistors.file.manifest import Manifest, decode_manifest
from grebe.persistors.file.partition import PartitionHeader, decode_documents, decode_header

HEADER_READ_BYTES = 64 * 1024
READ_ATTEMPTS_MAX = 50
"""How often a reader beside a writer tries to see one state."""


@dataclass(slots=True)
class Found:
    """What a directory holds."""

    manifest: Manifest | None
    """None: nothing was ever stored here."""
    commits: list[JournalRecord] = field(default_factory=list)
    """Commits behind the manifest's, in order."""
    journals: list[int] = field(default_factory=list)
    """Numbers of the journal files, in order."""
    torn_bytes: int = 0
    temporary: list[str] = field(default_factory=list)
    """Names of left-over temporary files."""
    sides: dict[Side, str] = field(default_factory=dict)
    """Partition files by side."""

    @property
    def lsn(self) -> int:
        """Number of the last commit."""
        if self.commits:
            return self.commits[-1].lsn
        return 0 if self.manifest is None else self.manifest.lsn

    @property
    def metadata(self) -> bytes | None:
        """The last metadata that was committed."""
        for commit in reversed(self.commits):
            if commit.metadata is not None:
                return commit.metadata
        return None if self.manifest is None else self.manifest.metadata


def read_directory(fs: FileSystem, directory: str) -> Found:
    """Return what a directory holds. Reads the manifest, the headers and the journals.

    Raises:
        CorruptDataError: something does not fit; see the module.
        OSError: a file could not be read.
    """
    present = fs.list_directory(directory)
    temporary = [name for name in present if name.endswith(names.TEMPORARY_SUFFIX)]
    numbers = sorted(n for n in map(names.journal_number, present) if n is not None)
    if names.MANIFEST not in present:
        headers = [name for name in present if _is_partition(fs, directory, name)]
        if headers or numbers:
            raise CorruptDataError(
                f"{names.MANIFEST} is missing beside {(headers or ['journals'])[0]}", names.MANIFEST
            )
        return Found(None, temporary=temporary)
    manifest = decode_manifest(fs.read(os.path.join(directory, names.MANIFEST)))
    found = Found(manifest, journals=numbers, temporary=temporary)
    found.sides = _check_partitions(fs, directory, manifest, present)
    _read_journals(fs, directory, found, manifest)
    return found


def _is_partition(fs: FileSystem, directory: str, name: str) -> bool:
    if not name.endswith(names.SUFFIX):
        return False
    try:
        read_header(fs, directory, name)
    except CorruptDataError:
        return False
    return True


def read_header(fs: FileSystem, directory: str, name: str) -> PartitionHeader:
    """Return the header of a partition file. Raises CorruptDataError."""
    path = os.path.join(directory, name)
    start = fs.read_start(path, HEADER_READ_BYTES)
    if b"\n" not in start and len(start) == HEADER_READ_BYTES:
        start = fs.read(path)
    return decode_header(start, name)


def _check_partitions(
    fs: FileSystem, directory: str, manifest: Manifest, present: list[str]
) -> dict[Side, str]:
    sides: dict[Side, str] = {}
    for name, listed in manifest.partitions.items():
        if name not in present:
            raise CorruptDataError(f"{name} is missing; the manifest lists it", name)
        header = read_header(fs, directory, name)
        if header.store != manifest.store or (header.partition, header.encrypted) != (
            listed.partition,
            listed.encrypted,
        ):
            raise CorruptDataError(f"{name} belongs to another store or partition", name)
        if header.lsn <= manifest.lsn:
            if (header.lsn, header.crc32) != (listed.lsn, listed.crc32):
                raise CorruptDataError(
                    f"{name}: commit {listed.lsn} expected, {header.lsn} found: another version",
                    name,
                )
            size = fs.size(os.path.join(directory, name))
            if size != listed.size:
                raise CorruptDataError(f"{name}: {listed.size} bytes expected, {size} found", name)
        sides[header.partition, header.encrypted] = name
    for name in present:
        if (
            name in manifest.partitions
            or name in manifest.removed
            or not name.endswith(names.SUFFIX)
            or name == names.MANIFEST
            or not _is_partition(fs, directory, name)
        ):
            continue
        header = read_header(fs, directory, name)
        if header.store != manifest.store or header.lsn <= manifest.lsn:
            raise CorruptDataError(f"{name} is not in the manifest", name)
        sides[header.partition, header.encrypted] = name
    return sides


def _read_journals(fs: FileSystem, directory: str, found: Found, manifest: Manifest) -> None:
    commits: list[JournalRecord] = []
    for number in found.journals:
        name = names.journal_file(number)
        journal = decode_journal(fs.read(os.path.join(directory, name)), name)
        if journal.store != manifest.store or journal.number != number:
            raise CorruptDataError(f"{name} belongs to another store or has another name", name)
        found.torn_bytes += journal.torn_bytes
        _supersede(commits, journal)
        commits += journal.records
    expected = manifest.lsn
    for commit in commits:
        if commit.lsn > manifest.lsn:
            if not commit.carry:
                expected += 1
            if commit.lsn != expected:
                raise CorruptDataError(
                    f"commit {expected} is missing from the journals; {commit.lsn} is there", None
                )
            found.commits.append(commit)


def _supersede(commits: list[JournalRecord], journal: Journal) -> None:
    """Drop the commits that a later journal has again, or was begun without; see case 6."""
    if journal.records:
        first = journal.records[0]
        # A carry comes behind the last acknowledged commit: one after that had failed before.
        last = first.lsn if first.carry else first.lsn - 1
        commits[:] = [commit for commit in commits if commit.lsn <= last]


def fold(
    fs: FileSystem,
    directory: str,
    files: dict[Side, str],
    manifest: Manifest,
    commits: list[JournalRecord],
) -> Contents:
    """Return the documents of these partition files with the commits applied. O(both).

    If commits move documents, both sides of the moves must be among the files.

    Raises:
        CorruptDataError: a file is damaged.
    """
    contents = Contents()
    for side, name in files.items():
        header, groups = read_partition(fs, directory, name)
        contents.add_side(side, groups, max(header.lsn, manifest.lsn))
        if header.lsn > manifest.lsn:
            # Case 3: the next manifest must list the file as it is now, though no commit is left
            # that would change it.
            contents.changed.add(side)
    for commit in commits:
        for operation in commit.operations:
            contents.apply(operation, commit.lsn)
    return contents


def read_partition(
    fs: FileSystem, directory: str, name: str
) -> tuple[PartitionHeader, Iterator[RecordGroup]]:
    """Return header and documents of a partition file, every byte checked. O(size)."""
    data = fs.read(os.path.join(directory, name))
    header = decode_header(data, name)
    return header, decode_documents(data, header, name)


def select(groups: Iterable[RecordGroup], wanted: Sequence[str] | None) -> Iterator[RecordGroup]:
    """Yield what is at or under the paths that are wanted. O(documents), not O(paths)."""
    asked = None if wanted is None else set(wanted)
    for group in groups:
        if asked is None or not asked.isdisjoint(paths.ancestors(group.collection)):
            yield group
            continue
        prefix = group.collection + "/"
        kept = [i for i, document_id in enumerate(group.ids) if prefix + document_id in asked]
        if kept:
            ids, values = [group.ids[i] for i in kept], [group.values[i] for i in kept]
            yield group._replace(ids=ids, values=values)


def read_consistently(fs: FileSystem, directory: str) -> tuple[Found, Contents]:
    """Return what a directory holds while another process may be writing it.

    Partition files are read before the journals that cover them, and everything again if the
    manifest was replaced meanwhile: that is when files are removed.

    Raises:
        CorruptDataError, OSError: as `read_directory`, also when nobody interferes.
    """
    path = os.path.join(directory, names.MANIFEST)
    for attempt in range(READ_ATTEMPTS_MAX):
        before = _read_or_none(fs, path)
        try:
            found = read_directory(fs, directory)
            if found.manifest is None:
                return found, Contents()
            contents = fold(fs, directory, found.sides, found.manifest, found.commits)
            if _read_or_none(fs, path) == before and contents_fit(contents, found):
                return found, contents
        except (CorruptDataError, FileNotFoundError):
            if _read_or_none(fs, path) == before and attempt > READ_ATTEMPTS_MAX // 2:
                raise
    raise CorruptDataError(f"{directory} is rewritten faster than it can be read", names.MANIFEST)


def contents_fit(contents: Contents, found: Found) -> bool:
    """Tell whether no partition is newer than the commits that were read."""
    return all(lsn <= found.lsn for lsn in contents.floors.values())


def _read_or_none(fs: FileSystem, path: str) -> bytes | None:
    try:
        return fs.read(path)
    except FileNotFoundError:
        return None
