"""What the store does while the power fails: each function uses a `Run`."""

from __future__ import annotations

import random
from collections.abc import Callable

from grebe.core.operation import Clear, Delete, Move, Operation, Put
from tests.crash.harness import Run

Workload = Callable[[Run], None]


def value(text: str, size: int = 0) -> bytes:
    return b'{"v":"%b%b"}' % (text.encode(), b"x" * size)


def commits(run: Run) -> None:
    """Creation, and commits over two partitions, plain and encrypted."""
    run.open()
    for number in range(5):
        run.commit(
            Put("u/1", value(f"a{number}"), "a"),
            Put(f"u/{number + 2}", value(f"b{number}"), "b"),
            Put("s/1", b'"c2Vh%d"' % number, "b", True),
            metadata=b"m%d" % number,
        )
    run.commit(Delete("u/3"), Delete("u", recursive=False))
    run.commit(Put("u/9", value("long", 3000), "a"))
    # A record that is written in many pieces before its sync.
    run.commit(*(Put(f"m/{number}", value(f"c{number}"), "ab"[number % 2]) for number in range(12)))
    run.commit(Delete("m/1"), *(Put(f"m/{n}", value("d"), "ba"[n % 2]) for n in range(12)))
    run.die()


def checkpoints(run: Run) -> None:
    """Checkpoints with commits before, after and in between; partitions that become empty."""
    run.open()
    run.commit(Put("u/1", value("1"), "a"), Put("v/1", value("1"), "b"), Put("w/1", b"1", "c"))
    run.checkpoint()
    run.commit(Put("u/2", value("2"), "a"), Put("w/2", b"2", "c"), metadata=b"two")
    run.commit(Delete("v/1"), Put("u/1", value("3"), "a"))
    run.checkpoint()
    run.checkpoint()
    run.commit(Put("v/2", value("4"), "b"))
    run.commit(Clear(), Put("w/3", b"3", "c"))
    run.checkpoint()
    run.commit(Put("u/4", value("5"), "a"))
    run.close()


def reopens(run: Run) -> None:
    """Processes that die and are followed by others; closing in order."""
    run.open()
    run.commit(Put("u/1", value("1"), "a"), Put("v/1", value("1"), "b"))
    run.reopen()
    run.commit(Put("u/1", value("2"), "a"), Put("v/1", value("2"), "b"), metadata=b"two")
    run.checkpoint()
    run.commit(Put("u/2", value("3"), "a"), Delete("v"))
    run.reopen()
    run.reopen()
    run.checkpoint()
    run.reopen()
    run.commit(Put("v/1", value("4"), "b"), Delete("u/1"))
    run.close()
    run.open()
    run.commit(Put("u/1", value("5"), "a"), Put("v/1", value("5"), "b"))
    run.close()


def moves(run: Run) -> None:
    """Documents that change partitions: there, there and back, in a ring, emptying the source."""
    run.open()
    run.commit(*(Put(f"u/{n}", value(f"{n}"), "a") for n in range(3)), Put("w/1", b"1", "b"))
    run.checkpoint()
    run.commit(Move("u", "a", "b"), Put("u/0", value("moved"), "b"))
    run.checkpoint()
    run.commit(Move("u/1", "b", "c"), Put("v/1", value("v"), "a"))
    run.commit(Move("u/1", "c", "a"), Delete("u/2"))
    run.commit(Move("u/1", "a", "b"), Move("w", "b", "a"))
    run.checkpoint()
    run.commit(Move("u", "b", "c"), Move("", "a", "b"))
    run.reopen()
    run.commit(Move("u", "c", "a"), Put("u/1", value("again"), "a"))
    run.checkpoint()
    run.commit(Move("", "a", "b"), Move("", "b", "a"))
    run.close()


def replaced(run: Run) -> None:
    """Commits that replace a partition, or most of it, so that a remainder takes its place first.

    Of others they leave one document, or the same documents in another order.
    """

    def all_anew(text: str, *, skip: int = -1, turned: bool = False) -> None:
        rows = [(f"u/{n}", "a", False) for n in range(3) if n != skip]
        rows += [(f"v/{n}", "b", False) for n in range(2)] + [("s/1", "b", True)]
        if turned:
            rows.reverse()
        run.commit(
            *(Put(path, value(text) if not e else b'"c2Vh"', p, e) for path, p, e in rows),
            metadata=text.encode(),
        )

    run.open()
    all_anew("1")
    run.checkpoint()
    all_anew("2")
    run.checkpoint()
    all_anew("3", skip=1)
    run.commit(Put("u/9", value("new"), "a"), Delete("v/1"), Put("v/1", value("late"), "b"))
    run.checkpoint()
    all_anew("4", turned=True)
    run.commit(Delete("u/9"))
    run.reopen()
    run.checkpoint()
    run.commit(Clear(), Put("u/1", value("5"), "a"))
    all_anew("6")
    _checkpoint_with_commits(run)
    all_anew("7")
    run.commit(Delete("v"), Put("v/1", value("8"), "b"))
    run.checkpoint()
    run.die()


def left_out(run: Run) -> None:
    """A remainder that waits for a commit behind others of the same journal."""
    run.open()
    run.commit(
        *(Put(f"u/{n}", value("1"), "a") for n in range(3)), Put("s/1", b'"c2Vh"', "a", True)
    )
    run.checkpoint()
    run.commit(Put("u/0", value("2"), "a"))
    run.commit(*(Put(f"u/{n}", value("3"), "a") for n in range(1, 3)))
    run.commit(Put("s/1", b'"c2Vi"', "a", True), Delete("u/2"))
    run.checkpoint()
    run.die()


def busy(run: Run) -> None:
    """Commits that come while a checkpoint is written, of the same and of other partitions."""
    run.open()
    run.commit(*(Put(f"u/{n}", value(f"{n}"), "abc"[n]) for n in range(3)))
    run.checkpoint()
    run.commit(Move("u/0", "a", "c"), Put("u/1", value("11"), "b"))
    _checkpoint_with_commits(run)
    run.commit(Put("u/0", value("last"), "c"))
    run.checkpoint()
    run.commit(Delete("u/0"), Put("u/5", value("5"), "a"))
    _checkpoint_with_commits(run)
    run.reopen()
    run.close()


def _checkpoint_with_commits(run: Run) -> None:
    """Checkpoint; before each partition file and the manifest is begun, commit something."""
    waiting = [
        (Put("u/1", value("during"), "b"), Move("u/2", "c", "a")),
        (Delete("u/0"), Put("u/7", value("7"), "d")),
        (Move("", "b", "c"), Put("u/1", value("late"), "c")),
        (Put("u/0", value("back"), "a"),),
    ]
    create = run.faulty.create

    def interrupted(path: str):  # type: ignore[no-untyped-def]
        if path.endswith(".json.tmp") and waiting:
            operations = waiting.pop(0)
            run.commit(*operations)
            run.what = "checkpoint"
        return create(path)

    run.faulty.create = interrupted  # type: ignore[method-assign]
    try:
        run.checkpoint()
    finally:
        run.faulty.create = create  # type: ignore[method-assign]


def random_workload(seed: int) -> Workload:
    """Return a workload of twenty random steps over few documents and partitions."""

    def work(run: Run) -> None:
        rng = random.Random(seed)
        run.open()
        for number in range(20):
            step = rng.randrange(12)
            if step < 7:
                operations = [random_operation(rng, number) for _ in range(rng.randrange(1, 4))]
                run.commit(*operations, metadata=b"%d" % number if step == 0 else None)
            elif step < 9:
                run.checkpoint()
            elif step == 9:
                _checkpoint_with_commits(run)
            elif step == 10:
                run.reopen()
            else:
                run.close()
                run.open()
        run.close()

    return work


def random_operation(rng: random.Random, number: int) -> Operation:
    """Return an operation that probably concerns what is there."""
    path = rng.choice(["u/1", "u/2", "u/1/s/1", "v/1", "w/1"])
    one, other = rng.choice("abc"), rng.choice("abc")
    match rng.randrange(10):
        case 0:
            return Delete(rng.choice([path, path.rpartition("/")[0]]), rng.random() < 0.7)
        case 1 | 2 | 3:
            return Move(rng.choice(["", "u", path]), one, other)
        case 4:
            return Clear() if rng.random() < 0.3 else Delete(path)
        case 5:
            return Put(path, b'"c2Vh%d"' % number, one, True)
        case _:
            return Put(path, value(f"{number}"), one)


WORKLOADS: dict[str, Workload] = {
    "commits": commits,
    "checkpoints": checkpoints,
    "reopens": reopens,
    "moves": moves,
    "busy": busy,
    "replaced": replaced,
    "left out": left_out,
}
