"""The directory on a real disk: locks, modes, what is read, what is removed."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from grebe.core.operation import Batch, Delete, Put
from grebe.errors import PersistenceError, ReadOnlyError, StoreLockedError
from grebe.persistors.file.filesystem import OsFileSystem
from grebe.persistors.file.persistor import FilePersistor
from grebe.testing import FaultyFileSystem, SimulatedFileSystem

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes and signals")

RESOLVER = b'{"resolver":{"u":["a"],"v":["b"],"w":["c","a"]}}'

HOLDER = """
import sys, time
from grebe.persistors.file.persistor import FilePersistor
persistor = FilePersistor(sys.argv[1])
persistor.open()
print("open", flush=True)
sys.stdin.read()
"""


def put(*paths: str, partition: str = "a", size: int = 1) -> Batch:
    return Batch(tuple(Put(path, b"1" * size, partition) for path in paths), RESOLVER)


def hold(directory: Path) -> subprocess.Popen[str]:
    """Start a process that has the directory open."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=20)


class TestLock:
    def test_second_open_is_refused_with_the_pid(self, directory: Path):
        """A second writer in the same process is refused, and told who holds the lock."""
        first = FilePersistor(directory)
        first.open()
        with pytest.raises(StoreLockedError, match=str(os.getpid())) as raised:
            FilePersistor(directory).open()
        assert raised.value.pid == os.getpid()
        first.close()
        second = FilePersistor(directory)
        second.open()
        second.close()

    @pytest.mark.slow
    def test_other_process_is_refused_until_the_holder_dies(self, directory: Path):
        """The lock holds across processes, names the holder, and goes with a SIGKILL."""
        holder = hold(directory)
        with pytest.raises(StoreLockedError) as raised:
            FilePersistor(directory).open()
        assert raised.value.pid == holder.pid
        assert str(holder.pid) in str(raised.value)
        holder.send_signal(signal.SIGKILL)
        end(holder)
        mine = FilePersistor(directory)
        mine.open()
        mine.close()

    def test_failed_open_lets_go(self):
        """An open that fails leaves no lock behind."""
        fs = SimulatedFileSystem()
        faulty = FaultyFileSystem(fs)
        persistor = FilePersistor("/data", file_system=faulty)
        faulty.list_directory = _failing  # type: ignore[method-assign]
        with pytest.raises(PersistenceError):
            persistor.open()
        again = FilePersistor("/data", file_system=fs)
        again.open()
        again.close()

    def test_a_full_disk_does_not_stop_the_lock(self, directory: Path, monkeypatch):
        """If the pid cannot be written, the lock is taken all the same, and let go of."""
        directory.mkdir()

        def full(fd: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("grebe.persistence.process_lock.os.write", full)
        lock = str(directory / ".lock")
        release = OsFileSystem().lock(lock, "here")
        with pytest.raises(StoreLockedError):
            OsFileSystem().lock(lock, "here")
        release()
        OsFileSystem().lock(lock, "here")()


def _failing(path: str) -> list[str]:
    raise OSError(5, "Input/output error", path)


class TestFiles:
    def test_modes(self, directory: Path):
        """Files can be read by their owner only, directories too, whatever is above them."""
        old = os.umask(0)
        try:
            persistor = FilePersistor(directory / "deep" / "store")
            persistor.open()
            persistor.commit(put("u/1"))
            names = set(os.listdir(persistor.directory))
            persistor.checkpoint()
            persistor.close()
        finally:
            os.umask(old)
        assert "journal-00000001.jsonl" in names
        for above in (directory, directory / "deep", persistor.directory):
            assert stat.S_IMODE(above.stat().st_mode) == 0o700
        for file in persistor.directory.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file

    def test_orphaned_temporary_files_are_removed_and_never_read(self, directory: Path):
        """What a crash left half written is gone after an open, and its content nowhere."""
        persistor = FilePersistor(directory)
        persistor.open()
        persistor.commit(put("u/1"))
        persistor.checkpoint()
        persistor.close()
        orphans = ["a.json.tmp", "__manifest__.json.tmp", "journal-00000007.jsonl.tmp"]
        for name in orphans:
            (directory / name).write_text('{"grebe": half')
        persistor.open()
        assert [record.path for record in persistor.load(None)] == ["u/1"]
        persistor.close()
        assert not set(orphans) & set(os.listdir(directory))

    def test_after_close_there_is_only_json(self, directory: Path):
        """After a checkpoint no journal is left, and every file is JSON, one document a line."""
        persistor = FilePersistor(directory)
        persistor.open()
        persistor.commit(put("u/1", "u/2"))
        persistor.commit(put("v/1", partition="b"))
        persistor.checkpoint()
        persistor.close()
        files = sorted(name for name in os.listdir(directory) if name != ".lock")
        assert files == ["__manifest__.json", "a.json", "b.json"]
        for name in files:
            json.loads((directory / name).read_bytes())
        lines = (directory / "a.json").read_text().splitlines()
        assert [json.loads("{" + line.rstrip(",") + "}") for line in lines[2:-1]] == [
            {"u/1": 1},
            {"u/2": 1},
        ]

    def test_emptied_partition_is_removed(self, directory: Path):
        """The file of a partition that became empty goes at the checkpoint, and can come back."""
        persistor = FilePersistor(directory)
        persistor.open()
        persistor.commit(put("u/1"))
        persistor.commit(put("v/1", partition="b"))
        persistor.checkpoint()
        persistor.commit(Batch((Delete("u"),)))
        assert (directory / "a.json").exists()
        persistor.checkpoint()
        assert not (directory / "a.json").exists()
        persistor.commit(put("u/3"))
        persistor.checkpoint()
        persistor.close()
        persistor.open()
        assert sorted(record.path for record in persistor.load(None)) == ["u/3", "v/1"]
        persistor.close()

    def test_a_directory_with_other_files_is_fine(self, directory: Path):
        """Files that are not Grebe's are left alone."""
        directory.mkdir()
        others = {"notes.txt": "x", "package.json": '{"a":1}', "data.jsonl": "{}\n", "a.csv": ""}
        for name, text in others.items():
            (directory / name).write_text(text)
        (directory / "folder.d").mkdir()
        persistor = FilePersistor(directory)
        persistor.open()
        persistor.commit(put("u/1"))
        persistor.checkpoint()
        persistor.close()
        persistor.open()
        assert [record.path for record in persistor.load(None)] == ["u/1"]
        persistor.close()
        assert {name: (directory / name).read_text() for name in others} == others


class TestReading:
    def store(self) -> FaultyFileSystem:
        fs = FaultyFileSystem(SimulatedFileSystem())
        persistor = FilePersistor("/data", file_system=fs)
        persistor.open()
        persistor.commit(put("u/1", "u/2", "w/1"))
        persistor.commit(put("v/1", partition="b", size=200_000))
        persistor.commit(put("w/2", partition="c"))
        persistor.checkpoint()
        persistor.close()
        return fs

    def files_read(self, fs: FaultyFileSystem, wanted: list[str] | None, *late: Batch):
        persistor = FilePersistor("/data", file_system=fs)
        persistor.open()
        for batch in late:
            persistor.commit(batch)
        before = len(fs.calls)
        paths = sorted(record.path for record in persistor.load(wanted))
        read = {call.path[6:] for call in fs.calls[before:] if call.kind == "read"}
        persistor.close()
        return paths, read

    @pytest.mark.parametrize(
        ("wanted", "paths", "files"),
        [
            (None, ["u/1", "u/2", "v/1", "w/1", "w/2"], {"a.json", "b.json", "c.json"}),
            (["u"], ["u/1", "u/2"], {"a.json"}),
            (["u/1"], ["u/1"], {"a.json"}),
            (["v", "u/2"], ["u/2", "v/1"], {"a.json", "b.json"}),
            (["w"], ["w/1", "w/2"], {"a.json", "c.json"}),
            (["nothing"], [], set()),
        ],
    )
    def test_only_the_partitions_that_can_hold_the_paths_are_read(self, wanted, paths, files):
        """A part of the store is loaded from the files that can hold it, no other is read."""
        assert self.files_read(self.store(), wanted) == (paths, files)

    def test_later_commits_are_seen_in_a_part(self):
        """What the journal has is seen in a part too, also in partitions that have no file yet."""
        late = Batch(
            (Put("u/9", b"9", "d"), Delete("u/1")), b'{"resolver":{"u":["a","d"],"v":["b"]}}'
        )
        paths, read = self.files_read(self.store(), ["u"], late)
        assert paths == ["u/2", "u/9"]
        assert "b.json" not in read

    def test_opening_reads_no_partition(self):
        """Opening reads the manifest and the start of the partition files only."""
        fs = self.store()
        before = len(fs.calls)
        persistor = FilePersistor("/data", file_system=fs)
        persistor.open()
        persistor.close()
        read = [call.path for call in fs.calls[before:] if call.kind == "read"]
        assert read == ["/data/__manifest__.json"]


class TestCheckpointDue:
    def checkpoints(self, sizes: list[int], **options: int) -> list[bool]:
        """Commit documents of these sizes, one for each; tell after which a checkpoint came."""
        fs = FaultyFileSystem(SimulatedFileSystem())
        persistor = FilePersistor("/data", file_system=fs, **options)
        persistor.open()
        found = []
        for number, size in enumerate(sizes):
            before = sum(c.kind == "rename" and c.path == "/data/a.json" for c in fs.calls)
            persistor.commit(put(f"u/{number}", size=size))
            for thread in threading.enumerate():
                if thread.name == "grebe-checkpoint":
                    thread.join()
            after = sum(c.kind == "rename" and c.path == "/data/a.json" for c in fs.calls)
            found.append(after > before)
        persistor.close()
        return found

    def test_not_below_the_limit(self):
        """A small journal makes no checkpoint."""
        assert not any(self.checkpoints([100] * 50))

    def test_over_the_limit(self):
        """A journal over the limit makes one, if it is large beside what it would replace."""
        assert self.checkpoints([5000, 6000], checkpoint_bytes=10_000) == [False, True]

    def test_not_while_it_is_small_beside_the_data(self):
        """A large file is not rewritten for a few commits: the cost of that is amortised."""
        found = self.checkpoints([100_000] + [1_000] * 60, checkpoint_bytes=1_000)
        assert found[0]
        assert not any(found[1:15])
        assert 1 <= sum(found[1:]) <= 4

    def test_zero_is_at_every_commit(self):
        """With no limit and no data to replace, the first commit makes one."""
        assert self.checkpoints([10], checkpoint_bytes=0) == [True]
        with pytest.raises(ValueError, match="checkpoint_bytes"):
            FilePersistor("/data", checkpoint_bytes=-1)


class TestReadOnly:
    def test_changes_nothing(self, directory: Path):
        """A reader takes no lock, writes nothing, and refuses to write."""
        writer = FilePersistor(directory)
        writer.open()
        writer.commit(put("u/1"))
        before = {f.name: f.read_bytes() for f in directory.iterdir()}
        reader = FilePersistor(directory, read_only=True)
        reader.open()
        assert [record.path for record in reader.load(None)] == ["u/1"]
        assert [record.path for record in reader.load(["v"])] == []
        with pytest.raises(ReadOnlyError):
            reader.commit(put("u/2"))
        reader.checkpoint()
        reader.close()
        assert {f.name: f.read_bytes() for f in directory.iterdir()} == before
        writer.close()

    def test_needs_a_store(self, directory: Path):
        """A reader does not make a directory, nor a store in one."""
        with pytest.raises(PersistenceError, match="does not exist"):
            FilePersistor(directory, read_only=True).open()
        assert not directory.exists()
        directory.mkdir()
        with pytest.raises(PersistenceError, match="holds no store"):
            FilePersistor(directory, read_only=True).open()
        assert not os.listdir(directory)
