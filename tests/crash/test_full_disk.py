"""A full disk: commits fail as a whole, reading and deleting go on, and room brings it all back."""

from __future__ import annotations

import errno

import pytest

import grebe
from grebe.errors import PersistenceError
from grebe.persistors.file.persistor import FilePersistor
from grebe.testing import SimulatedFileSystem
from tests.crash.oracle import DIRECTORY

ROOM = 4096
BIG = "x" * 20_000


def open_store(fs: SimulatedFileSystem, **options) -> grebe.Store:
    persistor = FilePersistor(DIRECTORY, file_system=fs, on_corruption="raise", **options)
    return grebe.open(persistor, commit_interval=3600)


def contents(fs: SimulatedFileSystem) -> dict[str, object]:
    """Return what another process would read now."""
    persistor = FilePersistor(DIRECTORY, file_system=fs, read_only=True, on_corruption="raise")
    with grebe.open(persistor, read_only=True) as reader:
        return {snapshot.id: snapshot.data["n"] for snapshot in reader.collection("u").get()}


def failure(store: grebe.Store) -> PersistenceError | None:
    try:
        store.commit()
    except PersistenceError as error:
        return error
    return None


def fill(fs: SimulatedFileSystem, store: grebe.Store) -> int:
    """Commit until the disk is full; return how many commits were acknowledged."""
    fs.capacity_bytes = fs.used_bytes + 10 * len(BIG) + 3000
    for number in range(1000):
        store.doc(f"u/{number}").set({"n": number, "text": BIG})
        error = failure(store)
        if error is not None:
            assert error.errno == errno.ENOSPC
            assert isinstance(error.__cause__, OSError)
            return number
    raise AssertionError("the disk never became full")


def test_room_for_later_commits_is_not_needed():
    """A commit that fits is acknowledged, also when the journal's room does not fit any more."""
    fs = SimulatedFileSystem()
    store = open_store(fs)
    for number in range(2):
        store.doc("u/1").set({"n": number})
        store.commit()
    while len(fs.read(journal_of(fs)).rstrip(b" ")) < len(fs.read(journal_of(fs))) - 200:
        store.doc("u/1").update(n=store.doc("u/1").get().data["n"] + 1)
        store.commit()
    fs.capacity_bytes = fs.used_bytes + 150
    store.doc("u/2").set({"n": 0, "text": "x" * 130})
    store.commit()
    assert fs.used_bytes == fs.capacity_bytes
    assert contents(fs)["2"] == 0
    fs.capacity_bytes = None
    store.close()


def journal_of(fs: SimulatedFileSystem) -> str:
    (name,) = (path for path in fs.view() if "journal-" in path)
    return name


@pytest.fixture
def fs() -> SimulatedFileSystem:
    return SimulatedFileSystem()


def test_reading_goes_on_and_room_brings_everything_back(fs):
    """Memory keeps what could not be committed, the files the last commit; nothing is lost."""
    store = open_store(fs)
    count = fill(fs, store)
    for _ in range(3):
        with pytest.raises(PersistenceError):
            store.commit()
    assert len(store.collection("u").get()) == count + 1
    assert contents(fs) == {str(number): number for number in range(count)}
    fs.capacity_bytes = None
    store.doc("u/last").set({"n": -1})
    store.commit()
    assert contents(fs) == {str(n): n for n in range(count + 1)} | {"last": -1}
    store.close()
    assert contents(fs) == {str(n): n for n in range(count + 1)} | {"last": -1}


def test_attempts_take_no_room(fs):
    """However often a commit fails, the disk does not become fuller by it."""
    store = open_store(fs)
    fill(fs, store)
    used, names = set(), set()
    for _ in range(5):
        with pytest.raises(PersistenceError):
            store.commit()
        used.add(fs.used_bytes)
        names.add(len(fs.list_directory(DIRECTORY)))
    assert len(used) == len(names) == 1
    fs.capacity_bytes = None
    store.close()


def test_a_store_on_a_full_disk_can_be_opened_and_read(fs):
    """Opening needs no room, neither after a kill nor after closing."""
    store = open_store(fs)
    count = fill(fs, store)
    for disk in (fs.disk, SimulatedFileSystem(fs.disk.image(())).disk):
        full = SimulatedFileSystem(disk=disk)
        full.capacity_bytes = full.used_bytes
        opened = open_store(full)
        assert len(opened.collection("u").get()) == count
        opened.doc("u/0").delete()
        with pytest.raises(PersistenceError):
            opened.commit()
        assert opened.doc("u/0").get() is None
        full.capacity_bytes = None
        opened.close()
        assert len(contents(full)) == count - 1
    fs.capacity_bytes = None
    store.close()


def test_deleting_makes_room(fs):
    """With room for a small commit, deleting and a checkpoint free what the documents took."""
    store = open_store(fs)
    count = fill(fs, store)
    fs.capacity_bytes = fs.used_bytes + ROOM
    store.collection("u").delete()
    store.commit()
    assert contents(fs) == {}
    store.checkpoint()
    assert fs.used_bytes < ROOM
    assert count > 3
    store.close()
