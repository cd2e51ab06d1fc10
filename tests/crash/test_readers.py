"""Readers beside a writer: whatever the writer does between their calls, they see one commit."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from grebe.errors import PersistenceError
from grebe.testing import SimulatedFileSystem
from tests.crash.harness import ROUNDS, SEED, Run, report
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["checkpoints", "moves", "busy"])
def test_a_reader_sees_one_commit(name: str):
    """A reader sees a commit that was the last one at some moment while it read."""
    run = Run()
    WORKLOADS[name](run)
    rng = random.Random(SEED)
    created = next(i for i, moment in enumerate(run.moments) if moment.what == "commit 1")
    problems = []
    views = 1000 * ROUNDS
    for _ in range(views):
        pace = rng.choice(
            [jump(rng.randrange(25), rng.randrange(1, 60)), walk(1), walk(2), walk(3)]
        )
        timeline = Timeline(run, rng.randrange(created, len(run.moments)), pace)
        try:
            reader = open_on(timeline, read_only=True)
            found = state_of(reader)
        except PersistenceError as error:
            problems.append(f"from {timeline.first} to {timeline.now}: {error!r}")
            continue
        if found not in timeline.acceptable():
            problems.append(f"from {timeline.first} to {timeline.now}: {found}")
    report(f"{name}: {views} views beside a writer, {len(problems)} wrong (seed {SEED})")
    assert not problems, "\n".join(problems[:5])
