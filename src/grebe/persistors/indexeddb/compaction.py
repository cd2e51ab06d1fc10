"""A compaction as one transaction: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grebe.persistence.formats.journal import encode_journal_header
from grebe.persistors.indexeddb.database import CHUNKS, DAMAGED, LOG, MANIFEST, Change, Range
from grebe.persistors.indexeddb.manifest import Manifest, encode_manifest
from grebe.persistors.indexeddb.reading import runs
from grebe.persistors.indexeddb.recovery import JOURNAL


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction has put into the chunks."""

    after: Manifest
    commits: int
    """How many of those that were in the log."""
    log_bytes: int


def encode_head(manifest: Manifest) -> list[tuple[str, int, bytes]]:
    """Return the puts of a manifest, and of the first line of its journal."""
    first_line = encode_journal_header(manifest.store, JOURNAL)[0]
    return [(MANIFEST, 0, encode_manifest(manifest)), (MANIFEST, 1, first_line)]


def encode_compaction(
    before: Manifest,
    after: Manifest,
    chunks: Sequence[tuple[str, int, bytes]],
    aside: Mapping[tuple[str, int], bytes],
    number: int,
) -> tuple[Change, list[str]]:
    """Return what replaces the chunks and the log, and the names of what is set aside.

    `aside` are damaged values, by map and number; they are kept from `number` on.
    """
    gone = {old for old in before.chunks if old not in after.chunks}
    gone |= {old for name, old in aside if name == CHUNKS}
    kept = [
        ((DAMAGED, at, data), f"{DAMAGED} {at} ({name} {old})")
        for at, ((name, old), data) in enumerate(aside.items(), number)
    ]
    deletions: list[Range] = [(LOG, 0, after.lsn)]
    deletions += [(CHUNKS, first, last) for first, last in runs(gone)]
    puts = [*chunks, *(put for put, _ in kept), *encode_head(after)]
    return Change(puts, deletions), [name for _, name in kept]
