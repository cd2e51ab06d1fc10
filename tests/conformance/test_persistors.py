"""The conformance suite over every persistor of Grebe's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from grebe.persistors.file.persistor import FilePersistor
from grebe.persistors.indexeddb.persistor import IndexedDBPersistor
from grebe.persistors.memory import MemoryPersistor
from grebe.persistors.sqlite.persistor import SqlitePersistor
from grebe.testing import SimulatedFileSystem
from grebe.testing.conformance import Make, PersistorConformance
from tests.unit.persistors.simulated_database import Site


class TestMemory(PersistorConformance):
    """In memory: a second open is of the same object."""

    in_memory = True

    @pytest.fixture
    def make(self) -> Make:
        kept = MemoryPersistor()
        return lambda: kept


class TestFile(PersistorConformance):
    """A directory on a real disk."""

    @pytest.fixture
    def make(self, directory: Path) -> Make:
        return lambda: FilePersistor(directory)


class TestFileThatCheckpoints(PersistorConformance):
    """The same with a checkpoint after nearly every commit, in its thread."""

    in_memory = True

    @pytest.fixture
    def make(self) -> Make:
        fs = SimulatedFileSystem()
        return lambda: FilePersistor("/data/app", checkpoint_bytes=0, file_system=fs)


class TestSqlite(PersistorConformance):
    """A database file on a real disk."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return lambda: SqlitePersistor(tmp_path / "data.db")


class TestIndexedDB(PersistorConformance):
    """The persistor for browsers with a simulated one; tests/browser has the real one."""

    in_memory = True

    @pytest.fixture
    def make(self) -> Make:
        site = Site()
        return lambda: IndexedDBPersistor("app", database=site.database())


class TestIndexedDBThatCompacts(PersistorConformance):
    """The same with a compaction after nearly every commit, in its task."""

    in_memory = True

    @pytest.fixture
    def make(self) -> Make:
        site = Site()
        return lambda: IndexedDBPersistor("app", checkpoint_bytes=0, database=site.database())
