"""Operations: what they show, and batches."""

from __future__ import annotations

import pytest

from grebe.core.operation import (
    Batch,
    Clear,
    Delete,
    Move,
    PathsIn,
    Put,
    PutMany,
    Record,
    RecordGroup,
)

SECRET = b'{"name":"secret"}'


@pytest.mark.parametrize(
    "operation",
    [
        Put("users/1", SECRET),
        PutMany(["users/1"], [SECRET]),
        Record("users/1", SECRET),
        RecordGroup("users", ["1"], [SECRET]),
        Batch([Put("users/1", SECRET)], SECRET),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_reprs_show_no_data(operation: object) -> None:
    """Neither repr() nor str(): they turn up in logs."""
    assert "secret" not in repr(operation) + str(operation)


def test_reprs_show_the_rest() -> None:
    """Path, partition and size."""
    assert repr(Put("users/1", b"12", "P")) == "Put('users/1', <2 bytes>, 'P', False)"
    assert repr(Move("users", "P", "Q")) == "Move(path='users', source='P', target='Q')"
    assert repr(Delete("users/1")) == "Delete(path='users/1', recursive=True)"
    assert repr(Clear()) == "Clear()"


def test_operations_are_immutable_values() -> None:
    """Equal by content, and not to be changed."""
    assert Put("a/1", b"1") == Put("a/1", b"1")
    with pytest.raises(AttributeError):
        Put("a/1", b"1").path = "b"  # type: ignore[misc]


def test_a_batch_gives_single_puts() -> None:
    """Bulk puts are one operation for each document to whoever asks."""
    batch = Batch([Delete("b/1"), PutMany(["a/1", "a/2"], [b"1", b"2"], "P")], b"meta")
    assert batch.operations == (Delete("b/1"), Put("a/1", b"1", "P"), Put("a/2", b"2", "P"))
    assert batch.metadata == b"meta"
    assert batch == Batch([Delete("b/1"), Put("a/1", b"1", "P"), Put("a/2", b"2", "P")], b"meta")
    assert batch != Batch([Delete("b/1")], b"meta")


def test_paths_in_a_collection_are_a_sequence_of_paths() -> None:
    """Whole, one by one and cut."""
    found = PathsIn("users", ["a", "b", "c"])
    wanted = ["users/a", "users/b", "users/c"]
    assert (list(found), len(found), found[1], found[-2:]) == (wanted, 3, "users/b", wanted[1:])
    assert found == wanted
    assert found != wanted[1:]
    assert "users/c" in found
