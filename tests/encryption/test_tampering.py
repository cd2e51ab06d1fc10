"""Somebody who changes files on purpose, and knows the formats but not the key, is noticed.

Checksums are no help against that: whatever is changed here gets right ones again.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest

import grebe
from tests.encryption.sealed import KEY, OTHER_KEY
from tests.encryption.test_store import contents

OpenStore = Callable[..., grebe.Store]

pytestmark = pytest.mark.usefixtures("no_ambient_key")

MANIFEST = "__manifest__.json"
OLD = {"secrets/1": "old", "secrets/2": "old", "more/1": "old", "plain/1": "old"}
NEW = {"secrets/1": "new", "secrets/2": "new", "more/1": "new", "plain/1": "new"}


def write(store: grebe.Store, documents: dict[str, str]) -> None:
    store.collection("secrets", encrypted=True, partition="s")
    store.collection("more", encrypted=True, partition="m")
    store.collection("plain", partition="p")
    with store.batch():
        for path, value in documents.items():
            store.doc(path).set(value)


@pytest.fixture
def old(open_store: OpenStore, directory: Path, tmp_path: Path) -> Path:
    """Return a copy of the store as it was before `directory` was written once more."""
    with open_store(directory, encryption_key=KEY) as store:
        write(store, OLD)
    copy = tmp_path / "old"
    shutil.copytree(directory, copy)
    with open_store(directory, encryption_key=KEY) as store:
        write(store, NEW)
    return copy


def opened(directory: Path) -> tuple[dict[str, str], grebe.RecoveryReport]:
    """Open twice; return what is there, and what the first opening reported."""
    with grebe.open(directory, encryption_key=KEY) as store:
        found, report = contents(store), store.recovery
    with grebe.open(directory, encryption_key=KEY) as store:
        assert contents(store) == found
        assert store.recovery.clean, "what was noticed once is mended"
    return found, report


def refused(directory: Path) -> None:
    """Check that on_corruption="raise" refuses the directory and changes nothing."""
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(grebe.CorruptDataError):
        grebe.open(directory, encryption_key=KEY, on_corruption="raise").close()
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def reseal_line(line: bytes, seed: int = 0) -> bytes:
    """Return a line with the right crc32 at its end."""
    body, _, end = line.rpartition(b',"crc32":"')
    return body + b',"crc32":"%08x' % crc32(body, seed) + end[8:]


def reseal_manifest(data: bytes) -> bytes:
    """Return a manifest with the right crc32."""
    bare = re.sub(rb',"crc32":"[0-9a-f]{8}"', b"", data, count=1)
    at = data.index(b',"crc32":"')
    return bare[:at] + b',"crc32":"%08x"' % crc32(bare) + bare[at:]


def reseal_partition(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change the document lines of a small partition file, and put everything right but the MAC."""
    lines = path.read_bytes().splitlines(keepends=True)
    documents = [line.rstrip(b",\n") for line in lines[2:-1]]
    changed = change(documents)
    block = b",\n".join(changed) + b"\n"
    header = json.loads(lines[0].rstrip(b",\n") + b"}")["grebe"]
    header.update(documents=len(changed), blocks=[f"{crc32(block):08x}"], sizes=[len(block)])
    line = b'{"grebe":' + json.dumps(header, separators=(",", ":")).encode() + b",\n"
    path.write_bytes(reseal_line(line) + lines[1] + block + lines[-1])


def relist(directory: Path, name: str) -> None:
    """Have the manifest list a partition file as it is now; its MACs stay."""
    line = (directory / name).read_bytes().splitlines()[0]
    header = json.loads(line.rstrip(b",") + b"}")["grebe"]
    manifest = json.loads((directory / MANIFEST).read_bytes())
    size = (directory / name).stat().st_size
    listed = {k: header[k] for k in ("lsn", "documents", "crc32", "mac")}
    manifest["partitions"][name].update(listed, size=size)
    text = json.dumps(manifest, separators=(",", ":")).encode()
    (directory / MANIFEST).write_bytes(reseal_manifest(text))


@pytest.mark.parametrize("listed", [False, True], ids=["alone", "and listed"])
@pytest.mark.parametrize("name", ["s.encrypted.json", "p.json"])
def test_an_older_partition_file(directory: Path, old: Path, name: str, listed: bool) -> None:
    """Rolled back by itself, or with the manifest made to fit: noticed."""
    shutil.copy(old / name, directory / name)
    if listed:
        relist(directory, name)
    refused(directory)
    found, report = opened(directory)
    assert not report.clean
    if not listed:
        assert "old" not in found.values(), "nothing old is served"


@pytest.mark.parametrize("name", ["s.encrypted.json", "p.json"])
def test_an_older_file_with_a_newer_number(directory: Path, old: Path, name: str) -> None:
    """As if a checkpoint had been cut short: noticed, and nothing of it is taken."""
    text = (directory / MANIFEST).read_bytes()
    lsn = json.loads(text)["grebe"]["lsn"]
    lines = (old / name).read_bytes().splitlines(keepends=True)
    lines[0] = reseal_line(re.sub(rb'"lsn":\d+', b'"lsn":%d' % (lsn + 1), lines[0]))
    (directory / name).write_bytes(b"".join(lines))
    refused(directory)
    found, report = opened(directory)
    assert not report.clean
    assert "old" not in found.values()


@pytest.mark.parametrize("name", ["s.encrypted.json", "p.json", MANIFEST])
def test_a_missing_file(directory: Path, old: Path, name: str) -> None:
    """Taken away: noticed."""
    (directory / name).unlink()
    refused(directory)
    _, report = opened(directory)
    assert not report.clean


def test_an_older_manifest(directory: Path, old: Path) -> None:
    """With newer partition files: noticed, and the newer documents count."""
    shutil.copy(old / MANIFEST, directory / MANIFEST)
    refused(directory)
    found, report = opened(directory)
    assert not report.clean
    assert found == NEW


def test_swapped_files(directory: Path, old: Path) -> None:
    """Each in the place of the other, headers and list made to fit: noticed, nothing is served."""
    one, two = directory / "s.encrypted.json", directory / "m.encrypted.json"
    a, b = one.read_bytes(), two.read_bytes()
    for path, data, name in ((one, b, b"s"), (two, a, b"m")):
        lines = data.splitlines(keepends=True)
        lines[0] = re.sub(rb'"partition":"."', b'"partition":"%b"' % name, lines[0])
        path.write_bytes(b"".join([reseal_line(lines[0]), *lines[1:]]))
        relist(directory, path.name)
    refused(directory)
    found, report = opened(directory)
    assert not report.clean
    assert found == {"plain/1": "new"}


def test_swapped_records(directory: Path, old: Path) -> None:
    """Two records of a file, each under the address of the other: noticed."""
    name = "s.encrypted.json"

    def swap(lines: list[bytes]) -> list[bytes]:
        (a, x), (b, y) = (line.split(b":", 1) for line in lines)
        return [a + b":" + y, b + b":" + x]

    reseal_partition(directory / name, swap)
    relist(directory, name)
    refused(directory)
    found, report = opened(directory)
    assert not report.clean
    assert not any(path.startswith("secrets") for path in found)


def test_an_older_or_missing_record(directory: Path, old: Path) -> None:
    """One record as it was, or none where one was: sealed right, and noticed all the same."""
    name = "s.encrypted.json"
    before = (old / name).read_bytes().splitlines()[2:-1]
    for change in (
        lambda lines: [before[0].rstrip(b","), lines[1]],
        lambda lines: lines[:1],
        lambda lines: [*lines, lines[0].replace(b'"', b'"0', 1)],
    ):
        copy = directory.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(directory, copy)
        reseal_partition(copy / name, change)
        relist(copy, name)
        refused(copy)
        found, report = opened(copy)
        assert not report.clean
        assert "old" not in found.values()


def test_another_stores_file(open_store: OpenStore, directory: Path, old: Path) -> None:
    """Of a store with the same key: its documents are not opened."""
    other = directory.parent / "other"
    with open_store(other, encryption_key=KEY) as store:
        write(store, dict.fromkeys(NEW, "other"))
    name = "s.encrypted.json"
    store_id = json.loads((directory / MANIFEST).read_bytes())["grebe"]["store"].encode()
    lines = (other / name).read_bytes().splitlines(keepends=True)
    lines[0] = reseal_line(re.sub(rb'"store":"\w+"', b'"store":"%b"' % store_id, lines[0]))
    (directory / name).write_bytes(b"".join(lines))
    relist(directory, name)
    refused(directory)
    found, report = opened(directory)
    assert not report.clean
    assert "other" not in found.values()


# --- journals


@pytest.fixture
def killed(directory: Path, tmp_path: Path) -> Path:
    """Return a directory with a journal of three commits, as a kill leaves it."""
    with grebe.open(directory, encryption_key=KEY) as store:
        write(store, OLD)
    store = grebe.open(directory, encryption_key=KEY)
    copy = tmp_path / "killed"
    for value in ("first", "second", "third"):
        write(store, dict.fromkeys(NEW, value))
        store.commit()
    shutil.copytree(directory, copy)
    store.close()
    return copy


def journal_in(directory: Path) -> Path:
    return next(directory.glob("journal-*"))


def change_journal(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change the records of a journal and give them right checksums."""
    lines = path.read_bytes().splitlines(keepends=True)
    head = lines[0]
    seed = crc32(head[: head.rindex(b',"crc32":')])
    records = [line for line in lines[1:] if line.startswith(b"{")]
    path.write_bytes(head + b"".join(reseal_line(line, seed) for line in change(records)))


def test_the_journal_as_it_is(killed: Path) -> None:
    """A kill is no damage."""
    found, report = opened(killed)
    assert report.clean
    assert set(found.values()) == {"third"}


def test_a_missing_journal(killed: Path) -> None:
    """Taken away as a whole: noticed, by the manifest."""
    journal_in(killed).unlink()
    refused(killed)
    _, report = opened(killed)
    assert not report.clean


def test_a_changed_journal(killed: Path) -> None:
    """A plain value, or a sealed one, changed in place: noticed, and not served."""
    for pattern in (rb'"second', rb'/[0-9a-f]{32}":"A'):
        copy = killed.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(killed, copy)

        def change(lines: list[bytes], pattern: bytes = pattern) -> list[bytes]:
            at = re.search(pattern, lines[1])
            assert at is not None
            end = at.end() - 1
            return [lines[0], lines[1][:end] + b"e" + lines[1][end + 1 :], lines[2]]

        change_journal(journal_in(copy), change)
        refused(copy)
        found, report = opened(copy)
        assert not report.clean
        assert set(found.values()) == {"first"}


def test_an_older_journal(killed: Path, directory: Path) -> None:
    """Records of an earlier time under new numbers: noticed."""

    def change(lines: list[bytes]) -> list[bytes]:
        lsn = int(lines[-1][7:].split(b",")[0])
        return [*lines, re.sub(rb'"lsn":\d+', b'"lsn":%d' % (lsn + 1), lines[0])]

    change_journal(journal_in(killed), change)
    refused(killed)
    found, report = opened(killed)
    assert not report.clean
    assert set(found.values()) == {"third"}


def test_invented_records(killed: Path) -> None:
    """Without a MAC a record may concern plain documents only, as of one without the key."""
    text = (killed / "s.encrypted.json").read_bytes()
    address = re.findall(rb'"([0-9a-f/]{65})"', text)[0].decode()
    sealed = json.loads(text)["documents"][address]
    for operation, counts in (
        (["seal", "s", {address: sealed}], False),
        (["clear"], False),
        (["delete", address, True], True),
        (["put", "p", {"plain/1": "forged"}], True),
    ):
        copy = killed.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(killed, copy)

        def change(lines: list[bytes], operation: list[object] = operation) -> list[bytes]:
            lsn = int(lines[-1][7:].split(b",")[0])
            text = json.dumps([operation], separators=(",", ":")).encode()
            return [*lines, b'{"lsn":%d,"operations":%b,"crc32":"00000000"}\n' % (lsn + 1, text)]

        change_journal(journal_in(copy), change)
        found, report = opened(copy)
        assert report.clean == counts
        assert any("without its key" in message for message in report.messages) == counts
        assert {v for path, v in found.items() if path != "plain/1"} == {"third"}
        assert len(found) == len(NEW)


# --- without the key


def test_the_plain_part_without_the_key(
    open_store: OpenStore, killed: Path, directory: Path, old: Path
) -> None:
    """Used and checkpointed, after a kill or not; with the key again all is there, and said."""
    for place, value in ((killed, "third"), (directory, "new")):
        for text in ("blind", "again"):
            with open_store(place) as store:
                assert contents(store)["plain/1"] in (value, "blind")
                store.collection("plain", partition="p").doc("1").set(text)
                store.doc("other/1").set(text)
                store.checkpoint()
        found, report = opened(place)
        assert found == {**dict.fromkeys(NEW, value), "plain/1": "again", "other/1": "again"}
        assert report.clean
        assert any("without its key" in message for message in report.messages)


def test_an_encrypted_file_changed_meanwhile(
    open_store: OpenStore, directory: Path, old: Path
) -> None:
    """Who writes the manifest without the key cannot bring back an older encrypted file."""
    with open_store(directory) as store:
        store.doc("other/1").set(1)
    shutil.copy(old / "s.encrypted.json", directory)
    relist(directory, "s.encrypted.json")
    refused(directory)
    found, report = opened(directory)
    assert not report.clean
    assert found["plain/1"] == "new"


def test_a_damaged_encrypted_file_without_the_key(
    open_store: OpenStore, directory: Path, old: Path
) -> None:
    """It is left for who has the key: mended without, it would count as forged."""
    path = directory / "s.encrypted.json"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with open_store(directory) as store:
        store.collection("plain", partition="p").doc("1").set("blind")
        store.checkpoint()
        assert not store.recovery.clean
    found, report = opened(directory)
    assert not report.clean
    assert found["plain/1"] == "blind"
    assert path.with_name("s.encrypted.json.corrupt-1").read_bytes() == data


def test_a_lost_manifest(open_store: OpenStore, directory: Path, old: Path) -> None:
    """What leads from the key to the documents is in the partition files too."""
    (directory / MANIFEST).unlink()
    with pytest.raises(grebe.EncryptionError, match="wrong"):
        grebe.open(directory, encryption_key=OTHER_KEY)
    found, report = opened(directory)
    assert not report.clean
    assert found == NEW
