"""Every kind of model on every persistor: each way to write, query, watch, and open again."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe import field
from tests.every_persistor import PERSISTORS, Make
from tests.kinds import KINDS, KindOfModel, Role

OpenStore = Callable[..., grebe.Store]


class House:
    """A place for data, a kind of model, and stores that are opened there one after another."""

    def __init__(self, open_store: OpenStore, make: Make, kind: KindOfModel) -> None:
        self.kind = kind
        self._open_store, self._make = open_store, make
        self.store = open_store(make())

    @property
    def users(self) -> grebe.Collection[Any]:
        """The collection, asked for with its model."""
        return self.store.collection("users", **self.kind.options)

    def openings(self) -> Iterator[grebe.Collection[Any]]:
        """Yield the collection as it is, and then after opening again."""
        yield self.users
        yield self.reopen()

    def reopen(self) -> grebe.Collection[Any]:
        """Close the store, and return the collection of one that is opened there."""
        self.store.close()
        self.store = self._open_store(self._make())
        return self.users


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> KindOfModel:
    found: KindOfModel = request.param
    return found


@pytest.fixture(params=PERSISTORS)
def house(
    request: pytest.FixtureRequest, kind: KindOfModel, open_store: OpenStore, tmp_path: Path
) -> House:
    return House(open_store, PERSISTORS[request.param](tmp_path), kind)


def test_every_write_of_a_document_comes_back(house: House) -> None:
    """create, set, replace, update, modify and edit: in memory, and after opening again."""
    kind, users = house.kind, house.users
    full = kind.full()
    assert users.doc("created").create(full).data == full
    assert users.doc("set").set(kind.make(name="a")).data == kind.make(name="a")
    users.doc("replaced").create(kind.make(name="b"))
    assert users.doc("replaced").replace(full).data == full
    users.doc("updated").create(full)
    assert kind.read(users.doc("updated").update(age=29, tags=[]).data, "age") == 29
    users.doc("modified").create(kind.make(name="c"))
    users.doc("modified").modify(lambda user: kind.full(kind.read(user.data, "name")))
    users.doc("deleted").create(full)
    users.doc("deleted").delete()
    users.doc("edited").create(full)
    with users.doc("edited").edit() as draft:
        kind.read(draft, "tags").append("c")
    found = {user.id: user.data for user in users}
    assert found["modified"] == kind.full("c")
    assert kind.read(found["updated"], "tags") == []
    assert kind.read(found["edited"], "tags") == ["a", "b", "c"]
    assert {user.id: user.data for user in house.reopen()} == found
    assert found.keys() == {"created", "set", "replaced", "updated", "modified", "edited"}


def test_every_write_of_many_comes_back(house: House) -> None:
    """create_many and replace of a collection, a transaction and a batch."""
    kind, users = house.kind, house.users
    users.create_many({"gone": kind.make(name="gone"), "kept": kind.full()})
    users.create_many([kind.full("no id")])
    users.replace([user for user in users if user.id == "kept"])
    with house.store.transaction() as tx:
        tx.create(users.doc("t1"), kind.full("t1"))
        tx.set(users.doc("t2"), kind.make(name="t2"))
        tx.update(users.doc("t2"), age=3)
        tx.modify(users.doc("t1"), lambda user: kind.make(name=kind.read(user.data, "name") + "!"))
        seen = tx.get(users.doc("t1"))
        assert seen is not None
        assert seen.data == kind.make(name="t1!")
    with house.store.batch():
        users.doc("b1").set(kind.full("b1"))
        users.doc("b2").set(kind.full("b2"))
    found = {user.id: user.data for user in users}
    assert found["t2"] == kind.make(name="t2", age=3)
    assert found.keys() == {"kept", "t1", "t2", "b1", "b2"}
    assert {user.id: user.data for user in house.reopen()} == found


def test_fields_of_models_are_queried(house: House) -> None:
    """Conditions, orders and indexes see the values of the model, before and after reopening."""
    kind = house.kind
    house.users.create_many({str(age): kind.make(name=f"n{age}", age=age) for age in range(30)})
    house.users.doc("full").set(kind.full())
    when = datetime.datetime(1999, 1, 1, tzinfo=datetime.UTC)
    for users in house.openings():
        for indexes in (None, ["age", "name", "born"]):
            house.store.collection("users", indexes=indexes)
            assert users.where(field("age") > 27).count() == 3
            assert [u.id for u in users.where(field("name").starts_with("n2")).limit(2)] == [
                "2",
                "20",
            ]
            assert [u.id for u in users.where(field("role") == Role.ADMIN)] == ["full"]
            assert [u.id for u in users.where(field("born") > when)] == ["full"]
            assert [u.id for u in users.where(field("token") == uuid.UUID(int=7))] == ["full"]
            assert [u.id for u in users.where(field("price") >= Decimal(12))] == ["full"]
            assert [u.id for u in users.where(field("address.city") == "Bern")] == ["full"]
            assert [u.id for u in users.where(field("tags").contains("b"))] == ["full"]
            assert [u.id for u in users.where(field("nothing") == 1)] == []
            assert [u.id for u in users.order_by("age", desc=True).limit(3)] == ["29", "28", "full"]
            assert users.sum("age") == sum(range(30)) + 28


def test_observers_get_models(house: House) -> None:
    """A document and a query are watched; changes hold instances, before and after."""
    kind, users = house.kind, house.users
    changes: list[grebe.Change[Any]] = []
    adults = users.where(field("age") >= 18)
    with adults.observe() as live, users.doc("1").observe() as one:
        live.subscribe_changes(changes.extend)
        users.doc("1").create(kind.full())
        users.doc("1").update(age=30)
        users.doc("1").update(age=3)
        assert list(live.get()) == []
        snapshot = one.get()
        assert snapshot is not None
        assert kind.read(snapshot.data, "age") == 3
    assert [change.event.name for change in changes] == ["ADDED", "MODIFIED", "REMOVED"]
    assert changes[0].data == kind.full()
    assert [kind.read(change.prev_data, "age") for change in changes[1:]] == [28, 30]


def test_equal_data_is_no_change(house: House) -> None:
    """As JSON: also after opening again, when it is known as bytes only."""
    kind = house.kind
    house.users.doc("1").set(kind.full())
    users = house.reopen()
    changes: list[grebe.Change[Any]] = []
    with users.observe() as live:
        live.subscribe_changes(changes.extend)
        users.doc("1").set(kind.full())
        users.doc("1").update(age=28)
        assert changes == []
        users.doc("1").update(age=29)
        assert len(changes) == 1


def test_old_versions_are_migrated(house: House) -> None:
    """Read as the new version at once, written back, and found so after opening again."""
    kind = house.kind
    house.users.create_many({str(age): kind.make(name="x", age=age) for age in range(5)})

    def older(data: Any) -> Any:
        if isinstance(data, list):
            return [data[0], data[1] + 100, *data[2:]]
        return {**data, "age": data["age"] + 100}

    house.kind = dataclasses.replace(
        kind, options={**kind.options, "version": 2, "migrate": {1: older}}
    )
    for _ in range(2):
        users = house.reopen()
        assert [kind.read(user.data, "age") for user in users] == list(range(100, 105))
        assert users.where(field("age") == 103).count() == 1
        assert house.store.migrate()["users"].current == 5
        documents = house.store.inspect()["documents"]
        assert {data["$version"] for data in documents.values()} == {2}


def test_what_does_not_fit_is_left_alone(house: House) -> None:
    """Wrong types and missing fields are errors that name them; nothing changes on disk."""
    kind = house.kind
    if kind.name == "namedtuple":
        wrong: dict[str, Any] = {"type": ["x", "old"], "missing": [], "kind": {"name": "x"}}
        fields = {"type": "$[1]", "missing": "$", "kind": "$"}
    else:
        wrong = {"type": {"name": "x", "age": "old"}, "missing": {"age": 3}, "kind": [1]}
        fields = {"type": "$.age", "missing": "$.name", "kind": "$"}
    fits = ["fits"] if kind.name == "namedtuple" else {"name": "fits"}
    house.store.collection("users").create_many({**wrong, "fits": fits})
    for users in house.openings():
        for key in wrong:
            with pytest.raises(grebe.DocumentTypeError, match=f"users/{key} holds a ") as caught:
                _ = users.doc(key).get().data
            assert caught.value.path == f"users/{key}"
            if kind.checks_stored:
                assert caught.value.field == fields[key]
        fitting = users.doc("fits").get()
        assert fitting is not None
        assert kind.read(fitting.data, "name") == "fits"
    taken_back = dict.fromkeys(kind.options)
    plain = house.store.collection("users", **taken_back)
    assert {user.id: user.data for user in plain} == {**wrong, "fits": fits}
