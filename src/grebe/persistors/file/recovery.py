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
Everything else that does not fit is damage (damage.py).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from grebe.errors import CorruptDataError
from grebe.persistence.contents import Side
from grebe.persistence.formats.journal import Journal, JournalRecord, decode_journal
from grebe.persistence.formats.partition import (
    HEADER_START,
    PartitionHeader,
    decode_header,
)
from grebe.persistence.persistor import Authenticator, FindAuthenticator
from grebe.persistence.resolver import Resolver, readable_resolver
from grebe.persistors.file import names
from grebe.persistors.file.authenticity import check_record, is_forged, what_is_wrong
from grebe.persistors.file.damage import Damage, without_commits
from grebe.persistors.file.filesystem import FileSystem
from grebe.persistors.file.manifest import Manifest, PartitionFile, decode_manifest

HEADER_READ_BYTES = 64 * 1024


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
    """Partition files by side, those that are damaged or missing included."""
    newest: int = 0
    """Last commit that any partition file includes."""
    ahead: set[Side] = field(default_factory=set)
    """Partitions whose file is newer than the manifest, which has to list it as it is."""
    damage: list[Damage] = field(default_factory=list)
    damaged_sides: set[Side] = field(default_factory=set)
    """Partitions whose file must not be read as it is."""
    forged: set[Side] = field(default_factory=set)
    """Those whose file was not written with the key; nothing of them is taken."""
    rebuilt: bool = False
    """Whether the manifest was made from the other files."""
    authenticator: Authenticator | None = None
    """What made the MACs; None: there are no encrypted documents, or there is no key."""
    notes: list[str] = field(default_factory=list)
    """What is no damage, but good to know."""
    stale: bool = False
    """Whether the manifest is older than the other files can explain."""

    @property
    def lsn(self) -> int:
        """Number of the last commit."""
        if self.commits:
            return self.commits[-1].lsn
        return self.newest if self.manifest is None or self.rebuilt else self.manifest.lsn

    @property
    def metadata(self) -> bytes | None:
        """The last metadata that was committed."""
        for commit in reversed(self.commits):
            if commit.metadata is not None:
                return commit.metadata
        return None if self.manifest is None else self.manifest.metadata


def read_directory(fs: FileSystem, directory: str, find: FindAuthenticator | None = None) -> Found:
    """Return what a directory holds. Reads the manifest, the headers and the journals.

    Damage is described in the result, not raised. `find` gives what checks MACs.

    Raises:
        EncryptionError: of `find`; the key is a wrong one.
        PersistenceError: a file is of a newer format.
        OSError: a file could not be read.
    """
    present = _files_in(fs, directory)
    headers = _read_headers(fs, directory, present)
    manifest = _read_manifest(fs, directory, present, headers)
    if manifest is None:
        temporary = [name for name in present if names.is_temporary(name)]
        return Found(None, temporary=temporary)
    look = Look(fs, directory, present, headers)
    found = _put_together(look, manifest)
    # Only now is it known which key is meant.
    look.by = None if find is None else find(found.metadata)
    if look.by is not None:
        if isinstance(manifest, Manifest):
            wrong = what_is_wrong(manifest, look.by, _is_encrypted(manifest))
            if wrong is not None:
                message = f"{names.MANIFEST}: {wrong}; rebuilt from the other files"
                manifest = Damage(names.MANIFEST, message)
        found = _put_together(look, manifest)
    if found.stale:
        message = (
            f"{names.MANIFEST}: partition files have commit {found.newest}, and no journal those "
            f"behind commit {found.lsn}: it is an earlier one; rebuilt from the other files"
        )
        found = _put_together(look, Damage(names.MANIFEST, message))
    return found


@dataclass(slots=True)
class Look:
    """What is looked at, and with what."""

    fs: FileSystem
    directory: str
    present: list[str]
    headers: dict[str, PartitionHeader | None]
    by: Authenticator | None = None


def _is_encrypted(manifest: Manifest) -> bool:
    resolver = readable_resolver(manifest.metadata)
    return resolver is not None and resolver.encryption is not None


def _files_in(fs: FileSystem, directory: str) -> list[str]:
    """Return the names in a directory but those of directories that look like files of ours."""
    return [
        name
        for name in fs.list_directory(directory)
        if not name.endswith((names.SUFFIX, names.JOURNAL_SUFFIX, names.TEMPORARY_SUFFIX))
        or not fs.is_directory(os.path.join(directory, name))
    ]


def _read_manifest(
    fs: FileSystem,
    directory: str,
    present: list[str],
    headers: dict[str, PartitionHeader | None],
) -> Manifest | Damage | None:
    """Return the manifest, or what is wrong with it; None if nothing was ever stored."""
    if names.MANIFEST not in present:
        ours = [name for name in headers if _may_be_ours(fs, directory, name, headers)]
        beside = [*ours, *map(names.journal_file, journals_in(present))]
        if not beside:
            return None
        message = f"{names.MANIFEST} is missing beside {beside[0]}; rebuilt from the other files"
        return Damage(names.MANIFEST, message, present=False)
    try:
        manifest = decode_manifest(fs.read(os.path.join(directory, names.MANIFEST)))
    except CorruptDataError as error:
        return Damage(names.MANIFEST, f"{error}; rebuilt from the other files")
    stores = Counter(header.store for header in headers.values() if header is not None)
    if manifest.partitions and manifest.store not in stores and max(stores.values(), default=0) > 1:
        # One file that disagrees may be the foreign one; several that agree are not.
        message = f"{names.MANIFEST} belongs to another store than the partition files; rebuilt"
        return Damage(names.MANIFEST, message)
    return manifest


def _put_together(look: Look, manifest: Manifest | Damage) -> Found:
    """Return what the directory holds according to the manifest, or to one made anew."""
    found = Found(None, journals=journals_in(look.present), authenticator=look.by)
    found.temporary = [name for name in look.present if names.is_temporary(name)]
    if isinstance(manifest, Damage):
        found.damage.append(manifest)
        _rebuild_manifest(look, found)
    else:
        found.manifest = manifest
    _check_partitions(look, found)
    _read_journals(look.fs, look.directory, found)
    lacking = without_commits(look.headers, found.sides, found.commits)
    found.damage += lacking.values()
    found.damaged_sides |= lacking.keys()
    return found


def _read_headers(
    fs: FileSystem, directory: str, present: list[str]
) -> dict[str, PartitionHeader | None]:
    """Return the headers of all files that have the name of a partition; None: no header."""
    headers: dict[str, PartitionHeader | None] = {}
    for name in present:
        if name.endswith(names.SUFFIX) and name != names.MANIFEST:
            try:
                headers[name] = read_header(fs, directory, name)
            except CorruptDataError:
                headers[name] = None
    return headers


def read_header(fs: FileSystem, directory: str, name: str) -> PartitionHeader:
    """Return the header of a partition file. Raises CorruptDataError."""
    path = os.path.join(directory, name)
    start = fs.read_start(path, HEADER_READ_BYTES)
    if b"\n" not in start and len(start) == HEADER_READ_BYTES:
        start = fs.read(path)
    return decode_header(start, name)


def _may_be_ours(
    fs: FileSystem, directory: str, name: str, headers: dict[str, PartitionHeader | None]
) -> bool:
    """Tell whether a file with the name of a partition begins like one of Grebe's."""
    start = fs.read_start(os.path.join(directory, name), len(HEADER_START))
    return headers[name] is not None or start == HEADER_START


def _damaged_header(fs: FileSystem, directory: str, name: str) -> PartitionHeader | None:
    """Return what a header says that does not match its checksum, if it says anything."""
    try:
        return decode_header(fs.read(os.path.join(directory, name)), name, verify=False)
    except CorruptDataError:
        return None


def _rebuild_manifest(look: Look, found: Found) -> None:
    """Make a manifest from the files that are there: of the store that most of them belong to."""
    fs, directory, headers = look.fs, look.directory, look.headers
    found.rebuilt = True
    readable = {
        name: header or _damaged_header(fs, directory, name) for name, header in headers.items()
    }
    stores = Counter(header.store for header in headers.values() if header is not None)
    if not stores:
        for number in found.journals:
            name = names.journal_file(number)
            with contextlib.suppress(CorruptDataError):
                stores[decode_journal(fs.read(os.path.join(directory, name)), name).store] += 1
    store = stores.most_common(1)[0][0] if stores else secrets.token_hex(8)
    partitions = {
        name: PartitionFile(
            header.partition,
            header.encrypted,
            header.lsn,
            header.documents,
            fs.size(os.path.join(directory, name)),
            header.crc32,
            header.mac,
        )
        for name, header in readable.items()
        if header is not None
        and header.store == store
        and name == names.partition_file(header.partition, header.encrypted)
    }
    found.manifest = Manifest(store, partitions=partitions, metadata=_key_metadata(readable))


def _key_metadata(headers: Mapping[str, PartitionHeader | None]) -> bytes | None:
    """Return metadata with the key header that the newest of the partition files has."""
    known = [header for header in headers.values() if header is not None and header.encryption]
    if not known:
        return None
    resolver = Resolver()
    resolver.encryption = max(known, key=lambda header: header.lsn).encryption
    return resolver.encode()


def _check_partitions(look: Look, found: Found) -> None:
    fs, directory, headers, present = look.fs, look.directory, look.headers, look.present
    manifest = found.manifest
    assert manifest is not None
    for name, listed in manifest.partitions.items():
        side = listed.partition, listed.encrypted
        found.sides[side] = name
        header = headers.get(name)
        wrong = _what_is_wrong(fs, os.path.join(directory, name), listed, header, manifest)
        vouched = None if found.rebuilt else listed
        if (
            wrong is None
            and header is not None
            and not _may_be_older_than_the_key(found, header)
            and _is_forged(look, header, vouched, manifest)
        ):
            wrong = f"{name} was not written with the store's key as it is"
            found.forged.add(side)
        if name not in present:
            wrong = f"{name} is missing; the manifest lists it"
        if wrong is not None:
            found.damage.append(Damage(name, wrong, present=name in present))
            found.damaged_sides.add(side)
        elif header is not None:
            found.newest = max(found.newest, header.lsn)
            if header.lsn > manifest.lsn and not found.rebuilt:
                found.ahead.add(side)
    for name, header in headers.items():
        if name in manifest.partitions or name in manifest.removed:
            continue  # looked at above, or one that a checkpoint was about to remove
        if header is None:
            if _may_be_ours(fs, directory, name, headers):
                message = f"{name}: the first line does not match its checksum"
                found.damage.append(Damage(name, message, in_the_way=True))
            continue
        side = header.partition, header.encrypted
        if (
            header.store == manifest.store
            and header.lsn > manifest.lsn
            and name == names.partition_file(*side)
            and not _is_forged(look, header, None, manifest)
        ):
            found.sides[side] = name
            found.newest = max(found.newest, header.lsn)
            found.ahead.add(side)
        else:
            message = f"{name} is a partition file that the manifest does not list"
            # With the manifest lost nobody can say that its documents are not missed.
            lost = header.documents if found.rebuilt and header.store == manifest.store else 0
            found.damage.append(Damage(name, message, in_the_way=True, lost=lost))


def _is_forged(
    look: Look, header: PartitionHeader, listed: PartitionFile | None, manifest: Manifest
) -> bool:
    return look.by is not None and is_forged(header, listed, manifest, look.by)


def _may_be_older_than_the_key(found: Found, header: PartitionHeader) -> bool:
    """Tell whether only the manifest, which is lost, could say whether a file is authentic.

    A rotation of the key leaves files of plain documents as they are.
    """
    return found.rebuilt and not header.encrypted


def _what_is_wrong(
    fs: FileSystem,
    file: str,
    listed: PartitionFile,
    header: PartitionHeader | None,
    manifest: Manifest,
) -> str | None:
    """Return why a partition file is not the one that the manifest lists, or None if it is."""
    name = os.path.basename(file)
    if header is None:
        return f"{name}: the first line does not match its checksum"
    if (header.store, header.partition, header.encrypted) != (
        manifest.store,
        listed.partition,
        listed.encrypted,
    ):
        return f"{name} belongs to another store or partition"
    if manifest.lsn < header.lsn:
        return None
    if (header.lsn, header.crc32) != (listed.lsn, listed.crc32):
        return f"{name}: commit {listed.lsn} expected, {header.lsn} found: another version"
    size = fs.size(file)
    if size != listed.size:
        return f"{name}: {listed.size} bytes expected, {size} found"
    return None


def _read_journals(fs: FileSystem, directory: str, found: Found) -> None:
    """Collect the commits behind the manifest, up to the first that is missing or damaged."""
    manifest = found.manifest
    assert manifest is not None
    commits: list[JournalRecord] = []
    files: list[tuple[str, Journal]] = []
    damage_count = len(found.damage)
    for number in found.journals:
        name = names.journal_file(number)
        try:
            journal = decode_journal(fs.read(os.path.join(directory, name)), name)
        except CorruptDataError as error:
            found.damage.append(Damage(name, str(error)))
            continue
        if journal.store != manifest.store or journal.number != number:
            message = f"{name} belongs to another store or has another name"
            found.damage.append(Damage(name, message))
            continue
        if journal.damage is not None:
            found.damage.append(Damage(name, journal.damage))
        elif _is_cut_short(journal, commits):
            message = f"{name}: its end is damaged: the journal before it has later commits"
            found.damage.append(Damage(name, message))
            continue
        found.torn_bytes += journal.torn_bytes
        files.append((name, journal))
        _supersede(commits, journal)
        commits += journal.records
    expected = manifest.lsn
    if found.rebuilt and commits:
        expected = commits[0].lsn - (not commits[0].carry)
    for commit in commits:
        if commit.lsn > manifest.lsn:
            expected += not commit.carry
            if commit.lsn != expected:
                break
            found.commits.append(commit)
    _check_commits(found, files)
    whole = len(found.damage) == damage_count
    if whole and not found.rebuilt and found.newest > found.lsn:
        # Journals go only when a manifest that includes them is durable, and no partition file is
        # written before what it includes is durable in a journal.
        torn = [name for name, journal in files if journal.torn_bytes]
        found.stale = not torn
        if torn:
            message = f"{torn[-1]}: its end is damaged: partition files have later commits"
            found.damage.append(Damage(torn[-1], message))
    _refuse_later(found, files, commits)


def _check_commits(found: Found, files: list[tuple[str, Journal]]) -> None:
    """Check the MACs of commits, and that none is missing that the manifest knows of."""
    by, manifest = found.authenticator, found.manifest
    assert manifest is not None
    damaged = bool(found.damage)
    encrypted = _is_encrypted(manifest)
    checked: list[JournalRecord] = []
    for commit in found.commits if by is not None else ():
        assert by is not None
        as_it_counts = check_record(commit, manifest.store, by, encrypted)
        if as_it_counts is None:
            name = next(name for name, journal in files if commit in journal.records)
            message = f"{name}: commit {commit.lsn} was not written with the store's key as it is"
            found.damage.append(Damage(name, message))
            break
        encrypted |= as_it_counts.text is not None
        checked.append(as_it_counts)
    if by is not None:
        found.commits = checked
        _note_unauthenticated(found)
    if found.lsn < manifest.reaches and not damaged and not found.damage:
        name = names.journal_file(found.journals[-1] if found.journals else manifest.journal + 1)
        message = f"{name}: commits up to {manifest.reaches} were in journals, and are not there"
        found.damage.append(Damage(name, message, present=bool(found.journals)))


def _note_unauthenticated(found: Found) -> None:
    manifest = found.manifest
    assert manifest is not None
    without = manifest.sealed is not None and manifest.mac is None
    if without or any(commit.plain_only for commit in found.commits):
        found.notes.append(
            "the store was written without its key: whether its plain documents were changed by "
            "somebody else cannot be told"
        )


def _refuse_later(
    found: Found, files: list[tuple[str, Journal]], commits: list[JournalRecord]
) -> None:
    """Report commits behind a gap: applied alone they would make a state that never was.

    Only those in `commits`: others are in the files too, which were written again (case 6).
    """
    damaged = {damage.file for damage in found.damage}
    later = {id(commit) for commit in commits if commit.lsn > found.lsn}
    for name, journal in files:
        if name not in damaged and any(id(record) in later for record in journal.records):
            message = (
                f"{name}: commit {found.lsn + 1} is missing before those in it, which are left out"
            )
            found.damage.append(Damage(name, message))


def _is_cut_short(journal: Journal, commits: list[JournalRecord]) -> bool:
    """Tell whether a journal lacks some of what it was begun with, which was written at once.

    Those are the commits of the journals before it. One less is no damage if it ends whole: that
    one was never acknowledged, as the journal that has it failed with it.
    """
    if not commits or not journal.records:
        return bool(commits)
    first, last = journal.records[0], journal.records[-1]
    missing = commits[-1].lsn - last.lsn
    return not first.carry and missing > (0 if journal.torn_bytes else 1)


def _supersede(commits: list[JournalRecord], journal: Journal) -> None:
    """Drop the commits that a later journal has again, or was begun without; see case 6."""
    if journal.records:
        first = journal.records[0]
        # A carry comes behind the last acknowledged commit: one after that had failed before.
        last = first.lsn if first.carry else first.lsn - 1
        commits[:] = [commit for commit in commits if commit.lsn <= last]


def journals_in(present: list[str]) -> list[int]:
    """Return the numbers of the journals among file names, in order."""
    return sorted(n for n in map(names.journal_number, present) if n is not None)
