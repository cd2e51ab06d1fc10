"""In which order queries give their documents."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import grebe
from grebe import field
from grebe.documents.orders import orders_of, row_key_of

Users = grebe.Collection[Any]


@dataclass
class Name:
    first: str
    last: str

    @property
    def full(self) -> str:
        return f"{self.last} {self.first}"


@dataclass
class User:
    name: Name


@pytest.fixture
def users(store: grebe.Store) -> Users:
    return store.collection("users")


def ids(query: Any) -> str:
    return "".join(snapshot.id for snapshot in query.get())


MIXED = {
    "a": {"n": 2},
    "b": {"n": "x"},
    "c": {},
    "d": {"n": True},
    "e": {"n": 1.5},
    "f": {"n": None},
    "g": {"n": [1]},
    "h": {"n": {"x": 1}},
    "i": {"n": False},
    "j": {"n": "X"},
    "k": {"n": []},
    "l": {"n": -1},
}


def test_mixed_and_missing_values_sort(users: Users) -> None:
    """Missing first, then by type: None, bool, numbers, texts, lists, dicts; never an error."""
    users.create_many(MIXED)
    assert ids(users.order_by("n")) == "cfidleajbkgh"
    assert ids(users.order_by("n", desc=True)) == "cfidleajbkgh"[::-1]


@pytest.mark.parametrize("values", [[3, 1, 2], [1.5, 1, -2], ["b", "", "ab", "a"], [None, 1, "a"]])
@pytest.mark.parametrize("desc", [False, True])
def test_equal_documents_stay_as_inserted(users: Users, values: list[Any], desc: bool) -> None:
    """In both directions, for values that Python compares by itself and for others."""
    names = [f"{place:02}" for place in range(len(values) * 3)]
    given = [values[place % len(values)] for place in range(len(names))]
    users.create_many({name: {"n": n} for name, n in zip(names, given, strict=True)})
    ordered = users.order_by("n", desc=desc)
    found = [(user.data["n"], user.id) for user in ordered]
    for _, group in itertools.groupby(found, key=lambda pair: pair[0]):
        alike = [name for _, name in group]
        assert len(alike) == 3
        assert alike == sorted(alike)
    for limit in range(len(names) + 1):  # few of many are picked in another way
        assert ordered.limit(limit).get() == list(ordered.get())[:limit]


def test_texts_sort_by_code_point(users: Users) -> None:
    """The beginning of a text is before it, also descending; capitals before small letters."""
    users.create_many(
        {"a": {"s": "ab"}, "b": {"s": "a"}, "c": {"s": "B"}, "d": {"s": "\U0010ffff"}}
    )
    users.create_many({"e": {"s": "é"}, "f": {"s": ""}})
    assert ids(users.order_by("s")) == "fcbaed"
    assert ids(users.order_by("s", desc=True)) == "deabcf"


def test_several_fields_and_directions(users: Users) -> None:
    """The first counts most; desc= is for the fields of its call; a second call sorts the rest."""
    pairs = itertools.product([1, 2], [1, 2], ["x", "y"])
    users.create_many(
        {
            key: {"a": a, "b": b, "o": {"s": s}}
            for key, (a, b, s) in zip("ABCDEFGH", pairs, strict=True)
        }
    )
    assert ids(users.order_by("a", "b", "o.s")) == "ABCDEFGH"
    assert ids(users.order_by("o.s", field("b"))) == "AECGBFDH"
    assert ids(users.order_by("a", "b", desc=True)) == "GHEFCDAB"
    assert ids(users.order_by("a", desc=True).order_by("b")) == "EFGHABCD"
    assert ids(users.order_by("b").order_by("a", "o.s", desc=True)) == "FEBAHGDC"


def test_a_function_gives_the_key(users: Users) -> None:
    """Of the snapshot; its values sort like those of fields, and equal ones stay as inserted."""
    users.create_many(MIXED)
    assert ids(users.order_by(key=lambda user: user.id, desc=True)) == "lkjihgfedcba"
    assert ids(users.order_by(key=lambda user: user.data.get("n"))) == "cfidleajbkgh"
    assert ids(users.order_by(key=lambda user: 0)) == "abcdefghijkl"
    assert ids(users.order_by(key=lambda user: "n" in user.data).order_by("n")) == "cfidleajbkgh"


def test_what_a_key_raises_reaches_the_reader(users: Users) -> None:
    """As what a condition raises does."""
    users.create_many(MIXED)
    with pytest.raises(KeyError, match="n"):
        users.order_by(key=lambda user: user.data["n"]).get()


def test_models_sort_by_attributes(store: grebe.Store) -> None:
    """By properties and nested models too."""
    users = store.collection("users", model=User)
    users.create_many(
        {key: User(Name(*name)) for key, name in zip("abc", ["xa", "ya", "xb"], strict=True)}
    )
    assert ids(users.order_by("name.full")) == "abc"
    assert ids(users.order_by("name")) == "acb"
    assert ids(users.order_by("name", desc=True)) == "bca"


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (lambda q: q.order_by(), "needs a field"),
        (lambda q: q.order_by("n", key=len), "not both"),
        (lambda q: q.order_by(key="n"), "key= is a function of a snapshot, not str"),
        (lambda q: q.order_by(lambda user: 1), "give a function as key="),
        (lambda q: q.order_by(1), "a field is named by a str"),
        (lambda q: q.order_by(None), "a field is named by a str"),
    ],
)
def test_what_is_no_order_is_refused(
    users: Users, order: Callable[[Any], Any], message: str
) -> None:
    """At the call, whether there are documents or not."""
    with pytest.raises(TypeError, match=message):
        order(users)


def test_a_malformed_path_is_refused(users: Users) -> None:
    """ValueError, as for field()."""
    with pytest.raises(ValueError, match="empty part"):
        users.order_by("a", "a..b")


def value(rng: random.Random) -> Any:
    return rng.choice([0, 1, 1.0, -2.5, True, "", "a", "ab", None, [1], {"x": 1}])


@pytest.mark.parametrize("orders", [[("n", False)], [("n", True)], [("n", True), ("o.p", False)]])
def test_the_keys_of_rows_agree_with_sorting(users: Users, orders: list[tuple[str, bool]]) -> None:
    """What keeps a live query in order puts any two documents as get() does, and never alike."""
    rng = random.Random(1)
    rows = [{"n": value(rng), "o": {"p": value(rng)}} for _ in range(60)]
    del rows[7]["n"], rows[8]["n"]
    users.create_many(rows)
    query: Any = users
    for path, desc in orders:
        query = query.order_by(path, desc=desc)
    key_of = row_key_of(query.spec.orders)
    assert key_of is not None
    found = query.get()
    number = {user.id: place for place, user in enumerate(users)}
    keys = [key_of(user, number[user.id]) for user in found]
    assert sorted(keys) == keys
    assert len(set(keys)) == len(keys)


def test_without_an_order_the_insertion_counts() -> None:
    """No keys are made for it."""
    assert row_key_of(()) is None


def test_an_order_shows_in_messages(users: Users) -> None:
    """Fields by path, functions by name."""

    def by_id(user: Any) -> str:
        return str(user.id)

    (one,) = orders_of((), by_id, True)
    assert one.describe().endswith("by_id descending")
    assert repr(users.order_by("a", "b.c").order_by("d", desc=True)) == (
        "<Query 'users' ordered by a, b.c, d descending>"
    )
