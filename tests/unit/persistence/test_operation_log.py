"""Coalescing: what is handed out does the same as everything that was put in."""

from __future__ import annotations

import random

import pytest

from grebe.core import path as paths
from grebe.core.operation import (
    Batch,
    Clear,
    Delete,
    Move,
    Operation,
    Put,
    PutMany,
    single_operations,
)
from grebe.persistence.contents import Contents
from grebe.persistence.operation_log import OperationLog
from tests.conftest import rounds

Stored = dict[str, tuple[str, bytes]]

COLLECTIONS = ("a", "a/1/s", "a/2/s", "a/1/s/1/t", "b")
PARTITIONS = ("P", "Q", "R")


def contents_of(*logs: object) -> Contents:
    contents = Contents()
    for lsn, operations in enumerate(logs, 1):
        for operation in operations:  # type: ignore[attr-defined]
            contents.apply(operation, lsn)
    return contents


def stored(contents: Contents) -> Stored:
    """Return partition and value by path, after checking that no document is there twice."""
    records = list(contents.records())
    found = {record.path: (record.partition, record.value) for record in records}
    assert len(found) == len(records), "a document is in two partitions"
    return found


class Writer:
    """Makes operations as a store does: a document is moved before it is put elsewhere."""

    def __init__(self, seed: int, *, chains: bool = True) -> None:
        self.random = random.Random(seed)
        self.chains = chains
        """Whether a document with others under it may be moved, and scopes by themselves."""
        self.model: Stored = {}
        self.counter = 0

    def any_path(self) -> str:
        collection = self.random.choice(COLLECTIONS)
        return collection if self.random.random() < 0.3 else self.doc_in(collection)

    def doc_in(self, collection: str) -> str:
        return f"{collection}/{self.random.randrange(1, 4)}"

    def value(self) -> bytes:
        self.counter += 1
        return b"%d" % self.counter

    def put(self, path: str) -> list[Operation]:
        partition = self.random.choice(PARTITIONS)
        operations: list[Operation] = []
        has_below = any(p != path and paths.is_under(p, path) for p in self.model)
        if not self.chains and path in self.model and has_below:
            partition = self.model[path][0]
        if path in self.model and self.model[path][0] != partition:
            operations += self.move(path, self.model[path][0], partition)
        value = self.value()
        self.model[path] = (partition, value)
        return [*operations, Put(path, value, partition)]

    def move(self, scope: str, source: str, target: str) -> list[Operation]:
        for path, (partition, value) in self.model.items():
            if partition == source and paths.is_under(path, scope):
                self.model[path] = (target, value)
        return [Move(scope, source, target)]

    def delete(self, path: str) -> list[Operation]:
        below = [p for p in self.model if paths.is_under(p, path) and p != path]
        recursive = bool(below) or self.random.random() < 0.5
        for gone in [*below, path]:
            self.model.pop(gone, None)
        return [Delete(path, recursive)]

    def bulk(self) -> list[Operation | PutMany]:
        collection, partition = self.random.choice(COLLECTIONS), self.random.choice(PARTITIONS)
        free = [p for p in (f"{collection}/{i}" for i in range(9)) if p not in self.model]
        values = [self.value() for _ in free]
        self.model.update((p, (partition, v)) for p, v in zip(free, values, strict=True))
        return [PutMany(free, values, partition)]

    def next(self) -> list[Operation | PutMany]:
        kind = self.random.random()
        if kind < 0.6:
            return [*self.put(self.doc_in(self.random.choice(COLLECTIONS)))]
        if kind < 0.8:
            return [*self.delete(self.any_path())]
        if kind < 0.9 and self.chains:
            source, target = self.random.sample(PARTITIONS, 2)
            return [*self.move(self.any_path(), source, target)]
        if kind < 0.97:
            return self.bulk()
        self.model.clear()
        return [Clear()]

    def several(self) -> list[Operation | PutMany]:
        return [op for _ in range(self.random.randrange(12)) for op in self.next()]


@pytest.mark.parametrize("seed", rounds(150))
def test_coalesced_operations_do_what_all_of_them_do(seed: int) -> None:
    """On any stored state; with at most one put for each document."""
    writer = Writer(seed)
    before, added = writer.several(), writer.several()
    handed_out = OperationLog(added).hand_out()
    assert stored(contents_of(before, handed_out)) == writer.model
    assert stored(contents_of(before, added)) == writer.model
    single = list(single_operations(handed_out))
    puts = [operation.path for operation in single if isinstance(operation, Put)]
    assert len(puts) == len(set(puts))
    assert stored(contents_of(before, single)) == writer.model


@pytest.mark.parametrize("seed", rounds(150))
def test_an_attempt_that_failed_can_be_given_again(seed: int) -> None:
    """Merged with what came later, whether it had been stored or not.

    Save for moves of documents that are not put themselves: a chain of those (P to Q, then R to P)
    cannot be repeated.
    """
    writer = Writer(seed, chains=False)
    before, first = writer.several(), writer.several()
    attempt = OperationLog(first)
    handed_out = attempt.hand_out()
    attempt.extend(writer.several())
    attempt.drop_deleted()
    attempt.make_repeatable()
    again = attempt.hand_out()
    assert stored(contents_of(before, again)) == writer.model
    stored_twice = stored(contents_of(before, handed_out, again))
    assert stored_twice == writer.model


def test_a_put_behind_a_move_is_not_doubled_by_a_second_attempt() -> None:
    """The move of the second attempt finds what the first one put, and must not keep it."""
    before = [Put("a/1/s/9", b"0", "P")]
    operations = [Move("a/1", "P", "Q"), Put("a/1", b"1", "Q"), Put("a/1/s/2", b"2", "P")]
    many = PutMany(["a/1/s/3", "b/1"], [b"3", b"4"], "P")
    log = OperationLog([*operations, many])
    log.make_repeatable()
    again = log.hand_out()
    wanted = {
        "a/1/s/9": ("Q", b"0"),
        "a/1": ("Q", b"1"),
        "a/1/s/2": ("P", b"2"),
        "a/1/s/3": ("P", b"3"),
        "b/1": ("P", b"4"),
    }
    assert stored(contents_of(before, again)) == wanted
    assert stored(contents_of(before, [*operations, many], again)) == wanted
    assert stored(contents_of(before, again, again)) == wanted


def test_the_last_put_is_kept_at_its_place() -> None:
    """A put takes the place of an earlier one, so that documents keep their order."""
    log = OperationLog([Put("a/1", b"1"), Put("a/2", b"2"), Put("a/1", b"3")])
    assert log.hand_out() == (Put("a/1", b"3"), Put("a/2", b"2"))
    assert len(log) == 2


def test_a_put_behind_what_covers_it_stays_behind() -> None:
    """A deletion or move in between, of the document or above it, must not undo the later put."""
    for between in (Delete("a"), Delete("a/1", False), Move("a", "p", "q"), Move("", "p", "q")):
        log = OperationLog([Put("a/1", b"1"), Put("b/1", b"2"), between, Put("a/1", b"3")])
        log.put(Put("b/1", b"4"))
        found = log.hand_out()
        assert found.index(Put("a/1", b"3")) > found.index(between)
        if between.path:
            assert found[0] == Put("b/1", b"4"), between


def test_a_bulk_put_keeps_its_order_when_a_document_is_written_again() -> None:
    """The later value stands in the earlier place, and the document once only."""
    log = OperationLog([PutMany(["a/1", "a/2"], [b"1", b"2"]), Put("a/1", b"3")])
    assert Batch(log.hand_out()).operations == (Put("a/1", b"3"), Put("a/2", b"2"))


def test_a_bulk_put_keeps_its_order_beside_a_deletion() -> None:
    """Also if something was deleted meanwhile, as long as that does not cover the document."""
    many = PutMany(["a/1", "a/2", "a/3"], [b"1", b"2", b"3"])
    log = OperationLog([many, Delete("a/3"), Put("a/1", b"4"), Put("a/3", b"5")])
    assert log.hand_out() == (
        Put("a/1", b"4"),
        Put("a/2", b"2"),
        Delete("a/3"),
        Put("a/3", b"5"),
    )


def test_a_deletion_drops_the_put_of_its_path() -> None:
    """Of a document only the last of put and deletion stays."""
    log = OperationLog([Put("a/1", b"1"), Delete("a/1", False), Delete("a/1", False)])
    assert log.hand_out() == (Delete("a/1", False),)


def test_a_put_behind_a_deletion_keeps_the_deletion() -> None:
    """It may have taken more along than the document."""
    log = OperationLog([Delete("a/1"), Put("a/1", b"1")])
    assert log.hand_out() == (Delete("a/1"), Put("a/1", b"1"))


def test_a_recursive_deletion_drops_what_it_covers_when_asked() -> None:
    """drop_deleted() removes puts, single and bulk, at or under a later deletion."""
    log = OperationLog(
        [
            Put("a/1/s/2", b"1"),
            PutMany(["a/1", "a/2"], [b"2", b"3"], "P"),
            Delete("a/1"),
            Put("a/1/s/3", b"4"),
        ]
    )
    log.drop_deleted()
    assert list(single_operations(log.hand_out())) == [
        Put("a/2", b"3", "P"),
        Delete("a/1"),
        Put("a/1/s/3", b"4"),
    ]


def test_clear_drops_everything_before_it() -> None:
    """What was to be stored is removed at once."""
    log = OperationLog([Put("a/1", b"1"), Move("a", "P", "Q"), Clear(), Put("a/2", b"2")])
    assert log.hand_out() == (Clear(), Put("a/2", b"2"))


def test_forget_drops_only_a_waiting_put() -> None:
    """Of a path that does not wait nothing happens."""
    log = OperationLog([Put("a/1", b"1"), Delete("a/2")])
    log.forget("a/1")
    log.forget("a/2")
    assert log.hand_out() == (Delete("a/2"),)
    log.reset()
    assert len(log) == 0


def test_a_bulk_put_gives_way_to_later_puts() -> None:
    """Each document of it that was written again since is left out, and the other way round."""
    log = OperationLog([Put("a/1", b"0"), PutMany(["a/1", "a/2"], [b"1", b"2"]), Put("a/2", b"3")])
    assert list(single_operations(log.hand_out())) == [Put("a/1", b"1"), Put("a/2", b"3")]
