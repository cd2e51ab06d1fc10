"""Loading: everything, nothing, parts; memory is the authority."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.core.operation import Record
from grebe.persistors import MemoryPersistor

OpenStore = Callable[..., grebe.Store]

STORED = {
    "users/1": {"n": 1},
    "users/2": {"n": 2},
    "users/1/friends/3": {"n": 3},
    "users/10": {"n": 10},
    "posts/1": {"n": 4},
    "root/x": {"n": 5},
}


@pytest.fixture(params=["memory", "directory"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, open_store: OpenStore) -> Any:
    """Return a target that holds STORED."""
    target: Any = MemoryPersistor() if request.param == "memory" else tmp_path / "data"
    with open_store(target) as store:
        for path, value in STORED.items():
            store.doc(path).set(value)
    return target


def contents(store: grebe.Store) -> dict[str, Any]:
    return dict(store.inspect()["documents"])


def under(*roots: str) -> dict[str, Any]:
    return {p: v for p, v in STORED.items() if any((p + "/").startswith(r + "/") for r in roots)}


@pytest.mark.parametrize(
    ("hydrate", "wanted"),
    [
        (True, STORED),
        (False, {}),
        ([], {}),
        (["users"], under("users")),
        (["users/1"], under("users/1")),
        (["users/1/friends"], under("users/1/friends")),
        (["posts", "root/x"], under("posts", "root/x")),
        (["users", "users/1"], under("users")),
        (["missing", "users/9"], {}),
    ],
)
def test_opening_loads_what_is_asked_for(
    open_store: OpenStore, kept: Any, hydrate: Any, wanted: dict[str, Any]
) -> None:
    """Everything, nothing or subtrees with all below them, and no neighbours."""
    assert contents(open_store(kept, hydrate=hydrate)) == wanted


def test_loading_later(open_store: OpenStore, kept: Any) -> None:
    """By paths or references, by and by; without an argument, the rest."""
    store = open_store(kept, hydrate=False)
    store.hydrate("users/1")
    assert contents(store) == under("users/1")
    store.hydrate(store.doc("x"), store.collection("posts"))
    assert contents(store) == under("users/1", "root/x", "posts")
    store.hydrate(store.collection("users").where(lambda s: False))
    store.hydrate()
    store.hydrate()
    assert contents(store) == STORED


def test_loading_without_blocking(open_store: OpenStore, kept: Any) -> None:
    """ahydrate and aopen do the same."""

    async def main() -> None:
        async with await grebe.aopen(kept, hydrate=False) as store:
            await store.ahydrate("posts")
            assert contents(store) == under("posts")
            await store.ahydrate()
            assert contents(store) == STORED

    asyncio.run(main())


@pytest.mark.parametrize("wrong", ["users", [1], [None], [b"users"], 7])
def test_wrong_paths_are_refused(open_store: OpenStore, kept: Any, wrong: Any) -> None:
    """A TypeError, and the target can be opened again."""
    with pytest.raises(TypeError):
        open_store(kept, hydrate=wrong)
    store = open_store(kept)
    with pytest.raises(TypeError):
        store.hydrate(7)
    with pytest.raises(grebe.InvalidPathError):
        store.hydrate("users//1")


def test_what_is_in_memory_is_never_overwritten(open_store: OpenStore, kept: Any) -> None:
    """Written before it was loaded, also silently and in memory only."""
    store = open_store(kept, hydrate=False)
    store.doc("users/1").set({"n": "new"})
    store.doc("users/2").set({"n": "new"}, persist=False)
    store.hydrate()
    wanted = {**STORED, "users/1": {"n": "new"}, "users/2": {"n": "new"}}
    assert contents(store) == wanted
    store.close()
    assert contents(open_store(kept)) == {**wanted, "users/2": {"n": 2}}


def test_what_was_deleted_in_memory_does_not_come_back(open_store: OpenStore, kept: Any) -> None:
    """Documents and collections that were never loaded, with what is below them."""
    store = open_store(kept, hydrate=False)
    store.doc("users/1").delete()
    store.collection("posts").delete()
    store.hydrate()
    wanted = {"users/2": {"n": 2}, "users/10": {"n": 10}, "root/x": {"n": 5}}
    assert contents(store) == wanted
    store.commit()
    store.hydrate()
    assert contents(store) == wanted
    store.close()
    assert contents(open_store(kept)) == wanted


def test_deleted_in_memory_only_is_hidden_while_the_store_is_open(
    open_store: OpenStore, kept: Any
) -> None:
    """persist=False leaves the disk alone, and loading does not bring it back before a reopen."""
    store = open_store(kept)
    store.doc("users/1").delete(persist=False)
    store.hydrate()
    store.hydrate("users/1/friends/3")
    assert contents(store) == {p: v for p, v in STORED.items() if p not in under("users/1")}
    store.close()
    assert contents(open_store(kept)) == STORED


def test_create_over_what_is_not_loaded(open_store: OpenStore, kept: Any) -> None:
    """Memory is the authority: it does not raise, and replaces the document, not its subtree."""
    store = open_store(kept, hydrate=False)
    store.doc("users/1").create({"n": "new"})
    store.collection("users").create_many({"2": {"n": "newer"}})
    store.hydrate()
    wanted = {**STORED, "users/1": {"n": "new"}, "users/2": {"n": "newer"}}
    assert contents(store) == wanted
    store.close()
    assert contents(open_store(kept)) == wanted


def test_clear_removes_what_is_not_loaded(open_store: OpenStore, kept: Any) -> None:
    """In memory and on disk; writing works afterwards."""
    store = open_store(kept, hydrate=["posts"])
    store.clear()
    store.hydrate()
    assert contents(store) == {}
    store.doc("users/1").set(1)
    store.close()
    assert contents(open_store(kept)) == {"users/1": 1}


def test_the_order_survives_a_reopen(open_store: OpenStore, tmp_path: Path) -> None:
    """Insertion order within a partition, through journal and checkpoint."""
    keys = ["c", "a", "b", "10", "9"]
    store = open_store(tmp_path / "data")
    for key in keys:
        store.doc(f"users/{key}").set({"n": 1})
    store.doc("users/a").set({"n": 2})
    store.checkpoint()
    store.doc("users/c").delete()
    store.doc("users/c").set({"n": 3})
    store.doc("users/9").update(n=4)
    store.commit()
    wanted = ["a", "b", "10", "9", "c"]
    assert [s.id for s in store.collection("users")] == wanted
    for _ in range(2):
        store.close()
        store = open_store(tmp_path / "data")
        assert [s.id for s in store.collection("users")] == wanted


def test_on_hydrate_is_told(open_store: OpenStore, kept: Any) -> None:
    """Once for each load, with the paths; None for everything."""
    seen: list[Any] = []
    store = open_store(kept, hydrate=["posts"], on_hydrate=seen.append)
    store.hydrate("users/1", store.doc("x"))
    store.hydrate()
    assert seen == [["posts"], ["users/1", "root/x"], None]


class Gate(MemoryPersistor):
    """Calls a function between the moment it looked and the moment its records arrive."""

    between: Callable[[], None] = staticmethod(lambda: None)

    def load(self, paths: Sequence[str] | None) -> list[Record]:
        found = list(super().load(paths))
        self.between()
        return found


def test_a_load_does_not_undo_what_happens_meanwhile(open_store: OpenStore) -> None:
    """Deleted, moved, written or cleared while the persistor was reading."""
    kept = Gate()
    with open_store(kept) as before:
        for path, value in STORED.items():
            before.doc(path).set(value)
    store = open_store(kept, hydrate=False)

    def meanwhile() -> None:
        store.doc("users/1").delete()
        store.doc("users/2").set({"n": "new"})
        store.collection("posts", partition="P").doc("9").set({})
        store.commit()

    kept.between = meanwhile  # type: ignore[method-assign]
    store.hydrate()
    kept.between = lambda: None  # type: ignore[method-assign]
    wanted = {
        "users/2": {"n": "new"},
        "users/10": {"n": 10},
        "posts/1": {"n": 4},
        "posts/9": {},
        "root/x": {"n": 5},
    }
    assert contents(store) == wanted
    assert store.partitions()["P"].documents == 2
    store.close()
    again = open_store(kept, hydrate=False)
    kept.between = again.clear  # type: ignore[method-assign]
    again.hydrate()
    kept.between = lambda: None  # type: ignore[method-assign]
    assert contents(again) == {}


def test_a_store_without_persistor_has_nothing_to_load(store: grebe.Store) -> None:
    """hydrate(), commit() and checkpoint() are no-ops."""
    store.doc("x").set(1)
    store.hydrate()
    store.hydrate("users")
    store.commit()
    store.checkpoint()
    assert contents(store) == {"root/x": 1}


class BrokenLoad(MemoryPersistor):
    broken = True

    def load(self, paths: Sequence[str] | None) -> list[Record]:
        if self.broken:
            raise grebe.CorruptDataError("damaged", "users.json")
        return list(super().load(paths))


def test_a_load_that_fails_reaches_the_caller(open_store: OpenStore) -> None:
    """open() lets go of the persistor; a store that is open stays usable."""
    kept = BrokenLoad()
    with pytest.raises(grebe.CorruptDataError):
        open_store(kept)
    store = open_store(kept, hydrate=False)
    with pytest.raises(grebe.CorruptDataError):
        store.hydrate()
    store.doc("users/1").set(1)
    kept.broken = False
    store.hydrate()
    assert contents(store) == {"users/1": 1}


def test_the_garbage_collector_does_not_look_at_what_is_only_loaded(
    open_store: OpenStore, tmp_path: Path
) -> None:
    """A million documents that nobody looked at do not make the program's collections slower."""
    pytest.importorskip("msgspec")
    with open_store(tmp_path / "data") as store:
        store.collection("users").create_many({f"{n}": {"n": n, "in": [n]} for n in range(9)})
    users = open_store(tmp_path / "data").collection("users")
    entries = list(users._engine.tree.collections["users"].documents.values())
    assert not any(map(gc.is_tracked, entries))
    snapshot = users.doc("1").get()
    assert snapshot is not None
    assert gc.is_tracked(entries[1])
    assert not gc.is_tracked(entries[2])


def test_a_store_in_memory_that_nobody_refers_to_is_collected() -> None:
    """With documents that were looked at, which refer to it, and such that were not."""
    store = grebe.open()
    store.collection("users").create_many({f"{n}": {"n": n} for n in range(9)})
    assert store.doc("users/1").get() is not None
    gone = weakref.ref(store._engine)
    del store
    gc.collect()
    assert gone() is None
