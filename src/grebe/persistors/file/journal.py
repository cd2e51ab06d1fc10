r"""Journals: bytes from commits and back. Format: docs/file_format.md, "Journal".

```
{"grebe":{"format":1,"store":S,"journal":N},"crc32":H}\n
{"crc32":C,"lsn":L,"operations":[OPERATION,...]}\n          one line a commit, L ascending by 1
{"crc32":C,"lsn":L,"metadata":M,"operations":[...]}\n
{"crc32":C,"lsn":L,"carry":true,"operations":[...]}\n        see checkpoint.py
```
H is the crc32 of the first line up to `,"crc32":`. C is that of the line behind `"crc32":C,`,
started with H: a record of another journal does not fit. Operations are
`["put",PARTITION,PATH,VALUE]`, `["delete",PATH,RECURSIVE]`, `["move",PATH,SOURCE,TARGET]`,
`["clear"]`, and `["seal",PARTITION,PATH,BASE64]` for the put of an encrypted document.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from grebe.core import encoding
from grebe.core.operation import Clear, Delete, Move, Operation, Put
from grebe.errors import CorruptDataError
from grebe.persistors.file.text import from_text, to_text

FORMAT = 1
_START = b'{"crc32":"'
_BODY = len(_START) + 8 + len(b'",')
_OPERATIONS = b'"operations":'


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One commit."""

    lsn: int
    operations: tuple[Operation, ...]
    metadata: bytes | None = None
    carry: bool = False
    """Not a commit of its own: puts of what moved between partitions, as of commit `lsn`."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal file holds."""

    store: str
    number: int
    records: list[JournalRecord]
    torn_bytes: int
    """Length of what follows the last whole record, as a crash leaves it."""


def encode_journal_header(store: str, number: int) -> tuple[bytes, int]:
    """Return a journal's first line, and the checksum with which those of its records start."""
    fields = {"format": FORMAT, "store": store, "journal": number}
    start = b'{"grebe":' + encoding.encode(fields)
    seed = crc32(start)
    return start + b',"crc32":"%08x"}\n' % seed, seed


def encode_record(record: JournalRecord, seed: int) -> bytes:
    """Return the line of one commit. O(size)."""
    pieces = [b'"lsn":%d,' % record.lsn]
    if record.carry:
        pieces.append(b'"carry":true,')
    if record.metadata is not None:
        pieces.append(b'"metadata":%b,' % encoding.encode(_metadata_to_text(record.metadata)))
    pieces.append(b'"operations":[')
    pieces.append(b",".join(map(_encode_operation, record.operations)))
    pieces.append(b"]}\n")
    body = b"".join(pieces)
    return b'{"crc32":"%08x",%b' % (crc32(body, seed), body)


def _encode_operation(operation: Operation) -> bytes:
    encode = encoding.encode
    if type(operation) is Put:
        path, value, partition, encrypted = operation
        if encrypted:
            sealed = base64.b64encode(value).decode()
            return encode(["seal", to_text(partition), path, sealed])
        return b'["put",%b,%b,%b]' % (encode(to_text(partition)), encode(path), value)
    match operation:
        case Delete(path, recursive):
            return encode(["delete", path, recursive])
        case Move(path, source, target):
            return encode(["move", path, to_text(source), to_text(target)])
        case _:
            return b'["clear"]'


def decode_journal(data: bytes, file: str) -> Journal:
    """Return the commits in a journal file's bytes; a torn tail is counted and left out.

    Raises:
        CorruptDataError: the header is damaged, or a record in front of a valid one.
    """
    end = data.find(b"\n") + 1
    start = data[: max(0, end - len(b',"crc32":"xxxxxxxx"}\n'))]
    seed = crc32(start)
    if not end or data[len(start) : end] != b',"crc32":"%08x"}\n' % seed:
        raise CorruptDataError(f"{file}: the first line does not match its checksum", file)
    try:
        fields = encoding.decode(start + b"}")["grebe"]
        store, number, version = fields["store"], fields["journal"], fields["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(f"{file}: the first line is no header of Grebe's", file) from error
    if version != FORMAT:
        raise CorruptDataError(
            f"{file}: format {version} is newer than this version of Grebe reads", file
        )
    records: list[JournalRecord] = []
    position = end
    while position < len(data):
        stop = data.find(b"\n", position) + 1
        record = _decode_record(data[position:stop], seed) if stop else None
        if record is None or (records and record.lsn != records[-1].lsn + 1):
            _refuse_records_behind(data, stop or len(data), seed, file)
            break
        records.append(record)
        position = stop
    return Journal(store, number, records, len(data) - position)


def _decode_record(line: bytes, seed: int) -> JournalRecord | None:
    """Return the commit that a line holds, or None if it is not whole."""
    body = line[_BODY:]
    if line[:_BODY] != b'{"crc32":"%08x",' % crc32(body, seed):
        return None
    at = body.find(_OPERATIONS)
    try:
        fields = encoding.decode(b"{" + body[: at - 1] + b"}")
        rows = encoding.split_arrays(body[at + len(_OPERATIONS) : -2])
        metadata = fields.get("metadata")
        return JournalRecord(
            fields["lsn"],
            tuple(_decode_operation(row) for row in rows),
            None if metadata is None else _decode_metadata(metadata),
            fields.get("carry", False),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CorruptDataError(
            "a journal record has a right checksum and wrong contents"
        ) from error


def _metadata_to_text(metadata: bytes) -> str:
    """Return metadata behind "=" if it is text, otherwise base64, which never begins so."""
    try:
        return "=" + metadata.decode()
    except UnicodeDecodeError:
        return base64.b64encode(metadata).decode()


def _decode_metadata(text: str) -> bytes:
    return text[1:].encode() if text.startswith("=") else base64.b64decode(text)


def _decode_operation(row: Sequence[bytes]) -> Operation:
    kind = bytes(row[0])
    decode = encoding.decode
    if kind == b'"put"':
        return Put(decode(row[2]), bytes(row[3]), from_text(decode(row[1])))
    values = [decode(item) for item in row[1:]]
    match kind:
        case b'"delete"':
            return Delete(values[0], values[1])
        case b'"move"':
            return Move(values[0], from_text(values[1]), from_text(values[2]))
        case b'"seal"':
            return Put(values[1], base64.b64decode(values[2]), from_text(values[0]), True)
        case b'"clear"':
            return Clear()
    raise ValueError(f"unknown operation {kind!r}")


def _refuse_records_behind(data: bytes, position: int, seed: int, file: str) -> None:
    """Raise if a valid record follows: then what is before it is damage, not a torn tail."""
    while position < len(data):
        stop = data.find(b"\n", position) + 1
        if not stop:
            return
        if _decode_record(data[position:stop], seed) is not None:
            raise CorruptDataError(f"{file}: damaged in front of valid records", file)
        position = stop
