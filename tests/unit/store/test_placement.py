"""Which partition a document is in, in memory and on disk, through all changes of options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import grebe
from grebe.persistors import MemoryPersistor

OpenStore = Callable[..., grebe.Store]


def by_field(snapshot: grebe.Snapshot[Any]) -> str:
    return str(snapshot.data["p"])


@pytest.fixture
def kept() -> MemoryPersistor:
    return MemoryPersistor()


@pytest.fixture
def store(open_store: OpenStore, kept: MemoryPersistor) -> grebe.Store:
    return open_store(kept)


def on_disk(store: grebe.Store, kept: MemoryPersistor) -> dict[str, str]:
    """Commit; return the partition of each document, after checking that each is there once."""
    store.commit()
    records = list(kept.load(None))
    found = {record.path: record.partition for record in records}
    assert len(found) == len(records), "a document is in two partitions"
    for place in store._engine.tree.walk():
        if place.leaf.home.saved:
            assert found[place.path] == place.leaf.partition, f"{place.path}: memory differs"
    return found


DEFAULT = "__store__"
OPTIONS = {"none": None, "name P": "P", "name Q": "Q", "callable": by_field}


@pytest.mark.parametrize("before", OPTIONS)
@pytest.mark.parametrize("after", OPTIONS)
def test_a_write_moves_what_the_option_moves(
    store: grebe.Store, kept: MemoryPersistor, before: str, after: str
) -> None:
    """A name moves the whole collection at its next write, a callable the document; with all
    that inherits, in the same commit, and not what has a partition of its own."""
    users = store.collection("users", partition=OPTIONS[before])
    for key in ("1", "2"):
        users.doc(key).set({"p": "X"})
        users.doc(key).collection("friends").doc("3").set({"p": "Y"})
        users.doc(key).collection("own", partition="Own").doc("4").set({"p": "Y"})
    first = {"none": DEFAULT, "name P": "P", "name Q": "Q", "callable": "X"}[before]
    found = on_disk(store, kept)
    assert {path: found[path] for path in found if "own" not in path} == {
        "users/1": first,
        "users/2": first,
        "users/1/friends/3": first,
        "users/2/friends/3": first,
    }
    store.collection("users", partition=OPTIONS[after])
    users.doc("1").set({"p": "Z"})
    moved = {"none": DEFAULT, "name P": "P", "name Q": "Q", "callable": "Z"}[after]
    other = first if after == "callable" else moved
    assert on_disk(store, kept) == {
        "users/1": moved,
        "users/2": other,
        "users/1/friends/3": moved,
        "users/2/friends/3": other,
        "users/1/own/4": "Own",
        "users/2/own/4": "Own",
    }


def test_a_changed_field_moves_the_document_and_its_subtree(
    store: grebe.Store, kept: MemoryPersistor
) -> None:
    """The callable is asked at every write, and what inherits follows."""
    users = store.collection("users", partition=by_field)
    users.doc("1").set({"p": "A"})
    users.doc("1").collection("friends").doc("2").set({})
    users.doc("1").update(p="B")
    assert on_disk(store, kept) == {"users/1": "B", "users/1/friends/2": "B"}


def test_an_equal_write_moves_too(store: grebe.Store, kept: MemoryPersistor) -> None:
    """A write of the same data still finds that the option changed."""
    users = store.collection("users")
    users.create_many({"1": {"n": 1}, "2": {"n": 2}})
    store.commit()
    store.collection("users", partition="P")
    users.doc("1").set({"n": 1})
    assert on_disk(store, kept) == {"users/1": "P", "users/2": "P"}


def test_the_default_of_the_store_can_be_a_callable(
    open_store: OpenStore, kept: MemoryPersistor
) -> None:
    """Collections at the top compute it for their documents, those below inherit."""
    store = open_store(kept, partition=by_field)
    store.doc("users/1").set({"p": "A"})
    store.doc("users/1/friends/2").set({"p": "B"})
    assert on_disk(store, kept) == {"users/1": "A", "users/1/friends/2": "A"}


def test_a_callable_must_return_a_name(store: grebe.Store) -> None:
    """Anything else is a TypeError that names the document, and nothing is stored."""
    users = store.collection("users", partition=lambda snapshot: 7)
    with pytest.raises(TypeError, match=r"users/1.*returned a int"):
        users.doc("1").set({"secret": 1})
    assert not users.exists()


def test_a_callable_that_raises_changes_nothing(store: grebe.Store) -> None:
    """The caller gets the exception; memory is as before."""
    users = store.collection("users", partition=by_field)
    with pytest.raises(KeyError):
        users.doc("1").set({})
    with pytest.raises(KeyError):
        users.create_many([{"p": "A"}, {}])
    assert store.inspect()["documents"] == {}


@pytest.mark.parametrize("name", ["", "..", "a/b", "é", "CON", "x" * 300, "\n"])
def test_any_text_names_a_partition(store: grebe.Store, kept: MemoryPersistor, name: str) -> None:
    """A partition's name is not restricted."""
    store.collection("users", partition=name).doc("1").set({})
    assert on_disk(store, kept) == {"users/1": name}


def test_a_write_in_memory_only_leaves_no_second_copy_behind(
    store: grebe.Store, kept: MemoryPersistor
) -> None:
    """persist=False does not move what is on disk, and the next write finds it there."""
    users = store.collection("users", partition=by_field)
    users.doc("1").set({"p": "A"})
    store.commit()
    users.doc("1").set({"p": "B"}, persist=False)
    assert on_disk(store, kept) == {"users/1": "A"}
    users.doc("1").set({"p": "B"})
    assert on_disk(store, kept) == {"users/1": "B"}


def test_an_option_changed_around_a_write_in_memory_only(
    store: grebe.Store, kept: MemoryPersistor
) -> None:
    """The same for a partition given by name."""
    users = store.collection("users")
    users.doc("1").set({"n": 1})
    store.collection("users", partition="P")
    users.doc("1").set({"n": 2}, persist=False)
    users.doc("1").set({"n": 2})
    assert on_disk(store, kept) == {"users/1": "P"}


def test_a_document_deleted_in_memory_only_is_replaced_wherever_it_is(
    store: grebe.Store, kept: MemoryPersistor
) -> None:
    """delete(persist=False) leaves it on disk; one put anew elsewhere takes its place."""
    users = store.collection("users", partition=by_field)
    users.doc("1").set({"p": "A"})
    users.doc("1").delete(persist=False)
    assert on_disk(store, kept) == {"users/1": "A"}
    users.doc("1").set({"p": "B"})
    assert on_disk(store, kept) == {"users/1": "B"}


def test_memory_follows_when_a_move_takes_a_subcollection_along(
    store: grebe.Store, kept: MemoryPersistor
) -> None:
    """Below a moved document, a subcollection with a new option of its own is where memory says."""
    users = store.collection("users")
    pets = users.doc("1").collection("pets")
    pets.doc("2").set({"n": 1})
    store.collection("users/1/pets", partition="P")  # no write yet: the pet is not moved
    store.collection("users", partition="P")
    users.doc("1").set({})
    store.collection("users", partition=None)
    users.doc("1").set({"n": 1})
    on_disk(store, kept)
    store.collection("users/1/pets", partition=None)
    pets.doc("2").set({"n": 2})
    assert on_disk(store, kept) == {"users/1": DEFAULT, "users/1/pets/2": DEFAULT}


def test_unseen_documents_move_along(open_store: OpenStore, kept: MemoryPersistor) -> None:
    """A collection that is not loaded moves as a whole too."""
    with open_store(kept) as first:
        first.collection("users").create_many({"1": {"n": 1}, "2": {"n": 2}})
        first.doc("users/2/friends/3").set({})
    store = open_store(kept, hydrate=False)
    users = store.collection("users", partition="P")
    users.doc("1").set({"n": 5})
    assert on_disk(store, kept) == {"users/1": "P", "users/2": "P", "users/2/friends/3": "P"}
    store.hydrate()
    assert on_disk(store, kept) == {"users/1": "P", "users/2": "P", "users/2/friends/3": "P"}
    assert [user.data for user in users] == [{"n": 5}, {"n": 2}]


def test_options_are_forgotten_at_close(open_store: OpenStore, kept: MemoryPersistor) -> None:
    """A store opened without the option moves the collection back at its next write."""
    with open_store(kept) as first:
        first.collection("users", partition="P").create_many({"1": {}, "2": {}})
    store = open_store(kept)
    assert on_disk(store, kept) == {"users/1": "P", "users/2": "P"}
    store.doc("users/1").set({"n": 1})
    assert on_disk(store, kept) == {"users/1": DEFAULT, "users/2": DEFAULT}


@pytest.mark.parametrize("hydrate", [["users/1"], ["users/1/friends"], ["users"], ["other"]])
def test_a_part_is_found_in_whatever_partition_it_is(
    open_store: OpenStore, kept: MemoryPersistor, hydrate: list[str]
) -> None:
    """Loading a subtree brings exactly what is at and under it."""
    with open_store(kept) as first:
        users = first.collection("users", partition=by_field)
        users.doc("1").set({"p": "A"})
        users.doc("2").set({"p": "B"})
        users.doc("1").collection("friends", partition="F").doc("3").set({})
        users.doc("1").update(p="C")
        everything = set(first.inspect()["documents"])
    with open_store(kept, hydrate=hydrate) as store:
        wanted = {p for p in everything if (p + "/").startswith(hydrate[0] + "/")}
        assert set(store.inspect()["documents"]) == wanted


def test_partitions_are_counted(store: grebe.Store) -> None:
    """store.partitions() tells documents and bytes by name."""
    store.collection("users", partition="P").create_many([{"a": 1}, {"a": 2}])
    store.doc("x").set(1)
    found = store.partitions()
    assert found == {
        "P": grebe.PartitionInfo(documents=2, encrypted_documents=0, bytes=14),
        DEFAULT: grebe.PartitionInfo(documents=1, encrypted_documents=0, bytes=1),
    }


def test_functions_that_are_false_are_asked(open_store: OpenStore) -> None:
    """Whether an option is there is not a question of its truth value."""

    class Empty:
        def __len__(self) -> int:
            return 0

    class ByField(Empty):
        def __call__(self, snapshot: grebe.Snapshot[Any]) -> str:
            return str(snapshot.data["p"])

    class OnFirst(Empty):
        def __call__(self, snapshot: grebe.Snapshot[Any]) -> list[grebe.Document[Any]]:
            return [snapshot.doc.parent.doc(snapshot.data["on"])]

    store = open_store(MemoryPersistor())
    placed = store.collection("placed", partition=ByField())
    linked = store.collection("linked", depends_on=OnFirst())
    for turn in "ab":
        placed.doc("1").set({"p": turn})
        linked.doc("1").set({"on": turn})
        assert linked.doc("1").dependencies() == {linked.doc(turn)}
        store.commit()
        assert store.partitions()[turn].documents == 1
