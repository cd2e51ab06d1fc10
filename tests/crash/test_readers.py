"""Readers beside a writer: whatever the writer does between their calls, they see one commit."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from grebe.errors import PersistenceError
from grebe.testing import SimulatedFileSystem
from tests.crash.harness import ROUNDS, SEED, Result, Run, report
from tests.crash.oracle import State, open_on, state_of
from tests.crash.workloads import WORKLOADS


class Timeline:
    """A file system to be read only, on which a writer goes on between the calls."""

    def __init__(self, run: Run, start: int, pace: Callable[[int], int]) -> None:
        self._run = run
        self._pace = pace
        self.calls = 0
        self.first = self.now = start

    def __getattr__(self, name: str) -> Any:
        last = len(self._run.moments) - 1
        self.now = min(last, self.first + self._pace(self.calls))
        self.calls += 1
        return getattr(
            SimulatedFileSystem(self._run.moments[self.now].disk.settled().image()), name
        )

    def acceptable(self) -> set[State]:
        """Return the states that the store was in meanwhile, or may have been."""
        seen = self._run.moments[self.first : self.now + 1]
        return {state for moment in seen for state in moment.acceptable}


def jump(at: int, length: int) -> Callable[[int], int]:
    return lambda call: length if call >= at else 0


def walk(every: int) -> Callable[[int], int]:
    return lambda call: call // every


Views = Callable[[Run], Iterator[tuple[int, Callable[[int], int]]]]
"""Gives the moments at which readers begin, and how time goes on for each."""


def some(count: int) -> Views:
    """Return random views."""

    def views(run: Run) -> Iterator[tuple[int, Callable[[int], int]]]:
        rng = random.Random(SEED)
        created = next(i for i, moment in enumerate(run.moments) if moment.what == "commit 1")
        for _ in range(count):
            pace = rng.choice(
                [jump(rng.randrange(25), rng.randrange(1, 60)), walk(1), walk(2), walk(3)]
            )
            yield rng.randrange(created, len(run.moments)), pace

    return views


def after(what: str) -> Views:
    """Return the views that begin behind a commit, with each jump from there."""

    def views(run: Run) -> Iterator[tuple[int, Callable[[int], int]]]:
        start = max(i for i, moment in enumerate(run.moments) if moment.what == what)
        for at, length in itertools.product(range(25), range(1, len(run.moments) - start)):
            yield start, jump(at, length)

    return views


def read_beside(name: str, views: Views) -> Result:
    """Read while a writer works; each view is an image of the result."""
    run = Run()
    WORKLOADS[name](run)
    result = Result(f"{name}, beside a writer", SEED, len(run.moments))
    for start, pace in views(run):
        timeline = Timeline(run, start, pace)
        result.images += 1
        try:
            reader = open_on(timeline, read_only=True)
            found = state_of(reader)
        except PersistenceError as error:
            result.violations.append(f"from {timeline.first} to {timeline.now}: {error!r}")
            continue
        if found not in timeline.acceptable():
            result.violations.append(f"from {timeline.first} to {timeline.now}: {found}")
    return result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "views"),
    [
        *((name, some(1000 * ROUNDS)) for name in ("checkpoints", "moves", "busy", "replaced")),
        ("left out", after("commit 2")),
    ],
)
def test_a_reader_sees_one_commit(name: str, views: Views):
    """A reader sees a commit that was the last one at some moment while it read."""
    result = read_beside(name, views)
    report(str(result))
    assert not result.violations, "\n".join(result.violations[:5])
