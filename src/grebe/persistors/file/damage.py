"""Damaged files: what can still be read of them, and where they are kept.

A damaged file is never deleted or overwritten before a copy of it is durable. What is salvaged of a
partition are the blocks whose checksums hold, and only from a file that says it is the one that is
missed: right store, partition and commit. A stale file or another store's holds nothing to salvage.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from grebe.core import encoding
from grebe.core import path as paths
from grebe.core.operation import RecordGroup
from grebe.core.text import from_text
from grebe.errors import CorruptDataError, InvalidPathError
from grebe.persistence.contents import Side
from grebe.persistence.formats.journal import JournalRecord
from grebe.persistence.formats.partition import (
    PartitionHeader,
    block_position,
    decode_block,
    decode_header,
    no_value,
    partition_size,
)
from grebe.persistors.file.filesystem import FileSystem, write_file
from grebe.persistors.file.manifest import PartitionFile
from grebe.persistors.file.names import partition_file

log = logging.getLogger("grebe")


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what it should be."""

    file: str
    message: str
    """What is wrong, beginning with the file's name."""
    present: bool = True
    """Whether there is a file to be kept."""
    in_the_way: bool = False
    """Whether it must leave its place because it is no file of this store."""
    lost: int = 0
    """Documents in it that may be missed; those that a partition's salvage counts apart."""


@dataclass(frozen=True, slots=True)
class Salvage:
    """What a damaged partition file still holds."""

    side: Side
    lsn: int
    """Last commit that is included."""
    groups: list[RecordGroup] = field(default_factory=list)
    salvaged: int = 0
    lost: int = 0
    message: str = ""


def salvage(
    data: bytes | None, file: str, store: str, listed: PartitionFile, *, mend: bool = False
) -> Salvage:
    """Return what can be read of a damaged partition file; `listed` is what it should be.

    With `mend`, a file that is whole JSON is taken as it is: somebody mended it by hand.
    """
    side = listed.partition, listed.encrypted
    if data is None:
        return Salvage(side, listed.lsn, lost=listed.documents)
    if mend:
        mended = read_mended(data, file, store, listed)
        if mended is not None:
            return mended
    try:
        header = decode_header(data, file, verify=False)
    except CorruptDataError:
        return Salvage(side, listed.lsn, lost=listed.documents)
    if (header.store, header.partition, header.encrypted) != (store, *side) or (
        header.lsn < listed.lsn
    ):
        return Salvage(side, listed.lsn, lost=listed.documents)
    if header.lsn == listed.lsn:
        # The header may be what is damaged; the manifest knows.
        header = replace(header, documents=listed.documents)
    return _salvage_blocks(data, file, header)


def _salvage_blocks(data: bytes, file: str, header: PartitionHeader) -> Salvage:
    groups: list[RecordGroup] = []
    salvaged = 0
    for number in range(min(len(header.blocks), len(header.sizes))):
        position = block_position(header, number)
        # Where it should be; or counted from the end, if something was inserted or is missing.
        moved = position + len(data) - partition_size(header)
        for place in dict.fromkeys([position, moved]):
            with contextlib.suppress(CorruptDataError, ValueError, IndexError):
                found = list(map(_with_values, decode_block(data, header, number, place, file)))
                groups += found
                salvaged += sum(len(group.ids) for group in found)
                break
    lost = max(0, header.documents - salvaged)
    side = header.partition, header.encrypted
    return Salvage(side, header.lsn, groups, salvaged, lost)


def _with_values(group: RecordGroup) -> RecordGroup:
    """Return the documents that have a value: those of a remainder's others are in a journal.

    Of any file, as what says that it is a remainder may be what is damaged.
    """
    missing = no_value(encrypted=group.encrypted)
    rows = [row for row in zip(group.ids, group.values, strict=True) if row[1] != missing]
    return group._replace(ids=[row[0] for row in rows], values=[row[1] for row in rows])


def without_commits(
    headers: Mapping[str, PartitionHeader | None],
    sides: Mapping[Side, str],
    commits: Sequence[JournalRecord],
) -> dict[Side, Damage]:
    """Return the remainders that lack values, as not all that they wait for is in these commits.

    They are found before the next commit is made: that gets a number that one of them may await.
    """
    found: dict[Side, Damage] = {}
    first, last = (commits[0].lsn, commits[-1].lsn) if commits else (1, 0)
    for side, name in sides.items():
        header = headers.get(name)
        if header is None or not header.awaits:
            continue
        if not first <= header.lsn + 1 <= header.awaits <= last:
            message = f"{name}: values are missing that commit {header.awaits} puts, which is lost"
            found[side] = Damage(name, message)
    return found


def read_mended(data: bytes, file: str, store: str, listed: PartitionFile) -> Salvage | None:
    """Return the documents of a file that is whole JSON, checksums apart; None if it is not."""
    try:
        content = encoding.decode(data)
        head, documents = content["grebe"], content["documents"]
        partition = from_text(head["partition"])
        if (head["store"], partition) != (store, listed.partition) or listed.encrypted:
            return None  # another's, whose documents are not these
        groups = []
        lost = 0
        for path, value in documents.items():
            collection, document_id = paths.split(paths.check_document_path(path))
            if f"{collection}/{document_id}" != path:
                return None
            if value is None and head.get("awaits"):  # see remainder.py; a journal may have it
                lost += 1
                continue
            if value is None:
                return None
            text = encoding.encode(value)
            groups.append(RecordGroup(collection, [document_id], [text], listed.partition))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InvalidPathError):
        return None
    message = f"{file}: mended by hand; {len(groups)} documents are taken as they are"
    if head["lsn"] < listed.lsn:
        message += "; it is an older version, what was committed since is lost"
    side = listed.partition, listed.encrypted
    return Salvage(side, listed.lsn, groups, len(groups), lost, message)


def clear_place(fs: FileSystem, directory: str, store: str, side: Side, *, wanted: bool) -> bool:
    """Tell whether the file of a partition that no manifest lists is ours, or there is none.

    Somebody else's is given another name if the place is wanted.
    """
    name = partition_file(*side)
    if name not in fs.list_directory(directory):
        return True
    try:
        header = decode_header(fs.read(os.path.join(directory, name)), name)
        if (header.store, header.partition, header.encrypted) == (store, *side):
            return True
    except (CorruptDataError, IsADirectoryError, PermissionError):
        pass  # not ours
    if wanted:
        damage = Damage(name, f"{name} is in the way of a partition", in_the_way=True)
        kept = set_aside(fs, directory, damage)
        log.warning("%s: %s; it is now %s", directory, damage.message, kept)
    return False


def set_aside(fs: FileSystem, directory: str, damage: Damage) -> str | None:
    """Keep a durable copy of a damaged file and return its name; None if there is no file.

    A copy, because its place must never be empty: after a crash here the file is found again. A
    file that is in the way is renamed.
    """
    if not damage.present:
        return None
    present = fs.list_directory(directory)
    source = os.path.join(directory, damage.file)
    pattern = re.compile(re.escape(damage.file) + r"\.corrupt-([0-9]+)$")
    kept = {int(match.group(1)): name for name in present if (match := pattern.match(name))}
    target = f"{damage.file}.corrupt-{max(kept, default=0) + 1}"
    if damage.in_the_way:
        fs.rename(source, os.path.join(directory, target))
    else:
        data = fs.read(source)
        for name in kept.values():
            # An earlier attempt to open may have been here already.
            if fs.read(os.path.join(directory, name)) == data:
                return name
        write_file(fs, directory, target, [data])
    fs.sync_directory(directory)
    return target
