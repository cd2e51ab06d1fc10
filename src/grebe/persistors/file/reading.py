"""Documents out of a directory: partition files with the journals' commits applied.

For loading, for checkpoints, and for readers beside a writer. Changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from grebe.core.operation import RecordGroup
from grebe.errors import CorruptDataError
from grebe.persistence.contents import Contents, Side
from grebe.persistence.formats.journal import JournalRecord
from grebe.persistence.formats.partition import PartitionHeader, decode_header, read_documents
from grebe.persistence.persistor import FindAuthenticator
from grebe.persistence.resolver import Resolver
from grebe.persistors.file import names
from grebe.persistors.file.filesystem import FileSystem
from grebe.persistors.file.manifest import Manifest
from grebe.persistors.file.pace import never
from grebe.persistors.file.recovery import Found, journals_in, read_directory

READ_ATTEMPTS_MAX = 50
"""How often a reader beside a writer tries to see one state."""

ReadSide = Callable[[Side, Callable[[], None]], tuple[int, Iterable[RecordGroup]]]
"""Returns the last commit that a side includes, and its documents; may pause on the way."""


def fold(
    sides: Iterable[Side],
    read_side: ReadSide,
    manifest: Manifest,
    commits: list[JournalRecord],
    *,
    pause: Callable[[], None] = never,
) -> Contents:
    """Return the documents of these partitions with the commits applied. O(both).

    If commits move documents, both sides of the moves must be among the sides.
    """
    contents = Contents(pause)
    for side in sides:
        lsn, groups = read_side(side, pause)
        contents.add_side(side, groups, max(lsn, manifest.lsn))
        if lsn > manifest.lsn:
            # Case 3: the next manifest must list the file as it is now, though no commit is left
            # that would change it.
            contents.changed.add(side)
    for commit in commits:
        for operation in commit.operations:
            contents.apply(operation, commit.lsn, plain_only=commit.plain_only)
    return contents


def read_partition(
    fs: FileSystem, directory: str, name: str, *, pause: Callable[[], None] = never
) -> tuple[PartitionHeader, list[RecordGroup]]:
    """Return header and documents of a partition file, every byte checked. O(size)."""
    found = []
    with fs.open_to_read(os.path.join(directory, name)) as file:
        header = decode_header(file.readline(), name)
        # All of them before any is used: the last block may be damaged.
        for group in read_documents(file.read, header, name):
            found.append(group)
            pause()
    return header, found


def sides_under(
    sides: Iterable[Side], resolver: Resolver | None, wanted: Sequence[str] | None
) -> set[Side]:
    """Return the sides that may hold something at or under these paths; all for None or [""]."""
    if resolver is None or wanted is None or "" in wanted:
        return set(sides)
    known = {partition for path in wanted for partition in resolver.candidates(path)}
    return {side for side in sides if side[0] in known}


def read_consistently(
    fs: FileSystem,
    directory: str,
    reader: Callable[[Found, bool], ReadSide],
    find: FindAuthenticator | None = None,
) -> tuple[Found, Contents]:
    """Return what a directory holds while another process may be writing it.

    Everything is read again if the manifest was replaced meanwhile, which is when files are
    removed; if a partition is newer than the journals that were read before it; or if there is
    another journal, as it may have the carry without which what moved is in neither file. What is
    still damaged at the last attempt is so for good; `reader` is told which that is.

    Raises:
        OSError: a file could not be read.
    """
    path = os.path.join(directory, names.MANIFEST)
    for attempt in range(READ_ATTEMPTS_MAX):
        before = _read_or_none(fs, path)
        last = attempt == READ_ATTEMPTS_MAX - 1
        try:
            found = read_directory(fs, directory, find)
            if found.manifest is None:
                return found, Contents()
            if found.damage and not last:
                continue
            read_side = reader(found, last)
            contents = fold(found.sides, read_side, found.manifest, found.commits)
            if last or (
                contents_fit(contents, found)
                and journals_in(fs.list_directory(directory)) == found.journals
                and _read_or_none(fs, path) == before
            ):
                return found, contents
        except (CorruptDataError, FileNotFoundError):
            if last:
                raise
    raise AssertionError


def commits_behind(
    found: Found, manifest: Manifest, known: list[JournalRecord]
) -> list[JournalRecord] | None:
    """Return the commits that were appended to known ones; None if more than that happened."""
    if found.damage or found.manifest != manifest or found.commits[: len(known)] != known:
        return None
    return found.commits[len(known) :]


def contents_fit(contents: Contents, found: Found) -> bool:
    """Tell whether no partition is newer than the commits that were read."""
    return all(lsn <= found.lsn for lsn in contents.floors.values())


def _read_or_none(fs: FileSystem, path: str) -> bytes | None:
    try:
        return fs.read(path)
    except FileNotFoundError:
        return None
