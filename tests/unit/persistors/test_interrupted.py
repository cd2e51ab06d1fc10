"""States that a crash leaves and that opening must read as one commit: each was a bug once."""

from __future__ import annotations

import random

import pytest

from grebe.core.operation import Batch, Move, Put
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
