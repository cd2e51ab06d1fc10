"""Live values of documents, collections and filtered queries."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import pytest

import grebe
from grebe import Event
from grebe.persistors import MemoryPersistor

OpenStore = Callable[..., grebe.Store]


class Ears:
    """Keeps what an observer was told."""

    def __init__(self, observer: grebe.Observer[Any, Any]) -> None:
        self.observer = observer
        self.values: list[Any] = []
        self.changes: list[list[grebe.Change[Any]]] = []
        observer.subscribe(self.values.append)
        observer.subscribe_changes(self.changes.append)

    def events(self) -> list[list[tuple[Event, str, Any, Any]]]:
        return [[(c.event, c.id, c.prev_data, c.data) for c in told] for told in self.changes]

    def forget(self) -> None:
        self.values.clear()
        self.changes.clear()


def ids(value: Any) -> list[str]:
    return [snapshot.id for snapshot in value]


@pytest.fixture
def users(store: grebe.Store) -> grebe.Collection[Any]:
    return store.collection("users")


def test_a_document_from_missing_to_deleted(users: grebe.Collection[Any]) -> None:
    """Its value is None, then snapshots, then None; each step is one change."""
    doc = users.doc("1")
    with doc.observe() as live:
        ears = Ears(live)
        assert live.get() is None
        doc.create({"n": 1})
        doc.update(n=2)
        doc.delete()
        assert live.get() is None
        assert [None if v is None else v.data for v in ears.values] == [{"n": 1}, {"n": 2}, None]
        assert ears.events() == [
            [(Event.ADDED, "1", None, {"n": 1})],
            [(Event.MODIFIED, "1", {"n": 1}, {"n": 2})],
            [(Event.REMOVED, "1", {"n": 2}, None)],
        ]


def test_a_collection_is_told_of_each_document(users: grebe.Collection[Any]) -> None:
    """Values are sequences in insertion order, changes name documents."""
    ears = Ears(users.observe())
    users.doc("2").set({"n": 1})
    users.doc("1").set({"n": 1})
    users.doc("2").set({"n": 5})
    users.doc("2").delete()
    assert [ids(value) for value in ears.values] == [["2"], ["2", "1"], ["2", "1"], ["1"]]
    assert [[(e, i) for e, i, *_ in told] for told in ears.events()] == [
        [(Event.ADDED, "2")],
        [(Event.ADDED, "1")],
        [(Event.MODIFIED, "2")],
        [(Event.REMOVED, "2")],
    ]


def test_a_query_tells_from_its_own_side(users: grebe.Collection[Any]) -> None:
    """A document that starts to match is added, one that stops is removed, one that keeps
    matching is modified, one that never matched is not mentioned."""
    adults = users.where(lambda user: user.data["age"] >= 18)
    doc = users.doc("1")
    ears = Ears(adults.observe())
    for age in (10, 18, 40, 11, 12):
        doc.set({"age": age})
    assert ears.events() == [
        [(Event.ADDED, "1", None, {"age": 18})],
        [(Event.MODIFIED, "1", {"age": 18}, {"age": 40})],
        [(Event.REMOVED, "1", {"age": 40}, None)],
    ]
    assert [ids(value) for value in ears.values] == [["1"], ["1"], []]


def test_deleting_a_collection_is_one_removal_per_document(store: grebe.Store) -> None:
    """Also for observers of nested collections and of its documents, together in one list."""
    users = store.collection("users")
    users.create_many({"1": {}, "2": {}})
    friends = users.doc("1").collection("friends")
    friends.doc("3").set({})
    of_users, of_friends = Ears(users.observe()), Ears(friends.observe())
    of_document = Ears(users.doc("2").observe())
    users.delete()
    assert [[(c.event, c.path) for c in told] for told in of_users.changes] == [
        [(Event.REMOVED, "users/1"), (Event.REMOVED, "users/2")]
    ]
    assert [[(c.event, c.path) for c in told] for told in of_friends.changes] == [
        [(Event.REMOVED, "users/1/friends/3")]
    ]
    assert of_document.values == [None]
    assert of_users.values == [[]]


def test_clear_empties_every_observer(store: grebe.Store) -> None:
    """clear() is the removal of everything; with broadcast=False nobody is told."""
    users = store.collection("users")
    users.doc("1").set({})
    ears = Ears(users.observe())
    store.clear()
    assert ears.events() == [[(Event.REMOVED, "1", {}, None)]]
    users.doc("1").set({})
    ears.forget()
    store.clear(broadcast=False)
    assert ears.changes == []
    assert ears.observer.get() == []


def test_get_is_current_before_the_broadcast(store: grebe.Store) -> None:
    """Inside a batch the live values include its writes, though nobody was told."""
    users = store.collection("users")
    many, one = Ears(users.observe()), Ears(users.doc("1").observe())
    with store.batch():
        users.doc("1").set({"n": 1})
        assert ids(many.observer.get()) == ["1"]
        assert one.observer.get() == users.doc("1").get()
        assert many.values == one.values == []
    assert len(many.values) == len(one.values) == 1


def test_a_batch_is_told_as_one_difference(store: grebe.Store) -> None:
    """Created and deleted is nothing, created and updated is one addition, changed and changed
    back is nothing, deleted and created again is a modification."""
    users = store.collection("users")
    users.create_many({"back": {"n": 1}, "again": {"n": 1}, "gone": {"n": 1}})
    ears = Ears(users.observe())
    of_again = Ears(users.doc("again").observe())
    of_short = Ears(users.doc("short").observe())
    with store.batch():
        users.doc("short").create({"n": 0})
        users.doc("short").delete()
        users.doc("new").create({"n": 0})
        users.doc("new").update(n=7)
        users.doc("back").set({"n": 2})
        users.doc("back").set({"n": 1})
        users.doc("again").delete()
        users.doc("again").create({"n": 3})
        users.doc("gone").delete()
    assert len(ears.changes) == 1
    assert {(e, i): (p, d) for e, i, p, d in ears.events()[0]} == {
        (Event.ADDED, "new"): (None, {"n": 7}),
        (Event.MODIFIED, "again"): ({"n": 1}, {"n": 3}),
        (Event.REMOVED, "gone"): ({"n": 1}, None),
    }
    assert ids(ears.values[0]) == ["back", "new", "again"]
    assert of_again.events() == [[(Event.MODIFIED, "again", {"n": 1}, {"n": 3})]]
    assert of_short.changes == of_short.values == []


def test_a_batch_that_comes_to_nothing_is_silent(store: grebe.Store) -> None:
    """Neither values nor changes are delivered."""
    users = store.collection("users")
    ears = Ears(users.observe())
    with store.batch():
        users.doc("1").set({})
        users.doc("1").delete()
    assert ears.changes == ears.values == []


def test_a_batch_that_raises_is_delivered(store: grebe.Store) -> None:
    """A batch has no rollback: what was written is told."""
    users = store.collection("users")
    ears = Ears(users.observe())
    with pytest.raises(ZeroDivisionError), store.batch():  # noqa: PT012
        users.doc("1").set({})
        raise ZeroDivisionError
    assert [ids(value) for value in ears.values] == [["1"]]


def test_batches_nest(store: grebe.Store) -> None:
    """Only the end of the outermost one delivers."""
    users = store.collection("users")
    ears = Ears(users.observe())
    with store.batch():
        with store.batch():
            users.doc("1").set({})
        assert ears.values == []
        users.doc("2").set({})
    assert [ids(value) for value in ears.values] == [["1", "2"]]


def test_create_many_and_replace_are_one_broadcast(users: grebe.Collection[Any]) -> None:
    """Each is one turn, whatever the number of documents."""
    ears = Ears(users.observe())
    users.create_many({"1": {"n": 1}, "2": {"n": 2}})
    users.replace({"2": {"n": 3}, "3": {"n": 3}})
    assert [[(e, i) for e, i, *_ in told] for told in ears.events()] == [
        [(Event.ADDED, "1"), (Event.ADDED, "2")],
        [(Event.REMOVED, "1"), (Event.MODIFIED, "2"), (Event.ADDED, "3")],
    ]


def test_a_touch_is_told_without_a_change(users: grebe.Collection[Any]) -> None:
    """TOUCHED, with the same data twice; a missing document is not announced."""
    users.doc("1").set({"n": 1})
    ears, one = Ears(users.observe()), Ears(users.doc("1").observe())
    users.doc("1").touch()
    users.doc("missing").touch()
    assert ears.events() == one.events() == [[(Event.TOUCHED, "1", {"n": 1}, {"n": 1})]]
    assert len(ears.values) == len(one.values) == 1


def test_a_touch_does_not_hide_a_change(store: grebe.Store) -> None:
    """Written and touched in one batch, in either order, is MODIFIED."""
    doc = store.doc("users/1")
    doc.set({"n": 1})
    ears = Ears(doc.observe())
    with store.batch():
        doc.touch()
        doc.set({"n": 2})
        doc.touch()
    assert ears.events() == [[(Event.MODIFIED, "1", {"n": 1}, {"n": 2})]]


def test_an_equal_write_is_no_event(users: grebe.Collection[Any]) -> None:
    """The same JSON, whatever the order of its keys, is not announced."""
    users.doc("1").set({"a": 1, "b": [1, 2]})
    ears, one = Ears(users.observe()), Ears(users.doc("1").observe())
    users.doc("1").set({"b": [1, 2], "a": 1})
    users.doc("1").update(a=1)
    assert ears.changes == one.changes == []


@pytest.mark.parametrize("other", [1.0, True, "1"])
def test_another_type_is_another_value(users: grebe.Collection[Any], other: Any) -> None:
    """1, 1.0, True and "1" differ."""
    users.doc("1").set({"n": 1})
    ears = Ears(users.observe())
    users.doc("1").set({"n": other})
    assert len(ears.changes) == 1
    assert type(ears.changes[0][0].data["n"]) is type(other)


def test_a_silent_write_is_in_values_only(users: grebe.Collection[Any]) -> None:
    """broadcast=False: not announced, but in get() and in values delivered for other reasons."""
    users.doc("1").set({"n": 1})
    ears = Ears(users.observe())
    users.doc("1").set({"n": 2}, broadcast=False)
    users.doc("2").create({"n": 1}, broadcast=False)
    assert ears.changes == ears.values == []
    assert [s.data for s in ears.observer.get()] == [{"n": 2}, {"n": 1}]
    users.doc("3").set({"n": 3})
    assert ears.events() == [[(Event.ADDED, "3", None, {"n": 3})]]
    assert [s.data for s in ears.values[0]] == [{"n": 2}, {"n": 1}, {"n": 3}]


def test_prev_data_is_what_was_told_last(users: grebe.Collection[Any]) -> None:
    """After silent writes a loud one tells the difference to what was delivered."""
    users.doc("1").set({"n": 1})
    ears, one = Ears(users.observe()), Ears(users.doc("1").observe())
    users.doc("1").set({"n": 2}, broadcast=False)
    users.doc("1").set({"n": 3})
    users.doc("1").set({"n": 4})
    assert (
        ears.events()
        == one.events()
        == [
            [(Event.MODIFIED, "1", {"n": 1}, {"n": 3})],
            [(Event.MODIFIED, "1", {"n": 3}, {"n": 4})],
        ]
    )


def test_a_silent_deletion_and_a_loud_creation(users: grebe.Collection[Any]) -> None:
    """The observer, who was never told that it went, hears of a modification."""
    users.doc("1").set({"n": 1})
    ears = Ears(users.doc("1").observe())
    users.doc("1").delete(broadcast=False)
    users.doc("1").create({"n": 2})
    assert ears.events() == [[(Event.MODIFIED, "1", {"n": 1}, {"n": 2})]]


@pytest.mark.parametrize("write", ["create", "set", "replace", "update", "modify", "edit"])
def test_every_write_can_be_silent(users: grebe.Collection[Any], write: str) -> None:
    """broadcast=False is taken by all of them."""
    doc = users.doc("1")
    if write != "create":
        doc.set({"n": 1})
    ears = Ears(users.observe())
    if write == "edit":
        with doc.edit(broadcast=False) as draft:
            draft["n"] = 2
    elif write == "modify":
        doc.modify(lambda _: {"n": 2}, broadcast=False)
    else:
        getattr(doc, write)({"n": 2}, broadcast=False)
    assert doc.get().data == {"n": 2}
    users.doc("1").delete(broadcast=False)
    users.create_many([{"n": 1}], broadcast=False)
    users.replace({}, broadcast=False)
    users.delete(broadcast=False)
    assert ears.changes == ears.values == []


def test_loading_is_told_as_such(open_store: OpenStore) -> None:
    """HYDRATED for those who had nothing; memory's own document is not announced."""
    kept = MemoryPersistor()
    with open_store(kept) as before:
        before.collection("users").create_many({"1": {"n": 1}, "2": {"n": 1}})
    store = open_store(kept, hydrate=False)
    users = store.collection("users")
    users.doc("2").set({"n": 2})
    ears, one = Ears(users.observe()), Ears(users.doc("1").observe())
    few = Ears(users.where(lambda user: user.data["n"] > 1).observe())
    store.hydrate()
    assert ears.events() == one.events() == [[(Event.HYDRATED, "1", None, {"n": 1})]]
    assert few.changes == []


def test_observers_of_equal_queries_share_a_result(users: grebe.Collection[Any]) -> None:
    """The condition is asked once per document and change, not once per observer."""
    asked: list[str] = []

    def condition(user: grebe.Snapshot[Any]) -> bool:
        asked.append(user.id)
        return True

    observers = [users.where(condition).observe() for _ in range(5)]
    users.doc("1").set({"n": 1})
    assert asked == ["1"]
    assert all(observer.get() is observers[0].get() for observer in observers)


def test_a_condition_need_not_be_hashable(users: grebe.Collection[Any]) -> None:
    """Instances with __call__ and __eq__ are conditions like any other."""

    @dataclasses.dataclass
    class AtLeast:
        limit: int

        def __call__(self, user: grebe.Snapshot[Any]) -> bool:
            return bool(user.data["n"] >= self.limit)

    one, two = (users.where(AtLeast(n)).observe() for n in (1, 2))
    users.doc("1").set({"n": 1})
    assert (len(one.get()), len(two.get())) == (1, 0)
    one.close()
    two.close()
    assert users._engine.broadcasting.watched is False  # type: ignore[attr-defined]


def test_asking_for_a_model_again_shares_results_too(store: grebe.Store) -> None:
    """Collections made anew with the same model are the same to observers and snapshots."""

    @dataclasses.dataclass
    class User:
        n: int

    one, two = (store.collection("users", model=User) for _ in range(2))
    first, second = one.observe(), two.observe()
    one.doc("1").set(User(1))
    assert first.get() is second.get()
    assert one.doc("1").get() is two.doc("1").get()


def test_a_late_observer_is_told_only_what_came_after_it(store: grebe.Store) -> None:
    """Joining in the middle of a batch, it knows what was there and hears of the rest."""
    users = store.collection("users")
    users.doc("silent").set({"n": 1})
    early = Ears(users.observe())
    users.doc("silent").set({"n": 2}, broadcast=False)
    with store.batch():
        users.doc("1").set({"n": 1})
        late = Ears(users.observe())
        users.doc("2").set({"n": 1})
        users.doc("1").set({"n": 2})
    users.doc("silent").set({"n": 3})
    assert early.events() == [
        [(Event.ADDED, "2", None, {"n": 1}), (Event.ADDED, "1", None, {"n": 2})],
        [(Event.MODIFIED, "silent", {"n": 1}, {"n": 3})],
    ]
    assert late.events() == [
        [(Event.ADDED, "2", None, {"n": 1}), (Event.MODIFIED, "1", {"n": 1}, {"n": 2})],
        [(Event.MODIFIED, "silent", {"n": 2}, {"n": 3})],
    ]


def test_an_observer_is_not_told_of_the_only_write_before_it(store: grebe.Store) -> None:
    """The write waits for the broadcast because others watch; a new query has seen it."""
    users = store.collection("users")
    others = Ears(users.limit(1).observe())
    with store.batch():
        users.doc("1").set({"n": 1})
        late = Ears(users.observe())
    assert [len(changes) for changes in others.events()] == [1]
    assert late.events() == []


def test_values_stay_as_they_were(users: grebe.Collection[Any]) -> None:
    """A result handed out does not move on with the live one, also over many chunks."""
    count = 1500
    users.create_many({str(i): {"n": i} for i in range(count)})
    live = users.observe()
    first = live.get()
    kept = list(first)
    for i in range(0, count, 7):
        users.doc(str(i)).delete()
        users.doc(f"new{i}").set({"n": -i})
        users.doc(str(i + 1)).set({"n": -1})
    assert list(first) == kept
    assert len(first) == count
    assert [s.data["n"] for s in first] == list(range(count))
    assert live.get() == list(users)


def test_a_value_is_kept_until_something_changes(users: grebe.Collection[Any]) -> None:
    """Asking twice gives the same object; a write elsewhere does not replace it."""
    users.doc("1").set({"n": 1})
    live = users.where(lambda user: user.data["n"] > 0).observe()
    value = live.get()
    users.doc("1").collection("friends").doc("2").set({"n": 1})
    assert live.get() is value
    users.doc("1").set({"n": 2})
    assert live.get() is not value


def test_a_subscriber_that_raises_is_logged_and_others_go_on(
    users: grebe.Collection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the subscriber, what it watched and the document, and shows no data."""

    def fails(value: object) -> None:
        raise ZeroDivisionError

    live = users.observe()
    heard: list[str] = []
    live.subscribe_changes(fails)
    live.subscribe_changes(lambda _: heard.append("changes"))
    live.subscribe(fails)
    live.subscribe(lambda _: heard.append("value"))
    with caplog.at_level(logging.ERROR, "grebe"):
        users.doc("1").set({"name": "secret"})
    assert heard == ["changes", "value"]
    assert len(caplog.records) == 2
    text = caplog.text
    assert "fails" in text
    assert "users/1" in text
    assert "ZeroDivisionError" in text
    assert "secret" not in text


def test_a_condition_that_raises_does_not_break_others(
    users: grebe.Collection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The document is left out of that query, logged, and comes in when it can be judged."""
    broken = Ears(users.where(lambda user: user.data["age"] >= 18).observe())
    fine = Ears(users.observe())
    users.doc("1").set({"age": 20})
    with caplog.at_level(logging.ERROR, "grebe"):
        users.doc("1").set({"name": "secret"})
    assert [e for told in broken.events() for e, *_ in told] == [Event.ADDED, Event.REMOVED]
    assert [e for told in fine.events() for e, *_ in told] == [Event.ADDED, Event.MODIFIED]
    assert "users/1" in caplog.text
    assert "secret" not in caplog.text
    users.doc("1").set({"age": 30})
    assert ids(broken.values[-1]) == ["1"]


def test_a_condition_that_raises_at_once_reaches_the_caller(users: grebe.Collection[Any]) -> None:
    """observe() of a query that cannot be answered raises, as get() does, and leaves nothing."""
    users.doc("1").set({})
    query = users.where(lambda user: user.data["age"] >= 18)
    with pytest.raises(KeyError):
        query.get()
    with pytest.raises(KeyError):
        query.observe()
    users.doc("2").set({})


def test_a_subscriber_that_writes_causes_another_broadcast(users: grebe.Collection[Any]) -> None:
    """It is told of its own write afterwards, not in the middle of the call."""
    depth = 0
    seen: list[list[str]] = []

    def write_more(value: Any) -> None:
        nonlocal depth
        depth += 1
        assert depth == 1, "called recursively"
        seen.append(ids(value))
        if len(value) < 4:
            users.doc(str(len(value))).set({})
            assert len(users) == len(value) + 1
        depth -= 1

    live = users.observe()
    live.subscribe(write_more)
    users.doc("0").set({})
    assert [len(found) for found in seen] == [1, 2, 3, 4]


def test_a_subscription_can_end(users: grebe.Collection[Any]) -> None:
    """cancel(), also twice, also as a context manager, also by another subscriber."""
    live = users.observe()
    heard: list[str] = []
    with live.subscribe(lambda _: heard.append("with")):
        users.doc("1").set({})
    later = live.subscribe(lambda _: heard.append("later"))
    first = live.subscribe_changes(lambda _: later.cancel())
    users.doc("2").set({})
    first.cancel()
    first.cancel()
    users.doc("3").set({})
    assert heard == ["with"]
    assert "cancelled" in repr(first)


def test_a_closed_observer_is_silent(users: grebe.Collection[Any]) -> None:
    """close() ends its subscriptions; get() and subscribe() then raise; twice is fine."""
    ears = Ears(users.observe())
    other = Ears(users.observe())
    ears.observer.close()
    ears.observer.close()
    users.doc("1").set({})
    assert ears.values == []
    assert len(other.values) == 1
    for call in (ears.observer.get, lambda: ears.observer.subscribe(print)):
        with pytest.raises(grebe.StoreClosedError, match="observer of Collection 'users'"):
            call()
    assert "closed" in repr(ears.observer)


def test_closing_in_a_callback_stops_the_rest(users: grebe.Collection[Any]) -> None:
    """An observer closed by its first subscriber tells no other one."""
    live = users.observe()
    heard: list[Any] = []
    live.subscribe_changes(lambda _: live.close())
    live.subscribe(heard.append)
    users.doc("1").set({})
    assert heard == []


def test_closing_the_store_closes_observers(open_store: OpenStore) -> None:
    """They raise StoreClosedError from then on."""
    store = open_store()
    live = store.collection("users").observe()
    store.close()
    assert live.closed
    with pytest.raises(grebe.StoreClosedError):
        live.get()


def test_an_observer_leaves_nothing_behind(store: grebe.Store) -> None:
    """Also when the collection's model was replaced in between, which makes queries unequal."""
    users = store.collection("users")
    observers = [users.observe(), users.doc("1").observe()]
    with_model = store.collection("users", model=dict)
    observers += [with_model.observe(), users.observe()]
    for observer in observers:
        observer.close()
    assert store.inspect()["observers"] == []
    assert not store._engine.broadcasting.watched


def test_reprs_show_no_data(users: grebe.Collection[Any]) -> None:
    """Observers, subscriptions and changes show what they are about."""
    live = users.observe()
    changes: list[Any] = []
    live.subscribe_changes(changes.extend)
    users.doc("1").set({"name": "secret"})
    assert repr(live) == "<Observer of Collection 'users': 1 subscriptions>"
    assert repr(changes[0]) == "<Change added 'users/1'>"
    assert (changes[0].id, changes[0].path, changes[0].doc) == ("1", "users/1", users.doc("1"))
