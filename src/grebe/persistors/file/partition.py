r"""Partition files: bytes from documents and back. Format: docs/file_format.md, "Partition file".

```
{"grebe":{"format":1,"store":S,"partition":P,"lsn":N,"documents":D,"blocks":[B,...],"crc32":H},\n
"documents":{\n
PATH:VALUE,\n        one line a document; the last without the comma
}}\n
```
H is the crc32 of the first line up to `,"crc32":`; each B that of 256 document lines with their
ends; the second and last line are compared as they are. Together they cover every byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from json.decoder import scanstring  # type: ignore[attr-defined]
from operator import itemgetter
from zlib import crc32

from grebe.core import encoding
from grebe.core.operation import RecordGroup
from grebe.errors import CorruptDataError
from grebe.persistors.file.text import from_text, to_text

FORMAT = 1
BLOCK_LINES = 256
HEADER_START = b'{"grebe":{"format":'
_OPENING = b'"documents":{\n'
_CLOSING = b"}}\n"
_CHECKSUM = b',"crc32":"'
_CHECKSUM_LENGTH = len(_CHECKSUM) + 8 + len(b'"},\n')


@dataclass(frozen=True, slots=True)
class PartitionHeader:
    """The first line of a partition file."""

    store: str
    """Id of the store that the file belongs to."""
    partition: str
    encrypted: bool
    lsn: int
    """Last commit that is included."""
    documents: int
    blocks: tuple[str, ...]
    """Checksums of the blocks of document lines."""
    crc32: str
    """Checksum of the header; as it covers the blocks', it stands for the whole file."""
    size: int
    """Length of the header line in bytes."""


def encode_partition(
    store: str, partition: str, encrypted: bool, lsn: int, documents: Iterable[tuple[str, bytes]]
) -> tuple[PartitionHeader, list[bytes]]:
    """Return the header, and the file in parts to be written one after the other. O(size)."""
    blocks: list[bytes] = []
    count = 0
    lines: list[bytes] = []
    encode = encoding.encode
    for path, value in documents:
        lines.append(b"%b:%b,\n" % (encode(path), value))
        count += 1
        if len(lines) == BLOCK_LINES:
            blocks.append(b"".join(lines))
            lines = []
    if lines:
        blocks.append(b"".join(lines))
    if blocks:
        blocks[-1] = blocks[-1][:-2] + b"\n"
    sums = tuple(f"{crc32(block):08x}" for block in blocks)
    fields = {
        "format": FORMAT,
        "store": store,
        "partition": to_text(partition),
        **({"encrypted": True} if encrypted else {}),
        "lsn": lsn,
        "documents": count,
        "blocks": list(sums),
    }
    start = b'{"grebe":' + encode(fields)[:-1]
    checksum = f"{crc32(start):08x}"
    line = start + _CHECKSUM + checksum.encode() + b'"},\n'
    header = PartitionHeader(store, partition, encrypted, lsn, count, sums, checksum, len(line))
    return header, [line, _OPENING, *blocks, _CLOSING]


def decode_header(data: bytes, file: str) -> PartitionHeader:
    """Return the header at the start of a partition file's bytes.

    Raises:
        CorruptDataError: the line is damaged, or of a newer format.
    """
    end = data.find(b"\n") + 1
    line = data[:end]
    start, stated = line[:-_CHECKSUM_LENGTH], line[-_CHECKSUM_LENGTH:]
    found = f"{crc32(start):08x}"
    if stated != _CHECKSUM + found.encode() + b'"},\n' or not start.startswith(HEADER_START):
        raise CorruptDataError(f"{file}: the first line does not match its checksum", file)
    try:
        fields = encoding.decode(start[len(b'{"grebe":') :] + b"}")
        if fields["format"] != FORMAT:
            raise CorruptDataError(
                f"{file}: format {fields['format']} is newer than this version of Grebe reads", file
            )
        return PartitionHeader(
            store=fields["store"],
            partition=from_text(fields["partition"]),
            encrypted=fields.get("encrypted", False),
            lsn=fields["lsn"],
            documents=fields["documents"],
            blocks=tuple(fields["blocks"]),
            crc32=found,
            size=end,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptDataError(f"{file}: the first line is no header of Grebe's", file) from error


def decode_documents(data: bytes, header: PartitionHeader, file: str) -> Iterator[RecordGroup]:
    """Yield the documents, after checking every byte. O(size); parses no value.

    Raises:
        CorruptDataError: a checksum does not match, or the file is too long or too short.
    """
    body = header.size + len(_OPENING)
    if data[header.size : body] != _OPENING or not data.endswith(_CLOSING):
        raise CorruptDataError(f"{file}: the lines around the documents are damaged", file)
    text = data[body : len(data) - len(_CLOSING)]
    # No value holds a line end, so this cuts between documents only.
    lines = text.split(b",\n") if text else []
    if len(lines) != header.documents or (lines and not text.endswith(b"\n")):
        raise CorruptDataError(
            f"{file}: {header.documents} documents expected, {len(lines)} found", file
        )
    _check_blocks(lines, header, file)
    if lines:
        lines[-1] = lines[-1][:-1]
    return _group(lines, header)


def _check_blocks(lines: list[bytes], header: PartitionHeader, file: str) -> None:
    if -(-len(lines) // BLOCK_LINES) != len(header.blocks):
        raise CorruptDataError(f"{file}: {len(header.blocks)} checksums for its blocks", file)
    for number, expected in enumerate(header.blocks):
        block = b",\n".join(lines[number * BLOCK_LINES : (number + 1) * BLOCK_LINES])
        if (number + 1) * BLOCK_LINES < len(lines):
            block += b",\n"
        found = f"{crc32(block):08x}"
        if found != expected:
            raise CorruptDataError(
                f"{file}: checksum {expected} expected in block {number}, {found} found", file
            )


def _group(lines: list[bytes], header: PartitionHeader) -> Iterator[RecordGroup]:
    """Yield runs of documents of one collection.

    Done for all lines at once where possible: a Python step for each of a hundred thousand lines
    would be most of the time that opening takes.
    """
    cut = [line.partition(b'":') for line in lines]
    keys = b"\n".join([key for key, _, _ in cut])
    if b"\\" in keys:  # escaped: the cut may be inside a path
        split = [_split_line(line) for line in lines]
        names, values = [path for path, _ in split], [value for _, value in split]
    else:
        values = [value for _, _, value in cut]
        names = keys.decode()[1:].split('\n"') if keys else []
    del cut, keys
    home = header.partition, header.encrypted
    runs = groupby([name.rpartition("/") for name in names], itemgetter(0))
    start = 0
    for collection, run in runs:
        ids = [document_id for _, _, document_id in run]
        yield RecordGroup(collection, ids, values[start : start + len(ids)], *home)
        start += len(ids)


def _split_line(line: bytes) -> tuple[str, bytes]:
    text = line.decode()
    path, length = scanstring(text, 1)
    return path, text[length + 1 :].encode()
