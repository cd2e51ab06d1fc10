"""Grebe's own persistors, each by how it is made again and again for the same data.

Tests that hold for every persistor take them from here, so that a new one has only to be added.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from grebe import Persistor
from grebe.persistors import FilePersistor, MemoryPersistor, SqlitePersistor

Make = Callable[[], Persistor]


def _memory(_: Path) -> Make:
    kept = MemoryPersistor()
    return lambda: kept


def _file(directory: Path) -> Make:
    return lambda: FilePersistor(directory / "data")


def _sqlite(directory: Path) -> Make:
    return lambda: SqlitePersistor(directory / "data.db")


PERSISTORS: dict[str, Callable[[Path], Make]] = {
    "memory": _memory,
    "file": _file,
    "sqlite": _sqlite,
}
"""Name, and what gives the maker for an empty directory."""
