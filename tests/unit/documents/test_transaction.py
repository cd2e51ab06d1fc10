"""Transactions: buffered, isolated, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import grebe
from grebe.persistors import MemoryPersistor

OpenStore = Callable[..., grebe.Store]


@pytest.fixture
def a(store: grebe.Store) -> grebe.Document[Any]:
    return store.doc("accounts/a")


@pytest.fixture
def b(store: grebe.Store) -> grebe.Document[Any]:
    return store.doc("accounts/b")


Doc = grebe.Document[Any]


def test_nothing_outside_sees_it_before_its_end(store: grebe.Store, a: Doc, b: Doc) -> None:
    """tx.get sees the writes, the store does not; then all are there, told once."""
    a.set({"n": 1})
    told: list[Any] = []
    store.collection("accounts").observe().subscribe_changes(told.append)
    with store.transaction() as tx:
        assert tx.update(a, n=2).data == {"n": 2}
        assert tx.create(b, {"n": 3}).data == {"n": 3}
        assert tx.get(a).data == {"n": 2}
        assert tx.get(b).data == {"n": 3}
        assert a.get().data == {"n": 1}
        assert not b.exists()
        assert told == []
    assert (a.get().data, b.get().data) == ({"n": 2}, {"n": 3})
    assert len(told) == 1


def test_every_write_of_a_transaction(store: grebe.Store, a: Doc, b: Doc) -> None:
    """With the returns and errors of the same write of a document."""
    with store.transaction() as tx:
        for call in (
            lambda: tx.replace(a, 1),
            lambda: tx.update(a, n=1),
            lambda: tx.modify(a, lambda s: s.data),
        ):
            with pytest.raises(grebe.DocumentNotFoundError):
                call()
        assert tx.get(a) is None
        tx.create(a, {"n": 1})
        with pytest.raises(grebe.DocumentExistsError):
            tx.create(a, {"n": 1})
        tx.replace(a, {"n": 2})
        tx.update(a, {"m": 3}, k=4)
        assert tx.modify(a, lambda s: {**s.data, "n": 5}).data == {"n": 5, "m": 3, "k": 4}
        tx.set(b, 1)
        with pytest.raises(TypeError, match="no fields"):
            tx.update(b, n=1)
        with pytest.raises(grebe.SerializationError, match="accounts/b"):
            tx.set(b, {1})
        result: Any = tx.delete(b)
        assert result is None
        assert tx.get(b) is None
        assert tx.create(b, 7).data == 7
    assert store.inspect()["documents"] == {"accounts/a": {"n": 5, "m": 3, "k": 4}, "accounts/b": 7}


def test_an_exception_means_nothing_happened(store: grebe.Store, a: Doc, b: Doc) -> None:
    """It reaches the caller; nobody is told."""
    a.set({"n": 1})
    told: list[Any] = []
    store.collection("accounts").observe().subscribe_changes(told.append)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:  # noqa: PT012
        tx.set(a, 2)
        tx.delete(a)
        tx.set(b, 2)
        raise ZeroDivisionError
    assert store.inspect()["documents"] == {"accounts/a": {"n": 1}}
    assert told == []


CHANGES = [
    (touch, meanwhile)
    for touch in ("get", "set", "create", "update", "delete")
    for meanwhile in ("set", "delete", "create", "delete and create")
    # Only what is there can be updated, and only what is not there created.
    if (touch, meanwhile) != ("update", "create") and (touch != "create" or meanwhile == "create")
]


@pytest.mark.parametrize(("touch", "meanwhile"), CHANGES)
def test_a_document_that_changed_meanwhile_is_a_conflict(
    store: grebe.Store, a: Doc, b: Doc, touch: str, meanwhile: str
) -> None:
    """Whether it was read or written through the transaction; nothing is applied."""
    if meanwhile != "create":
        a.set({"n": 1})
    with pytest.raises(grebe.ConflictError, match="accounts/a changed") as caught:  # noqa: PT012, SIM117
        with store.transaction() as tx:
            tx.set(b, 1)
            if touch == "get":
                tx.get(a)
            elif touch == "delete":
                tx.delete(a)
            else:
                getattr(tx, touch)(a, {"n": 9})
            if "delete" in meanwhile:
                a.delete()
            if "create" in meanwhile:
                a.create({"n": 1})
            if meanwhile == "set":
                a.set({"n": 2})
    assert caught.value.path == "accounts/a"
    assert not b.exists()


def test_an_equal_write_meanwhile_is_no_conflict(store: grebe.Store, a: Doc) -> None:
    """It was no change."""
    a.set({"n": 1, "m": 2})
    with store.transaction() as tx:
        tx.get(a)
        a.set({"m": 2, "n": 1})
        tx.set(a, 3)
    assert a.get().data == 3


def test_a_document_that_was_not_touched_is_no_conflict(store: grebe.Store, a: Doc, b: Doc) -> None:
    """Others may write what they like elsewhere."""
    with store.transaction() as tx:
        tx.set(a, 1)
        b.set(2)
    assert store.inspect()["documents"] == {"accounts/b": 2, "accounts/a": 1}


def test_an_ancestor_deleted_meanwhile_is_a_conflict(store: grebe.Store) -> None:
    """Because the document that was read is gone."""
    below = store.doc("accounts/a/entries/1")
    below.set(1)
    with pytest.raises(grebe.ConflictError), store.transaction() as tx:  # noqa: PT012
        tx.update(store.doc("x"), n=1) if tx.get(below) is None else tx.set(store.doc("x"), 1)
        store.doc("accounts/a").delete()
    assert store.inspect()["documents"] == {}


def test_deletions_and_what_is_under_them(store: grebe.Store, a: Doc) -> None:
    """A deletion hides and drops what is below it; what is written after it stays."""
    old, new = store.doc("accounts/a/entries/1"), store.doc("accounts/a/entries/2")
    a.set(1)
    old.set(1)
    with store.transaction() as tx:
        tx.set(new, 1)
        tx.delete(a)
        assert tx.get(old) is None
        assert tx.get(new) is None
        tx.set(new, 2)
        assert tx.get(new).data == 2
        tx.set(a, 3)
        assert tx.get(old) is None
    assert store.inspect()["documents"] == {"accounts/a": 3, "accounts/a/entries/2": 2}


def test_deleted_and_set_again_is_one_modification(store: grebe.Store, a: Doc) -> None:
    """Observers hear of the difference only."""
    a.set({"n": 1})
    told: list[Any] = []
    a.observe().subscribe_changes(told.append)
    with store.transaction() as tx:
        tx.delete(a)
        tx.set(a, {"n": 2})
    assert [[(c.event, c.prev_data, c.data) for c in changes] for changes in told] == [
        [(grebe.Event.MODIFIED, {"n": 1}, {"n": 2})]
    ]


def test_its_end_is_one_commit(open_store: OpenStore) -> None:
    """And a failing one leaves the persistor alone."""
    batches: list[grebe.Batch] = []
    store = open_store(MemoryPersistor(), on_commit=batches.append)
    with store.transaction() as tx:
        for i in range(5):
            tx.set(store.doc(f"a/{i}"), i)
    store.commit()
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:  # noqa: PT012
        tx.set(store.doc("a/9"), 1)
        raise ZeroDivisionError
    store.commit()
    assert [len(batch.operations) for batch in batches] == [5]


def test_it_can_be_used_once_and_only_inside(
    store: grebe.Store, open_store: OpenStore, a: Doc
) -> None:
    """Before, after and again are RuntimeErrors; a document of another store is a ValueError."""
    tx = store.transaction()
    with pytest.raises(RuntimeError, match="over"):
        tx.get(a)
    with tx:
        tx.set(a, 1)
        with pytest.raises(ValueError, match="another store"):
            tx.get(open_store().doc("accounts/a"))
    with pytest.raises(RuntimeError, match="over"):
        tx.set(a, 2)
    with pytest.raises(RuntimeError, match="once"), tx:
        pytest.fail("entered")
    assert repr(tx) == "<Transaction: 1 writes>"


def test_run_transaction_retries_and_returns(store: grebe.Store, a: Doc) -> None:
    """fn is called again after a conflict, and its result is returned."""
    a.set({"n": 0})
    calls: list[int] = []

    def fn(tx: grebe.Transaction) -> str:
        n = tx.get(a).data["n"]
        calls.append(n)
        if len(calls) < 3:
            a.set({"n": n + 10})
        tx.update(a, n=n + 1)
        return f"from {n}"

    assert store.run_transaction(fn) == "from 20"
    assert calls == [0, 10, 20]
    assert a.get().data == {"n": 21}


def test_run_transaction_gives_up(store: grebe.Store, a: Doc) -> None:
    """After so many attempts the conflict is raised; other exceptions are not retried."""
    calls: list[int] = []

    def conflicts(tx: grebe.Transaction) -> None:
        tx.get(a)
        calls.append(len(calls))
        a.set({"n": len(calls)})

    with pytest.raises(grebe.ConflictError):
        store.run_transaction(conflicts, attempts=3)
    assert len(calls) == 3
    with pytest.raises(ZeroDivisionError):
        store.run_transaction(lambda tx: calls.append(1) or 1 / 0)  # type: ignore[func-returns-value]
    assert len(calls) == 4
    with pytest.raises(ValueError, match="attempts="):
        store.run_transaction(conflicts, attempts=0)


def test_coroutines(store: grebe.Store, a: Doc) -> None:
    """async with and arun_transaction: others may run, and conflict, while it waits."""

    async def main() -> None:
        async with store.transaction() as tx:
            tx.set(a, {"n": 0})
            await asyncio.sleep(0)
            assert not a.exists()

        async def add(tx: grebe.Transaction) -> int:
            n = int(tx.get(a).data["n"])
            await asyncio.sleep(0)
            tx.update(a, n=n + 1)
            return n

        results = await asyncio.gather(*(store.arun_transaction(add, 50) for _ in range(8)))
        assert sorted(results) == list(range(8))
        with pytest.raises(grebe.ConflictError):  # noqa: PT012
            async with store.transaction() as tx:
                tx.get(a)
                a.set({"n": -1})

    asyncio.run(main())
    assert a.get().data == {"n": -1}


def test_partitions_and_dependencies_are_computed(open_store: OpenStore) -> None:
    """For every write, also of a child whose parent is written in the same transaction."""
    kept = MemoryPersistor()
    store = open_store(kept)
    users = store.collection("users", partition=lambda s: s.data["p"])
    posts = store.collection("posts", depends_on=lambda s: [store.doc(s.data["on"])])
    with store.transaction() as tx:
        tx.set(store.doc("users/1/friends/2"), {"n": 1})
        tx.set(users.doc("1"), {"p": "A"})
        tx.set(store.doc("users/1/friends/3"), {"n": 1})
        tx.set(posts.doc("1"), {"on": "users/1"})
    store.commit()
    found = {r.path: r.partition for r in kept.load(None)}
    assert found["users/1"] == found["users/1/friends/2"] == found["users/1/friends/3"] == "A"
    assert posts.doc("1").dependencies() == {users.doc("1")}
