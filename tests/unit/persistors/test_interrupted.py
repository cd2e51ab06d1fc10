"""States that a crash leaves and that opening must read as one commit: each was a bug once."""

from __future__ import annotations

import errno
import random

import pytest

from grebe.core.operation import Batch, Delete, Move, Put
from grebe.errors import PersistenceError
from grebe.persistors.file.filesystem import make_directories
from grebe.testing import Fault, FaultyFileSystem, SimulatedFileSystem
from tests.crash.oracle import DIRECTORY, State, open_on, state_of


def batch(*operations, metadata=None):
    return Batch(tuple(operations), metadata)


def commit(persistor, state: State, *operations) -> State:
    persistor.commit(batch(*operations))
    return state.after(batch(*operations))


class Stop(BaseException):
    """The process dies here."""


def stop_before(fs: FaultyFileSystem, kind: str, name: str) -> None:
    """Have the process die before it does something to a file of this name."""
    begin = fs.begin

    def stopping(done: str, path: str):
        if done == kind and path.endswith(name):
            raise Stop
        return begin(done, path)

    fs.begin = stopping


@pytest.fixture
def fs() -> SimulatedFileSystem:
    return SimulatedFileSystem()


class TestDirectories:
    def test_a_directory_that_a_dead_process_made_is_made_durable(self):
        """A directory above the store's that was made but not synced before a kill is synced."""
        fs = SimulatedFileSystem()
        fs.make_directory("/data")
        survivor = SimulatedFileSystem(disk=fs.disk)
        make_directories(survivor, DIRECTORY)
        assert set(survivor.disk.image(())) == {"/data", DIRECTORY}

    def test_the_directory_itself_too(self):
        """A store's directory that was made but not synced before a kill is synced at open."""
        fs = SimulatedFileSystem({"/data": None})
        fs.make_directory(DIRECTORY)
        survivor = SimulatedFileSystem(disk=fs.disk)
        make_directories(survivor, DIRECTORY)
        assert DIRECTORY in survivor.disk.image(())


class TestCarry:
    def two_partitions(self, fs) -> State:
        persistor = open_on(fs)
        state = commit(persistor, State(), Put("u/1", b"1", "a"), Put("v/1", b"2", "b"))
        persistor.checkpoint()
        persistor.close()
        return state

    def interrupt(self, fs, state: State) -> State:
        """Die in a checkpoint with a move, behind the carry and the first partition."""
        faulty = FaultyFileSystem(fs)
        persistor = open_on(faulty)
        state = commit(persistor, state, Move("u", "a", "b"))
        stop_before(faulty, "rename", "/b.json")
        with pytest.raises(Stop):
            persistor.checkpoint()
        persistor.close()
        return state

    def test_a_carry_is_written_anew_with_the_commits(self, fs):
        """A journal that begins with recovered commits and a carry can be read."""
        state = self.interrupt(fs, self.two_partitions(fs))
        for value in (b"3", b"4"):
            persistor = open_on(fs)
            assert state_of(persistor) == state
            state = commit(persistor, state, Put("u/2", value, "b"))
            persistor.close()
        persistor = open_on(fs)
        assert state_of(persistor) == state
        persistor.close()

    def test_a_carry_supersedes_a_commit_that_failed_before_it(self, fs):
        """A failed commit in an older journal does not make the carry behind it unreadable."""
        state = self.two_partitions(fs)
        faulty = FaultyFileSystem(fs)
        persistor = open_on(faulty)
        state = commit(persistor, state, Move("u", "a", "b"))
        faulty.fault = Fault(1, kinds=frozenset({"sync"}))
        with pytest.raises(PersistenceError):
            persistor.commit(batch(Put("u/1", b"5", "b")))
        faulty.heal()
        stop_before(faulty, "rename", "/b.json")
        with pytest.raises(Stop):
            persistor.checkpoint()
        persistor.close()
        persistor = open_on(fs)
        assert state_of(persistor) == state
        persistor.close()


class TestSealing:
    @pytest.mark.slow
    def test_no_partition_gets_ahead_of_the_journals(self, fs):
        """A commit read from the page cache is made durable before a checkpoint builds on it."""
        faulty = FaultyFileSystem(fs)
        persistor = open_on(faulty)
        state = commit(persistor, State(), Put("u/1", b"1", "a"), Put("v/1", b"1", "b"))
        second = batch(Put("u/1", b"2", "a"), Put("v/1", b"2", "b"))
        stop_before(faulty, "sync", "")
        with pytest.raises(Stop):
            persistor.commit(second)
        survivor = SimulatedFileSystem(disk=fs.disk)
        disks = []
        survivor.on_change = lambda: disks.append(survivor.disk)
        persistor = open_on(survivor)
        assert state_of(persistor) == state.after(second)
        persistor.checkpoint()
        for disk in disks:
            for image in disk.images("weak", random.Random(1), 25):
                persistor = open_on(SimulatedFileSystem(image))
                assert state_of(persistor) in (state, state.after(second))


def test_a_journal_that_could_not_be_made_leaves_nothing(fs):
    """A full disk is not filled further by the attempts to begin a journal."""
    faulty = FaultyFileSystem(fs)
    persistor = open_on(faulty)
    faulty.fault = Fault(1, errno.ENOSPC, lasting=True, when="short", kinds=frozenset({"write"}))
    before = fs.list_directory(DIRECTORY)
    for _ in range(3):
        with pytest.raises(PersistenceError):
            persistor.commit(batch(Put("u/1", b"1", "a")))
    assert fs.list_directory(DIRECTORY) == before
    persistor.close()


def test_a_file_of_a_failed_checkpoint_goes_when_its_partition_is_emptied(fs):
    """A checkpoint that failed behind one partition leaves nothing that stops a later open."""
    faulty = FaultyFileSystem(fs)
    persistor = open_on(faulty)
    state = commit(persistor, State(), Put("u/1", b"1", "a"), Put("v/1", b"2", "b"))
    faulty.fault = Fault(2, kinds=frozenset({"rename"}))
    with pytest.raises(PersistenceError):
        persistor.checkpoint()
    faulty.heal()
    assert "a.json" in fs.list_directory(DIRECTORY)
    state = commit(persistor, state, Delete("u/1"))
    persistor.checkpoint()
    persistor.close()
    persistor = open_on(fs)
    assert state_of(persistor) == state
    persistor.close()
    assert "a.json" not in fs.list_directory(DIRECTORY)


@pytest.mark.parametrize("method", ["_append", "_note"])
def test_an_interrupt_behind_the_sync_leaves_a_readable_journal(fs, monkeypatch, method):
    """Ctrl-C when the record is on disk and not counted yet: the commit is written again, once."""
    persistor = open_on(fs)
    state = commit(persistor, State(), Put("u/1", b"1", "a"))
    original = getattr(persistor, method)

    def interrupted(record):
        original(record)
        raise KeyboardInterrupt

    monkeypatch.setattr(persistor, method, interrupted)
    with pytest.raises(KeyboardInterrupt):
        persistor.commit(batch(Put("u/1", b"2", "a")))
    monkeypatch.undo()
    state = commit(persistor, state, Put("u/1", b"2", "a"), Put("u/2", b"2", "a"))
    state = commit(persistor, state, Put("u/1", b"3", "b"))
    persistor.close()
    persistor = open_on(fs)
    assert state_of(persistor) == state
    persistor.close()
