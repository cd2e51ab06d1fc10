"""What every persistor must do, as tests to be inherited.

    class TestMine(PersistorConformance):
        @pytest.fixture
        def make(self, tmp_path):
            return lambda: MyPersistor(tmp_path / "data")

`make()` returns a persistor that is not open, each time for the same place; it may be the same
object each time. Methods may be plain or `async def`. Of a place that ends with the process, say
`in_memory = True`. docs/custom_persistors.md has a worked example.

Where there is no pytest, `failures(make_new)` runs the same tests and says what is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from grebe.testing.conformance.contents import ContentsTests
from grebe.testing.conformance.failures import FailuresTests
from grebe.testing.conformance.operations import OperationsTests
from grebe.testing.conformance.samples import ODD_PARTITIONS, ODD_SEGMENTS
from grebe.testing.conformance.session import Make, Session
from grebe.testing.conformance.stores import StoresTests

__all__ = [
    "ODD_PARTITIONS",
    "ODD_SEGMENTS",
    "Make",
    "PersistorConformance",
    "Session",
    "failures",
    "names_of_tests",
]


class PersistorConformance(ContentsTests, OperationsTests, FailuresTests, StoresTests):
    """The tests; a subclass gives the fixture `make`."""


def names_of_tests(suite: type[PersistorConformance]) -> list[str]:
    """Return the names of all tests."""
    return [name for name in dir(suite) if name.startswith("test_")]


async def failures(
    make_new: Callable[[], Make],
    suite: type[PersistorConformance] = PersistorConformance,
    only: Collection[str] | None = None,
) -> dict[str, str]:
    """Run tests in the running event loop; return why some failed, by their names.

    Args:
        make_new: returns a `make` of a new place, for each test one.
        suite: a subclass with other settings.
        only: names of the tests; None: all.
    """
    found: dict[str, str] = {}
    for name in names_of_tests(suite):
        if only is not None and name not in only:
            continue
        test = getattr(suite(), name)
        check = getattr(test, "check", None)
        try:
            if check is None:  # it forks, which is not for a running loop
                await asyncio.to_thread(test, make_new())
            else:
                await check(suite(), make_new())
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found
