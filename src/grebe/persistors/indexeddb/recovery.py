"""What is found in a database when it is opened: pure, from values to commits and damage.

A value in the log is a line of a journal with this first line: `encode_journal_header(store,
JOURNAL)`. A transaction is whole or not there, so nothing has to be recovered after a crash: what
does not fit is damage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from grebe.core.ids import random_id
from grebe.errors import CorruptDataError
from grebe.persistence.formats.journal import (
    JournalRecord,
    decode_journal,
    decode_record,
    encode_journal_header,
)
from grebe.persistence.formats.partition import decode_header
from grebe.persistors.indexeddb.database import CHUNKS, LOG, MANIFEST
from grebe.persistors.indexeddb.manifest import Chunk, Manifest, decode_manifest

JOURNAL = 1
"""There is one journal, so its number never changes."""

Values = Mapping[int, bytes]


@dataclass(slots=True)
class Found:
    """What is in a database."""

    manifest: Manifest
    commits: list[JournalRecord] = field(default_factory=list)
    """Those behind the manifest's."""
    messages: list[str] = field(default_factory=list)
    """What is damaged."""
    aside: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """Damaged values, by map and number."""
    is_new: bool = False
    is_rebuilt: bool = False
    """Whether the manifest was made anew; it has no metadata then."""

    @property
    def seed(self) -> int:
        """Checksum with which those of the log begin."""
        return encode_journal_header(self.manifest.store, JOURNAL)[1]


def find(head: Values, log: Values, chunks: Values) -> Found:
    """Return what values of the three maps are; the chunks count only if there is no manifest."""
    found = _find_manifest(head, log, chunks)
    found.commits, damage = _read_log(log, found.manifest, found.seed)
    if damage is not None:
        last = found.manifest.lsn + len(found.commits)
        behind = {(LOG, number): line for number, line in log.items() if number > last}
        found.messages.append(f"{damage}; {len(behind)} commits are left out")
        found.aside.update(behind)
    return found


def _find_manifest(head: Values, log: Values, chunks: Values) -> Found:
    message = "the manifest is missing"
    if 0 in head:
        try:
            return Found(decode_manifest(head[0]))
        except CorruptDataError as error:
            message = str(error)
    if not head and not log and not chunks:
        return Found(Manifest(random_id(), {}), is_new=True)
    manifest = _rebuild_manifest(head.get(1), log, chunks)
    found = Found(manifest, messages=[f"{message}; it was made anew"], is_rebuilt=True)
    if 0 in head:
        found.aside[MANIFEST, 0] = head[0]
    for number, data in chunks.items():
        if number not in manifest.chunks:
            found.messages.append(f"chunk {number} is damaged")
            found.aside[CHUNKS, number] = data
    return found


def _read_log(
    values: Values, manifest: Manifest, seed: int
) -> tuple[list[JournalRecord], str | None]:
    """Return the commits behind the manifest's, up to damage; and what that is."""
    records: list[JournalRecord] = []
    for number, line in values.items():
        expected = manifest.lsn + 1 + len(records)
        if number != expected:
            return records, f"commit {expected} is missing before commit {number}"
        try:
            record = decode_record(line, seed)
        except CorruptDataError as error:
            return records, f"commit {number}: {error}"
        if record is None or record.lsn != number:
            return records, f"commit {number} does not match its checksum"
        records.append(record)
    return records, None


def _rebuild_manifest(first_line: bytes | None, log: Values, chunks: Values) -> Manifest:
    """Return the manifest that fits what else is there."""
    headers = {}
    for number, data in chunks.items():
        try:
            headers[number] = decode_header(data, f"chunk {number}")
        except CorruptDataError:
            continue  # it is not listed, and so set aside
    store = _store_in(first_line)
    if store is None:
        store = next((header.store for header in headers.values()), None)
    if store is None:  # then nothing there can be checked
        store = random_id()
    headers = {number: header for number, header in headers.items() if header.store == store}
    included = min(log) - 1 if log else max((h.lsn for h in headers.values()), default=0)
    listed = {
        number: Chunk((h.partition, h.encrypted), h.documents, len(chunks[number]), h.crc32)
        for number, h in headers.items()
    }
    return Manifest(store, listed, included, next=max(chunks, default=0) + 1)


def _store_in(first_line: bytes | None) -> str | None:
    try:
        return None if first_line is None else decode_journal(first_line, "the log").store
    except CorruptDataError:
        return None
