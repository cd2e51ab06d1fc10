"""Opening, closing and looking inside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.persistors import MemoryPersistor

OpenStore = Callable[..., grebe.Store]


def test_targets(tmp_path: Path) -> None:
    """None and "memory:" persist nothing; str, Path and file: URLs are directories."""
    for target in (None, "memory:"):
        with grebe.open(target) as store:
            store.doc("x").set(1)
            assert repr(store) == "<Store memory:: 1 documents>"
    for target in (str(tmp_path / "a"), tmp_path / "a", f"file://{tmp_path}/a"):
        with grebe.open(target) as store:
            store.doc("x").set(1)
    assert (tmp_path / "a" / "__manifest__.json").exists()


@pytest.mark.parametrize(
    ("target", "error"),
    [("", ValueError), ("redis://x", ValueError), (7, TypeError), (b"x", TypeError)],
)
def test_other_targets_are_refused(target: Any, error: type[Exception]) -> None:
    """At once, and saying what can be given."""
    with pytest.raises(error):
        grebe.open(target)


@pytest.mark.parametrize(
    "options",
    [
        {"commit_interval": -1},
        {"commit_interval": "fast"},
        {"commit_interval": float("nan")},
        {"on_corruption": "ignore"},
        {"partition": 1},
        {"persist": "no"},
        {"scheduler": 1},
        {"on_commit": "x"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    """Before anything is made on disk."""
    with pytest.raises((TypeError, ValueError)):
        grebe.open(tmp_path / "data", **options)
    assert not (tmp_path / "data").exists()


def test_closing_commits_and_lets_go(open_store: OpenStore, directory: Path) -> None:
    """close() in its three forms; the directory can be opened again at once."""
    with open_store(directory) as store:
        store.doc("x").set(1)

    async def main() -> None:
        async with await grebe.aopen(directory) as store:
            store.doc("y").set(store.doc("x").get().data + 1)
        await store.aclose()
        other = await grebe.aopen(directory)
        other.doc("z").set(3)
        await other.aclose()

    asyncio.run(main())
    with open_store(directory) as store:
        assert store.inspect()["documents"] == {"root/x": 1, "root/y": 2, "root/z": 3}
        assert store.recovery == grebe.RecoveryReport()


def test_read_only_sees_the_last_commit(open_store: OpenStore, directory: Path) -> None:
    """Beside a writer; every write raises ReadOnlyError, commit() does nothing."""
    writer = open_store(directory)
    writer.doc("x").set(1)
    writer.commit()
    writer.doc("x").set(2)
    store = open_store(directory, read_only=True)
    doc = store.doc("x")
    assert doc.get().data == 1
    writes: list[Callable[[], object]] = [
        lambda: doc.set(2),
        lambda: doc.create(2),
        lambda: doc.update(n=2),
        lambda: doc.modify(lambda s: s.data),
        doc.delete,
        store.collection("users").delete,
        lambda: store.collection("users").create_many([1]),
        lambda: store.collection("users").replace({}),
        store.clear,
        lambda: store.transaction().__enter__(),
    ]
    for write in writes:
        with pytest.raises(grebe.ReadOnlyError, match="read_only=True"):
            write()
    store.commit()
    store.checkpoint()
    assert doc.get().data == 1


def test_read_only_needs_a_store(tmp_path: Path) -> None:
    """A missing one is a PersistenceError, and is not made."""
    with pytest.raises(grebe.PersistenceError):
        grebe.open(tmp_path / "data", read_only=True)
    with pytest.raises(grebe.PersistenceError):
        grebe.open(read_only=True)
    assert not (tmp_path / "data").exists()


def test_a_target_is_open_once(open_store: OpenStore, directory: Path) -> None:
    """A second writer is refused at once, and works after close()."""
    kept = MemoryPersistor()
    for target in (kept, directory):
        first = open_store(target)
        with pytest.raises(grebe.StoreLockedError):
            grebe.open(target)
        first.doc("x").set(1)
        first.close()
        assert open_store(target).doc("x").get().data == 1


def test_closing_ends_the_threads(open_store: OpenStore, directory: Path) -> None:
    """No thread of a closed store is left."""
    before = set(threading.enumerate())
    store = open_store(directory, commit_interval=0.001)
    store.doc("x").set(1)
    assert set(threading.enumerate()) != before
    store.close()
    assert set(threading.enumerate()) == before


def test_clear_is_durable_on_return(open_store: OpenStore, directory: Path) -> None:
    """Nothing is left on disk, whatever happens next."""
    store = open_store(directory)
    store.collection("users", partition="P").create_many([1, 2])
    store.checkpoint()
    store.clear()
    other = open_store(directory, read_only=True)
    assert other.inspect()["documents"] == {}
    store.checkpoint()
    assert not (directory / "P.json").exists()


def test_inspect_is_a_plain_dict(store: grebe.Store) -> None:
    """With all that is named in the contract."""
    posts = store.collection("posts", depends_on=lambda s: [store.doc("users/1")])
    posts.doc("1").set({"n": 1})
    posts.observe()
    found = store.inspect()
    assert found["documents"] == {"posts/1": {"n": 1}}
    assert found["dependencies"] == {"posts/1": ["users/1"]}
    assert found["pending"] == {}
    assert found["partitions"]["__store__"].documents == 1
    assert found["commit"]["waiting"] == 0
    assert found["observers"] == ["<Observer of Collection 'posts': 0 subscriptions>"]


def test_two_stores_do_not_know_each_other(open_store: OpenStore) -> None:
    """There is no global state."""
    one, two = open_store(), open_store()
    one.collection("users", persist=False).doc("1").set(1)
    assert not two.doc("users/1").exists()
    assert two._engine.options.by_path == {}
    one.close()
    two.doc("users/1").set(2)


def test_waiting_writes_survive_a_checkpoint(open_store: OpenStore, directory: Path) -> None:
    """checkpoint() commits first and folds the journal."""
    store = open_store(directory)
    store.doc("x").set(1)
    store.checkpoint()
    assert '"root/x":1' in (directory / "__store__.json").read_text()
    asyncio.run(store.acheckpoint())
    asyncio.run(store.acommit())
    asyncio.run(store.aclear())
    assert store.inspect()["documents"] == {}
