"""Checkpoints that were cut short behind the remainders: what is read then, and what if it rots."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.core.operation import Batch, Delete, Put, Record
from grebe.errors import CorruptDataError, PersistenceError
from grebe.persistence.formats.partition import decode_header
from grebe.persistors.file import checkpoint, names, persistor, remainder
from grebe.testing import SimulatedFileSystem
from tests.crash.harness import ROUNDS, SEED
from tests.crash.oracle import DIRECTORY
from tests.crash.specimens import Files, disk_of, files_of, open_in, value

DOCUMENTS = 300
FLIPS = 150 * ROUNDS
FILES = ("a.json", "a.encrypted.json")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    log = logging.getLogger("grebe")
    log.disabled = True
    yield
    log.disabled = False


def fail(*_: Any, **__: Any) -> Any:
    raise OSError(5, "pulled out")


def sealed(number: int, revision: int) -> bytes:
    return b"sealed %d %d" % (number, revision)


def documents_of(store: Any) -> list[Record]:
    """Return the documents in order, plain ones first."""
    return sorted(store.load(None), key=lambda record: record.encrypted)


def cut_short(patch: pytest.MonkeyPatch) -> tuple[Files, list[Record]]:
    """Return the files of a store that died behind its remainders, and its documents in order."""
    fs = SimulatedFileSystem()
    store = open_in(fs)
    many = range(DOCUMENTS)
    store.commit(Batch(Put(f"u/{n}", value(n, 0), "a") for n in many))
    store.commit(Batch(Put(f"s/{n}", sealed(n, 0), "a", True) for n in many))
    store.checkpoint()
    store.commit(Batch((Put("u/1", value(1, 1), "a"), Put("u/new", value(0, 1), "a"))))
    store.commit(Batch((Delete("u/5"), *(Put(f"u/{n}", value(n, 2), "a") for n in many[::3]))))
    store.commit(Batch(Put(f"s/{n}", sealed(n, 3), "a", True) for n in many[1::2]))
    store.commit(Batch((Delete("u/6"), Put("u/6", value(6, 4), "a"))))
    before = documents_of(store)
    with patch.context() as context:
        context.setattr(persistor, "write_partitions", fail)
        with pytest.raises(PersistenceError):
            store.checkpoint()
    assert documents_of(store) == before
    store.close()
    return files_of(fs), before


def header_of(files: Files, name: str) -> Any:
    return decode_header(files[name], name)


def test_the_same_documents_in_the_same_order(monkeypatch: pytest.MonkeyPatch):
    """A remainder with its journals reads as the partition; then the partition takes its place."""
    files, before = cut_short(monkeypatch)
    assert [header_of(files, name).awaits for name in FILES] == [7, 6]
    assert b'"u/0":null,\n' in files["a.json"]
    assert b'"s/1":"",\n' in files["a.encrypted.json"]
    fs = disk_of(files)
    for _ in range(2):
        store = open_in(fs, on_corruption="raise")
        assert documents_of(store) == before
        assert store.recovery.clean
        store.close()
    store.open()
    store.commit(Batch((Put("u/9", value(9, 9), "a"),)))
    store.checkpoint()
    store.close()
    for name in FILES:
        assert not header_of(files_of(fs), name).awaits
        assert header_of(files_of(fs), name).text.startswith(b'{"grebe":{"format":1,')
    store.open()
    expected = [r._replace(value=value(9, 9)) if r.path == "u/9" else r for r in before]
    assert documents_of(store) == expected
    store.close()


def test_written_once(monkeypatch: pytest.MonkeyPatch):
    """A checkpoint that failed behind the remainders does not write them again."""
    files, _ = cut_short(monkeypatch)
    store = open_in(disk_of(files))
    written: list[str] = []
    monkeypatch.setattr(remainder, "write_file", lambda *given: written.append(given[2]))
    store.checkpoint()
    store.close()
    assert written == []


@pytest.mark.parametrize("what", ["gone", "cut"])
def test_without_the_commits_it_waits_for(monkeypatch: pytest.MonkeyPatch, what: str):
    """It is damaged then, as is said; what has no value is lost, and never served."""
    files, before = cut_short(monkeypatch)
    files = dict(files)
    for name in [name for name in files if names.journal_number(name) is not None]:
        data = files.pop(name)
        if what == "cut":  # in the commit that a.encrypted.json waits for, which others follow
            at = data.index(b'{"lsn":6,') + 30
            files[name] = data[:at] + b"#" + data[at + 1 :]
    with pytest.raises(CorruptDataError):
        documents_of(open_in(disk_of(files), on_corruption="raise"))
    fs = disk_of(files)
    store = open_in(fs)
    found = {(record.path, record.encrypted): record.value for record in store.load(None)}
    recovery = store.recovery
    assert not recovery.clean
    assert recovery.lost > 0
    assert any("which is lost" in message and "a.json" in message for message in recovery.messages)
    assert b"null" not in found.values()
    assert b"" not in found.values()
    kept = {(r.path, r.encrypted): r.value for r in before}
    if what == "gone":
        left = {path: data for path, data in kept.items() if path in found and path[0] != "u/6"}
        assert {path: found[path] for path in left} == left
        assert ("s/1", True) not in found
    else:
        assert found["u/3", False] == value(3, 2)  # the journal has this one all the same
    store.close()
    store.open()
    again = {(record.path, record.encrypted): record.value for record in store.load(None)}
    assert again == found
    assert store.recovery.clean
    store.close()


@pytest.mark.parametrize("last", [3, 4, 5])
def test_before_others_have_the_numbers_it_waits_for(monkeypatch: pytest.MonkeyPatch, last: int):
    """That its commits are lost is found when opening: later ones would look like those."""
    files, _ = cut_short(monkeypatch)
    (journal,) = [name for name in files if names.journal_number(name) is not None]
    end = files[journal].index(b'{"lsn":%d,' % (last + 1))
    fs = disk_of({**files, journal: files[journal][:end]})
    store = open_in(fs)
    for n in range(5):  # nobody reads what is in the other partition
        store.commit(Batch((Put(f"v/{n}", value(n, 5), "b"),)))
    assert not store.recovery.clean
    store = open_in(disk_of(files_of(fs)))
    found = {record.path: record.value for record in store.load(None)}
    store.close()
    assert found["v/4"] == value(4, 5)
    assert b"null" not in found.values()
    assert b"" not in found.values()


def test_without_manifest_and_journals(monkeypatch: pytest.MonkeyPatch):
    """A partition that is newer does not stand for the commits that a remainder waits for."""
    files, _ = cut_short(monkeypatch)
    fs = disk_of(files)
    store = open_in(fs)
    write, written = checkpoint.write_file, 0

    def write_once(*given: Any) -> None:
        nonlocal written
        if written:
            fail()
        written += 1
        write(*given)

    with monkeypatch.context() as context:
        context.setattr(checkpoint, "write_file", write_once)
        with pytest.raises(PersistenceError):
            store.checkpoint()
    store.close()
    left = {name: data for name, data in files_of(fs).items() if name in FILES}
    assert [header_of(left, name).awaits for name in FILES] == [0, 6]
    store = open_in(disk_of(left))
    found = [record.value for record in store.load(None)]
    assert not store.recovery.clean
    store.close()
    assert b"null" not in found
    assert b"" not in found


def test_without_the_manifest(monkeypatch: pytest.MonkeyPatch):
    """The manifest that is made anew does not list a remainder as the partition."""
    files, before = cut_short(monkeypatch)
    fs = disk_of({name: data for name, data in files.items() if name != names.MANIFEST})
    store = open_in(fs)
    assert documents_of(store) == before
    store.close()
    store.open()
    assert documents_of(store) == before
    store.checkpoint()
    store.close()
    assert [header_of(files_of(fs), name).awaits for name in FILES] == [0, 0]
    store.open()
    assert documents_of(store) == before
    assert store.recovery.clean
    store.close()


def test_mended_by_hand(monkeypatch: pytest.MonkeyPatch):
    """What somebody mended in it is taken; what it lacks is in the journals all the same."""
    files, before = cut_short(monkeypatch)
    old = b'"u/2":' + value(2, 0)
    assert old in files["a.json"]
    mended = files["a.json"].replace(old, b'"u/2":{"n":"mended"}')
    store = open_in(disk_of({**files, "a.json": mended}), mend=True)
    found = {(record.path, record.encrypted): record.value for record in store.load(None)}
    store.close()
    wanted = {(record.path, record.encrypted): record.value for record in before}
    assert found == {**wanted, ("u/2", False): b'{"n":"mended"}'}


@pytest.mark.slow
def test_flipped_bits(monkeypatch: pytest.MonkeyPatch):
    """A remainder that rots is noticed; what the journals have is there, and all else is whole."""
    files, before = cut_short(monkeypatch)
    rng = random.Random(SEED)
    right = {(r.path, r.encrypted): r.value for r in before}
    for number in range(FLIPS):
        name = FILES[number % 2]
        data = bytearray(files[name])
        end = len(data) if number % 4 < 2 else data.index(b"\n") + 20
        data[at := rng.randrange(end)] ^= 1 << (bit := rng.randrange(8))
        where = f"seed {SEED}: {name}, bit {bit} of byte {at}"
        fs = disk_of({**files, name: bytes(data)})
        try:
            store = open_in(fs)
        except PersistenceError:  # it says that it is of another format
            assert data[at - 10 : at] == b'{"format":', where
            continue
        found = {(r.path, r.encrypted): r.value for r in store.load(None)}
        assert not store.recovery.clean, where
        assert found.items() <= right.items(), where
        assert ("u/3", False) in found, where
        assert found["s/1", True] == sealed(1, 3), where
        store.close()
        assert f"{DIRECTORY}/{name}.corrupt-1" in fs.view(), where


def test_in_an_encrypted_store(
    directory: Path, open_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    """Remainders are authentic, of plain documents and of encrypted ones."""
    key = bytes(32)

    def look(store: Any) -> dict[str, Any]:
        return {
            doc.path: doc.data for name in ("plain", "secret") for doc in store.collection(name)
        }

    with grebe.open(directory, encryption_key=key) as store:
        store.collection("secret", encrypted=True)
        for name in ("plain", "secret"):
            store.collection(name).create_many({str(n): {"n": n} for n in range(20)})
    store = open_store(directory, encryption_key=key)
    store.collection("secret", encrypted=True)
    for name in ("plain", "secret"):
        for n in range(0, 20, 2):
            store.collection(name).doc(str(n)).set({"n": -n})
    store.commit()
    wanted = look(store)
    with monkeypatch.context() as context:
        context.setattr(persistor, "write_partitions", fail)
        with pytest.raises(PersistenceError):
            store.checkpoint()
    for name in ("__store__.json", "__store__.encrypted.json"):
        assert decode_header((directory / name).read_bytes(), name).awaits
    reader = open_store(directory, encryption_key=key, read_only=True, on_corruption="raise")
    assert look(reader) == wanted
    assert reader.recovery.clean
    store.close()
    with grebe.open(directory, encryption_key=key, on_corruption="raise") as store:
        assert look(store) == wanted
        assert store.recovery.clean
