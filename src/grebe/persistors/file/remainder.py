"""What the journals leave of a partition file: room for the new one, before it is written.

A batch that replaces most of a partition is in a journal as a whole. With the old file and the new
one beside it that would be three copies. So a checkpoint first replaces such a file by its
remainder: the partition as of the first commit behind the manifest, where a document that a later
commit puts has its place, and no value.

1. The remainder includes one commit more than the manifest, so it is what any checkpoint leaves
   that was cut short (case 3 of recovery.py): the commits behind it are applied to it, and these
   put each value that it lacks. `open_journal` sees to it that there is a commit before a batch.
2. Its header names the last of these commits. Without that the file is damaged; so a value that is
   missing is never taken for one.
"""

from __future__ import annotations

from grebe.core.operation import Put, PutMany
from grebe.core.tree import Tree
from grebe.persistence.contents import PAUSE_EVERY, Side
from grebe.persistence.formats.journal import JournalRecord
from grebe.persistence.formats.partition import encode_partition, no_value
from grebe.persistors.file.authenticity import partition_tag
from grebe.persistors.file.checkpoint import CheckpointJob
from grebe.persistors.file.filesystem import FileSystem, write_file
from grebe.persistors.file.manifest import Manifest
from grebe.persistors.file.reading import fold
from grebe.persistors.file.sides import SideReader

ROOM_BYTES = 1_048_576
ROOM_SHARE = 1.25
"""Journals and a new file may take this much more than the files that are there, and ROOM_BYTES:
together that is 2.5 times the documents. So no remainder is made of a file below ROOM_BYTES."""
LEFT_OUT_SHARE_MIN = 0.1
"""Part of a file that must be left out for the work to pay."""


def open_journal(manifest: Manifest, lsn: int) -> list[JournalRecord]:
    """Return the commits to write before the one behind commit `lsn`: an empty one, or none.

    So a remainder can be newer than the manifest and older than a batch that replaces much of it.
    """
    if lsn > manifest.lsn or not any(
        file.size >= ROOM_BYTES for file in manifest.partitions.values()
    ):
        return []
    return [JournalRecord(lsn + 1, ())]


def write_remainders(fs: FileSystem, directory: str, sides: SideReader, job: CheckpointJob) -> None:
    """Replace large files of which the journals replace much. O(what is dirty and the journals).

    Raises:
        CorruptDataError: a file is damaged, and that is not to be mended; nothing was written.
    """
    if job.moves or not job.commits or sides.in_doubt:
        return  # what moves needs its value elsewhere; a later manifest refuses a remainder
    wanted = _without_room(sides, job)
    if not wanted:
        return
    first, manifest = job.commits[0], sides.manifest
    dirty = [side for side in sides.files if side in job.dirty]
    contents = fold(dirty, sides.read, manifest, [first], pause=job.pause)
    if sides.base:
        return  # nothing is replaced before what is damaged is set aside
    sides.reaches = job.lsn
    for side, name in wanted:
        if contents.floors[side] > manifest.lsn:
            continue  # an earlier attempt was here
        tree = contents.sides[side]
        awaits, left_out_bytes = _leave_out(tree, side, job)
        if left_out_bytes <= manifest.partitions[name].size * LEFT_OUT_SHARE_MIN:
            continue
        _, parts = encode_partition(
            manifest.store,
            *side,
            first.lsn,
            ((place.path, place.leaf) for place in tree.walk()),
            awaits=awaits,
            pause=job.pause,
            tag=partition_tag(job.by.by),
            encryption=job.by.encryption_to_keep(),
        )
        write_file(fs, directory, name, parts)
        fs.sync_directory(directory)


def _without_room(sides: SideReader, job: CheckpointJob) -> list[tuple[Side, str]]:
    """Return the large files beside which, with a new one, the disk would hold too much."""
    listed = sides.manifest.partitions
    room_bytes = sum(file.size for file in listed.values()) * ROOM_SHARE + ROOM_BYTES
    return [
        (side, name)
        for side, name in sorted(sides.files.items())
        if side in job.dirty
        and name in listed
        and listed[name].size >= ROOM_BYTES
        and listed[name].size + job.journal_bytes > room_bytes
    ]


def _leave_out(tree: Tree[bytes], side: Side, job: CheckpointJob) -> tuple[int, int]:
    """Take the values that commits put later; return the last of these, and the bytes taken."""
    missing = no_value(encrypted=side[1])
    awaits = left_out_bytes = seen = 0
    for commit in job.commits[1:]:
        for operation in commit.operations:
            if not isinstance(operation, Put | PutMany) or (operation[2], operation[3]) != side:
                continue
            for path in [operation.path] if isinstance(operation, Put) else operation.paths:
                seen += 1
                if seen % PAUSE_EVERY == 0:
                    job.pause()
                value = tree.get(path)
                if value is not None:
                    awaits = commit.lsn
                    left_out_bytes += len(value)
                    tree.put(path, missing)
    return awaits, left_out_bytes
