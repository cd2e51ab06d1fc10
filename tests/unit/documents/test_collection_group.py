"""Collection groups: the collections of one name as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import grebe
from grebe import Event, agg, field
from grebe.persistors import MemoryPersistor
from tests.unit.reactive.test_observer import Ears


@dataclass
class Friend:
    age: int


@pytest.fixture
def friends(store: grebe.Store) -> Any:
    """Return a group of three collections with documents, beside others of other names."""
    for path, n in [
        ("users/1/friends/a", 1),
        ("friends/b", 2),
        ("users/2/friends/a", 3),
        ("users/1/friends/c", 4),
        ("users/1", 9),
        ("users/1/friends/a/friendships/x", 9),
        ("root_friends/x", 9),
    ]:
        store.doc(path).set({"n": n})
    return store.collection_group("friends")


def found(query: Any) -> list[str]:
    return [snapshot.path for snapshot in query]


def test_it_is_all_collections_of_the_name(friends: Any) -> None:
    """At any depth, of exactly this name, in the order of insertion over all of them."""
    assert found(friends) == [
        "users/1/friends/a",
        "friends/b",
        "users/2/friends/a",
        "users/1/friends/c",
    ]
    assert len(friends) == friends.count() == 4
    assert friends.first().doc.parent.path == "users/1/friends"
    assert repr(friends) == "<CollectionGroup 'friends'>"


def test_it_is_queried_like_a_collection(friends: Any) -> None:
    """Conditions, order, window, aggregates and groups; documents of equal ids stay apart."""
    assert found(friends.where(field("n") > 1).order_by("n", desc=True).limit(2)) == [
        "users/1/friends/c",
        "users/2/friends/a",
    ]
    assert found(friends.offset(3)) == ["users/1/friends/c"]
    assert found(friends.where(lambda friend: friend.id == "a")) == [
        "users/1/friends/a",
        "users/2/friends/a",
    ]
    assert friends.sum("n") == 10
    assert friends.group_by("n").aggregate(n=agg.count()).get()[3] == {"n": 1}
    assert friends.where(field("n") == 3).explain().examined == 4


def test_a_missing_group_is_empty(store: grebe.Store) -> None:
    """It may be named before there is anything in it."""
    group = store.collection_group("later")
    live = group.observe()
    assert found(group) == []
    store.doc("x/1/later/2").set({})
    assert found(live.get()) == found(group) == ["x/1/later/2"]


@pytest.mark.parametrize("name", ["", "a/b", "a\0"])
def test_a_name_is_one_segment(store: grebe.Store, name: str) -> None:
    """Not a path."""
    with pytest.raises(grebe.InvalidPathError):
        store.collection_group(name)


def test_each_collection_has_its_model(store: grebe.Store) -> None:
    """Documents are read as their own collections say; conditions see both alike."""
    store.collection("friends", model=Friend).doc("1").set(Friend(20))
    store.doc("users/1/friends/2").set({"age": 30})
    group = store.collection_group("friends")
    assert [friend.data for friend in group] == [Friend(20), {"age": 30}]
    live = group.where(field("age") > 18).observe()
    assert [friend.data for friend in live.get()] == [Friend(20), {"age": 30}]
    store.collection("friends", model=Friend).doc("1").set(Friend(10))
    assert [friend.data for friend in live.get()] == [{"age": 30}]


def test_indexes_of_collections_do_not_serve_it(store: grebe.Store, friends: Any) -> None:
    """explain() says so."""
    store.collection("friends", indexes=["n"])
    query = friends.where(field("n") == 2)
    assert found(query) == ["friends/b"]
    assert (query.explain().index, query.explain().examined) == (None, 4)


def test_a_live_group_hears_of_all_its_collections(store: grebe.Store, friends: Any) -> None:
    """Of new ones, of deletions of ancestors, and of nothing else; a change says which it is."""
    ears = Ears(friends.where(field("n") < 4).order_by("n").observe())
    store.doc("users/3/friends/a").set({"n": 0})
    store.doc("users/1/friends/c").set({"n": 2})
    store.doc("users/1").delete()
    store.doc("enemies/1").set({"n": 1})
    store.collection("friends").delete()
    told = [[(c.event, c.path, c.prev_index, c.index) for c in changes] for changes in ears.changes]
    assert told[:2] == [
        [(Event.ADDED, "users/3/friends/a", None, 0)],
        [(Event.ADDED, "users/1/friends/c", None, 3)],
    ]
    assert {change[:2] for change in told[2]} == {
        (Event.REMOVED, "users/1/friends/a"),
        (Event.REMOVED, "users/1/friends/c"),
    }
    assert told[3:] == [[(Event.REMOVED, "friends/b", 1, None)]]
    assert found(ears.observer.get()) == ["users/3/friends/a", "users/2/friends/a"]


def test_a_live_group_loads_and_aggregates(open_store: Any) -> None:
    """Loading is told as such; aggregates of a group are kept like others."""
    kept = MemoryPersistor()
    with open_store(kept) as before:
        before.doc("users/1/friends/a").set({"n": 1})
        before.doc("friends/b").set({"n": 2})
    store = open_store(kept, hydrate=False)
    group = store.collection_group("friends")
    ears, total = Ears(group.observe()), group.aggregate(sum=agg.sum("n")).observe()
    store.hydrate("users")
    assert total.get() == {"sum": 1}
    store.hydrate()
    assert total.get() == {"sum": 3}
    assert [[(c.event, c.path) for c in told] for told in ears.changes] == [
        [(Event.HYDRATED, "users/1/friends/a")],
        [(Event.HYDRATED, "friends/b")],
    ]


def test_groups_and_collections_share_a_broadcast(store: grebe.Store, friends: Any) -> None:
    """Touches and batches reach both, once."""
    group, single = Ears(friends.observe()), Ears(store.collection("friends").observe())
    with store.batch():
        store.doc("friends/b").set({"n": 7})
        store.doc("friends/b").touch()
        store.doc("users/2/friends/a").touch()
    assert group.events() == [
        [(Event.MODIFIED, "b", {"n": 2}, {"n": 7}), (Event.TOUCHED, "a", {"n": 3}, {"n": 3})]
    ]
    assert single.events() == [[(Event.MODIFIED, "b", {"n": 2}, {"n": 7})]]
