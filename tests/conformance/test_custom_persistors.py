"""The persistors of docs/custom_persistors.md pass the suite, as the page says."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import grebe
from grebe.testing import conformance
from tests.conformance.examples import PAGE, namespace

TestDict: Any = namespace()["TestDict"]
TestObjectStore: Any = namespace()["TestObjectStore"]


def test_the_page_counts_right() -> None:
    """`some fifty tests`."""
    assert 35 < len(conformance.names_of_tests(conformance.PersistorConformance)) < 60
    assert "some fifty tests" in PAGE.read_text(encoding="utf-8")


def test_the_page_names_tests_that_there_are() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    assert named
    assert named <= set(conformance.names_of_tests(conformance.PersistorConformance))


def test_without_pytest() -> None:
    """`failures` runs every test; of a persistor that passes it says nothing."""

    class InMemory(conformance.PersistorConformance):
        in_memory = True

    def make_new() -> conformance.Make:
        kept = namespace()["DictPersistor"]()
        return lambda: kept

    assert asyncio.run(conformance.failures(make_new, InMemory)) == {}


def test_an_interrupted_checkpoint_of_the_object_store() -> None:
    """Whatever a checkpoint leaves behind when it is interrupted is ignored."""
    names = namespace()

    class Interrupted(names["ObjectStore"]):  # type: ignore[misc]
        deletions = 0

        async def delete(self, name: str) -> None:
            if name != "lock":
                self.deletions += 1
                if self.deletions == 3:
                    raise OSError("interrupted")
            await super().delete(name)

    objects = Interrupted()
    with grebe.open(names["ObjectStorePersistor"](objects)) as store:
        for number in range(5):
            store.doc(f"u/{number % 2}").set({"n": number})
            store.commit()
        try:
            store.checkpoint()
        except OSError:
            pass
        else:
            raise AssertionError("not interrupted")
        assert len(objects.objects) > 3
    with grebe.open(names["ObjectStorePersistor"](objects)) as store:
        assert store.inspect()["documents"] == {"u/0": {"n": 4}, "u/1": {"n": 3}}
