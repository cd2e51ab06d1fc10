"""Power lost at every operation: the store opens on one commit, no older than acknowledged."""

from __future__ import annotations

import random

import pytest

from grebe.testing import SimulatedFileSystem
from tests.crash.harness import ROUNDS, SEED, Result, Run, examine, report, second_lives
from tests.crash.workloads import WORKLOADS, random_workload

STATES_MAX = 500 * ROUNDS
LIVES = 25


def check(result: Result) -> None:
    report(str(result))
    assert not result.violations, f"seed {result.seed}\n" + "\n".join(result.violations[:5])


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_power_loss(name: str):
    """Whatever a power failure at any moment leaves, it is one commit that goes on working."""
    run = Run()
    WORKLOADS[name](run)
    check(examine(name, run.moments, count_max=60 * ROUNDS, states_max=STATES_MAX))


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_power_loss_after_a_kill(name: str):
    """The same in the life of the next process, which saw what the first one had not synced."""
    run = Run()
    WORKLOADS[name](run)
    moments = second_lives(run.moments, SEED, LIVES * ROUNDS)
    check(examine(f"{name}, killed", moments, count_max=20 * ROUNDS, states_max=STATES_MAX))


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_power_loss_in_recovery(name: str):
    """The same while what a power failure left is being recovered."""
    run = Run()
    WORKLOADS[name](run)
    rng = random.Random(SEED)
    result = Result(f"{name}, recovery", SEED)
    for moment in rng.sample(run.moments, min(len(run.moments), 12 * ROUNDS)):
        images = list(moment.disk.images("weak", rng, 20))
        for image in rng.sample(images, min(len(images), 2)):
            second = Run(SimulatedFileSystem(image).disk, moment.acceptable)
            lives = second_lives(second.moments, SEED, 1)
            some = examine("", lives, count_max=20, states_max=STATES_MAX // 10)
            result.add(some)
    check(result)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_power_loss_in_random_workloads(part: int):
    """The same for random workloads, each cut at some of its moments, then again after a kill."""
    result = Result(f"random {part}", SEED)
    for number in range(8 * ROUNDS):
        seed = SEED + 1000 * part + number
        run = Run()
        random_workload(seed)(run)
        name = f"workload {seed}"
        result.add(examine(name, run.moments, count_max=20, states_max=60, seed=seed))
        lives = second_lives(run.moments, seed, 2)
        result.add(examine(f"{name}, killed", lives, count_max=20, states_max=40, seed=seed))
    check(result)
