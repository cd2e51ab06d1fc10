"""Which documents are in a query's result, and where."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import grebe
from grebe import field
from grebe.reactive.membership import Membership

Users = grebe.Collection[Any]


@pytest.fixture
def users(store: grebe.Store) -> Users:
    users = store.collection("users")
    users.create_many({"a": {"n": 1}, "b": {"n": 2}})
    return users


def looker(store: grebe.Store, query: Any) -> Any:
    membership = Membership(query, "the query")
    documents = store._engine.tree.collections["users"].documents
    return lambda name: membership.look(name, documents[name])


def test_without_conditions_the_place_is_the_insertion(store: grebe.Store, users: Users) -> None:
    """A member has its place, its snapshot and its entry."""
    look = looker(store, users)
    (first, view, entry), (second, *_) = look("a"), look("b")
    assert first < second
    assert (view.id, view.data, entry.order) == ("a", {"n": 1}, first)
    assert look("a")[1] is view


def test_all_conditions_must_hold(store: grebe.Store, users: Users) -> None:
    """Conditions on fields and functions, in the order in which they were given."""
    asked: list[str] = []

    def watched(user: Any) -> bool:
        asked.append(user.id)
        return bool(user.data["n"] > 0)

    look = looker(store, users.where(field("n") > 1, watched))
    assert look("a") is None
    assert asked == []
    assert look("b")[1].id == "b"
    assert asked == ["b"]


def test_an_order_gives_the_place(store: grebe.Store, users: Users) -> None:
    """Keys ascend as the query's order does, and are never equal."""
    look = looker(store, users.order_by("n", desc=True))
    assert look("b")[0] < look("a")[0]
    users.doc("a").set({"n": 2})
    assert look("a")[0] < look("b")[0]


@pytest.mark.parametrize("how", ["where", "order_by"])
def test_what_fails_is_logged_and_no_member(
    store: grebe.Store, users: Users, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line names query and document; the others are judged."""

    def inverse(user: Any) -> Any:
        return 1 / (user.data["n"] - 1)

    query = users.where(inverse) if how == "where" else users.order_by(key=inverse)
    look = looker(store, query)
    with caplog.at_level(logging.ERROR, "grebe"):
        assert look("a") is None
    assert [record.message for record in caplog.records] == [
        "the query failed on users/a, which is left out"
    ]
    assert look("b") is not None


def test_data_alone_decides_or_not(users: Users) -> None:
    """A function may depend on anything, so its documents are looked at again when touched."""
    for query, is_pure in [
        (users, True),
        (users.where(field("n") > 1).order_by("n").limit(3), True),
        (users.where(lambda user: True), False),
        (users.order_by(key=lambda user: 1), False),
    ]:
        assert Membership(query, "it").is_pure is is_pure


def test_a_function_may_change_its_mind(users: Users) -> None:
    """A touch asks it again; a condition on fields is not asked."""
    wanted = {"a"}
    live = users.where(lambda user: user.id in wanted).observe()
    wanted.add("b")
    assert [user.id for user in live.get()] == ["a"]
    users.doc("b").touch()
    assert [user.id for user in live.get()] == ["a", "b"]
