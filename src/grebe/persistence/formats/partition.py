r"""Partition files: bytes from documents and back. Format: docs/file_format.md, "Partition file".

```
{"grebe":{"format":1,"store":S,"partition":P,"lsn":N,"documents":D,"blocks":[B,...],
"sizes":[L,...],"crc32":H},\n                          (this is one line)
"documents":{\n
PATH:VALUE,\n        one line a document; the last without the comma
}}\n
```
In a file of encrypted documents PATH is an address, and VALUE base64 in quotes. In a store that has
some, the header has before its crc32 `"encryption":K` (the key header), `"sha256":D` (of all behind
the first line) and `"mac":A` (of the first line up to there).
H is the crc32 of the first line up to `,"crc32":`; each B that of 256 document lines with their
ends, of L bytes together; the second and last line are compared as they are. Together they cover
every byte. With the sizes a damaged line end does not take the following blocks along.

A file of format 2 has `"awaits":N` behind its lsn: VALUE is missing (null, or "" where it would be
base64) of some documents, each of which a commit up to N puts. See remainder.py.
"""

from __future__ import annotations

import hashlib
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from json.decoder import scanstring  # type: ignore[attr-defined]
from operator import index, itemgetter
from typing import Any
from zlib import crc32

from grebe.core import encoding
from grebe.core.operation import RecordGroup
from grebe.core.text import from_text, to_text
from grebe.errors import CorruptDataError
from grebe.persistence.formats.text import check_format, one_line

FORMAT = 1
FORMAT_AWAITING = 2
BLOCK_LINES = 256
GROUP_LINES = 32
"""Documents that are encoded without a pause, in less than a tenth of a millisecond."""
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
    sizes: tuple[int, ...]
    """Lengths of the blocks in bytes."""
    crc32: str
    """Checksum of the header; as it covers the blocks', it stands for the whole file."""
    size: int
    """Length of the header line in bytes."""
    digest: str | None = None
    """SHA-256 of all behind the header line; only in a store with encrypted documents."""
    text: bytes = b""
    """The header line up to the MAC."""
    mac: str | None = None
    """MAC of `text`, which covers the whole file by `digest`."""
    encryption: dict[str, Any] | None = None
    """The key header, kept here too in case the manifest is lost."""
    awaits: int = 0
    """Commit without which values are missing; 0: none are."""


def no_value(*, encrypted: bool) -> bytes:
    """Return what stands for a missing value, which is never one: None is no document.

    >>> no_value(encrypted=False), no_value(encrypted=True)
    (b'null', b'')
    """
    return b"" if encrypted else b"null"


def encode_partition(
    store: str,
    partition: str,
    encrypted: bool,
    lsn: int,
    documents: Iterable[tuple[str, bytes]],
    *,
    pause: Callable[[], None] = lambda: None,
    tag: Callable[[bytes], str] | None = None,
    encryption: dict[str, Any] | None = None,
    awaits: int = 0,
) -> tuple[PartitionHeader, list[bytes]]:
    """Return the header, and the file in parts to be written one after the other. O(size).

    `pause` is called now and then. `tag` gives the MAC of a text, in a store that has a key;
    `encryption` is its key header. With `awaits` some values may be `no_value`.
    """
    encode = encoding.encode
    blocks, count = _encode_blocks(documents, encrypted, pause)
    sums = tuple(f"{crc32(block):08x}" for block in blocks)
    sizes = tuple(map(len, blocks))
    fields: dict[str, Any] = {
        "format": FORMAT_AWAITING if awaits else FORMAT,
        "store": store,
        "partition": to_text(partition),
        **({"encrypted": True} if encrypted else {}),
        "lsn": lsn,
        **({"awaits": awaits} if awaits else {}),
        "documents": count,
        "blocks": sums,
        "sizes": sizes,
    }
    parts = [_OPENING, *blocks, _CLOSING]
    if encryption is not None and encrypted:
        fields["encryption"] = encryption
    digest = _digest(parts) if tag is not None else None
    if digest is not None:
        fields["sha256"] = digest
    start = text = b'{"grebe":' + encode(fields)[:-1]
    mac = None if tag is None else tag(text)
    if mac is not None:
        start += b',"mac":"%b"' % mac.encode()
    checksum = f"{crc32(start):08x}"
    line = start + _CHECKSUM + checksum.encode() + b'"},\n'
    header = PartitionHeader(
        store,
        partition,
        encrypted,
        lsn,
        count,
        sums,
        sizes,
        checksum,
        len(line),
        digest,
        text,
        mac,
        encryption,
        awaits,
    )
    return header, [line, *parts]


def _encode_blocks(
    documents: Iterable[tuple[str, bytes]], encrypted: bool, pause: Callable[[], None]
) -> tuple[list[bytes], int]:
    """Return the blocks of document lines, and the number of documents."""
    blocks: list[bytes] = []
    count = 0
    lines: list[bytes] = []
    encode = encoding.encode
    for path, value in documents:
        text = b'"%b"' % b2a_base64(value, newline=False) if encrypted else one_line(value)
        lines.append(b"%b:%b,\n" % (encode(path), text))
        if len(lines) % GROUP_LINES == 0:
            pause()
            if len(lines) == BLOCK_LINES:
                blocks.append(b"".join(lines))
                count += BLOCK_LINES
                lines = []
    if lines:
        blocks.append(b"".join(lines))
        count += len(lines)
    if blocks:
        blocks[-1] = blocks[-1][:-2] + b"\n"
    return blocks, count


def _digest(parts: Iterable[bytes | memoryview]) -> str:
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return state.hexdigest()


def decode_header(data: bytes, file: str, *, verify: bool = True) -> PartitionHeader:
    """Return the header at the start of a partition file's bytes; unchecked if not `verify`.

    Raises:
        CorruptDataError: the line is damaged, or of a newer format.
    """
    end = data.find(b"\n") + 1
    line = data[:end]
    start, stated = line[:-_CHECKSUM_LENGTH], line[-_CHECKSUM_LENGTH:]
    found = f"{crc32(start):08x}"
    whole = stated == _CHECKSUM + found.encode() + b'"},\n' and start.startswith(HEADER_START)
    if verify and not whole:
        raise CorruptDataError(f"{file}: the first line does not match its checksum", file)
    try:
        fields = encoding.decode(start[len(b'{"grebe":') :] + b"}")
        awaits = index(fields.get("awaits", 0))
        if whole:  # otherwise that is what may be damaged
            check_format(fields["format"], FORMAT_AWAITING if awaits else FORMAT, file)
        sizes = tuple(map(index, fields["sizes"]))
        return PartitionHeader(
            store=fields["store"],
            partition=from_text(fields["partition"]),
            encrypted=fields.get("encrypted", False),
            lsn=index(fields["lsn"]),
            documents=index(fields["documents"]),
            blocks=tuple(fields["blocks"]),
            sizes=sizes,
            crc32=found,
            size=end,
            digest=fields.get("sha256"),
            text=start[: start.rfind(b',"mac":"')] if "mac" in fields else start,
            mac=fields.get("mac"),
            encryption=fields.get("encryption"),
            awaits=awaits,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptDataError(f"{file}: the first line is no header of Grebe's", file) from error


def decode_documents(data: bytes, header: PartitionHeader, file: str) -> Iterator[RecordGroup]:
    """Yield the documents in a partition file's bytes; see `read_documents`."""
    stream = BytesIO(data)
    stream.seek(header.size)
    return read_documents(stream.read, header, file)


def read_documents(
    read: Callable[[int], bytes], header: PartitionHeader, file: str
) -> Iterator[RecordGroup]:
    """Yield the documents behind a header, a block at a time, each checked before it is given.

    `read` returns that many of the next bytes, fewer at the end. So the file is never in memory as
    a whole, beside its documents. That the end is right, and the digest if there is one, is checked
    last: nothing may be used before all were given. No value is parsed. O(size).

    Raises:
        CorruptDataError: a checksum does not match, or the file is too long or too short.
    """
    if not len(header.blocks) == len(header.sizes) == -(-header.documents // BLOCK_LINES):
        raise CorruptDataError(f"{file}: {len(header.blocks)} checksums for its blocks", file)
    digest = None if header.digest is None else hashlib.sha256()
    opening = read(len(_OPENING))
    if opening != _OPENING:
        raise CorruptDataError(f"{file}: the lines around the documents are damaged", file)
    if digest is not None:
        digest.update(opening)
    for number, size in enumerate(header.sizes):
        block = read(size)
        if digest is not None:
            digest.update(block)
        yield from _documents_in(block, header, number, file)
    closing = read(len(_CLOSING) + 1)
    if closing != _CLOSING:
        raise CorruptDataError(f"{file}: the lines around the documents are damaged", file)
    if digest is not None:
        digest.update(closing)
        if header.digest != digest.hexdigest():
            raise CorruptDataError(
                f"{file}: the documents do not match the digest in its header", file
            )


def decode_block(
    data: bytes, header: PartitionHeader, number: int, position: int, file: str
) -> Iterator[RecordGroup]:
    """Yield the documents of the block at a position. Raises CorruptDataError."""
    block = data[position : position + header.sizes[number]]
    return _documents_in(block, header, number, file)


def _documents_in(
    block: bytes, header: PartitionHeader, number: int, file: str
) -> Iterator[RecordGroup]:
    found = f"{crc32(block):08x}"
    if found != header.blocks[number]:
        raise CorruptDataError(
            f"{file}: checksum {header.blocks[number]} expected in block {number}, {found} found",
            file,
        )
    last = number == len(header.blocks) - 1
    count = header.documents - number * BLOCK_LINES if last else BLOCK_LINES
    if last:
        block = block[:-1] + b",\n"
    try:
        groups = _neighbours(block, header, count) or list(_groups(block, header))
    except ValueError as error:  # no base64, no UTF-8, no JSON
        raise CorruptDataError(f"{file}: block {number} holds no documents", file) from error
    found_count = sum(len(group.ids) for group in groups)
    if found_count != count:
        raise CorruptDataError(f"{file}: {found_count} documents found in block {number}", file)
    yield from groups


def block_position(header: PartitionHeader, number: int) -> int:
    """Return where a block begins in the file."""
    return header.size + len(_OPENING) + sum(header.sizes[:number])


def partition_size(header: PartitionHeader) -> int:
    """Return how long the file should be in bytes."""
    return block_position(header, len(header.sizes)) + len(_CLOSING)


def _neighbours(block: bytes, header: PartitionHeader, count: int) -> list[RecordGroup]:
    """Return the documents of a block if all are of one collection, as most are; otherwise nothing.

    One call cuts all lines: a Python step for each of a hundred thousand lines, and a second copy
    of each value, would be most of the time that opening takes.
    """
    first = block[1 : block.find(b'":')]
    collection = first[: first.rfind(b"/")]
    if not collection or b"\\" in first:
        return []
    line = rb'^"%b/([^"\\/\n]+)":(.*),\n' % re.escape(collection)
    rows = re.findall(line, block, re.MULTILINE)
    if len(rows) != count:
        return []
    ids, values = zip(*rows, strict=True)
    text = b"\n".join(ids)
    around = count * (len(collection) + len(b'"/":,\n')) - (count - 1)
    if len(text) + sum(map(len, values)) + around != len(block):
        return []  # there are other lines too
    names = text.decode().split("\n")
    home = header.partition, header.encrypted
    return [RecordGroup(collection.decode(), names, _opened(values, header), *home)]


def _groups(block: bytes, header: PartitionHeader) -> Iterator[RecordGroup]:
    """Yield runs of documents of one collection, from lines of any kind."""
    # No value holds a line end, so this cuts between documents only. Each line begins behind the
    # quote that opens its path.
    lines = block[1:-2].split(b',\n"')
    cut = [line.partition(b'":') for line in lines]
    keys = b"\n".join([key for key, _, _ in cut])
    if b"\\" in keys:  # escaped: the cut may be inside a path
        split = [_split_line(line) for line in lines]
        paths, values = [path for path, _ in split], [value for _, value in split]
    else:
        paths, values = keys.decode().split("\n"), [value for _, _, value in cut]
    opened = _opened(values, header)
    runs = groupby([path.rpartition("/") for path in paths], itemgetter(0))
    start = 0
    for collection, run in runs:
        ids = [document_id for _, _, document_id in run]
        home = header.partition, header.encrypted
        yield RecordGroup(collection, ids, opened[start : start + len(ids)], *home)
        start += len(ids)


def _opened(values: Sequence[bytes], header: PartitionHeader) -> Sequence[bytes]:
    """Return the bytes of documents; those of encrypted ones are texts in base64."""
    return [a2b_base64(value[1:-1]) for value in values] if header.encrypted else values


def _split_line(line: bytes) -> tuple[str, bytes]:
    text = line.decode()
    path, length = scanstring(text, 0)
    return path, text[length + 1 :].encode()
