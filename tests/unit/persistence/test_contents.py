"""What operations do to stored documents: the reference for every persistor."""

from __future__ import annotations

import pytest

from grebe.core.operation import Clear, Delete, Move, Operation, Put, PutMany, RecordGroup
from grebe.persistence.contents import Contents

BEFORE: list[Operation] = [
    Put("a/1", b"1", "P"),
    Put("a/1/s/2", b"2", "Q"),
    Put("a/10", b"3", "P"),
    Put("b/1", b"4", "P"),
]


def made(*operations: Operation | PutMany) -> Contents:
    contents = Contents()
    for lsn, operation in enumerate([*BEFORE, *operations], 1):
        contents.apply(operation, lsn)
    return contents


def stored(contents: Contents, path: str = "") -> dict[str, tuple[bytes, str]]:
    return {r.path: (r.value, r.partition) for r in contents.records(path)}


KEPT = {
    "a/1": (b"1", "P"),
    "a/1/s/2": (b"2", "Q"),
    "a/10": (b"3", "P"),
    "b/1": (b"4", "P"),
}


def without(*gone: str) -> dict[str, tuple[bytes, str]]:
    return {path: value for path, value in KEPT.items() if path not in gone}


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        (Put("a/1", b"9", "P"), {**KEPT, "a/1": (b"9", "P")}),
        (
            PutMany(["c/1", "c/2"], [b"8", b"9"], "R"),
            {**KEPT, "c/1": (b"8", "R"), "c/2": (b"9", "R")},
        ),
        (Delete("a/1"), without("a/1", "a/1/s/2")),
        (Delete("a/1", False), without("a/1")),
        (Delete("a"), without("a/1", "a/1/s/2", "a/10")),
        (Delete("a", False), without("a/1", "a/10")),
        (Delete("missing/1"), KEPT),
        (Delete("missing"), KEPT),
        (Move("a", "P", "R"), {**KEPT, "a/1": (b"1", "R"), "a/10": (b"3", "R")}),
        (Move("a/1", "Q", "P"), {**KEPT, "a/1/s/2": (b"2", "P")}),
        (Move("a/1", "P", "Q"), {**KEPT, "a/1": (b"1", "Q")}),
        (Move("a/1", "missing", "Q"), KEPT),
        (Move("a/1", "P", "P"), KEPT),
        (Clear(), {}),
    ],
    ids=repr,
)
def test_what_an_operation_does(
    operation: Operation | PutMany, wanted: dict[str, tuple[bytes, str]]
) -> None:
    """In all partitions, and once more changes nothing."""
    contents = made(operation)
    assert stored(contents) == wanted
    contents.apply(operation, 99)
    assert stored(contents) == wanted


def test_an_old_commit_does_not_touch_a_newer_side() -> None:
    """A partition file that includes a commit already is not given it again."""
    contents = Contents()
    contents.add_side(("P", False), [RecordGroup("a", ["1", "2"], [b"new", b"new"])], 5)
    contents.apply(Put("a/1", b"old", "P"), 4)
    contents.apply(Delete("a/2"), 5)
    contents.apply(Clear(), 3)
    contents.apply(Move("a", "P", "Q"), 5)
    assert stored(contents) == {"a/1": (b"new", "P"), "a/2": (b"new", "P")}
    assert contents.changed == set()
    contents.apply(Delete("a/2"), 6)
    assert stored(contents) == {"a/1": (b"new", "P")}
    assert contents.changed == {("P", False)}


def test_a_move_between_sides_of_different_age() -> None:
    """After a crash in a checkpoint one side has the move and the other not: none is lost."""
    contents = Contents()
    contents.add_side(("P", False), [RecordGroup("a", ["1"], [b"1"])], 1)
    contents.add_side(("Q", False), [RecordGroup("a", ["1"], [b"1"])], 2)
    contents.apply(Move("a", "P", "Q"), 2)
    assert stored(contents) == {"a/1": (b"1", "Q")}


def test_sealed_documents_are_not_moved() -> None:
    """They have a side of their own, and are put anew by whoever has the key."""
    contents = Contents()
    contents.apply(Put("a/1", b"sealed", "P", True), 1)
    contents.apply(Move("a", "P", "Q"), 2)
    assert [(r.path, r.partition, r.encrypted) for r in contents.records()] == [("a/1", "P", True)]
    contents.apply(Delete("a/1"), 3)
    assert list(contents.records()) == []


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("a", {"a/1", "a/1/s/2", "a/10"}), ("a/1", {"a/1", "a/1/s/2"}), ("a/1/s", {"a/1/s/2"})],
)
def test_a_part_can_be_asked_for(path: str, wanted: set[str]) -> None:
    """Documents at and under a path, in all partitions."""
    assert set(stored(made(), path)) == wanted
