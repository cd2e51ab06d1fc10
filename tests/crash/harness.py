"""Runs workloads on a simulated disk, cuts the power at every moment, opens what may be left.

A workload is run once. After each operation that changes the disk, the disk is kept, together with
the states that the store may be in: that of the last acknowledged commit, and of those that were
attempted since. Afterwards each kept disk is asked for its images under each model; each image is
opened, see oracle.py.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from grebe.core.operation import Batch, Operation
from grebe.errors import PersistenceError
from grebe.persistors.file.persistor import FilePersistor
from grebe.testing import MODELS, Disk, FaultyFileSystem, Image, SimulatedFileSystem
from tests.crash.oracle import EMPTY, EXTRA, State, open_on, state_of, verify_image

ROUNDS = int(os.environ.get("GREBE_CRASH_ROUNDS", "1"))
SEED = int(os.environ.get("GREBE_CRASH_SEED", "20240731"))


@dataclass(frozen=True, slots=True)
class Moment:
    """The disk after one operation, and what an open may find after a power failure then."""

    disk: Disk
    acceptable: tuple[State, ...]
    what: str
    failures: int = 0
    """Calls that had failed until then."""


class Run:
    """A workload's hands: opens, commits, checkpoints, closes, and keeps each moment."""

    def __init__(self, disk: Disk | None = None, acceptable: tuple[State, ...] = (EMPTY,)) -> None:
        self.fs = SimulatedFileSystem(disk=disk)
        self.faulty = FaultyFileSystem(self.fs)
        self.fs.on_change = self._note
        self.acceptable = acceptable
        self.base = acceptable[0]
        """What this process has, so what its next commit is made on."""
        self.moments: list[Moment] = []
        self.acknowledged = 0
        self.what = "start"
        self._persistor: FilePersistor | None = None
        self._note()

    @property
    def persistor(self) -> FilePersistor:
        assert self._persistor is not None
        return self._persistor

    def open(self) -> None:
        self.what = "open"
        self._persistor = open_on(self.faulty)
        try:
            self.base = state_of(self.persistor)
        except PersistenceError:
            self.persistor.close()
            raise
        assert self.base in self.acceptable, f"opened on {self.base}, not {self.acceptable}"

    def commit(self, *operations: Operation, metadata: bytes | None = None) -> None:
        """Commit; while that has not returned, both states are fine."""
        batch = Batch(operations, metadata)
        self.what = f"commit {self.acknowledged + 1}"
        wanted = self.base.after(batch)
        self.acceptable = tuple(dict.fromkeys((*self.acceptable, wanted)))
        self.persistor.commit(batch)
        self.acceptable, self.base = (wanted,), wanted
        self.acknowledged += 1
        self._note()

    def checkpoint(self) -> None:
        self.what = "checkpoint"
        self.persistor.checkpoint()

    def close(self) -> None:
        self.what = "close"
        self.persistor.checkpoint()
        self.persistor.close()

    def die(self) -> None:
        """Kill the process; the system, with all that was not synced, stays."""
        self.what = "after a kill"
        self.persistor.close()

    def reopen(self) -> None:
        self.die()
        self.open()

    def _note(self) -> None:
        self.moments.append(Moment(self.fs.disk, self.acceptable, self.what, self.faulty.failed))


@dataclass(slots=True)
class Result:
    """Figures of one examination."""

    name: str
    seed: int
    moments: int = 0
    images: int = 0
    states: set[int] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Take over the figures of a part."""
        self.moments += other.moments
        self.images += other.images
        self.states |= other.states
        self.violations += [f"{other.name}: {problem}" for problem in other.violations]

    def __str__(self) -> str:
        return (
            f"{self.name}: {len(self.states)} distinct states of {self.images} images at "
            f"{self.moments} moments, {len(self.violations)} violations (seed {self.seed})"
        )


def key_of(image: Image) -> int:
    return hash(frozenset(image.items()))


def examine(
    name: str,
    moments: list[Moment],
    *,
    count_max: int,
    states_max: int = 1 << 60,
    violations_max: int = 1 << 60,
    models: tuple[str, ...] = MODELS,
    seed: int = SEED,
) -> Result:
    """Cut the power at each moment under each model; open every distinct image once."""
    result = Result(name, seed, len(moments))
    rng = random.Random(seed)
    seen: set[tuple[int, tuple[State, ...]]] = set()
    for moment, model, image in _images(moments, models, rng, count_max, states_max):
        result.images += 1
        key = key_of(image)
        if (key, moment.acceptable) in seen:
            continue
        seen.add((key, moment.acceptable))
        result.states.add(key)
        problem = verify_image(image, moment.acceptable, thorough=len(seen) & 3)
        if problem:
            result.violations.append(f"{model}, {moment.what}: {problem}")
            if len(result.violations) >= violations_max:
                break
        if len(result.states) >= states_max:
            break
    return result


def _images(
    moments: list[Moment], models: tuple[str, ...], rng: random.Random, count_max: int, states: int
) -> Iterator[tuple[Moment, str, Image]]:
    # With a bound on states the moments come in random order, so that the bound cuts no part off.
    if states < 1 << 60:
        moments = rng.sample(moments, len(moments))
    for moment in moments:
        for model in models:
            for image in moment.disk.images(model, rng, count_max):
                yield moment, model, image


def second_lives(moments: list[Moment], seed: int, count: int) -> list[Moment]:
    """Kill the process at some moments, let the next one work, and return that one's moments.

    The system lives on, so what the first process wrote and did not sync can be read and is not
    safe: what the second one builds on it must not tear when the power fails then.
    """
    found: list[Moment] = []
    rng = random.Random(seed)
    for moment in rng.sample(moments, min(count, len(moments))):
        for plan in ("checkpoint", "commit", "both"):
            run = Run(moment.disk, moment.acceptable)
            run.open()
            if plan != "commit":
                run.checkpoint()
            if plan != "checkpoint":
                run.commit(*EXTRA.operations, metadata=EXTRA.metadata)
            run.die()
            for later in run.moments:
                found.append(Moment(later.disk, later.acceptable, f"{moment.what}; {later.what}"))
    return found


def report(text: str) -> None:
    """Print a line of figures; shown by `pytest -s`, and with every failure."""
    sys.stdout.write(f"\n{text}\n")
