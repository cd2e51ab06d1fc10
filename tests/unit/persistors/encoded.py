"""Small files of each format, and what they hold, for the tests of this folder."""

from __future__ import annotations

from grebe.core.operation import Operation, Put
from grebe.persistence.formats.journal import JournalRecord, encode_journal_header, encode_record
from grebe.persistence.formats.partition import decode_documents, decode_header, encode_partition
from grebe.persistors.file.manifest import Manifest, PartitionFile, encode_manifest

STORE = "0123456789abcdef"

ODD_PATHS = [
    'a/"',
    "a/\\",
    'a/\\"',
    "a/line\nend",
    "a/\r\t\x01\x7f",
    "a/\u2028\u2029\x85",
    "a/😀",
    'a/x":{"y',
    'a/":',
    'a/\\":1,\n',
    'a/","b/1":2',
    "a/}}\n",
    "a/..",
    "a/ ",
    "a/%2f",
    'grebe/1/"crc32":"/x',
]


def partition_of(documents: dict[str, bytes], name: str, encrypted: bool) -> bytes:
    _, parts = encode_partition(STORE, name, encrypted, 7, iter(documents.items()))
    return b"".join(parts)


def documents_in(data: bytes) -> dict[str, bytes]:
    header = decode_header(data, "file")
    found: dict[str, bytes] = {}
    for group in decode_documents(data, header, "file"):
        for record in group.records():
            assert (record.partition, record.encrypted) == (header.partition, header.encrypted)
            assert record.path not in found
            found[record.path] = bytes(record.value)
    return found


def journal_of(records: list[JournalRecord]) -> bytes:
    header, seed = encode_journal_header(STORE, 3)
    return header + b"".join(part for record in records for part in encode_record(record, seed))


def operations_in(record: JournalRecord) -> list[Operation]:
    """Return a record's operations, bulk puts one by one."""
    found: list[Operation] = []
    for operation in record.operations:
        if type(operation).__name__ == "PutMany":
            path, values, partition, encrypted = operation
            pairs = zip(path, values, strict=True)
            found += [Put(p, bytes(v), partition, encrypted) for p, v in pairs]
        else:
            found.append(operation)
    return found


def manifest_of() -> bytes:
    listed = PartitionFile("users", False, 7, 2, 120, "1c291ca3")
    other = PartitionFile("b", True, 5, 1, 99, "9ae0daaf")
    return encode_manifest(
        Manifest(
            STORE,
            7,
            {"users.json": listed, "b.encrypted.json": other},
            ("old.json",),
            b'{"resolver":{"users":["users"]}}',
        )
    )
