"""Live queries: order, windows, positions, silent writes, and who shares what."""

from __future__ import annotations

import gc
import itertools
import logging
import random
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import grebe
from grebe import Event, field
from grebe.reactive.live_query import LiveQuery
from grebe.reactive.ordered import CHUNK_MAX, OrderedRows
from tests.unit.reactive.test_observer import Ears, ids

Users = grebe.Collection[Any]
N = field("n")


@pytest.fixture
def users(store: grebe.Store) -> Users:
    """Return six documents, a to f, with n = 1 to 6."""
    users = store.collection("users")
    users.create_many({key: {"n": n} for n, key in enumerate("abcdef", 1)})
    return users


class ListModel:
    """A GUI's list: moved by the positions of changes alone, never searched."""

    def __init__(self, query: Any) -> None:
        self.observer = query.observe()
        self.rows = list(self.observer.get())
        self.told: list[list[tuple[Event, str, int | None, int | None]]] = []
        self.failed = 0
        """Calls that raised, which the store only logs."""
        self.observer.subscribe_changes(self.follow)

    def follow(self, changes: list[grebe.Change[Any]]) -> None:
        self.failed += 1
        for change in changes:
            if change.prev_index is not None:
                gone = self.rows.pop(change.prev_index)
                assert (gone.path, gone.data) == (change.path, change.prev_data)
            if change.index is not None:
                now = change.doc.get()
                assert now is not None
                self.rows.insert(change.index, now)
        self.told.append([(c.event, c.id, c.prev_index, c.index) for c in changes])
        assert self.rows == self.observer.get()
        self.failed -= 1

    def take(self) -> list[list[tuple[Event, str, int | None, int | None]]]:
        assert self.failed == 0
        told, self.told = self.told, []
        return told

    def names(self) -> str:
        assert self.failed == 0
        assert self.rows == self.observer.get()
        return "".join(row.id for row in self.rows)


# --- order and positions


def test_a_place_that_changes_is_a_modification(users: Users) -> None:
    """With both positions; a change that leaves the place has the same twice."""
    model = ListModel(users.order_by("n"))
    users.doc("e").update(n=0)
    users.doc("e").update(other=1)
    users.doc("a").update(n=9)
    users.doc("g").create({"n": 3.5})
    users.doc("c").delete()
    users.doc("d").touch()
    assert model.take() == [
        [(Event.MODIFIED, "e", 4, 0)],
        [(Event.MODIFIED, "e", 0, 0)],
        [(Event.MODIFIED, "a", 1, 5)],
        [(Event.ADDED, "g", None, 3)],
        [(Event.REMOVED, "c", 2, None)],
        [(Event.TOUCHED, "d", 3, 3)],
    ]
    assert model.names() == "ebgdfa"


def test_without_an_order_places_are_those_of_insertion(store: grebe.Store, users: Users) -> None:
    """A document that is deleted and created again goes to the end."""
    model = ListModel(users.where(N > 0))
    users.doc("b").update(n=9)
    users.doc("a").delete()
    users.doc("a").create({"n": 1})
    with store.batch():
        users.doc("b").delete()
        users.doc("b").create({"n": 9})
    assert model.take() == [
        [(Event.MODIFIED, "b", 1, 1)],
        [(Event.REMOVED, "a", 0, None)],
        [(Event.ADDED, "a", None, 5)],
        [(Event.MODIFIED, "b", 0, 5)],
    ]


def test_several_changes_are_applied_one_after_another(store: grebe.Store, users: Users) -> None:
    """Positions of a change are those of the list in which the changes before it were made."""
    model = ListModel(users.order_by("n", desc=True))
    with store.batch():
        users.doc("a").update(n=9)
        users.doc("f").delete()
        users.doc("x").create({"n": 4.5})
        users.doc("c").update(n=-1)
        users.doc("b").touch()
    assert model.names() == "aexdbc"
    assert model.take() == [
        [
            (Event.MODIFIED, "a", 5, 0),
            (Event.REMOVED, "f", 1, None),
            (Event.ADDED, "x", None, 2),
            (Event.MODIFIED, "c", 4, 5),
            (Event.TOUCHED, "b", 4, 4),
        ]
    ]


def test_changes_that_cancel_out_are_not_told(store: grebe.Store, users: Users) -> None:
    """Moved there and back, added and removed, changed and changed back."""
    model = ListModel(users.where(N > 0).order_by("n").limit(3))
    with store.batch():
        users.doc("a").update(n=5.5)
        users.doc("x").create({"n": 0.5})
        users.doc("a").update(n=1)
        users.doc("x").delete()
        users.doc("b").update(n=-1)
        users.doc("b").update(n=2)
    assert model.take() == []
    assert model.names() == "abc"


def test_missing_and_mixed_values_keep_their_places(users: Users) -> None:
    """The order of a live query is that of get(), also among equals."""
    query = users.order_by("n", desc=True)
    model = ListModel(query)
    for value in (None, True, "x", [1], 3, 3.0, {"a": 1}, "", 2.5, False, 3):
        users.doc("c").set({"n": value})
        assert model.rows == query.get()
    users.doc("c").set({})
    assert model.names()[-1] == "c"
    for key in "fedba":
        users.doc(key).set({"n": 7})
    assert model.names() == "abdefc"


def test_a_second_order_places_what_the_first_leaves_equal(users: Users) -> None:
    """Each in its own direction; a change of either moves the row."""
    query = users.order_by("g").order_by("n", desc=True)
    for key, group in zip("abcdef", [1, 0, 1, 0, 1, 0], strict=True):
        users.doc(key).update(g=group)
    model = ListModel(query)
    assert model.names() == "fdbeca"
    users.doc("a").update(n=4)
    users.doc("f").update(g=1)
    users.doc("d").update(n=-4)
    assert model.names() == "bdfeac"
    assert model.take() == [
        [(Event.MODIFIED, "a", 5, 4)],
        [(Event.MODIFIED, "f", 0, 2)],
        [(Event.MODIFIED, "d", 0, 1)],
    ]


def test_objects_of_a_model_can_be_ordered_by(store: grebe.Store) -> None:
    """Nested models have a place, also those that Python cannot order."""
    people = store.collection("people", model=Person)
    people.create_many({f"{n}": Person(Home("abcde"[n % 5], n % 3 or None)) for n in range(12)})
    model = ListModel(people.order_by("home"))
    for n in range(12):
        people.doc(f"{n}").set(Person(Home("abcde"[n * 3 % 5], n)))
        assert model.rows == people.order_by("home").get()
    assert len(model.told) == 12


@dataclass
class Home:
    city: str
    floor: int | None


@dataclass
class Person:
    home: Home


# --- windows


def test_a_row_that_leaves_pulls_the_next_one_in(users: Users) -> None:
    """And one that enters pushes the last one out; nobody outside is mentioned."""
    model = ListModel(users.order_by("n").limit(3))
    users.doc("b").delete()
    users.doc("a").update(n=8)
    users.doc("x").create({"n": 0})
    users.doc("f").update(n=7)
    users.doc("f").delete()
    assert model.take() == [
        [(Event.REMOVED, "b", 1, None), (Event.ADDED, "d", None, 2)],
        [(Event.REMOVED, "a", 0, None), (Event.ADDED, "e", None, 2)],
        [(Event.ADDED, "x", None, 0), (Event.REMOVED, "e", 3, None)],
    ]
    assert model.names() == "xcd"


def test_the_next_one_comes_without_a_scan(users: Users) -> None:
    """Conditions are asked of what was written only."""
    asked: list[str] = []

    def watched(user: Any) -> bool:
        asked.append(user.id)
        return True

    model = ListModel(users.where(watched).order_by("n").limit(2))
    asked.clear()
    users.doc("a").delete()
    users.doc("b").update(n=10)
    assert model.names() == "cd"
    assert asked == ["b"]


def test_an_offset_hides_the_first(users: Users) -> None:
    """Rows cross both edges of the window."""
    model = ListModel(users.order_by("n").offset(2).limit(2))
    assert model.names() == "cd"
    users.doc("a").delete()
    users.doc("a").create({"n": 0})
    users.doc("f").update(n=-1)
    users.doc("c").update(n=2.5)
    users.doc("e").update(n=1)
    assert model.names() == "eb"
    assert [{(event, key) for event, key, *_ in told} for told in model.take()] == [
        {(Event.REMOVED, "c"), (Event.ADDED, "e")},
        {(Event.REMOVED, "e"), (Event.ADDED, "c")},
        {(Event.ADDED, "b"), (Event.REMOVED, "d")},
        {(Event.MODIFIED, "c")},
        {(Event.ADDED, "e"), (Event.REMOVED, "c")},
    ]


def test_an_offset_without_a_limit(users: Users) -> None:
    """Everything behind the first."""
    model = ListModel(users.order_by("n").offset(4))
    users.doc("f").update(n=0)
    users.doc("f").delete()
    users.doc("g").create({"n": 99})
    assert model.names() == "eg"
    model = ListModel(users.offset(99))
    users.doc("h").create({})
    assert (model.names(), model.told) == ("", [])


@pytest.mark.parametrize("offset", [0, 2])
def test_limit_0_is_always_empty(users: Users, offset: int) -> None:
    """Nobody is told anything, whatever happens."""
    model = ListModel(users.order_by("n").offset(offset).limit(0))
    users.doc("a").delete()
    users.doc("g").create({"n": 0})
    users.doc("b").update(n=9)
    users.doc("c").touch()
    assert (model.names(), model.told) == ("", [])


def test_a_window_over_few_documents_fills(store: grebe.Store) -> None:
    """From nothing to more than it holds, and back."""
    users = store.collection("few")
    model = ListModel(users.order_by("n").offset(1).limit(2))
    for n in range(5):
        users.doc(f"{n}").create({"n": -n})
    assert model.names() == "32"
    for n in range(5):
        users.doc(f"{n}").delete()
    assert model.names() == ""
    assert len(model.told) == 6


@pytest.mark.parametrize("seed", range(6))
def test_a_list_model_follows_any_walk(store: grebe.Store, seed: int) -> None:
    """Many rows and writes in one turn, with windows and without: positions are enough."""
    rng = random.Random(seed)
    users = store.collection("many")
    users.create_many({f"{n}": {"n": rng.randrange(50)} for n in range(rng.choice([0, 30, 700]))})
    queries = [
        users.where(N < 40).order_by("n"),
        users.order_by("n", desc=True).limit(10),
        users.order_by("n").offset(5).limit(20),
        users.where(N >= 25),
        users.where(N == 7),
    ]
    models = [ListModel(query) for query in queries]
    for _ in range(40):
        with store.batch():
            for _ in range(rng.choice([1, 2, 30])):
                doc = users.doc(f"{rng.randrange(750)}")
                if rng.random() < 0.3:
                    doc.delete()
                else:
                    doc.set({"n": rng.randrange(50)})
    for query, model in zip(queries, models, strict=True):
        assert model.rows == query.get()
        assert model.take()


# --- silent writes


def test_a_silent_write_is_told_with_the_next_loud_one(users: Users) -> None:
    """Of the same document; others do not announce it, and the place is where it is."""
    query = users.order_by("n")
    ears = Ears(query.observe())
    users.doc("a").update({"n": 9}, broadcast=False)
    users.doc("x").set({"n": 0}, broadcast=False)
    users.doc("b").delete(broadcast=False)
    assert ears.changes == ears.values == []
    assert "".join(ids(ears.observer.get())) == "xcdefa"
    users.doc("c").update(n=2.5)
    assert ears.events() == [[(Event.MODIFIED, "c", {"n": 3}, {"n": 2.5})]]
    ears.forget()
    for key in "axb":
        users.doc(key).set({"n": 1})
    assert ears.events() == [
        [(Event.ADDED, "x", None, {"n": 1})],
        [(Event.MODIFIED, "b", {"n": 2}, {"n": 1})],
    ]  # a is again what was told


def test_silent_writes_push_nobody_out_loud(users: Users) -> None:
    """What a silent write moves over the edge of a window is told with the next loud write."""
    ears = Ears(users.order_by("n").limit(2).observe())
    users.doc("x").set({"n": 0}, broadcast=False)
    assert ears.changes == []
    assert ids(ears.observer.get()) == ["x", "a"]
    users.doc("y").set({"n": -1})
    assert ids(ears.values[-1]) == ["y", "x"]
    told = {(change.event, change.id) for change in ears.changes[0]}
    assert (Event.ADDED, "y") in told
    assert (Event.REMOVED, "b") in told
    assert (Event.ADDED, "x") not in told


# --- observers


def test_equal_queries_share_one_result(store: grebe.Store, users: Users) -> None:
    """However they were made; it is kept until the last observer closes."""
    makers: list[Callable[[], Any]] = [
        lambda: users.where(N > 2).order_by("n").limit(3),
        lambda: store.collection("users").limit(3).where(N > 2.0).order_by("n"),
    ]
    one, two = (make().observe() for make in makers)
    other = users.where(N > 2).order_by("n").limit(4).observe()
    assert one.get() is two.get()
    assert other.get() is not one.get()
    users.doc("c").update(n=9)
    assert one.get() is two.get()
    one.close()
    users.doc("a").update(n=5.5)
    assert ids(two.get()) == ["d", "e", "a"]
    two.close()
    other.close()
    assert store._engine.broadcasting.watched is False


def test_an_observer_that_begins_in_a_turn_hears_of_the_rest(
    store: grebe.Store, users: Users
) -> None:
    """Each is told the difference to what it saw itself, with positions for its own list."""
    query = users.order_by("n").limit(3)
    early = ListModel(query)
    with store.batch():
        users.doc("a").update(n=9)
        late = ListModel(query)
        assert late.names() == "bcd"
        users.doc("b").delete()
        last = ListModel(query)
    assert early.take() == [
        [
            (Event.REMOVED, "a", 0, None),
            (Event.REMOVED, "b", 0, None),
            (Event.ADDED, "d", None, 1),
            (Event.ADDED, "e", None, 2),
        ]
    ]
    assert late.take() == [[(Event.REMOVED, "b", 0, None), (Event.ADDED, "e", None, 2)]]
    assert last.take() == []
    users.doc("c").update(n=0)
    assert [model.take() for model in (early, late, last)] == [
        [[(Event.MODIFIED, "c", 0, 0)]] for _ in range(3)
    ]


def test_looking_in_a_turn_loses_no_change(store: grebe.Store, users: Users) -> None:
    """get() before the broadcast catches up; what is told does not depend on it."""
    query = users.where(N > 2).order_by("n", desc=True)
    watched, alone = ListModel(query), ListModel(users.where(N > 2, N > 1).order_by("n", desc=True))
    with store.batch():
        for n in (7, 1, 9, 0, 5):
            users.doc("d").update(n=n)
            assert watched.observer.get() == query.get()
        users.doc("x").create({"n": 8})
        assert watched.observer.get() == query.get()
    assert watched.told == alone.told != []


def test_old_values_stay_as_they_were(users: Users) -> None:
    """Through any changes after them, over several chunks and in windows."""
    count = CHUNK_MAX * 3
    users.create_many({f"{n}": {"n": n % 97} for n in range(count)})
    for query in (users.order_by("n"), users.order_by("n").offset(100).limit(CHUNK_MAX * 2)):
        live = query.observe()
        kept = []
        for n in range(0, count, 97):
            value = live.get()
            kept.append((value, [(user.id, user.data["n"]) for user in value]))
            users.doc(f"{n}").update(n=-n)
            users.doc(f"{n + 1}").delete()
        assert live.get() == query.get()
        for value, before in kept:
            assert [(user.id, user.data["n"]) for user in value] == before


def test_a_change_copies_one_chunk_not_the_result(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many values are kept, and however many rows there are."""
    copied: list[int] = []
    own = OrderedRows._own

    def counted(self: Any, index: int) -> Any:
        if self._epochs[index] != self._epoch:
            copied.append(len(self._rows[index]))
        return own(self, index)

    monkeypatch.setattr(OrderedRows, "_own", counted)
    users.create_many({f"{n}": {"n": n} for n in range(CHUNK_MAX * 8)})
    live = users.order_by("n").observe()
    kept = []
    for n in range(20):
        kept.append(live.get())
        copied.clear()
        users.doc(f"{n * 100}").update(n=n * 150 + 0.5)
        assert 1 <= len(copied) <= 2  # where it was, and where it is
        assert sum(copied) <= 2 * CHUNK_MAX
        copied.clear()
        users.doc(f"{n * 100}").update(other=n)
        assert copied == []  # no value was taken since
    assert len({id(value) for value in kept}) == len(kept)


def test_a_closed_observer_is_forgotten(store: grebe.Store, users: Users) -> None:
    """Its result is not kept up to date any more, nor in memory."""
    asked: list[str] = []

    def watched(user: Any) -> bool:
        asked.append(user.id)
        return True

    observer = users.where(watched).observe()
    gone = weakref.ref(observer)
    observer.close()
    asked.clear()
    users.doc("a").update(n=9)
    del observer
    gc.collect()
    assert (asked, gone()) == ([], None)


# --- failures and models


def test_a_failing_condition_is_logged_and_left_out(
    users: Users, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are told in the same broadcast; the log has no data, and nobody raises."""
    broken = ListModel(users.where(lambda user: 10 / user.data["n"] > 1).order_by("n"))
    ordered = ListModel(users.order_by(key=lambda user: 1 / user.data["n"]))
    fine = ListModel(users.order_by("n"))
    with caplog.at_level(logging.ERROR, "grebe"):
        users.doc("c").set({"n": 0, "name": "secret"})
    assert broken.take() == [[(Event.REMOVED, "c", 2, None)]]
    assert ordered.take() == [[(Event.REMOVED, "c", 3, None)]]
    assert fine.take() == [[(Event.MODIFIED, "c", 2, 0)]]
    assert [record.message.count("users/c") for record in caplog.records] == [1, 1]
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text
    users.doc("c").set({"n": 3})
    assert broken.take() == [[(Event.ADDED, "c", None, 2)]]
    assert ordered.names() == "fedcba"


def test_logs_do_not_show_constants(users: Users, caplog: pytest.LogCaptureFixture) -> None:
    """The name of a query in messages has its fields, not what they are compared with."""
    hidden = "se" + "cret"  # a traceback shows this line
    observer = users.where(field("n") != hidden, lambda user: 1 / user.data["n"] > 0).observe()
    users.doc("a").set({"n": 0})
    assert "field('n') != ..." in caplog.text
    assert "secret" not in caplog.text
    assert "secret" not in repr(observer)
    users.doc("a").set({"n": 1})


def test_a_model_that_comes_later_serves_new_queries(store: grebe.Store, users: Users) -> None:
    """One that is watched goes on as it began; each reads the documents in its own way."""
    old = users.where(N > 2).order_by("n").observe()
    before = list(old.get())
    counters = store.collection("users", model=Counter)
    new = counters.where(N > 2).order_by("n").observe()
    assert [user.data for user in new.get()] == [Counter(n) for n in (3, 4, 5, 6)]
    counters.doc("a").set(Counter(3.5))  # type: ignore[arg-type]
    assert ids(old.get()) == ids(new.get()) == ["c", "a", "d", "e", "f"]
    assert [type(user.data) for user in new.get()] == [Counter] * 5
    assert len(before) == 4


@dataclass
class Counter:
    n: float


def test_deletions_above_empty_a_query(store: grebe.Store) -> None:
    """One REMOVED for each row, from any position, in one list."""
    friends = store.collection("users/1/friends")
    friends.create_many({key: {"n": n} for n, key in enumerate("cab")})
    model = ListModel(friends.order_by("n", desc=True).limit(2))
    store.doc("users/1").delete()
    assert model.names() == ""
    assert [{(event, key) for event, key, *_ in told} for told in model.take()] == [
        {(Event.REMOVED, "b"), (Event.REMOVED, "a")}
    ]


def test_a_transaction_is_one_change(store: grebe.Store, users: Users) -> None:
    """Applied as a whole: the result never has half of it."""
    model = ListModel(users.order_by("n"))
    with store.transaction() as tx:
        for key, n in zip("abc", itertools.count(10), strict=False):
            tx.update(users.doc(key), n=n)
        assert model.told == []
    assert len(model.take()) == 1
    assert model.names() == "defabc"


def test_a_closed_result_is_freed_at_once(store: grebe.Store) -> None:
    """Also one that nothing was written to: its rows do not wait for the garbage collector."""
    rows = store.collection("rows")
    rows.create_many({f"{n}": {"n": n} for n in range(10)})
    gc.collect()
    gc.disable()
    try:
        others = sum(type(one) is LiveQuery for one in gc.get_objects())
        rows.where(field("n") > 3).observe().close()
        assert sum(type(one) is LiveQuery for one in gc.get_objects()) == others
    finally:
        gc.enable()
