"""The simulated file system: what programs see is what a real one shows; what lasts is what fsync
promises, and no more."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from grebe.errors import StoreLockedError
from grebe.persistors.file.filesystem import FileSystem, OsFileSystem
from grebe.testing import Disk, Fault, FaultyFileSystem, SimulatedFileSystem
from tests.conftest import rounds

NAMES = ("a", "b", "c.tmp", "d")


def kept(fs: SimulatedFileSystem) -> dict[str, bytes | None]:
    """Return what is on the disk for sure."""
    return dict(fs.disk.image(()))


def images(fs: SimulatedFileSystem, model: str) -> set[tuple[tuple[str, bytes | None], ...]]:
    found = fs.disk.images(model, random.Random(1), 10_000)
    return {tuple(sorted(image.items())) for image in found}


def write(fs: FileSystem, path: str, data: bytes, *, sync: bool = False):
    file = fs.create(path)
    file.write(data)
    if sync:
        file.sync()
    return file


def step(fs: FileSystem, root: str, seed: int) -> object:
    """Do something; return what came of it, errors as their numbers."""
    rng = random.Random(seed)
    one, other = (f"{root}/{rng.choice(NAMES)}" for _ in range(2))
    try:
        match rng.randrange(8):
            case 0 | 1:
                file = write(fs, one, bytes(rng.randrange(20)))
                file.write(b"more")
                file.close()
                file.close()
                return None
            case 2:
                return fs.rename(one, other)
            case 3:
                return fs.remove(one)
            case 4:
                return fs.read(one), fs.read_start(one, 5), fs.size(one)
            case 5:
                return fs.make_directory(f"{root}/directory")
            case 6:
                return fs.is_directory(one), fs.is_directory(f"{root}/directory")
            case _:
                return fs.list_directory(root), fs.sync_directory(root)
    except OSError as error:
        return error.errno


@pytest.mark.parametrize("seed", rounds(20))
def test_looks_like_a_real_one(seed: int, tmp_path: Path):
    """Programs see the same files, contents and errors as on the operating system's."""
    simulated = SimulatedFileSystem({"/root": None})
    for number in range(60):
        found = step(simulated, "/root", seed * 1000 + number)
        assert found == step(OsFileSystem(), str(tmp_path), seed * 1000 + number), number


def test_only_what_was_synced_lasts():
    """Bytes last from the sync of the file, a name from that of the directory, each alone not."""
    fs = SimulatedFileSystem()
    file = write(fs, "/a", b"one", sync=True)
    assert kept(fs) == {}
    fs.sync_directory("/")
    assert kept(fs) == {"/a": b"one"}
    file.write(b"two")
    assert kept(fs) == {"/a": b"one"}
    fs.rename("/a", "/b")
    file.sync()
    assert kept(fs) == {"/a": b"onetwo"}
    fs.sync_directory("/")
    assert kept(fs) == {"/b": b"onetwo"}
    fs.remove("/b")
    assert kept(fs) == {"/b": b"onetwo"}
    assert fs.list_directory("/") == []


def test_a_synced_name_of_an_unsynced_file():
    """Renaming before the sync of the file may leave a name with nothing behind it."""
    fs = SimulatedFileSystem()
    write(fs, "/a.tmp", b"data")
    fs.rename("/a.tmp", "/a")
    fs.sync_directory("/")
    assert (("/a", b""),) in images(fs, "weak")
    assert (("/a", b"data"),) in images(fs, "weak")


def test_models():
    """Killed: all is there. Ordered: a beginning of what was done. Weak: any part of it."""
    fs = SimulatedFileSystem({"/a": b""})
    file = fs.create("/a")
    file.write(b"12")
    file.write(b"34")
    assert images(fs, "kill") == {(("/a", b"1234"),)}
    assert images(fs, "ordered") == {(("/a", b"1234"[:n]),) for n in range(5)}
    weak = {dict(image)["/a"] for image in images(fs, "weak")}
    assert {b"", b"12", b"1234", b"\0\0" + b"34", b"12\0\0", b"1234"[:3]} <= weak
    with pytest.raises(ValueError, match="model="):
        next(Disk().images("strong", random.Random(1), 1))


def test_a_failed_sync_is_never_made_good():
    """After a failed sync the bytes can be read, and no later sync of the file makes them last."""
    fs = SimulatedFileSystem()
    faulty = FaultyFileSystem(fs, Fault(1, kinds=frozenset({"sync"})))
    file = write(faulty, "/a", b"lost")
    with pytest.raises(OSError, match="Input/output error"):
        file.sync()
    file.write(b"kept")
    file.sync()
    fs.sync_directory("/")
    assert fs.read("/a") == b"lostkept"
    assert kept(fs) == {"/a": b"\0\0\0\0kept"}


def test_killed_process_leaves_the_cache():
    """A disk handed on is seen as it was, and what was not synced still is not."""
    fs = SimulatedFileSystem()
    write(fs, "/a", b"1")
    survivor = SimulatedFileSystem(disk=fs.disk)
    assert survivor.read("/a") == b"1"
    assert kept(survivor) == {}
    survivor.sync_directory("/")
    assert kept(survivor) == {"/a": b""}


def test_full():
    """A disk without room takes what fits, and says so; removing makes room."""
    fs = SimulatedFileSystem(capacity_bytes=5)
    with pytest.raises(OSError, match="No space") as raised:
        write(fs, "/a", b"1234567")
    assert raised.value.errno == errno.ENOSPC
    assert fs.read("/a") == b"12345"
    fs.remove("/a")
    write(fs, "/b", b"12345")
    assert fs.used_bytes == 5


def test_lock():
    """One holds it; whoever comes after the release can."""
    fs = SimulatedFileSystem()
    release = fs.lock("/.lock", "here")
    with pytest.raises(StoreLockedError):
        fs.lock("/.lock", "here")
    release()
    fs.lock("/.lock", "here")()


@pytest.mark.parametrize("when", ["before", "after", "short"])
def test_faults(when: str, tmp_path: Path):
    """The Nth call of the kinds fails, once or for good, having done nothing, half or all."""
    inner = OsFileSystem()
    kinds = frozenset({"write", "rename"})
    fs = FaultyFileSystem(inner, Fault(2, errno.ENOSPC, True, when, kinds))
    path = str(tmp_path / "a")
    file = write(fs, path, b"12")
    for attempt in (lambda: file.write(b"3456"), lambda: fs.rename(path, path + "b")):
        with pytest.raises(OSError, match="No space") as raised:
            attempt()
        assert raised.value.errno == errno.ENOSPC
    there = path + "b" if when == "after" else path
    assert inner.read(there) == {"before": b"12", "after": b"123456", "short": b"1234"}[when]
    assert fs.failed == 2
    fs.heal()
    file.write(b"!")
    file.close()
    assert [call.kind for call in fs.calls if call.failed] == ["write", "rename"]
