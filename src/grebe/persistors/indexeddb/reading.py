"""Chunks from documents and back, and what commits do to them: pure functions.

A chunk is a partition file of at most CHUNK_DOCUMENTS documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from grebe.core.operation import Clear, Delete, Move, Put, PutMany, RecordGroup
from grebe.errors import CorruptDataError
from grebe.persistence.contents import Contents, Side
from grebe.persistence.formats.journal import JournalRecord
from grebe.persistence.formats.partition import (
    block_position,
    decode_block,
    decode_documents,
    decode_header,
    encode_partition,
)
from grebe.persistors.indexeddb.manifest import Chunk, Manifest

CHUNK_DOCUMENTS = 512
"""Two blocks of a partition file. Fewer cost more for each value, more take longer at once."""
APPLIED_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class ReadChunk:
    """What is in a chunk."""

    groups: list[RecordGroup] = field(default_factory=list)
    documents: int = 0
    lost: int = 0
    damage: str | None = None
    """What is wrong."""


def read_chunk(data: bytes | None, number: int, manifest: Manifest) -> ReadChunk:
    """Return the documents of a chunk; if it is damaged those of its whole blocks."""
    listed, name = manifest.chunks[number], f"chunk {number}"
    if data is None:
        return ReadChunk(lost=listed.documents, damage=f"{name} is missing")
    try:
        header = decode_header(data, name)
        if (header.store, header.crc32) != (manifest.store, listed.crc32):
            found = f"{name} is not the one that the manifest lists"
            return ReadChunk(lost=listed.documents, damage=found)
        groups = list(decode_documents(data, header, name))
        return ReadChunk(groups, header.documents)
    except CorruptDataError as error:
        groups = list(_whole_blocks(data, number))
        documents = sum(len(group.ids) for group in groups)
        return ReadChunk(groups, documents, listed.documents - documents, str(error))


def _whole_blocks(data: bytes, number: int) -> Iterator[RecordGroup]:
    name = f"chunk {number}"
    try:
        header = decode_header(data, name)
    except CorruptDataError:
        return
    for block in range(len(header.blocks)):
        try:
            yield from decode_block(data, header, block, block_position(header, block), name)
        except CorruptDataError:
            continue


def changed_sides(
    commits: Iterable[JournalRecord], sides_for: Callable[[str], set[Side]]
) -> tuple[set[Side], bool]:
    """Return which sides commits may change, and whether documents move. O(operations).

    `sides_for` says which sides may hold something at or under a path.
    """
    sides: set[Side] = set()
    moves = False
    for commit in commits:
        for operation in commit.operations:
            match operation:
                case Put(_, _, partition, encrypted) | PutMany(_, _, partition, encrypted):
                    sides.add((partition, encrypted))
                case Move(_, source, target):
                    moves = True
                    sides |= {(source, False), (target, False)}
                case Delete(path, _):
                    sides |= sides_for(path)
                case Clear():
                    sides |= sides_for("")
    return sides, moves


def apply_in_steps(contents: Contents, commits: Iterable[JournalRecord]) -> Iterator[None]:
    """Apply commits, with a rest now and then."""
    done = 0
    for commit in commits:
        for operation in commit.operations:
            if type(operation) is PutMany and len(operation.paths) > APPLIED_AT_ONCE:
                for start in range(0, len(operation.paths), APPLIED_AT_ONCE):
                    part = slice(start, start + APPLIED_AT_ONCE)
                    paths, values = operation.paths[part], operation.values[part]
                    contents.apply(operation._replace(paths=paths, values=values), commit.lsn)
                    yield
                continue
            contents.apply(operation, commit.lsn)
            done += 1
            if done % APPLIED_AT_ONCE == 0:
                yield


def encode_chunks(
    contents: Contents, side: Side, store: str, lsn: int
) -> Iterator[tuple[Chunk, bytes]]:
    """Yield the chunks of a side. O(documents)."""
    tree = contents.sides.get(side)
    if tree is None:
        return
    documents = (
        (f"{node.path}/{document_id}", value)
        for node in tree.nodes()
        for document_id, value in node.documents.items()
    )
    while some := list(islice(documents, CHUNK_DOCUMENTS)):
        header, parts = encode_partition(store, *side, lsn, some)
        data = b"".join(parts)
        yield Chunk(side, len(some), len(data), header.crc32), data


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return ascending numbers as the first and last of each run without gaps.

    >>> runs([1, 2, 3, 7, 9, 10])
    [(1, 3), (7, 7), (9, 10)]
    """
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found
