r"""Journals: bytes from commits and back. Format: docs/file_format.md, "Journal".

```
{"grebe":{"format":1,"store":S,"journal":N},"crc32":H}\n
{"lsn":L,"operations":[OPERATION,...],"crc32":C}\n          one line a commit, L ascending by 1
{"lsn":L,"metadata":M,"operations":[...],"crc32":C}\n
{"lsn":L,"carry":true,"operations":[...],"crc32":C}\n       see checkpoint.py
{"lsn":L,...,"operations":[...],"mac":A,"crc32":C}\n       in an encrypted store
```
H is the crc32 of the first line up to `,"crc32":`. C is that of its line up to `,"crc32":`, started
with H: a record of another journal does not fit. Operations are
`["put",PARTITION,{PATH:VALUE,...}]`, `["delete",PATH,RECURSIVE]`, `["move",PATH,SOURCE,TARGET]`,
`["clear"]`, and `["seal",PARTITION,{PATH:BASE64,...}]` for puts of encrypted documents.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple, cast
from zlib import crc32

from grebe.core import encoding
from grebe.core.operation import Clear, Delete, Move, Operation, PathsIn, Put, PutMany
from grebe.core.text import from_text, to_text
from grebe.errors import CorruptDataError
from grebe.persistence.formats.text import (
    check_format,
    metadata_from_text,
    metadata_to_text,
    one_line,
)

FORMAT = 1
PUTS_JOINED_MAX = 1000
"""Documents that are written with one call; more calls would cost more than they save memory."""
WRITE_BYTES = 1 << 17
"""Size of the parts in which a record is written: smaller ones are joined."""
_CHECKSUM_LENGTH = len(b',"crc32":"xxxxxxxx"}\n')
_OPERATIONS = b'"operations":'
_MAC_START = b',"mac":"'
_MAC_LENGTH = len(_MAC_START) + 64 + len(b'"')
_MAC = re.compile(rb',"mac":"[0-9a-f]{64}"')
_RECORD_START = re.compile(rb'\{"lsn":[0-9]+,"(?:carry|metadata|operations)":')


class JournalRecord(NamedTuple):
    """One commit. A named tuple, as operations are: one is made in each commit."""

    lsn: int
    operations: tuple[Operation | PutMany, ...]
    metadata: bytes | None = None
    carry: bool = False
    """Not a commit of its own: puts of what moved between partitions, as of commit `lsn`."""
    text: bytes | None = None
    """Its line up to the checksum, if that ends in a MAC, which must not be made anew."""
    plain_only: bool = False
    """Written without the key of a store that has one: it concerns plain documents only."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal file holds."""

    store: str
    number: int
    records: list[JournalRecord]
    torn_bytes: int = 0
    """Length of what follows the last whole record, as a crash leaves it."""
    damage: str | None = None
    """What is wrong if there are valid records behind that: then it is no torn tail."""


def encode_journal_header(store: str, number: int) -> tuple[bytes, int]:
    """Return a journal's first line, and the checksum with which those of its records start."""
    fields = {"format": FORMAT, "store": store, "journal": number}
    start = b'{"grebe":' + encoding.encode(fields)
    seed = crc32(start)
    return start + b',"crc32":"%08x"}\n' % seed, seed


def encode_record(record: JournalRecord, seed: int) -> Iterable[bytes]:
    """Return the line of one commit, in parts to be written one after the other. O(size).

    They are made when they are asked for: there is never a whole copy of a large record.
    """
    text = _encode_single(record) if record.text is None else record.text
    if text is not None:
        return [b'%b,"crc32":"%08x"}\n' % (text, crc32(text, seed))]
    return _encode_in_parts(record, seed)


def _encode_in_parts(record: JournalRecord, seed: int) -> Iterator[bytes]:
    checksum = seed
    small: list[bytes] = []
    size = 0
    for part in encode_text(record):
        checksum = crc32(part, checksum)
        small.append(part)
        size += len(part)
        if size >= WRITE_BYTES:
            yield b"".join(small) if len(small) > 1 else part
            small, size = [], 0
    yield b"".join([*small, b',"crc32":"%08x"}\n' % checksum])


def encode_text(record: JournalRecord) -> Iterator[bytes]:
    """Yield the line of one commit up to its checksum, or MAC, in parts. O(size)."""
    start = _start(record)
    for text in _encode_operations(record.operations):
        yield start + text[1:] if start else text
        start = b""
    yield start + b"]"


def _encode_single(record: JournalRecord) -> bytes | None:
    """Return what `encode_text` gives if the commit is of one document, as most are, or None.

    It takes a third of the time.
    """
    if len(record.operations) != 1:
        return None
    put = record.operations[0]
    if type(put) is not Put or put[3]:
        return None
    path, value, partition, _ = put
    names = _partition_text(partition), encoding.encode(path)
    return b'%b["put",%b,{%b:%b}]]' % (_start(record), *names, one_line(value))


def _start(record: JournalRecord) -> bytes:
    """Return the line of a commit up to its operations."""
    if record.metadata is None and not record.carry:
        return b'{"lsn":%d,"operations":[' % record.lsn
    start = b'{"lsn":%d,' % record.lsn
    if record.carry:
        start += b'"carry":true,'
    if record.metadata is not None:
        start += b'"metadata":%b,' % encoding.encode(metadata_to_text(record.metadata))
    return start + b'"operations":['


@lru_cache(maxsize=256)
def _partition_text(partition: str) -> bytes:
    return encoding.encode(to_text(partition))


def with_mac(record: JournalRecord, parts: Sequence[bytes], mac: str) -> JournalRecord:
    """Return a record whose line has a MAC in it; `parts` are what `encode_text` gave."""
    return record._replace(text=b"".join([*parts, b',"mac":"%b"' % mac.encode()]))


def split_mac(record: JournalRecord) -> tuple[bytes, str] | None:
    """Return the text that a record's MAC is of, and the MAC; None if it has none."""
    if record.text is None:
        return None
    text, mac = record.text[:-_MAC_LENGTH], record.text[-_MAC_LENGTH:]
    return text, mac[len(_MAC_START) : -1].decode()


def _encode_operations(operations: Sequence[Operation | PutMany]) -> Iterator[bytes]:
    """Yield the JSON of operations, each behind a comma; neighbouring puts go together."""
    for kind, group in groupby(operations, _kind):
        if kind is None:
            for operation in group:
                yield b"," + _encode_other(cast("Operation", operation))
        elif kind == _MANY:
            for many in cast("Iterator[PutMany]", group):
                yield from _encode_puts(many.partition, many.encrypted, many.paths, many.values)
        else:
            puts = list(cast("Iterator[Put]", group))
            yield from _encode_puts(*kind, [put[0] for put in puts], [put[1] for put in puts])


def _encode_puts(
    partition: str, encrypted: bool, documents: Sequence[str], values: Sequence[bytes]
) -> Iterator[bytes]:
    """Yield the JSON of puts, in pieces of bounded size.

    So a hundred thousand documents need not be joined in memory.
    """
    kind = b"seal" if encrypted else b"put"
    head = b',["%b",%b,{' % (kind, _partition_text(partition))
    for start in range(0, len(documents), PUTS_JOINED_MAX):
        texts: Sequence[bytes] = values[start : start + PUTS_JOINED_MAX]
        if encrypted:
            texts = [b'"%b"' % base64.b64encode(value) for value in texts]
        template = b"%b%b:%%b}]" % (
            head.replace(b"%", b"%%"),
            _keys(documents, start, start + PUTS_JOINED_MAX),
        )
        text = template % tuple(texts)
        if b"\n" in text:  # JSON that somebody else has written
            text = template % tuple(map(one_line, texts))
        yield text


def _keys(documents: Sequence[str], start: int, end: int) -> bytes:
    """Return paths as they stand in an object, with room for values: `"a/1":%b,"a/2"`.

    Formatting puts the values in: half the calls of joining them with the paths.
    """
    prefix = b'"'
    if type(documents) is PathsIn:
        prefix = encoding.encode(documents.collection + "/")[:-1]
        some = documents.ids[start:end]
    else:
        some = documents[start:end]
    # All at once: quotes within them are escaped, so only those around them match.
    inner = encoding.encode(some)[2:-1].replace(b"%", b"%%")
    prefix = prefix.replace(b"%", b"%%")
    return prefix + inner.replace(b'","', b'":%b,' + prefix)


_MANY = ("", None)


def _kind(operation: Operation | PutMany) -> tuple[str, Any] | None:
    """Return what neighbouring operations must share to be written together."""
    if type(operation) is Put:
        return operation[2], operation[3]
    return _MANY if type(operation) is PutMany else None


def _encode_other(operation: Operation) -> bytes:
    match operation:
        case Delete(path, recursive):
            return encoding.encode(["delete", path, recursive])
        case Move(path, source, target):
            return encoding.encode(["move", path, to_text(source), to_text(target)])
        case Clear():
            return b'["clear"]'
    raise TypeError(f"{type(operation).__name__} is no operation; nothing was stored")


def decode_journal(data: bytes, file: str) -> Journal:
    """Return the commits in a journal file's bytes, up to a torn tail or damage.

    Raises:
        CorruptDataError: the header is damaged.
    """
    data = data.rstrip(b" ")  # room for commits to come; a whole record does not end in a space
    end = data.find(b"\n") + 1
    start = data[: max(0, end - _CHECKSUM_LENGTH)]
    seed = crc32(start)
    if not end or data[len(start) : end] != b',"crc32":"%08x"}\n' % seed:
        raise CorruptDataError(f"{file}: the first line does not match its checksum", file)
    try:
        fields = encoding.decode(start + b"}")["grebe"]
        store, number, version = fields["store"], fields["journal"], fields["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(f"{file}: the first line is no header of Grebe's", file) from error
    check_format(version, FORMAT, file)
    records: list[JournalRecord] = []
    position = end
    damage = None
    while position < len(data):
        stop = data.find(b"\n", position) + 1
        record = decode_record(data[position:stop], seed) if stop else None
        if record is None or (records and not _follows(record, records[-1])):
            if _is_record_behind(data, position, seed):
                damage = f"{file}: damaged in front of valid records"
            break
        records.append(record)
        position = stop
    return Journal(store, number, records, 0 if damage else len(data) - position, damage)


def _follows(record: JournalRecord, last: JournalRecord) -> bool:
    """Tell whether the number is right; a carry has that of the last commit it includes."""
    return record.lsn == last.lsn + (0 if record.carry else 1)


def decode_record(line: bytes, seed: int) -> JournalRecord | None:
    """Return the commit that a line holds, or None if it is not whole.

    Raises:
        CorruptDataError: it is whole, and no commit of Grebe's.
    """
    body = line[:-_CHECKSUM_LENGTH]
    if line[-_CHECKSUM_LENGTH:] != b',"crc32":"%08x"}\n' % crc32(body, seed):
        return None
    at = body.find(_OPERATIONS)
    has_mac = _MAC.fullmatch(body, len(body) - _MAC_LENGTH) is not None
    end = len(body) - _MAC_LENGTH if has_mac else len(body)
    try:
        fields = encoding.decode(body[: at - 1] + b"}")
        rows = encoding.split_arrays(body[at + len(_OPERATIONS) : end])
        metadata = fields.get("metadata")
        return JournalRecord(
            fields["lsn"],
            tuple(_decode_operation(row) for row in rows),
            None if metadata is None else metadata_from_text(metadata),
            fields.get("carry", False),
            body if has_mac else None,
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CorruptDataError(
            "a journal record has a right checksum and wrong contents"
        ) from error


def _decode_operation(row: Sequence[bytes]) -> Operation | PutMany:
    kind = bytes(row[0])
    decode = encoding.decode
    if kind == b'"put"':
        documents = encoding.split_object(row[2])
        values = [bytes(value) for value in documents.values()]
        return PutMany(list(documents), values, from_text(decode(row[1])))
    fields = [decode(item) for item in row[1:]]
    match kind:
        case b'"delete"':
            return Delete(fields[0], fields[1])
        case b'"move"':
            return Move(fields[0], from_text(fields[1]), from_text(fields[2]))
        case b'"seal"':
            sealed = [base64.b64decode(value) for value in fields[1].values()]
            return PutMany(list(fields[1]), sealed, from_text(fields[0]), True)
        case b'"clear"':
            return Clear()
    raise ValueError(f"unknown operation {kind!r}")


def _is_record_behind(data: bytes, position: int, seed: int) -> bool:
    """Tell whether there is a whole record: then what is before it is damage, not a torn tail.

    It need not begin a line: what is damaged may be the end of the line before it.
    """
    while match := _RECORD_START.search(data, position):
        stop = data.find(b"\n", match.start()) + 1
        if stop and decode_record(data[match.start() : stop], seed) is not None:
            return True
        position = match.end()
    return False
