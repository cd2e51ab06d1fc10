"""Fixtures that every test may use: stores whose invariants are checked when the test is over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import grebe
from grebe.testing import OpenStores

# Nothing commits by itself in a test that does not ask for it.
NEVER_S = 3600.0


@pytest.fixture
def open_store() -> Iterator[OpenStores]:
    """Open stores as `grebe.open` does; all are checked and closed when the test is over."""
    with OpenStores(commit_interval=NEVER_S) as stores:
        yield stores


@pytest.fixture
def store(open_store: Callable[..., grebe.Store]) -> grebe.Store:
    """Return a store in memory."""
    return open_store()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return the path of a store's directory that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def disk_store(open_store: Callable[..., grebe.Store], directory: Path) -> grebe.Store:
    """Return a store in `directory`."""
    return open_store(directory)


def rounds(count: int) -> range:
    """Return the seeds of a random test: `count` of them, times GREBE_RANDOM_ROUNDS."""
    return range(count * int(os.environ.get("GREBE_RANDOM_ROUNDS", "1")))
