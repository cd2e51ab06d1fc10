"""Aggregates and groups, asked for."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

import grebe
from grebe import agg, field

Users = grebe.Collection[Any]


@pytest.fixture
def users(store: grebe.Store) -> Users:
    return store.collection("users")


PARTS = {
    "n": agg.count(),
    "sum": agg.sum("x"),
    "avg": agg.avg("x"),
    "min": agg.min("x"),
    "max": agg.max("x"),
}
NOTHING = {"n": 0, "sum": 0, "avg": None, "min": None, "max": None}


def given(users: Users, *values: Any) -> dict[str, Any]:
    users.create_many([{"x": value} for value in values])
    return dict(users.aggregate(**PARTS).get())


def test_of_nothing(users: Users) -> None:
    """Count and sum are 0, the others None."""
    assert users.aggregate(**PARTS).get() == NOTHING


def test_documents_without_the_field_are_left_out(users: Users) -> None:
    """They are counted, and nothing else."""
    users.create_many([{"x": 1}, {}, {"y": 9}, {"x": 4}])
    assert users.aggregate(**PARTS).get() == {"n": 4, "sum": 5, "avg": 2.5, "min": 1, "max": 4}
    assert users.where(~field("x").exists()).aggregate(**PARTS).get() == {**NOTHING, "n": 2}


def test_values_that_are_no_numbers_count_for_the_order_only(users: Users) -> None:
    """sum and avg leave out texts, bools, None and lists; min and max find the ends of order_by."""
    found = given(users, 3, "x", True, None, [1], 1.5)
    assert found == {"n": 6, "sum": 4.5, "avg": 2.25, "min": None, "max": [1]}
    assert users.where(field("x") != None).min("x") is True  # noqa: E711


@pytest.mark.parametrize(
    ("values", "total", "mean"),
    [([1, 2], 3, 1.5), ([2.0, 2], 4.0, 2.0), ([0.1] * 10, 1.0, 0.1), ([2**62] * 4, 2**64, 2.0**62)],
)
def test_sums_are_exact(users: Users, values: list[Any], total: Any, mean: float) -> None:
    """Of ints an int of any size, of floats the nearest float."""
    found = given(users, *values)
    assert (found["sum"], found["avg"]) == (total, mean)
    assert type(found["sum"]) is type(total)


def test_models_add_up(store: grebe.Store) -> None:
    """Attributes, nested ones and Decimals."""
    items = store.collection("items", model=Item)
    items.create_many([Item(Price(Decimal("0.1"))), Item(Price(Decimal("0.2")), 3)])
    assert items.sum("price.amount") == Decimal("0.3")
    assert items.avg("price.amount") == Decimal("0.15")
    assert items.max("price") == Price(Decimal("0.2"))
    assert items.sum(lambda item: item.data.price.amount * item.data.count) == Decimal("0.7")


@dataclass
class Price:
    amount: Decimal


@dataclass
class Item:
    price: Price
    count: int = 1


def test_functions_of_the_snapshot(users: Users) -> None:
    """They may be given in the place of fields; what they raise reaches the reader."""
    users.create_many({"a": {"x": 1}, "bb": {"x": 2}})
    assert users.aggregate(
        n=agg.max(lambda user: user.id), m=agg.sum(lambda u: len(u.id))
    ).get() == {
        "n": "bb",
        "m": 3,
    }
    with pytest.raises(KeyError):
        users.aggregate(n=agg.min(lambda user: user.data["gone"])).get()


def test_windows_are_aggregated(users: Users) -> None:
    """Conditions, order, offset and limit count."""
    given(users, 5, 1, 4, 2, 3)
    top = users.where(field("x") < 5).order_by("x", desc=True).offset(1).limit(2)
    assert top.aggregate(**PARTS).get() == {"n": 2, "sum": 5, "avg": 2.5, "min": 2, "max": 3}
    assert users.limit(0).aggregate(**PARTS).get() == NOTHING


def test_groups(users: Users) -> None:
    """One dict of the names for each value of the field, each over its own documents."""
    users.create_many(
        [
            {"c": "Rome", "x": 1},
            {"c": "Bern", "x": 5},
            {"c": "Rome", "x": 3},
            {"x": 7},
            {"c": "Oslo"},
        ]
    )
    assert users.group_by("c").aggregate(n=agg.count(), sum=agg.sum("x"), m=agg.max("x")).get() == {
        "Rome": {"n": 2, "sum": 4, "m": 3},
        "Bern": {"n": 1, "sum": 5, "m": 5},
        None: {"n": 1, "sum": 7, "m": 7},
        "Oslo": {"n": 1, "sum": 0, "m": None},
    }


def test_there_are_no_groups_of_nothing(users: Users) -> None:
    """Unlike the aggregate of all, which has its names."""
    assert users.group_by("c").aggregate(n=agg.count()).get() == {}
    users.doc("a").set({"c": 1})
    some = users.where(field("c") == 2).group_by("c").aggregate(n=agg.count())
    assert some.get() == {}


def test_groups_by_several_fields(users: Users) -> None:
    """The key is a tuple of their values; fields may be given by name or as field()."""
    users.create_many([{"a": 1, "b": {"c": "x"}}, {"a": 1}, {"a": 1, "b": {"c": "x"}}, {}])
    groups = users.group_by("a", field("b.c"))
    assert groups.aggregate(n=agg.count()).get() == {
        (1, "x"): {"n": 2},
        (1, None): {"n": 1},
        (None, None): {"n": 1},
    }


def test_any_value_makes_a_group(users: Users) -> None:
    """A list is a tuple, a dict a sorted tuple of pairs; None and missing are one group."""
    users.create_many(
        [
            {"g": [1, [2]]},
            {"g": {"b": [1], "a": 2}},
            {"g": None},
            {},
            {"g": 1.5},
            {"g": {"a": 2, "b": [1]}},
        ]
    )
    assert users.group_by("g").aggregate(n=agg.count()).get() == {
        (1, (2,)): {"n": 1},
        (("a", 2), ("b", (1,))): {"n": 2},
        None: {"n": 2},
        1.5: {"n": 1},
    }


def test_results_are_read_only(users: Users) -> None:
    """The dict, and the dicts in it."""
    users.doc("a").set({"c": 1})
    for found in (
        users.aggregate(n=agg.count()).get(),
        users.group_by("c").aggregate(n=agg.count()).get(),
        users.group_by("c").aggregate(n=agg.count()).get()[1],
    ):
        with pytest.raises(TypeError):
            found["n"] = 1
        with pytest.raises(TypeError):
            found.clear()


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda q: q.aggregate(), "needs a name and what to compute"),
        (
            lambda q: q.aggregate(n=1),
            r"n= takes what agg\.count\(\), agg\.sum\(\) ... return, not int",
        ),
        (lambda q: q.aggregate(n=agg.count), "return, not function"),
        (lambda q: q.aggregate(n="x"), "return, not str"),
        (lambda q: q.group_by(), "needs a field"),
        (lambda q: q.group_by(lambda user: 1), "a field is named by a str"),
        (lambda q: q.group_by("c").aggregate(), "needs a name"),
        (lambda q: q.sum(None), "a field is named by a str"),
        (lambda q: agg.avg(1), "a field is named by a str"),
    ],
)
def test_what_cannot_be_computed_is_refused(
    users: Users, ask: Callable[[Any], Any], message: str
) -> None:
    """At the call."""
    with pytest.raises(TypeError, match=message):
        ask(users)


def test_a_malformed_path_is_refused(users: Users) -> None:
    """ValueError, as for field()."""
    for ask in (agg.sum, agg.min, users.avg, users.group_by):
        with pytest.raises(ValueError, match="empty part"):
            ask("a.")


def test_an_aggregation_shows_as_it_is_written() -> None:
    """And equals another of the same."""

    def length(user: Any) -> int:
        return len(user.id)

    assert [repr(one) for one in (agg.count(), agg.sum("a.b"), agg.min(field("a")))] == [
        "agg.count()",
        "agg.sum(a.b)",
        "agg.min(a)",
    ]
    assert "length" in repr(agg.avg(length))
    assert agg.max("a") == agg.max(field("a")) != agg.min("a")


@pytest.mark.parametrize("seed", range(3))
def test_an_index_changes_no_aggregate(store: grebe.Store, users: Users, seed: int) -> None:
    """Documents come in another order then; sums are the same to the last bit."""
    rng = random.Random(seed)
    values = [rng.uniform(-1, 1) * 10.0 ** rng.randrange(-20, 20) for _ in range(100)]
    before = given(users, *values)
    some = users.where(field("x") > 0).aggregate(**PARTS)
    without = some.get()
    assert before["sum"] == math.fsum(values)
    store.collection("users", indexes=["x"])
    assert some.get() == without
