"""An error at every file operation: nothing acknowledged is lost, nothing is swallowed.

The workload is run once to count the calls, then once for each call and fault. Whatever fails is
tried again until it succeeds. After each run the power is cut at moments since the fault.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from grebe.core.operation import Delete, Move, Put
from grebe.errors import PersistenceError, StoreLockedError
from grebe.testing import CHANGING, Fault
from tests.crash.harness import ROUNDS, SEED, Result, Run, examine, report
from tests.crash.oracle import check_clean, open_on, state_of

ATTEMPTS_MAX = 6
HARMLESS = frozenset({"close"})
"""Calls whose failure says nothing: all that was acknowledged in the file was synced before."""


class Stubborn:
    """Does what a run does, again when it fails; notes what went wrong in the way of failing."""

    def __init__(self, run: Run, patience: int) -> None:
        self.run = run
        self.patience = patience
        self.first_failure: int | None = None

    def __call__(self, step: Callable[..., None], *arguments: object, **options: object) -> None:
        for number in range(ATTEMPTS_MAX):
            if number == self.patience:
                self.run.faulty.heal()
            calls = len(self.run.faulty.calls)
            error: PersistenceError | None = None
            try:
                step(*arguments, **options)
            except PersistenceError as raised:
                error = raised
            failed = [c for c in self.run.faulty.calls[calls:] if c.failed]
            if failed and self.first_failure is None:
                self.first_failure = len(self.run.moments)
            if error is not None:
                assert failed, f"raised without a fault: {error!r}"
                assert isinstance(error.__cause__, OSError), "the cause is not chained"
                continue
            swallowed = [c for c in failed if c.kind not in HARMLESS]
            assert not swallowed, f"{self.run.what} swallowed the failure of {swallowed}"
            return
        raise AssertionError(f"{self.run.what} fails though the fault has gone")

    def reading(self) -> None:
        """Reading goes on, unless it is what fails."""
        try:
            found = state_of(self.run.persistor)
        except PersistenceError:
            assert any(c.failed and c.kind.startswith("read") for c in self.run.faulty.calls)
        else:
            assert found == self.run.base


def mixed(run: Run, patience: int) -> Stubborn:
    """Commits, a checkpoint with moves, an emptied partition, a kill, closing, opening."""
    do = Stubborn(run, patience)
    do(run.open)
    do(run.commit, Put("u/1", b"1", "a"), Put("v/1", b"1", "b"), metadata=b"one")
    do.reading()
    do(run.commit, Put("u/1", b"2", "a"), Put("v/1", b"2", "b"))
    do(run.checkpoint)
    do.reading()
    do(run.commit, Put("u/2", b"3", "a"), Put("w/1", b"3", "c"))
    do(run.commit, Move("u", "a", "b"), Delete("v"))
    do.reading()
    do(run.checkpoint)
    do(run.commit, Put("u/1", b"4", "b"), Delete("w"))
    do(run.reopen)
    do.reading()
    do(run.commit, Put("u/1", b"5", "b"), Put("x/1", b"5", "d"))
    do(run.checkpoint)
    do(run.commit, Delete("x/1"), Move("u/1", "b", "a"))
    do(run.close)
    do(run.open)
    do(run.commit, Put("v/1", b"6", "b"))
    do(run.close)
    return do


def count_calls(kinds: frozenset[str] | None) -> int:
    run = Run()
    mixed(run, 1)
    return sum(kinds is None or call.kind in kinds for call in run.faulty.calls)


SYNCS = frozenset({"sync", "sync_directory"})
NAMES = frozenset({"rename", "remove", "create", "make_directory"})
SPACE = frozenset({"write", "create", "make_directory"})
FAULTS = {
    "once": (Fault(0), 1),
    "once, done all the same": (Fault(0, when="after", kinds=CHANGING - SYNCS), 1),
    "short write": (Fault(0, errno.ENOSPC, when="short", kinds=frozenset({"write"})), 1),
    "disk full for a while": (Fault(0, errno.ENOSPC, True, "short", SPACE), 3),
    "read-only for a while": (Fault(0, errno.EROFS, True, "before", NAMES), 2),
    "syncs fail for a while": (Fault(0, errno.EIO, True, "before", SYNCS), 3),
    "everything fails for a while": (Fault(0, errno.EIO, True), 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_fault_at_every_operation(name: str):
    """Every call fails in turn: the step raises or does its work, and a crash then is safe."""
    template, patience = FAULTS[name]
    result = Result(f"fault {name}", SEED)
    runs = count_calls(template.kinds)
    for number in range(1, runs + 1):
        fault = Fault(number, template.errno, template.lasting, template.when, template.kinds)
        run = Run()
        run.faulty.fault = fault
        try:
            do = mixed(run, patience)
        except (AssertionError, StoreLockedError) as error:
            raise AssertionError(f"{fault}: {error}") from error
        assert run.faulty.failed, "the fault was never reached"
        persistor = open_on(run.fs)
        assert state_of(persistor) == run.base, fault
        persistor.checkpoint()
        persistor.close()
        assert not check_clean(run.fs)
        moments = run.moments[do.first_failure or 0 :]
        some = examine("", moments, count_max=4, states_max=8 * ROUNDS, seed=SEED + number)
        result.states |= some.states
        result.moments += some.moments
        result.violations += [f"{fault}: {problem}" for problem in some.violations]
    report(f"{runs} runs, {result}")
    assert not result.violations, "\n".join(result.violations[:5])
