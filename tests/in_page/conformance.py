"""The conformance suite over the browser's real IndexedDB."""

from __future__ import annotations

import itertools

import pytest

from grebe import IndexedDBPersistor
from grebe.testing.conformance import Make, PersistorConformance

numbers = itertools.count(1)


class TestIndexedDB(PersistorConformance):
    """As it comes."""

    @pytest.fixture
    def make(self) -> Make:
        name = f"conformance {next(numbers)}"
        return lambda: IndexedDBPersistor(name)


class TestIndexedDBThatCompacts(PersistorConformance):
    """With a compaction after nearly every commit."""

    @pytest.fixture
    def make(self) -> Make:
        name = f"conformance {next(numbers)}"
        return lambda: IndexedDBPersistor(name, checkpoint_bytes=0)
