"""Live aggregates and groups: kept by what single documents contribute."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import Any

import pytest

import grebe
from grebe import agg, field

Users = grebe.Collection[Any]
N = field("n")
PARTS = {
    "count": agg.count(),
    "sum": agg.sum("n"),
    "avg": agg.avg("n"),
    "min": agg.min("n"),
    "max": agg.max("n"),
}


class Told:
    """Keeps the values that an observer of an aggregate was told."""

    def __init__(self, aggregate: Any) -> None:
        self.aggregate = aggregate
        self.observer = aggregate.observe()
        self.values: list[Any] = []
        self.observer.subscribe(self.values.append)

    def take(self) -> list[Any]:
        assert self.observer.get() == self.aggregate.get()
        values = self.values.copy()
        self.values.clear()
        return values


@pytest.fixture
def users(store: grebe.Store) -> Users:
    users = store.collection("users")
    users.create_many({"a": {"n": 1}, "b": {"n": 3}, "c": {"n": 5}})
    return users


def test_each_part_follows_the_documents(users: Users) -> None:
    """Added, changed, removed, with the field and without: as if it were computed anew."""
    told = Told(users.aggregate(**PARTS))
    users.doc("d").set({"n": 7})
    users.doc("c").set({"n": 0.5})
    users.doc("a").set({"m": 1})
    users.doc("b").set({"n": "x"})
    users.doc("d").delete()
    assert told.take() == [
        {"count": 4, "sum": 16, "avg": 4.0, "min": 1, "max": 7},
        {"count": 4, "sum": 11.5, "avg": 2.875, "min": 0.5, "max": 7},
        {"count": 4, "sum": 10.5, "avg": 3.5, "min": 0.5, "max": 7},
        {"count": 4, "sum": 7.5, "avg": 3.75, "min": 0.5, "max": "x"},
        {"count": 3, "sum": 0.5, "avg": 0.5, "min": 0.5, "max": "x"},
    ]


def test_the_last_one_leaves_nothing_behind(users: Users) -> None:
    """Floats come and go without a trace in the sum."""
    told = Told(users.aggregate(**PARTS))
    for n in (0.1, 1e300, -1e300, 0.3):
        users.doc("x").set({"n": n})
    users.delete()
    assert told.take()[-1] == {"count": 0, "sum": 0, "avg": None, "min": None, "max": None}


def test_only_another_value_is_told(store: grebe.Store, users: Users) -> None:
    """Neither a touch, nor a change of other fields, nor a batch that comes to the same."""
    told = Told(users.aggregate(sum=agg.sum("n")))
    value = told.observer.get()
    users.doc("a").touch()
    users.doc("a").update(other=1)
    users.doc("d").set({"n": 0})
    with store.batch():
        users.doc("a").update(n=3)
        users.doc("b").update(n=1)
    assert told.take() == []
    assert told.observer.get() is value


def test_a_batch_is_one_value(store: grebe.Store, users: Users) -> None:
    """get() is current inside it; the subscriber is told once, at the end."""
    told = Told(users.aggregate(sum=agg.sum("n")))
    with store.batch():
        for n in range(10):
            users.doc(f"{n}").set({"n": n})
            assert told.observer.get() == users.aggregate(sum=agg.sum("n")).get()
        assert told.values == []
    assert told.take() == [{"sum": 54}]


def test_a_value_that_came_back_is_told(store: grebe.Store, users: Users) -> None:
    """Told is the difference to what was told, not to what was there meanwhile."""
    told = Told(users.aggregate(sum=agg.sum("n")))
    with store.batch():
        users.doc("a").update(n=100)
        assert told.observer.get() == {"sum": 108}
        users.doc("a").update(n=1)
    assert told.take() == []
    users.doc("a").update(n=2)
    users.doc("a").update(n=1)
    assert told.take() == [{"sum": 10}, {"sum": 9}]


def test_a_silent_write_is_in_the_next_value(users: Users) -> None:
    """It is not told by itself."""
    told = Told(users.aggregate(sum=agg.sum("n")))
    users.doc("a").update({"n": 11}, broadcast=False)
    users.doc("b").delete(broadcast=False)
    assert told.values == []
    assert told.observer.get() == {"sum": 16}
    users.doc("c").update(n=6)
    assert told.take() == [{"sum": 17}]


def test_conditions_and_windows_count(users: Users) -> None:
    """Documents that cross a condition or the edge of a window come and go."""
    some = Told(users.where(N > 2).aggregate(**PARTS))
    top = Told(users.order_by("n", desc=True).offset(1).limit(2).aggregate(sum=agg.sum("n")))
    users.doc("a").set({"n": 4})
    users.doc("c").set({"n": 2})
    users.doc("x").set({"n": 9})
    assert [value["sum"] for value in some.take()] == [12, 7, 16]
    assert top.take() == [{"sum": 7}, {"sum": 5}, {"sum": 7}]
    users.delete()
    assert top.take() == [{"sum": 0}]
    assert some.take()[-1]["count"] == 0


def test_groups_come_and_go(users: Users) -> None:
    """A group begins with its first document and ends with its last."""
    told = Told(users.group_by("c").aggregate(n=agg.count(), sum=agg.sum("n")))
    users.doc("d").set({"c": "x", "n": 2})
    users.doc("a").set({"c": "x", "n": 1})
    users.doc("d").set({"c": "y", "n": 2})
    users.doc("a").delete()
    none = {"n": 2, "sum": 8}
    assert told.take() == [
        {None: {"n": 3, "sum": 9}, "x": {"n": 1, "sum": 2}},
        {None: none, "x": {"n": 2, "sum": 3}},
        {None: none, "x": {"n": 1, "sum": 1}, "y": {"n": 1, "sum": 2}},
        {None: none, "y": {"n": 1, "sum": 2}},
    ]


def test_old_values_and_untouched_groups_stay(users: Users) -> None:
    """A value that was handed out never changes; groups that did not change are the same dicts."""
    users.create_many({f"{n}": {"c": n % 3, "n": n} for n in range(9)})
    observer = users.group_by("c").aggregate(sum=agg.sum("n")).observe()
    before = observer.get()
    kept = {key: dict(group) for key, group in before.items()}
    users.doc("1").update(n=100)
    after = observer.get()
    assert {key: dict(group) for key, group in before.items()} == kept
    assert after[1] == {"sum": 111}
    assert after[0] is before[0]
    assert after[2] is before[2]


def test_equal_aggregates_share_one_value(users: Users) -> None:
    """The function is asked once for each document and change."""
    asked: list[str] = []

    def twice(user: Any) -> int:
        asked.append(user.id)
        return int(user.data["n"]) * 2

    one, two = (users.aggregate(sum=agg.sum(twice)).observe() for _ in range(2))
    assert asked == ["a", "b", "c"]
    users.doc("a").update(n=2)
    assert one.get() is two.get()
    assert asked == ["a", "b", "c", "a"]
    one.close()
    two.close()
    users.doc("a").update(n=3)
    assert len(asked) == 4


def test_a_failing_function_leaves_a_document_out(
    users: Users, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged without data; the document counts again when it can be judged."""
    total = Told(users.aggregate(n=agg.count(), sum=agg.sum(lambda user: 60 / user.data["n"])))
    fine = Told(users.aggregate(n=agg.count(), max=agg.max("n")))
    with caplog.at_level(logging.ERROR, "grebe"):
        users.doc("c").set({"n": 0, "name": "secret"})
    assert total.values == [{"n": 2, "sum": 80.0}]
    assert fine.take() == [{"n": 3, "max": 3}]
    assert "users/c" in caplog.text
    assert "secret" not in caplog.text
    users.doc("c").set({"n": 60})
    assert total.take()[-1] == {"n": 3, "sum": 81.0}


def test_a_failing_function_reaches_who_begins_to_observe(store: grebe.Store, users: Users) -> None:
    """As it reaches who asks once; nothing stays behind."""
    broken = users.aggregate(n=agg.sum(lambda user: user.data["gone"]))
    for ask in (broken.get, broken.observe):
        with pytest.raises(KeyError, match="gone"):
            ask()
    assert store._engine.broadcasting.watched is False


def test_changes_are_those_of_the_query(users: Users) -> None:
    """An aggregate is a value, no list: TypeError says what to observe instead."""
    observer = users.aggregate(n=agg.count()).observe()
    with pytest.raises(TypeError, match="observe the query itself"):
        observer.subscribe_changes(print)


def test_a_late_observer_is_not_told_what_it_saw(store: grebe.Store, users: Users) -> None:
    """It began in the middle of a turn, with what was there."""
    aggregate = users.aggregate(sum=agg.sum("n"))
    early = Told(aggregate)
    with store.batch():
        users.doc("a").update(n=2)
        late = Told(aggregate)
    assert (early.take(), late.take()) == ([{"sum": 10}], [])
    users.doc("a").update(n=3)
    assert early.take() == late.take() == [{"sum": 11}]


@dataclass
class Home:
    city: str


@dataclass
class Person:
    home: Home
    age: int = 0


def test_objects_have_a_first_and_a_last(store: grebe.Store) -> None:
    """min and max of nested models, which Python cannot order, through any changes."""
    people = store.collection("people", model=Person)
    people.create_many({f"{n}": Person(Home("abcd"[n % 4])) for n in range(8)})
    told = Told(people.aggregate(min=agg.min("home"), max=agg.max("home")))
    for n in (0, 4, 3):
        people.doc(f"{n}").set(Person(Home("c")))
    people.doc("7").delete()
    assert told.take() == [
        {"min": Home("b"), "max": Home("d")},
        {"min": Home("b"), "max": Home("c")},
    ]


@pytest.mark.parametrize("seed", range(3))
def test_writes_are_looked_at_once(users: Users, seed: int) -> None:
    """A change of one document among a thousand asks for that one, in a window too."""
    rng = random.Random(seed)
    users.create_many({f"{n}": {"n": rng.randrange(99)} for n in range(1000)})
    asked: list[str] = []

    def counting(user: Any) -> int:
        asked.append(user.id)
        return int(user.data["n"])

    query = [users, users.where(N > 50), users.order_by("n").limit(100)][seed]
    told = Told(query.group_by("n").aggregate(sum=agg.sum(counting)))
    for _ in range(20):
        asked.clear()
        users.doc(f"{rng.randrange(1000)}").set({"n": rng.randrange(99)})
        assert len(asked) <= 2  # itself, and in a window the one that comes or goes
    assert told.take()
