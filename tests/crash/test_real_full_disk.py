"""A disk that is really full: a small tmpfs; where mounting is not allowed, the simulated disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import grebe
from grebe.core.operation import Batch, Put
from grebe.errors import PersistenceError
from grebe.persistors.file.filesystem import FileSystem, OsFileSystem
from grebe.persistors.file.persistor import FilePersistor
from grebe.testing import SimulatedFileSystem
from tests.crash.harness import report

SIZE_BYTES = 1 << 20
BALLAST_BYTES = 800_000
TEXT = "x" * 3000
WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A disk with little room, and a way to make more."""

    kind: str
    directory: str
    fs: FileSystem
    make_room: Callable[[], object]

    def used_bytes(self) -> int:
        return sum(
            self.fs.size(os.path.join(self.directory, name))
            for name in self.fs.list_directory(self.directory)
        )

    def open(self, **options: object) -> grebe.Store:
        persistor = FilePersistor(self.directory, file_system=self.fs, checkpoint_bytes=32_000)
        return grebe.open(persistor, commit_interval=3600, **options)

    def stored(self) -> dict[str, int]:
        """Return what another process reads."""
        persistor = FilePersistor(self.directory, file_system=self.fs, read_only=True)
        with grebe.open(persistor, read_only=True) as reader:
            assert reader.recovery.clean, reader.recovery
            return {s.id: s.data["n"] for s in reader.collection("u").get()}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Mount a small tmpfs, or say why not and simulate one."""
    small = tmp_path / "disk"
    small.mkdir()
    mounted = mount(small)
    if mounted:
        report(f"no tmpfs ({mounted}): simulated disk")
        fs = SimulatedFileSystem(capacity_bytes=SIZE_BYTES - BALLAST_BYTES)
        yield SmallDisk("simulated", "/data", fs, lambda: setattr(fs, "capacity_bytes", None))
        return
    report(f"tmpfs of {SIZE_BYTES} bytes")
    ballast = small / "ballast"
    ballast.write_bytes(bytes(BALLAST_BYTES))
    try:
        yield SmallDisk("tmpfs", str(small / "data"), OsFileSystem(), ballast.unlink)
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


def mount(path: Path) -> str:
    """Mount a small file system in memory; return why that is not possible, or nothing."""
    if not sys.platform.startswith("linux"):
        return sys.platform
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "none", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


def fill(disk: SmallDisk, store: grebe.Store) -> int:
    """Commit until the disk is full; return how many commits were acknowledged."""
    count = 0

    def commit_until_full() -> None:
        nonlocal count
        while True:
            store.doc(f"u/{count}").set({"n": count, "text": TEXT})
            store.commit()
            count += 1

    while True:
        with pytest.raises(PersistenceError) as caught:
            commit_until_full()
        assert caught.value.errno == errno.ENOSPC
        assert isinstance(caught.value.__cause__, OSError)
        # A checkpoint that began before still has its files, and may make room when it ends.
        for thread in threading.enumerate():
            if thread.name == "grebe-checkpoint":
                thread.join()
        try:
            store.commit()
        except PersistenceError:
            return count
        count += 1


def numbers(count: int) -> dict[str, int]:
    return {str(number): number for number in range(count)}


@pytest.mark.slow
def test_full_disk(disk: SmallDisk):
    """Nothing acknowledged is lost, reading goes on, closing says so, room brings it all back."""
    store = disk.open()
    count = fill(disk, store)
    assert disk.stored() == numbers(count)
    assert len(store.collection("u").get()) == count + 1
    names = disk.fs.list_directory(disk.directory)
    for _ in range(3):
        with pytest.raises(PersistenceError):
            store.commit()
    with pytest.raises(PersistenceError):
        store.close()
    assert not store.closed
    assert disk.fs.list_directory(disk.directory) == names
    assert disk.stored() == numbers(count)
    disk.make_room()
    store.commit()
    assert disk.stored() == numbers(count + 1)
    store.close()
    assert disk.stored() == numbers(count + 1)
    report(f"{disk.kind}: full after {count} commits")


@pytest.mark.slow
def test_a_process_that_dies_on_a_full_disk(disk: SmallDisk):
    """The next one opens and reads without any room, and has all that was acknowledged."""
    persistor = FilePersistor(disk.directory, file_system=disk.fs, checkpoint_bytes=32_000)
    persistor.open()
    count = 0

    def commit_until_full() -> None:
        nonlocal count
        while True:
            value = b'{"n":%d,"text":"%b"}' % (count, TEXT.encode())
            persistor.commit(Batch((Put(f"u/{count}", value),)))
            count += 1

    with pytest.raises(PersistenceError):
        commit_until_full()
    persistor.close()  # without a checkpoint, as a kill
    store = disk.open()
    assert store.recovery.clean
    assert set(numbers(count)) <= {s.id for s in store.collection("u").get()}
    disk.make_room()
    store.doc("u/new").set({"n": -1})
    store.close()
    assert {**numbers(count), "new": -1}.items() <= disk.stored().items()


@pytest.mark.slow
def test_it_goes_on_by_itself(disk: SmallDisk):
    """With room again the next attempt of the store succeeds; nobody has to ask."""
    failed, committed = threading.Event(), threading.Event()
    persistor = FilePersistor(disk.directory, file_system=disk.fs, checkpoint_bytes=32_000)
    store = grebe.open(
        persistor,
        commit_interval=0.01,
        on_error=lambda _: failed.set(),
        on_commit=lambda _: committed.set(),
    )
    store.doc("u/0").set({"n": 0})
    store.commit()
    with store.batch():
        for number in range(1, 300):
            store.doc(f"u/{number}").set({"n": number, "text": TEXT})
    assert failed.wait(WAIT_S)
    assert disk.stored() == {"0": 0}
    committed.clear()
    with store.batch():
        for number in range(100, 300):
            store.doc(f"u/{number}").delete()
    assert disk.stored() == {"0": 0}
    disk.make_room()
    assert committed.wait(WAIT_S)
    store.commit()
    assert disk.stored() == numbers(100)
    store.close()


@pytest.mark.slow
def test_deleting_and_compacting(disk: SmallDisk):
    """On a full disk a deletion needs no more than its own record; compaction frees the rest."""
    store = disk.open()
    count = fill(disk, store)
    store.doc(f"u/{count}").delete()
    for number in range(0, count, 2):
        store.doc(f"u/{number}").delete()
    try:
        store.commit()
    except PersistenceError:
        disk.make_room()
        store.commit()
    before = disk.used_bytes()
    store.checkpoint()
    assert disk.used_bytes() < before * 0.8
    assert disk.stored() == {str(n): n for n in range(1, count, 2)}
    store.close()
