"""Collections: reading many documents and writing many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

import grebe
from grebe.persistors import MemoryPersistor

OpenStore = Callable[..., grebe.Store]


@pytest.fixture
def users(store: grebe.Store) -> grebe.Collection[Any]:
    return store.collection("users")


def contents(collection: grebe.Collection[Any]) -> dict[str, Any]:
    return {snapshot.id: snapshot.data for snapshot in collection}


def test_it_is_a_sequence_of_snapshots(users: grebe.Collection[Any]) -> None:
    """get(), len(), iteration, in, exists(), first() and count() agree."""
    assert (users.get(), len(users), users.exists(), users.first()) == ([], 0, False, None)
    assert bool(users)
    first, second = users.doc("b").set(1), users.doc("a").set(2)
    found = users.get()
    assert isinstance(found, Sequence)
    assert found == [first, second] == list(users)
    assert found[0] is found[-2] is first
    assert found[:1] == [first]
    assert len(users) == users.count() == 2
    assert users.first() == first
    assert users.exists()
    with pytest.raises(IndexError):
        found[2]
    assert repr(found) == "<Results: 2 documents ['b', 'a']>"


def test_results_are_immutable_and_of_their_moment(users: grebe.Collection[Any]) -> None:
    """A result does not move on with the collection, and cannot be changed."""
    users.doc("1").set(1)
    found: Any = users.get()
    users.doc("2").set(2)
    assert len(found) == 1
    with pytest.raises(TypeError):
        found[0] = None
    with pytest.raises(TypeError):
        hash(found)
    assert found != (1,)
    assert found == tuple(found)
    assert found != "x"


def test_membership_by_id_document_and_snapshot(store: grebe.Store) -> None:
    """Only of documents directly in it that exist."""
    users = store.collection("users")
    snapshot = users.doc("1").set(1)
    other = store.doc("posts/1").set(1)
    below = store.doc("users/1/friends/2").set(1)
    for item in ("1", users.doc("1"), snapshot):
        assert item in users
    for item in ("2", users.doc("2"), other, other.doc, below, below.doc, "users/1", 1, None):
        assert item not in users


def test_the_order_is_that_of_insertion(users: grebe.Collection[Any]) -> None:
    """Replacing keeps the place, deleting and creating again loses it."""
    for key in ("c", "a", "b"):
        users.doc(key).set(1)
    users.doc("c").set(2)
    assert [s.id for s in users] == ["c", "a", "b"]
    users.doc("c").delete()
    users.doc("c").set(3)
    assert [s.id for s in users] == ["a", "b", "c"]


def test_iteration_is_over_the_moment_it_began(users: grebe.Collection[Any]) -> None:
    """Writing inside the loop is fine."""
    users.create_many({str(i): i for i in range(5)})
    for snapshot in users:
        users.doc(snapshot.id).delete()
        users.doc(snapshot.id + "x").set(1)
    assert len(users) == 5


def test_create_many_from_a_mapping(users: grebe.Collection[Any]) -> None:
    """The snapshots come back in order."""
    made = users.create_many({"1": {"n": 1}, "2": {"n": 2}})
    assert [(s.id, s.data) for s in made] == [("1", {"n": 1}), ("2", {"n": 2})]
    assert len(made) == 2
    assert made[-1] == users.doc("2").get()
    assert [s.id for s in made[:1]] == ["1"]
    assert contents(users) == {"1": {"n": 1}, "2": {"n": 2}}


def test_create_many_from_data(users: grebe.Collection[Any]) -> None:
    """Random ids; an iterator will do; nothing is fine."""
    made = users.create_many({"n": n} for n in range(3))
    assert [s.data["n"] for s in made] == [0, 1, 2]
    assert len({len(s.id) for s in made}) == 1
    assert len(users.create_many([])) == 0
    assert len(users) == 3


def test_create_many_is_all_or_nothing(users: grebe.Collection[Any]) -> None:
    """An existing id or bad data stops it before anything is stored."""
    users.doc("2").set("old")
    with pytest.raises(grebe.DocumentExistsError, match="users/2 already exists"):
        users.create_many({"1": 1, "2": 2, "3": 3})
    with pytest.raises(grebe.SerializationError, match=r"users/3: \$"):
        users.create_many({"1": 1, "3": {1}})
    assert contents(users) == {"2": "old"}


@pytest.mark.parametrize("items", ["text", b"bytes", 7, None])
def test_create_many_of_something_else_is_refused(users: grebe.Collection[Any], items: Any) -> None:
    """A str is not an iterable of documents."""
    with pytest.raises(TypeError, match="create_many takes"):
        users.create_many(items)


def test_replace_leaves_these_and_no_others(store: grebe.Store) -> None:
    """A removed document takes what is under it along, a kept one keeps it."""
    users = store.collection("users")
    users.create_many({"1": 1, "2": 2})
    store.doc("users/1/friends/9").set(1)
    store.doc("users/2/friends/9").set(1)
    users.replace({"2": 22, "3": 3})
    assert store.inspect()["documents"] == {
        "users/2": 22,
        "users/3": 3,
        "users/2/friends/9": 1,
    }


def test_replace_from_snapshots(users: grebe.Collection[Any]) -> None:
    """Filtering a collection in place, and copying another."""
    users.create_many({str(i): {"n": i} for i in range(6)})
    users.replace([s for s in users if s.data["n"] % 2])
    assert list(contents(users)) == ["1", "3", "5"]
    users.doc("x").collection("copy").replace(users)
    assert [s.data for s in users.doc("x").collection("copy")] == [s.data for s in users]


def test_replace_that_fails_changes_nothing(users: grebe.Collection[Any]) -> None:
    """The data is checked before anything is removed."""
    users.create_many({"1": 1, "2": 2})
    with pytest.raises(grebe.SerializationError):
        users.replace({"3": 3, "4": {1}})
    assert contents(users) == {"1": 1, "2": 2}


def test_replace_knows_what_is_not_loaded(open_store: OpenStore) -> None:
    """Documents on disk that are not in memory go too."""
    kept = MemoryPersistor()
    with open_store(kept) as before:
        before.collection("users").create_many({"1": 1, "2": 2})
        before.doc("users/1/friends/9").set(1)
        before.doc("posts/1").set(1)
    with open_store(kept, hydrate=False) as store:
        store.collection("users").replace({"2": 22})
    with open_store(kept) as after:
        assert after.inspect()["documents"] == {"users/2": 22, "posts/1": 1}


def test_delete_takes_everything_below(store: grebe.Store) -> None:
    """Documents, their subcollections and those under missing documents; empty is fine."""
    store.doc("users/1").set(1)
    store.doc("users/1/friends/2").set(1)
    store.doc("users/ghost/friends/2").set(1)
    store.doc("usersx/1").set(1)
    store.collection("users").delete()
    store.collection("users").delete()
    assert set(store.inspect()["documents"]) == {"usersx/1"}


def test_exists_means_a_direct_document(store: grebe.Store) -> None:
    """A collection that holds only what is under missing documents is listed, but empty."""
    store.doc("users/1/friends/2").set(1)
    assert not store.collection("users").exists()
    assert len(store.collection("users")) == 0
    assert store.collections() == [store.collection("users")]


def test_references_are_values(store: grebe.Store, open_store: OpenStore) -> None:
    """Equal by path and store; the parent is a document or None."""
    one, same = store.collection("a/1/b"), store.doc("a/1").collection("b")
    assert one == same
    assert hash(one) == hash(same)
    assert one.parent == store.doc("a/1")
    assert store.collection("a").parent is None
    assert (one.id, one.path) == ("b", "a/1/b")
    assert one != open_store().collection("a/1/b")
    assert repr(one) == "<Collection 'a/1/b'>"


def test_ids_made_by_doc_are_not_written(users: grebe.Collection[Any]) -> None:
    """A reference is no document."""
    assert users.doc() != users.doc()
    assert len(users) == 0


# --- queries


def test_a_query_is_an_immutable_description(users: grebe.Collection[Any]) -> None:
    """where() returns a new one; all conditions must hold; it can be asked again."""
    users.create_many({str(i): {"n": i} for i in range(10)})

    def big(s: grebe.Snapshot[Any]) -> bool:
        return s.data["n"] > 3

    def even(s: grebe.Snapshot[Any]) -> bool:
        return s.data["n"] % 2 == 0

    query = users.where(big)
    both = query.where(even)
    assert [s.id for s in both] == ["4", "6", "8"]
    assert len(query) == 6
    assert both == users.where(big, even)
    assert hash(both) == hash(users.where(big, even))
    assert both != query
    users.doc("4").delete()
    assert both.count() == 2
    assert both.first() == users.doc("6").get()
    assert bool(users.where(lambda s: False))
    assert "even" in repr(both)


@pytest.mark.parametrize("condition", ["n > 3", 3, None])
def test_a_condition_is_callable(users: grebe.Collection[Any], condition: Any) -> None:
    """Anything else is a TypeError at once."""
    with pytest.raises(TypeError, match="a condition is"):
        users.where(condition)


def test_replace_deletes_what_was_hidden(open_store: OpenStore) -> None:
    """A document deleted in memory only (persist=False) does not come back after replace()."""
    kept = MemoryPersistor()
    with open_store(kept) as store:
        users = store.collection("users")
        users.create_many({"1": {}, "2": {}})
        users.doc("1").delete(persist=False)
        users.replace({"2": {"n": 1}})
    with open_store(kept) as store:
        assert [user.id for user in store.collection("users")] == ["2"]


@pytest.mark.parametrize("model", [None, dict])
def test_data_that_changes_while_they_are_read_are_refused(
    open_store: OpenStore, model: Any
) -> None:
    """Another thread takes a document out of the mapping: none is created."""

    class Shrinking(dict[str, Any]):
        def values(self) -> Any:
            return list(super().values())[:-1]

    users = open_store().collection("users", model=model)
    with pytest.raises(RuntimeError, match="users should get changed while"):
        users.create_many(Shrinking({"1": {}, "2": {}}))
    assert not users.exists()
