"""An error at every file operation: nothing acknowledged is lost, nothing is swallowed.

The workload is run once to count the calls, then once for each call and fault. Whatever fails is
tried again until it succeeds. After each run the power is cut at moments since the fault.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from grebe.core.operation import Delete, Move, Operation, Put
from grebe.errors import CorruptDataError, PersistenceError, StoreLockedError
from grebe.persistors.file.filesystem import NewFile
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


def mixed(run: Run, patience: int) -> None:
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
    do(run.commit, Put("x/1", b"55", "d"))
    do(run.checkpoint)  # which lets the file of d go first
    do.reading()
    do(run.commit, Delete("x/1"), Move("u/1", "b", "a"))
    do(run.close)
    do(run.open)
    do(run.commit, Put("v/1", b"6", "b"))
    do(run.close)


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
    "syncs fail once": (Fault(0, kinds=SYNCS), 1),
    "syncs fail for a while": (Fault(0, errno.EIO, True, "before", SYNCS), 3),
    "everything fails for a while": (Fault(0, errno.EIO, True), 2),
}


THINNED = frozenset({"once, done all the same", "everything fails for a while"})
"""Of these the short run does every third call only; they take longest and find least."""


def faults_of(name: str, kinds: frozenset[str] | None, count: int) -> Iterator[Fault]:
    """Yield the fault for each call of its kinds."""
    step = 3 if name in THINNED and ROUNDS == 1 else 1
    for number in range(1, count + 1, step):
        yield replace(FAULTS[name][0], call=number, kinds=kinds)


def after_failure(run: Run, fault: Fault, count: int) -> Result:
    """Cut the power at moments since the first failure."""
    moments = [moment for moment in run.moments if moment.failures]
    states = count * ROUNDS
    return examine(str(fault), moments, count_max=8, states_max=states, seed=SEED + fault.call)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_fault_at_every_operation(name: str):
    """Every call fails in turn: the step raises or does its work, and a crash then is safe."""
    template, patience = FAULTS[name]
    result = Result(f"fault {name}", SEED)
    runs = count_calls(template.kinds)
    for fault in faults_of(name, template.kinds, runs):
        run = Run()
        run.faulty.fault = fault
        try:
            mixed(run, patience)
        except (AssertionError, StoreLockedError) as error:
            raise AssertionError(f"{fault}: {error}") from error
        assert run.faulty.failed, "the fault was never reached"
        persistor = open_on(run.fs)
        assert state_of(persistor) == run.base, fault
        persistor.checkpoint()
        persistor.close()
        assert not check_clean(run.fs)
        result.add(after_failure(run, fault, 5))
    report(f"{runs} runs, {result}")
    assert not result.violations, "\n".join(result.violations[:5])


def given_up(run: Run, kind: str) -> None:
    """As `mixed`, but the process is killed at the first failure, and another goes on."""
    steps = iter(range(1, 99))

    def commit(*operations: Operation) -> None:
        number = next(steps)
        try:
            run.commit(*operations, metadata=b"%d" % number)
        except CorruptDataError:
            raise
        except PersistenceError:
            survive()
            if kind == "more":
                run.commit(*operations, Put("x/1", b"%d" % number, "c"), metadata=b"more")

    def survive() -> None:
        run.faulty.heal()
        if kind == "killed":
            run.reopen()

    def checkpoint() -> None:
        try:
            run.checkpoint()
        except CorruptDataError:
            raise
        except PersistenceError:
            survive()

    run.open()
    commit(Put("u/1", b"1", "a"), Put("v/1", b"1", "b"))
    commit(Put("u/1", b"2", "a"), Put("v/1", b"2", "b"))
    checkpoint()
    commit(Move("u", "a", "b"), Put("w/1", b"3", "c"))
    commit(Put("u/1", b"4", "b"), Delete("v/1"))
    commit(Delete("w/1"), Move("u", "b", "a"))
    for number in range(5):
        commit(Put("u/1", b"%d" % number, "a"), Put("v/1", b"%d" % number, "b"))
    commit(Delete("v/1"))
    checkpoint()
    commit(Put("u/2", b"6", "a"), Put("v/2", b"6", "b"))
    run.reopen()
    commit(Delete("u"), Put("v/2", b"7", "b"))
    checkpoint()
    run.die()


def give_up_everywhere(kind: str, name: str, count: int) -> tuple[int, Result]:
    template = FAULTS[name][0]
    clean = Run()
    given_up(clean, kind)
    kinds = template.kinds or CHANGING
    runs = sum(call.kind in kinds for call in clean.faulty.calls)
    result = Result(f"{kind} after fault {name}", SEED)
    for fault in faults_of(name, kinds, runs):
        run = Run()
        run.faulty.fault = fault
        try:
            given_up(run, kind)
        except CorruptDataError as error:
            result.violations.append(f"{fault}: {error}")
            continue
        except PersistenceError:
            continue  # opening failed, which test_fault_at_every_operation looks at
        result.add(after_failure(run, fault, count))
    return runs, result


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["killed", "other", "more"])
@pytest.mark.parametrize("name", ["once", "short write", "syncs fail once"])
def test_failure_without_the_same_commit_again(kind: str, name: str):
    """A failed commit stays whole or absent: after a kill, another commit, or one with more."""
    runs, result = give_up_everywhere(kind, name, 10)
    report(f"{runs} runs, {result}")
    assert not result.violations, "\n".join(result.violations[:5])


def test_reading_behind_a_checkpoint_that_failed_at_its_end():
    """Its manifest counts: there is no commit left to apply, and all of it is in the files."""
    run = Run()
    run.open()
    run.commit(Put("u/1", b"1", "a"), Put("s/1", b"2", "a", True))
    run.faulty.fault = Fault(1, kinds=frozenset({"remove"}))
    with pytest.raises(PersistenceError):
        run.checkpoint()
    assert state_of(run.persistor) == run.base
    run.close()


def leave_manifest_in_doubt(run: Run) -> None:
    """Have a checkpoint fail when the manifest has been renamed, which nobody knows for sure."""
    rename = run.faulty.rename

    def then_fail(source: str, target: str) -> None:
        rename(source, target)
        if target.endswith("__manifest__.json"):
            raise OSError(errno.EIO, "is it renamed?")

    run.faulty.rename = then_fail  # type: ignore[method-assign]
    with pytest.raises(PersistenceError):
        run.checkpoint()
    run.faulty.rename = rename  # type: ignore[method-assign]


def fail_at(run: Run, name: str) -> None:
    """Have a checkpoint fail when it begins a file with this name."""
    create = run.faulty.create

    def full(path: str) -> NewFile:
        if path.endswith(name):
            raise OSError(errno.ENOSPC, "full")
        return create(path)

    run.faulty.create = full  # type: ignore[method-assign]
    with pytest.raises(PersistenceError):
        run.checkpoint()
    run.faulty.create = create  # type: ignore[method-assign]


def test_a_partition_that_is_newer_than_a_manifest_in_doubt():
    """It is listed as it is by the next checkpoint, though no commit is left that changes it."""
    run = Run()
    run.open()
    run.commit(Put("u/1", b"1", "a"))
    leave_manifest_in_doubt(run)
    run.commit(Put("v/1", b"2", "b"))
    fail_at(run, "b.json.tmp")  # a.json is there
    run.reopen()
    run.checkpoint()
    run.reopen()
    assert run.persistor.recovery.clean
    run.close()


def test_a_remainder_behind_a_manifest_in_doubt():
    """None is made that would be older than the manifest that may be there."""
    run = Run()
    run.open()
    run.commit(Put("u/1", b"1", "a"), Put("v/1", b"1", "b"))
    run.checkpoint()
    run.commit(Put("u/1", b"2", "a"))
    run.commit(Put("u/2", b"2", "a"))
    leave_manifest_in_doubt(run)
    run.commit(Put("u/1", b"3", "a"), Put("v/1", b"3", "b"))
    fail_at(run, "a.json.tmp")
    run.reopen()
    assert run.persistor.recovery.clean
    run.close()
