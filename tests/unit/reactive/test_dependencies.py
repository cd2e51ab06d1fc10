"""Documents that are announced again because others changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import grebe
from grebe import Event
from grebe.persistors import MemoryPersistor
from grebe.reactive.dependencies import Dependencies

OpenStore = Callable[..., grebe.Store]
Told = list[list[tuple[Event, str]]]


def depending(store: grebe.Store, name: str = "posts") -> grebe.Collection[Any]:
    """Return a collection whose documents depend on the paths in their field `on`."""
    return store.collection(
        name, depends_on=lambda post: [store.doc(path) for path in post.data.get("on", [])]
    )


def tell(observer: grebe.Observer[Any, Any]) -> Told:
    told: Told = []
    observer.subscribe_changes(lambda changes: told.append([(c.event, c.path) for c in changes]))
    return told


@pytest.fixture
def posts(store: grebe.Store) -> grebe.Collection[Any]:
    return depending(store)


def test_each_kind_of_change_of_a_dependency_touches(
    store: grebe.Store, posts: grebe.Collection[Any]
) -> None:
    """Created, written, touched, deleted: the dependent and queries that hold it hear of it."""
    posts.doc("1").set({"on": ["users/1"]})
    of_document, of_query = tell(posts.doc("1").observe()), tell(posts.observe())
    user = store.doc("users/1")
    steps: list[Callable[[], object]] = [
        lambda: user.create({"n": 1}),
        lambda: user.set({"n": 2}),
        user.touch,
        user.delete,
        lambda: user.create({"n": 3}),
        lambda: store.collection("users").delete(),
    ]
    for count, step in enumerate(steps, 1):
        step()
        assert len(of_document) == len(of_query) == count
        assert of_document[-1] == of_query[-1] == [(Event.TOUCHED, "posts/1")]


def test_deleting_an_ancestor_touches(store: grebe.Store, posts: grebe.Collection[Any]) -> None:
    """A dependency that goes with the document above it is a deleted dependency."""
    store.doc("users/1/friends/2").set({})
    posts.doc("1").set({"on": ["users/1/friends/2"]})
    told = tell(posts.doc("1").observe())
    store.doc("users/1").delete()
    assert told == [[(Event.TOUCHED, "posts/1")]]


def test_a_loaded_dependency_touches(open_store: OpenStore) -> None:
    """Loading counts as a change of the dependency."""
    kept = MemoryPersistor()
    with open_store(kept) as before:
        before.doc("users/1").set({})
    store = open_store(kept, hydrate=False)
    posts = depending(store)
    posts.doc("1").set({"on": ["users/1"]})
    told = tell(posts.doc("1").observe())
    store.hydrate("users/1")
    assert told == [[(Event.TOUCHED, "posts/1")]]


def test_a_loaded_document_has_its_dependencies(open_store: OpenStore) -> None:
    """They are computed when it is loaded, before anybody reads it."""
    kept = MemoryPersistor()
    with open_store(kept) as before:
        before.doc("posts/1").set({"on": ["users/1"]})
    store = open_store(kept, hydrate=False)
    posts = depending(store)
    store.hydrate()
    told = tell(posts.doc("1").observe())
    store.doc("users/1").set({})
    assert told == [[(Event.TOUCHED, "posts/1")]]


def test_documents_already_there_get_them_when_the_option_is_given(store: grebe.Store) -> None:
    """depends_on given late is run for what is loaded, and None takes it back."""
    store.doc("posts/1").set({"on": ["users/1"]})
    depending(store)
    assert store.doc("posts/1").dependencies() == {store.doc("users/1")}
    store.collection("posts", depends_on=None)
    assert store.doc("posts/1").dependencies() == set()
    assert store.doc("users/1").dependents() == set()


def test_it_is_transitive_and_each_document_is_told_of_once(
    store: grebe.Store, posts: grebe.Collection[Any]
) -> None:
    """A diamond of dependencies announces its top once."""
    posts.doc("left").set({"on": ["users/1"]})
    posts.doc("right").set({"on": ["users/1"]})
    posts.doc("top").set({"on": ["posts/left", "posts/right"]})
    of_top, of_query = tell(posts.doc("top").observe()), tell(posts.observe())
    store.doc("users/1").set({})
    assert of_top == [[(Event.TOUCHED, "posts/top")]]
    assert len(of_query) == 1
    assert sorted(of_query[0], key=lambda told: told[1]) == [
        (Event.TOUCHED, "posts/left"),
        (Event.TOUCHED, "posts/right"),
        (Event.TOUCHED, "posts/top"),
    ]


def test_cycles_end(store: grebe.Store, posts: grebe.Collection[Any]) -> None:
    """Documents that depend on each other, or on themselves, are told once."""
    posts.doc("1").set({"on": ["posts/2"]})
    posts.doc("2").set({"on": ["posts/1"]})
    posts.doc("3").set({"on": ["posts/3"], "n": 0})
    told = tell(posts.observe())
    posts.doc("1").update(n=1)
    posts.doc("3").update(n=1)
    assert told == [
        [(Event.MODIFIED, "posts/1"), (Event.TOUCHED, "posts/2")],
        [(Event.MODIFIED, "posts/3")],
    ]


def test_they_follow_the_data(store: grebe.Store, posts: grebe.Collection[Any]) -> None:
    """What a document no longer names does not reach it, what it names now does."""
    post = posts.doc("1")
    post.set({"on": ["users/1"]})
    post.set({"on": ["users/2"]})
    told = tell(post.observe())
    store.doc("users/1").set({})
    assert told == []
    store.doc("users/2").set({})
    assert told == [[(Event.TOUCHED, "posts/1")]]


def test_a_deleted_document_depends_on_nothing(
    store: grebe.Store, posts: grebe.Collection[Any]
) -> None:
    """It is not announced, and not listed."""
    posts.doc("1").set({"on": ["users/1"]})
    posts.doc("1").delete()
    told = tell(posts.doc("1").observe())
    store.doc("users/1").set({})
    assert told == []
    assert store.doc("users/1").dependents() == set()


def test_both_directions_can_be_asked(store: grebe.Store, posts: grebe.Collection[Any]) -> None:
    """dependencies() and dependents() are sets of documents, of missing ones too."""
    posts.doc("1").set({"on": ["users/1", "x"]})
    assert posts.doc("1").dependencies() == {store.doc("users/1"), store.doc("root/x")}
    assert store.doc("users/1").dependents() == {posts.doc("1")}
    assert posts.doc("2").dependencies() == set()


def test_rebuild_asks_again(store: grebe.Store) -> None:
    """rebuild_dependencies() runs depends_on for the document as it is."""
    wanted = ["users/1"]
    posts = store.collection("posts", depends_on=lambda _: [store.doc(p) for p in wanted])
    posts.doc("1").set({})
    wanted[:] = ["users/2"]
    assert posts.doc("1").dependencies() == {store.doc("users/1")}
    posts.doc("1").rebuild_dependencies()
    assert posts.doc("1").dependencies() == {store.doc("users/2")}


def test_none_is_no_dependency(store: grebe.Store) -> None:
    """The function may give None, in place of a document or of them all."""
    posts = store.collection("posts", depends_on=lambda p: [None] if p.data else None)
    posts.doc("1").set({"a": 1})
    posts.doc("2").set({})
    assert posts.doc("1").dependencies() == posts.doc("2").dependencies() == set()


def test_a_function_that_fails_changes_nothing(store: grebe.Store) -> None:
    """What it raises reaches the writer; what is no document is a TypeError."""
    posts = store.collection("posts", depends_on=lambda post: [post.data["on"]])
    with pytest.raises(KeyError):
        posts.doc("1").set({})
    with pytest.raises(TypeError, match="posts/1: depends_on gave a str, not a document"):
        posts.doc("1").set({"on": "users/1"})
    with pytest.raises(KeyError):
        posts.create_many([{}])
    with pytest.raises(KeyError), store.transaction() as tx:  # noqa: PT012
        tx.set(store.doc("users/1"), {})
        tx.set(posts.doc("1"), {})
    assert store.inspect()["documents"] == {}


def test_a_silent_write_of_a_dependency_touches_nobody(
    store: grebe.Store, posts: grebe.Collection[Any]
) -> None:
    """broadcast=False holds for dependents too."""
    posts.doc("1").set({"on": ["users/1"]})
    told = tell(posts.observe())
    store.doc("users/1").set({}, broadcast=False)
    assert told == []


def test_a_dependent_written_back_in_the_same_batch_is_still_touched(
    store: grebe.Store, posts: grebe.Collection[Any]
) -> None:
    """Its own writes came to nothing, its dependency's did not."""
    posts.doc("1").set({"on": ["users/1"]})
    told = tell(posts.observe())
    with store.batch():
        posts.doc("1").update(n=1)
        posts.doc("1").set({"on": ["users/1"]})
        store.doc("users/1").set({})
    assert told == [[(Event.TOUCHED, "posts/1")]]


def test_the_graph_keeps_both_directions_alike() -> None:
    """Replacing and forgetting edges leaves no half of one."""
    graph = Dependencies()
    a, b, c = "x/a", "x/b", "x/1/y/c"
    graph.set(a, frozenset({b, c}))
    graph.set(b, frozenset({a}))
    graph.check()
    assert graph.dependents(c) == [a]
    graph.set(a, frozenset({c}))
    graph.check()
    assert graph.dependents(b) == []
    assert graph.affected({"x/1/y": ["c", "d"]}) == {"x": {"a": None, "b": None}}
    graph.set(a, frozenset({b}))  # a cycle
    assert graph.affected({"x": ["a"], "z": ["a"]}) == {"x": {"b": None, "a": None}}
    graph.set(a, frozenset())
    graph.set(b, frozenset())
    graph.check()
    assert not graph.forward
