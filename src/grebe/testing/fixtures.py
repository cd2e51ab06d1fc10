"""Fixtures for pytest: stores that are checked and closed when the test is over.

In `conftest.py`: `pytest_plugins = ["grebe.testing.fixtures"]`. The only module here that needs
pytest.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from grebe.store.store import Store
from grebe.testing.clock import FakeClock, FakeScheduler
from grebe.testing.stores import OpenStores


@pytest.fixture
def grebe_clock() -> FakeClock:
    """Return the clock of the stores of this test: nothing commits by itself until it advances."""
    return FakeClock()


@pytest.fixture
def grebe_scheduler() -> FakeScheduler:
    """Return a scheduler, for `grebe_open(scheduler=grebe_scheduler)`."""
    return FakeScheduler()


@pytest.fixture
def grebe_open(grebe_clock: FakeClock) -> Iterator[OpenStores]:
    """Open stores as `grebe.open` does; all are checked and closed when the test is over."""
    with OpenStores(grebe_clock) as stores:
        yield stores


@pytest.fixture
def grebe_store(grebe_open: OpenStores) -> Store:
    """Return a store in memory."""
    return grebe_open()
