"""Partition, journal and manifest files: what was encoded is decoded, what was damaged is not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grebe.core.operation import Clear, Delete, Move, Operation, PathsIn, Put, PutMany
from grebe.core.text import from_text, to_text
from grebe.errors import CorruptDataError
from grebe.persistence.formats.journal import (
    WRITE_BYTES,
    Journal,
    JournalRecord,
    decode_journal,
    decode_record,
    encode_journal_header,
    encode_record,
)
from grebe.persistence.formats.partition import decode_header
from grebe.persistors.file.manifest import (
    Manifest,
    PartitionFile,
    decode_manifest,
    encode_manifest,
)
from tests.unit.persistors.encoded import (
    ODD_PATHS,
    documents_in,
    journal_of,
    manifest_of,
    operations_in,
    partition_of,
)

# The first example builds tables of characters, which takes seconds on a busy machine.
SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
STORE = "0123456789abcdef"
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
SEGMENT = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=8
)
PATH = st.one_of(
    st.sampled_from(ODD_PATHS), st.tuples(SEGMENT, SEGMENT).map(lambda pair: "/".join(pair))
)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SEGMENT, inner, max_size=3),
    max_leaves=5,
).map(lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


@SETTINGS
@given(ANY_TEXT)
def test_text_carries_every_name(name: str):
    """Any str comes back from the text that JSON can carry."""
    text = to_text(name)
    text.encode()
    assert from_text(text) == name


@pytest.mark.slow
@SETTINGS
@given(st.dictionaries(PATH, VALUE, max_size=12), ANY_TEXT, st.booleans())
def test_partition_round_trip(documents: dict[str, bytes], name: str, encrypted: bool):
    """A partition file gives its documents back, and is JSON that others read."""
    data = partition_of(documents, name, encrypted)
    header = decode_header(data, "file")
    assert (header.partition, header.encrypted, header.lsn) == (name, encrypted, 7)
    assert documents_in(data) == documents
    found = json.loads(data)["documents"]
    if encrypted:  # sealed bytes, which are no JSON
        assert {p: base64.b64decode(v) for p, v in found.items()} == documents
    else:
        assert found == {p: json.loads(v) for p, v in documents.items()}


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 511, 512, 513, 1025])
def test_partition_of_many_blocks(count: int):
    """Blocks begin and end right whatever the number of documents."""
    documents = {f"users/{n}": b'{"n":%d}' % n for n in range(count)}
    data = partition_of(documents, "users", False)
    assert documents_in(data) == documents
    assert len(decode_header(data, "file").blocks) == -(-count // 256)


OPERATION = st.one_of(
    st.builds(Put, PATH, VALUE, ANY_TEXT, st.just(False)),
    st.builds(Put, PATH, st.binary(max_size=20), ANY_TEXT, st.just(True)),
    st.builds(Delete, PATH, st.booleans()),
    st.builds(Move, PATH, ANY_TEXT, ANY_TEXT),
    st.just(Clear()),
)


@pytest.mark.slow
@SETTINGS
@given(
    st.lists(st.lists(OPERATION, max_size=6), max_size=4),
    st.one_of(st.none(), st.binary(max_size=20), st.just(b'{"resolver":{}}')),
)
def test_journal_round_trip(commits: list[list[Operation]], metadata: bytes | None):
    """A journal gives its commits back, in order; each line is JSON."""
    records = [
        JournalRecord(5 + number, tuple(operations), metadata)
        for number, operations in enumerate(commits)
    ]
    data = journal_of(records)
    journal = decode_journal(data, "file")
    assert (journal.store, journal.number, journal.torn_bytes) == (STORE, 3, 0)
    assert [(r.lsn, r.metadata, r.carry) for r in journal.records] == [
        (r.lsn, r.metadata, r.carry) for r in records
    ]
    for found, wanted in zip(journal.records, records, strict=True):
        assert _effect(operations_in(found)) == _effect(list(wanted.operations))
    for line in data.splitlines():
        json.loads(line)


def _effect(operations: list[Operation]) -> list[object]:
    """Return operations so that neighbouring puts of a path in a partition count as the last."""
    found: list[object] = []
    puts: dict[tuple[str, str, bool], bytes] = {}
    for operation in operations:
        if isinstance(operation, Put):
            puts[operation.path, operation.partition, operation.encrypted] = operation.value
        else:
            found += [puts, operation]
            puts = {}
    return [*found, puts]


@SETTINGS
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.builds(
            PartitionFile, ANY_TEXT, st.booleans(), st.integers(0, 2**50), st.just(3),
            st.integers(0, 2**50), st.just("0a0b0c0d"),
        ),
        max_size=3,
    ),
    st.lists(st.text(max_size=5), max_size=2),
    st.one_of(st.none(), st.binary(max_size=20), st.just(b'{"resolver":{"users":["a"]}}')),
)  # fmt: skip
def test_manifest_round_trip(partitions: dict, removed: list[str], metadata: bytes | None):
    """A manifest gives back what it was made of, and is JSON."""
    manifest = Manifest(STORE, 12, partitions, tuple(removed), metadata)
    data = encode_manifest(manifest)
    assert decode_manifest(data) == manifest
    json.loads(data)


# --- damage


def flips(data: bytes) -> list[bytes]:
    """Return the data with each single bit flipped."""
    return [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(len(data))
        for bit in range(8)
    ]


FILES: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "partition": (
        partition_of({'users/"\\😀': b'{"a":[1,2]}', "users/2": b"{}"}, "users", False),
        documents_in,
    ),
    "empty partition": (partition_of({}, "users", True), documents_in),
    "manifest": (manifest_of(), decode_manifest),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_every_flipped_bit_is_noticed(kind: str):
    """A file with any one bit flipped is never decoded."""
    data, decode = FILES[kind]
    decode(data)
    for damaged in flips(data):
        with pytest.raises(CorruptDataError):
            decode(damaged)


@pytest.mark.parametrize("kind", FILES)
def test_every_truncation_and_addition_is_noticed(kind: str):
    """A file cut off anywhere, or with anything behind it, is never decoded."""
    data, decode = FILES[kind]
    for length in range(len(data)):
        with pytest.raises(CorruptDataError):
            decode(data[:length])
    for more in (b"\n", b" ", b"\0", b"x", data):
        with pytest.raises(CorruptDataError):
            decode(data + more)


RECORDS = [
    JournalRecord(5, (Put("users/1", b'{"a":1}', "users"), Delete("users/2")), b'{"m":1}'),
    JournalRecord(6, (Move("users", "users", "b"), Put("b/1", b"seal", "b", True))),
    JournalRecord(7, (Put("users/3", b'{"text":"a\\nb","crc32":"00000000"}', "users"),)),
]


def read_journal(data: bytes) -> Journal | None:
    """Return a journal's commits, or None if it is found damaged."""
    try:
        journal = decode_journal(data, "file")
    except CorruptDataError:
        return None
    return None if getattr(journal, "damage", None) else journal


@pytest.mark.slow
def test_a_flipped_bit_in_a_journal_is_noticed():
    """In front of a valid record it is damage; in the last record it is the torn tail."""
    data = journal_of(RECORDS)
    last = len(journal_of(RECORDS[:-1]))
    whole = read_journal(data)
    assert whole is not None
    assert len(whole.records) == 3
    for at, damaged in enumerate(flips(data)):
        journal = read_journal(damaged)
        if at // 8 < last:
            assert journal is None, f"bit {at % 8} of byte {at // 8} goes unnoticed"
        else:
            assert journal is not None
            assert journal.records == whole.records[:-1]
            assert journal.torn_bytes == len(data) - last


def test_a_journal_cut_off_anywhere_keeps_what_is_whole():
    """Of a journal cut off at any length, exactly the whole records are read."""
    data = journal_of(RECORDS)
    ends = [len(journal_of(RECORDS[:count])) for count in range(4)]
    for length in range(len(data) + 1):
        journal = read_journal(data[:length])
        if length < ends[0]:
            assert journal is None
        else:
            assert journal is not None
            count = sum(end <= length for end in ends) - 1
            assert len(journal.records) == count
            assert journal.torn_bytes == length - ends[count]


@pytest.mark.parametrize("tail", [b"\0" * 700, b"\xff" * 9, b"\n", b"\n\n{}\n", b'{"lsn":8,"oper'])
def test_a_torn_tail_is_left_out(tail: bytes):
    """Zeros, garbage, line ends or half a record behind the last record are no commit."""
    journal = read_journal(journal_of(RECORDS) + tail)
    assert journal is not None
    assert len(journal.records) == 3
    assert journal.torn_bytes == len(tail)


def test_room_for_later_commits_is_no_tail():
    """Spaces behind the last record, or behind a torn one, are not counted."""
    for torn in (b"", b'{"lsn":8,"oper'):
        journal = read_journal(journal_of(RECORDS) + torn + b" " * 4096)
        assert journal is not None
        assert len(journal.records) == 3
        assert journal.torn_bytes == len(torn)


@pytest.mark.parametrize("middle", [b"", b"\0" * 10, b"\n", b'{"lsn":6}\n', b"x" * 40 + b"\n"])
def test_a_hole_in_front_of_valid_records_is_damage(middle: bytes):
    """A record that is missing or damaged in front of valid ones is never skipped."""
    header, seed = encode_journal_header(STORE, 3)
    first, _, third = (b"".join(encode_record(record, seed)) for record in RECORDS)
    assert read_journal(header + first + middle + third) is None


def test_a_record_of_another_journal_does_not_fit():
    """A record from another journal, or another store's, is not read."""
    header, _ = encode_journal_header(STORE, 3)
    for store, number in ((STORE, 4), ("f" * 16, 3)):
        _, seed = encode_journal_header(store, number)
        foreign = b"".join(encode_record(RECORDS[0], seed))
        journal = read_journal(header + foreign)
        assert journal is not None
        assert journal.records == []
        assert journal.torn_bytes == len(foreign)


def test_swapped_blocks_are_noticed():
    """The documents of one file in the place of another's are not read."""
    first = partition_of({"users/1": b"1"}, "users", False)
    second = partition_of({"users/1": b"2"}, "users", False)
    end = first.index(b"\n")
    with pytest.raises(CorruptDataError):
        documents_in(first[:end] + second[end:])


@SETTINGS
@given(st.binary(max_size=60))
def test_garbage_is_damage_and_nothing_else(data: bytes):
    """Whatever bytes a file holds, the answer is data or CorruptDataError."""
    for decode in (documents_in, decode_manifest, lambda d: decode_journal(d, "file")):
        with pytest.raises(CorruptDataError):
            decode(data)


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 600])
@pytest.mark.parametrize("odd", ["", "v/1", "u/1/w/2", "u/0/u/3", 'u/"', "u/a\nu/b", "u/\u00fc"])
def test_a_block_of_one_collection_and_an_odd_document(count: int, odd: str):
    """Documents of one collection are cut at once; any other among them, anywhere, is not lost."""
    documents = {f"u/{number}": b'{"u/7":{"a":",\\n"},"n":%d}' % number for number in range(count)}
    for place in (0, count // 2, count):
        mixed = list(documents.items())
        if odd:
            mixed.insert(place, (odd, b'{"u/1":[{"u/2":1}]}'))
        data = partition_of(dict(mixed), "p", False)
        assert list(documents_in(data).items()) == mixed


@pytest.mark.parametrize("path", [f"c/{path}" for path in ODD_PATHS if "/" not in path] + ['c/"\\'])
@pytest.mark.parametrize("partition", ["p", "", "\ud800\\"])
def test_a_single_put_is_written_like_many(path: str, partition: str):
    """The short way for what most commits are gives the same bytes."""
    for value in (b'{"a":1}', b"[1,\n2]"):
        single = JournalRecord(5, (Put(path, value, partition),), b"{}")
        several = JournalRecord(5, (PutMany([path], [value], partition),), b"{}")
        assert b"".join(encode_record(single, 7)) == b"".join(encode_record(several, 7))


def test_a_large_record_is_the_same_line_in_parts() -> None:
    """Of many documents, in one collection or by path, with other operations between them."""
    ids = [f'{number}"\\,' for number in range(2500)]
    values = [b'{"n":%d}' % number for number in range(2500)]
    paths = [f"users/{one}" for one in ids]
    lines = []
    for written in (PathsIn("users", ids), paths):
        many = PutMany(written, values, "p")
        record = JournalRecord(5, (many, Delete("users/1"), many), b"{}")
        parts = list(encode_record(record, 7))
        lines.append(b"".join(parts))
        assert all(len(part) < 3 * WRITE_BYTES for part in parts)
    assert lines[0] == lines[1]
    found = decode_record(lines[0], 7)
    assert found is not None
    puts = [list(part.puts()) for part in found.operations if isinstance(part, PutMany)]
    wanted = list(PutMany(paths, values, "p").puts())
    assert [put for some in puts for put in some] == wanted * 2


@pytest.mark.parametrize("encrypted", [False, True])
def test_percent_signs(encrypted: bool):
    """A percent sign in names and values is one, alone and among many."""
    documents = {f"100%/{name}": b'"%%b %d"' for name in ("%", "%b", "%%", "a")}
    puts = [Put(path, value, "50%b", encrypted) for path, value in documents.items()]
    ids = [path.removeprefix("100%/") for path in documents]
    many = PutMany(PathsIn("100%", ids), list(documents.values()), "50%b", encrypted)
    for operations in (tuple(puts), (many,)):
        data = journal_of([JournalRecord(1, operations)])
        (record,) = decode_journal(data, "file").records
        assert operations_in(record) == puts
