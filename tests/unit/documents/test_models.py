"""Typed collections: dataclasses, plain types, the user's own functions."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Callable
from typing import Any, Optional

import pytest

import grebe
from grebe.persistors import MemoryPersistor

OpenStore = Callable[..., grebe.Store]


class Role(enum.Enum):
    ADMIN = "admin"
    GUEST = "guest"


@dataclasses.dataclass
class Address:
    street: str
    city: str = "Basel"


@dataclasses.dataclass
class User:
    name: str
    age: int = 0
    role: Role = Role.GUEST
    born: datetime.datetime | None = None
    address: Optional[Address] = None  # noqa: UP045 - the older spelling
    tags: list[str] = dataclasses.field(default_factory=list)
    token: uuid.UUID | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float


@dataclasses.dataclass
class Flag:
    on: bool


FULL = User(
    name="Jöhn",
    age=28,
    role=Role.ADMIN,
    born=datetime.datetime(2000, 2, 29, 12, 30, 15, 123456, tzinfo=datetime.UTC),
    address=Address("Main", "Bern"),
    tags=["a", "b"],
    token=uuid.UUID(int=7),
)


@pytest.fixture
def users(store: grebe.Store) -> grebe.Collection[User]:
    return store.collection("users", model=User)


@pytest.mark.parametrize("user", [User("x"), FULL], ids=["defaults", "full"])
def test_an_instance_comes_back_equal(users: grebe.Collection[User], user: User) -> None:
    """Nested dataclasses, datetimes, enums, optional fields and all."""
    snapshot = users.doc("1").set(user)
    assert snapshot.data == user
    assert type(snapshot.data) is User
    assert users.doc("1").get().data == user


def test_it_survives_a_reopen(open_store: OpenStore) -> None:
    """On disk it is JSON; the model is given again."""
    kept = MemoryPersistor()
    with open_store(kept) as store:
        store.collection("users", model=User).doc("1").set(FULL)
    with open_store(kept) as store:
        assert store.doc("users/1").get().data["role"] == "admin"
        assert store.collection("users", model=User).doc("1").get().data == FULL


def test_a_dataclass_may_be_frozen(store: grebe.Store) -> None:
    """And have slots; update makes a copy."""
    points = store.collection("points", model=Point)
    points.doc("1").set(Point(1.0, 2.0))
    assert points.doc("1").update(y=3.0).data == Point(1.0, 3.0)


def test_the_instance_given_is_not_the_stored_one(users: grebe.Collection[User]) -> None:
    """Changing it later changes nothing in the store."""
    user = User("x", tags=["a"])
    users.doc("1").set(user)
    user.tags.append("b")
    assert users.doc("1").get().data.tags == ["a"]


def test_update_replaces_fields_of_a_model(users: grebe.Collection[User]) -> None:
    """An unknown field is a TypeError, a wrong value a SerializationError; nothing changes."""
    users.doc("1").set(User("x"))
    assert users.doc("1").update(age=3, address=Address("Side")).data == User(
        "x", 3, address=Address("Side")
    )
    with pytest.raises(TypeError):
        users.doc("1").update(unknown=1)
    with pytest.raises(grebe.SerializationError, match=r"users/1: .*\$\.age"):
        users.doc("1").update(age="old")
    assert users.doc("1").get().data.age == 3


def test_modify_and_edit_work_on_instances(users: grebe.Collection[User]) -> None:
    """modify gets the snapshot, edit gives a draft of its own."""
    users.doc("1").set(User("x"))
    users.doc("1").modify(lambda s: dataclasses.replace(s.data, age=s.data.age + 1))
    before = users.doc("1").get().data
    with users.doc("1").edit() as draft:
        draft.tags.append("t")
        draft.age = 9
    assert users.doc("1").get().data == User("x", 9, tags=["t"])
    assert before == User("x", 1)


def test_an_equal_instance_is_no_change(users: grebe.Collection[User]) -> None:
    """Compared as JSON, like everything."""
    snapshot = users.doc("1").set(User("x", tags=["a"]))
    assert users.doc("1").set(User("x", tags=["a"])) is snapshot


@pytest.mark.parametrize("wrong", [{"name": "x"}, "x", None, 1, Address("x"), User], ids=repr)
def test_another_type_is_refused_at_the_write(users: grebe.Collection[User], wrong: Any) -> None:
    """A dict is not a User; the error names both types."""
    with pytest.raises(grebe.SerializationError, match="users/1: a User is wanted, not a"):
        users.doc("1").set(wrong)
    assert not users.doc("1").exists()


def test_fields_that_json_cannot_hold_are_refused(users: grebe.Collection[User]) -> None:
    """With the field, and so are those that would read back as something else."""
    cases: list[tuple[Any, str]] = [
        (User("x", age="1"), r"users/1: .*\$\.age"),  # type: ignore[arg-type]
        (User("x", tags=[object()]), r"users/1: \$\.tags"),  # type: ignore[list-item]
        (User("x", age=float("nan")), r"users/1: "),  # type: ignore[arg-type]
        (User("x", age=True), r"users/1: "),
        (User(b"x"), r"users/1: "),  # type: ignore[arg-type]
        (User("x", tags=("a",)), r"users/1: "),  # type: ignore[arg-type]
        (User("\ud800"), r"users/1: \$\.name"),
    ]
    for user, message in cases:
        with pytest.raises(grebe.SerializationError, match=message):
            users.doc("1").set(user)
    assert not users.doc("1").exists()


def test_reading_through_another_model_parses(store: grebe.Store) -> None:
    """The same document as plain data, as a dataclass, as another one that fits."""
    store.doc("users/1").set({"age": 3, "name": "x"})
    users = store.collection("users", model=User)
    assert users.doc("1").get().data == User("x", 3)
    addresses = store.collection("users", from_json=lambda d: d["name"], to_json=str)
    assert addresses.doc("1").get().data == "x"
    assert users.doc("1").get().data == User("x", 3)
    store.collection("users", model=None, from_json=None, to_json=None)
    assert store.doc("users/1").get().data == {"name": "x", "age": 3}


def test_an_observer_keeps_its_model_and_leaves_readers_theirs(store: grebe.Store) -> None:
    plain: grebe.Query[Any] = store.collection("flags").where(grebe.field("on") == True)  # noqa: E712
    with plain.observe() as live:
        flags = store.collection("flags", model=Flag)
        flags.doc("1").set(Flag(on=True))
        assert [snapshot.data for snapshot in live.get()] == [{"on": True}]
        assert [snapshot.data for snapshot in flags.get()] == [Flag(on=True)]
        assert [snapshot.data for snapshot in plain.get()] == [Flag(on=True)]


def test_reading_what_does_not_fit_says_so(store: grebe.Store) -> None:
    """DocumentTypeError with path, stored type, wanted type and place; others are still read."""
    store.doc("users/1").set({"name": "x", "age": "old"})
    store.doc("users/2").set([1])
    store.doc("users/3").set({"name": "y"})
    users = store.collection("users", model=User)
    with pytest.raises(grebe.DocumentTypeError, match=r"users/1 holds a dict.*User.*\$\.age"):
        _ = users.doc("1").get().data
    with pytest.raises(grebe.DocumentTypeError, match="users/2 holds a list that is no User") as e:
        _ = users.doc("2").get().data
    assert isinstance(e.value, TypeError)
    assert e.value.path == "users/2"
    assert users.doc("3").get().data == User("y")
    assert len(users) == 3
    users.doc("1").set(User("z"))
    assert users.doc("1").get().data == User("z")


@pytest.mark.parametrize(
    ("model", "fits", "misfits"),
    [
        (dict, {"a": 1}, [1]),
        (list, [1], {"a": 1}),
        (str, "x", 1),
        (int, 1, "x"),
        (int, 1, True),
        (float, 1.5, "x"),
        (bool, True, 1),
    ],
)
def test_plain_types_are_models_too(
    store: grebe.Store, model: Any, fits: Any, misfits: Any
) -> None:
    """Checked at write and at read."""
    typed = store.collection("typed", model=model)
    assert typed.doc("1").set(fits).data == fits
    with pytest.raises(grebe.SerializationError, match=f"a {model.__name__} is wanted"):
        typed.doc("1").set(misfits)
    store.collection("typed", model=None)
    store.doc("typed/2").set(misfits)
    with pytest.raises(grebe.DocumentTypeError):
        _ = store.collection("typed", model=model).doc("2").get().data


def test_a_pair_of_functions(store: grebe.Store) -> None:
    """Any type, through JSON of the user's choice; what they make is checked like plain data."""
    times = store.collection(
        "times",
        from_json=datetime.date.fromisoformat,
        to_json=lambda day: day.isoformat() if day.year > 1 else {day},
    )
    day = datetime.date(2026, 2, 3)
    assert times.doc("1").set(day).data == day
    assert store.inspect()["documents"] == {"times/1": "2026-02-03"}
    assert times.doc("1").modify(lambda s: s.data.replace(day=4)).data == day.replace(day=4)
    with pytest.raises(grebe.SerializationError, match=r"times/2: \$ is a set"):
        times.doc("2").set(datetime.date(1, 1, 1))
    store.collection("times", from_json=None, to_json=None)
    store.doc("times/3").set("no date")
    again = store.collection("times", from_json=datetime.date.fromisoformat, to_json=str)
    with pytest.raises(grebe.DocumentTypeError, match="times/3 holds a str"):
        _ = again.doc("3").get().data


def test_a_model_is_not_inherited(store: grebe.Store) -> None:
    """A subcollection holds plain data unless it says otherwise."""
    users = store.collection("users", model=User)
    users.doc("1").set(User("x"))
    flags = users.doc("1").collection("flags", model=Flag)
    flags.doc("a").set(Flag(True))
    users.doc("1").collection("notes").doc("b").set({"text": "x"})
    assert store.doc("users/1/flags/a").get().data == Flag(True)
    assert store.doc("users/1/notes/b").get().data == {"text": "x"}


def test_bulk_writes_take_instances(users: grebe.Collection[User]) -> None:
    """create_many and replace go through the model."""
    made = users.create_many({"1": User("a"), "2": User("b")})
    assert [s.data.name for s in made] == ["a", "b"]
    users.replace([s for s in users if s.data.name == "b"])
    assert [s.data for s in users] == [User("b")]
    with pytest.raises(grebe.SerializationError):
        users.create_many([{"name": "c"}])  # type: ignore[list-item]


def test_the_adapter_of_an_unhashable_or_unfit_class_is_refused(store: grebe.Store) -> None:
    """A TypeError when the collection is made, not when a document is written."""

    class Plain:
        pass

    @dataclasses.dataclass
    class Odd:
        what: Plain

    for model in (Plain, set, tuple, bytes, type(None)):
        with pytest.raises(TypeError, match="cannot be a model"):
            store.collection("users", model=model)
    assert store._engine.options.by_path == {}


@dataclasses.dataclass(eq=False)
class Reading:
    value: float | None


def test_a_class_without_equality_is_checked_too(store: grebe.Store) -> None:
    """What would read back as something else is refused, field by field."""
    readings = store.collection("readings", model=Reading)
    assert readings.doc("1").set(Reading(1.5)).data.value == 1.5
    for value in (float("inf"), float("nan"), "x"):
        with pytest.raises(grebe.SerializationError):
            readings.doc("1").set(Reading(value))  # type: ignore[arg-type]
    assert readings.doc("1").get().data.value == 1.5
