"""Routes: of many live queries that ask for values, a write looks at those it concerns."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import grebe
from grebe import Event, agg, field
from grebe.documents.fields import Field
from grebe.reactive.live_query import LiveQuery
from grebe.reactive.routes import routing_condition
from tests.unit.reactive.test_live_query import ListModel

Posts = grebe.Collection[Any]
USER = Field("user")


@pytest.fixture
def posts(store: grebe.Store) -> Posts:
    posts = store.collection("posts")
    posts.create_many({f"{n}": {"user": n % 10, "n": n} for n in range(50)})
    return posts


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Return the queries that broadcasts look at, as they do."""
    looked_at: list[Any] = []
    for collect in (LiveQuery.collect, LiveQuery.collect_one):

        def counted(self: Any, *arguments: Any, collect: Any = collect) -> None:
            looked_at.append(self.query)
            collect(self, *arguments)

        monkeypatch.setattr(LiveQuery, collect.__name__, counted)
    return looked_at


def test_a_write_looks_at_the_query_of_its_value(posts: Posts, collected: list[Any]) -> None:
    """And at those that hold the document: where it was and where it goes."""
    queries = [posts.where(n == USER).order_by("n") for n in range(10)]
    models = [ListModel(query) for query in queries]
    posts.doc("7").update(n=-1)
    assert collected == [queries[7]]
    collected.clear()
    posts.doc("7").update(user=3)
    assert sorted(map(queries.index, collected)) == [3, 7]
    collected.clear()
    posts.doc("7").update(user=99)
    assert collected == [queries[3]]
    collected.clear()
    posts.doc("7").update(user=98)
    assert collected == []
    posts.doc("8").delete()
    posts.doc("x").create({"user": 4, "n": 0})
    assert collected == [queries[8], queries[4]]
    assert [len(model.take()) for model in models] == [0, 0, 0, 2, 1, 0, 0, 2, 1, 0]


def test_in_routes_by_each_of_its_values(posts: Posts, collected: list[Any]) -> None:
    """Beside equality on the same field."""
    few, one = posts.where(USER.in_([1, 2, "x"])), posts.where(USER == 2.0, field("n") > 3)
    models = [ListModel(query) for query in (few, one)]
    posts.doc("1").touch()
    assert collected == [few]
    collected.clear()
    posts.doc("2").touch()
    assert set(collected) == {few, one}
    collected.clear()
    posts.doc("x").create({"user": "x", "n": 9})
    assert collected == [few]
    collected.clear()
    posts.doc("y").create({"user": True, "n": 9})
    assert collected == []
    for model in models:
        assert model.rows == model.observer.get()


def test_conditions_that_ask_for_values() -> None:
    """Equality and in_, anywhere in what must all hold; nothing under `|` or `~`."""
    posts = grebe.open().collection("posts")
    equal, one_of, more = USER == 1, USER.in_([1, 2]), field("n") > 1
    for query, wanted in [
        (posts.where(equal), equal),
        (posts.where(one_of), one_of),
        (posts.where(more, equal), equal),
        (posts.where(more & (more & one_of)), one_of),
        (posts.where(lambda post: True, equal), equal),
        (posts.where(equal | more), None),
        (posts.where(~equal), None),
        (posts.where(USER != 1), None),
        (posts.where(more), None),
        (posts, None),
    ]:
        assert routing_condition(query) is wanted


def test_a_batch_gives_each_query_its_own_documents(store: grebe.Store, posts: Posts) -> None:
    """In one broadcast, in the order of the writes."""
    models = [ListModel(posts.where(n == USER)) for n in range(3)]
    with store.batch():
        posts.doc("0").update(user=1)
        posts.doc("2").delete()
        posts.doc("11").update(user=2)
        posts.doc("x").create({"user": 1, "n": 0})
    told = [[(event, key) for event, key, *_ in model.take()[0]] for model in models]
    assert told == [
        [(Event.REMOVED, "0")],
        [(Event.ADDED, "0"), (Event.REMOVED, "11"), (Event.ADDED, "x")],
        [(Event.REMOVED, "2"), (Event.ADDED, "11")],
    ]


def test_what_was_seen_before_the_broadcast_is_still_told(store: grebe.Store, posts: Posts) -> None:
    """A query that looked in the middle of a turn no longer holds what left it then."""
    model = ListModel(posts.where(USER == 1))
    with store.batch():
        posts.doc("1").update(user=2)
        assert "1" not in [post.id for post in model.observer.get()]
        posts.doc("1").update(user=3)
    assert [[told[:2] for told in changes] for changes in model.take()] == [[(Event.REMOVED, "1")]]
    posts.doc("1").update({"user": 1}, broadcast=False)
    posts.doc("1").update({"user": 2}, broadcast=False)
    posts.doc("1").update(user=1)
    assert [told[:2] for told in model.take()[-1]] == [(Event.ADDED, "1")]


def test_aggregates_and_windows_are_routed_too(posts: Posts) -> None:
    """Rows that others push into a window were held all along."""
    window = ListModel(posts.where(USER == 1).order_by("n").limit(2))
    total = posts.where(USER == 1).aggregate(sum=agg.sum("n")).observe()
    told: list[Any] = []
    total.subscribe(told.append)
    posts.doc("1").update(user=2)
    posts.doc("2").update(user=1)
    posts.doc("21").delete()
    posts.doc("3").update(n=99)
    assert window.names() == "211"
    assert told == [{"sum": 104}, {"sum": 106}, {"sum": 85}]


def test_missing_null_lists_and_dicts_are_values(posts: Posts) -> None:
    """A route by any of them finds its query; a missing field has none."""
    posts.delete()
    values: list[Any] = [None, True, 1, "1", [1], {"a": [1]}]
    models = [ListModel(posts.where(value == USER)) for value in values]
    posts.doc("x").set({})
    for value in values:
        posts.doc("x").set({"user": value})
    posts.doc("x").set({})
    assert [[[told[0] for told in changes] for changes in model.take()] for model in models] == [
        [[Event.ADDED], [Event.REMOVED]] for _ in values
    ]


@dataclass
class Post:
    user: int
    n: int = 0


def test_models_are_routed_as_they_are_read(store: grebe.Store) -> None:
    """Defaults count; a document that the model cannot hold concerns nobody and is logged."""
    raw = store.collection("posts")
    raw.create_many({"a": {"user": 1, "n": 1}, "b": {"user": 2}})
    posts = store.collection("posts", model=Post)
    zero, one = ListModel(posts.where(field("n") == 0)), ListModel(posts.where(field("n") == 1))
    assert (zero.names(), one.names()) == ("b", "a")
    posts.doc("a").set(Post(1))
    posts.doc("b").set(Post(1, 1))
    assert (zero.names(), one.names()) == ("a", "b")


@pytest.mark.parametrize("seed", range(3))
def test_routes_lose_nobody(store: grebe.Store, posts: Posts, seed: int) -> None:
    """Observers come and go while documents wander; each hears of all that concerns it."""
    rng = random.Random(seed)
    models: list[ListModel] = []
    for _ in range(60):
        if len(models) < 12 and rng.random() < 0.4:
            query = posts.where(
                rng.randrange(5) == USER if rng.random() < 0.7 else USER.in_([1, 2])
            )
            models.append(ListModel(query.order_by("n") if rng.random() < 0.5 else query.limit(3)))
        elif models and rng.random() < 0.2:
            models.pop(rng.randrange(len(models))).observer.close()
        with store.batch():
            for _ in range(rng.choice([1, 5])):
                doc = posts.doc(f"{rng.randrange(50)}")
                if rng.random() < 0.2:
                    doc.delete()
                else:
                    doc.set({"user": rng.randrange(5), "n": rng.randrange(9)})
        for model in models:
            assert model.rows == model.observer.get()
    store._engine.check()
    for model in models:
        assert model.failed == 0
        model.observer.close()
    assert store._engine.broadcasting.results == {}


def test_one_alone_is_asked_without_a_route(store: grebe.Store, posts: Posts) -> None:
    """A route is there from the second on, and leads to what the first holds."""
    one = ListModel(posts.where(USER == 1))
    results = store._engine.broadcasting.results["posts"]
    assert not results.routes
    posts.doc("1").set({"user": 2, "n": 1})
    posts.doc("2").set({"user": 1, "n": 2}, broadcast=False)
    two = ListModel(posts.where(USER == 2))
    assert len(results.routes) == 1
    assert list(results.asked) == list(results.routes.values())
    posts.doc("2").set({"user": 3, "n": 2})
    posts.doc("3").set({"user": 1, "n": 3})
    store._engine.check()
    for model in (one, two):
        assert model.rows == model.observer.get()
        model.observer.close()
    assert store._engine.broadcasting.results == {}


def test_one_alone_is_forgotten(store: grebe.Store, posts: Posts) -> None:
    """The next one that asks for the same field is alone again."""
    posts.where(USER == 1).observe().close()
    observer, other = posts.where(USER == 2).observe(), posts.where(field("n") == 2).observe()
    results = store._engine.broadcasting.results["posts"]
    assert not results.routes
    assert len(results.asked) == len(results.alone) == 2
    observer.close()
    assert len(results.asked) == len(results.alone) == 1
    other.close()
    assert store._engine.broadcasting.results == {}


def test_who_holds_what_is_checked(store: grebe.Store, posts: Posts) -> None:
    """The check that follows every test finds a route that forgot a holder."""
    model, _ = ListModel(posts.where(USER == 1)), posts.where(USER == 2).observe()
    (route,) = store._engine.broadcasting.results["posts"].routes.values()
    holders = route._holders.pop("1")
    with pytest.raises(AssertionError, match="the route by user does not know who holds what"):
        store._engine.check()
    route._holders["1"] = holders
    assert len(model.rows) == 5
