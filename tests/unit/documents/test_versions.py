"""Versions of documents: where they are kept, how old documents are read, what newer ones do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import grebe
from grebe.documents.models.versioned import Schema, split, version_of
from grebe.persistors import MemoryPersistor

OpenStore = Callable[..., grebe.Store]
SECRET = "s3cret"


@dataclass(frozen=True)
class User:
    first: str
    last: str = ""
    age: int = 0


def split_name(user: Any) -> Any:
    first, _, last = user.pop("name").partition(" ")
    return {"first": first, "last": last, **user}


def add_age(user: Any) -> Any:
    user["age"] = user.get("age", 0) + 1
    return user


STEPS = {1: split_name, 2: add_age}


def users_of(store: grebe.Store, **more: Any) -> grebe.Collection[User]:
    return store.collection("users", model=User, version=3, migrate=STEPS, **more)


@pytest.fixture
def kept(open_store: OpenStore) -> MemoryPersistor:
    """Return a persistor with documents of versions 1 to 4, one that is damaged, and a list."""
    kept = MemoryPersistor()
    with open_store(kept) as store:
        store.collection("users").create_many(
            {
                "1": {"name": "John Smith"},
                "2": {"$version": 2, "first": "Jane", "age": 4},
                "3": {"$version": 3, "first": "Ann"},
                "4": {"$version": 4, "given": SECRET},
                "bad": {"$version": 1, "nam": SECRET},
                "odd": {"first": SECRET, "$version": "three"},
                "list": [SECRET],
            }
        )
    return kept


@pytest.fixture
def users(kept: MemoryPersistor, open_store: OpenStore) -> grebe.Collection[User]:
    """Return the collection read with its version, where nothing is written back."""
    return users_of(open_store(kept, read_only=True))


def data_of(users: grebe.Collection[User], document_id: str) -> User:
    snapshot = users.doc(document_id).get()
    assert snapshot is not None
    return snapshot.data


# --- in the document


@pytest.mark.parametrize(
    ("value", "stamped"),
    [
        (b'{"a":1}', b'{"$version":3,"a":1}'),
        (b"{}", b'{"$version":3}'),
        (b'["a"]', b'{"$version":3,"$value":["a"]}'),
        (b'"a"', b'{"$version":3,"$value":"a"}'),
        (b'{"$version":7}', b'{"$version":3,"$value":{"$version":7}}'),
        (b'{"$value":7}', b'{"$version":3,"$value":{"$value":7}}'),
    ],
)
def test_the_version_is_in_the_document(value: bytes, stamped: bytes) -> None:
    """And comes out again, whatever the document is."""
    assert Schema(3).stamped(value) == stamped
    assert split(stamped) == (3, value)
    assert version_of(stamped) == 3


def test_the_first_version_is_not_written() -> None:
    """So a collection costs nothing until it has a second one; unless it could be misread."""
    for value in (b'{"a":1}', b"[1]", b'"a"', b"{}"):
        assert Schema(1).stamped(value) == value
        assert split(value) == (1, value)
    stamped = Schema(1).stamped(b'{"$version":7}')
    assert split(stamped) == (1, b'{"$version":7}')


NAMES = st.sampled_from(["a", "$version", "$value"])
VALUES = st.recursive(
    st.integers(1, 4) | st.sampled_from(["x", '"$version"', "$value"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES, st.integers(1, 12))
def test_any_value_comes_out_as_it_went_in(value: Any, version: int) -> None:
    """Also one that looks as if it had a version."""
    text = json.dumps(value, separators=(",", ":")).encode()
    found, body = split(Schema(version).stamped(text))
    assert (found, json.loads(body)) == (version, value)
    assert version_of(Schema(version).stamped(text)) == version


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"$version":3}', '{ "$version": 3, "a": 1 }', '{"$version":3,\n"a":1}'],
)
def test_a_version_that_was_written_by_hand_is_found(text: str) -> None:
    """In any order, with any spaces; not one that is further inside."""
    version, body = split(text.encode())
    assert (version, json.loads(body)) == (3, {"a": 1})
    assert version_of(text.encode()) == 3
    assert version_of(b'{"a":{"$version":3}}') == 1


def test_plain_readers_see_the_version(open_store: OpenStore) -> None:
    """Whoever asks without a version gets what is stored, and keeps it by writing it back."""
    kept = MemoryPersistor()
    with open_store(kept) as store:
        users_of(store).doc("1").set(User("John", age=3))
    with open_store(kept) as store:
        doc = store.doc("users/1")
        doc.update(age=4)
        assert doc.get().data == {"$version": 3, "first": "John", "last": "", "age": 4}  # type: ignore[union-attr]
        assert data_of(users_of(store), "1") == User("John", age=4)


# --- reading


def test_old_documents_are_migrated_when_read(users: grebe.Collection[User]) -> None:
    """One step after the other, from the version that they have."""
    assert data_of(users, "1") == User("John", "Smith", 1)
    assert data_of(users, "2") == User("Jane", "", 5)
    assert data_of(users, "3") == User("Ann")


def test_one_function_gets_data_and_version(kept: MemoryPersistor, open_store: OpenStore) -> None:
    """And returns the newest."""
    seen = []

    def migrate(data: Any, version: int) -> Any:
        seen.append(version)
        return add_age(split_name(data) if version == 1 else data)

    store = open_store(kept, read_only=True)
    users = store.collection("users", model=User, version=3, migrate=migrate)
    assert [data_of(users, i).age for i in "123"] == [1, 5, 0]
    assert seen == [1, 2]


def test_migrated_fields_are_queried(users: grebe.Collection[User]) -> None:
    """Conditions see the newest version."""
    readable = users.where(lambda user: user.id in "123")
    assert [user.id for user in readable.where(grebe.field("last") == "Smith")] == ["1"]
    assert [user.id for user in readable.order_by("age")] == ["3", "1", "2"]


def error_of(users: grebe.Collection[User], document_id: str) -> grebe.DocumentTypeError:
    with pytest.raises(grebe.DocumentTypeError) as caught:
        data_of(users, document_id)
    assert SECRET not in str(caught.value)
    assert caught.value.path == f"users/{document_id}"
    return caught.value


def test_a_newer_document_says_so(users: grebe.Collection[User]) -> None:
    """And how to go on."""
    error = error_of(users, "4")
    assert (error.stored, error.wanted) == ("version 4", "version 3 or older")
    assert "Use a newer program" in str(error)


def test_a_migration_that_fails_says_which(users: grebe.Collection[User]) -> None:
    """With the kind of error, not with its text; the cause is chained."""
    error = error_of(users, "bad")
    assert (error.stored, error.wanted) == ("version 1", "version 3")
    assert "split_name raised KeyError" in str(error)
    assert isinstance(error.__cause__, KeyError)
    assert "split_name raised TypeError" in str(error_of(users, "list"))
    assert error_of(users, "odd").field == "$.$version"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda data: None, "returned None"),
        (lambda data: {SECRET}, "returned what cannot be stored"),
        (lambda data: {"last": SECRET}, r"no User: \$.first is missing"),
        (lambda data: {"first": "x", "more": SECRET}, r"\$.more is a str, and the model has no"),
    ],
)
def test_what_a_migration_returns_is_checked(
    kept: MemoryPersistor, open_store: OpenStore, step: Any, said: str
) -> None:
    """It has to be data, and what the model takes."""
    store = open_store(kept, read_only=True)
    users = store.collection("users", model=User, version=2, migrate={1: step})
    assert error_of(users, "1")
    with pytest.raises(grebe.DocumentTypeError, match=said):
        data_of(users, "1")


def test_a_version_without_a_migration(kept: MemoryPersistor, open_store: OpenStore) -> None:
    """Documents before the first step cannot be read."""
    store = open_store(kept, read_only=True)
    users = store.collection("users", model=User, version=3, migrate={2: add_age})
    assert data_of(users, "2").age == 5
    assert "no step for version 1" in str(error_of(users, "1"))


# --- writing


WRITES: dict[str, Callable[[grebe.Collection[User]], object]] = {
    "set": lambda users: users.doc("4").set(User("x")),
    "replace": lambda users: users.doc("4").replace(User("x")),
    "update": lambda users: users.doc("4").update(age=1),
    "modify": lambda users: users.doc("4").modify(lambda _: User("x")),
    "replace all": lambda users: users.replace({"new": User("x")}),
    "replace with it": lambda users: users.replace({"4": User("x"), "new": User("x")}),
}


def write_in_transaction(store: grebe.Store, users: grebe.Collection[User]) -> None:
    with store.transaction() as tx:
        tx.create(users.doc("new"), User("x"))
        tx.set(users.doc("4"), User("x"))


@pytest.mark.parametrize("write", WRITES)
def test_a_newer_document_is_not_replaced(
    kept: MemoryPersistor, open_store: OpenStore, write: str
) -> None:
    """Nor is anything else by the same call; but it can be deleted."""
    store = open_store(kept)
    users = users_of(store)
    before = store.inspect()["documents"]["users/4"]
    with pytest.raises(grebe.DocumentTypeError, match="users/4 has version 4"):
        WRITES[write](users)
    with pytest.raises(grebe.DocumentTypeError):
        write_in_transaction(store, users)
    with pytest.raises(grebe.DocumentTypeError), users.doc("4").edit():
        pass
    assert store.inspect()["documents"]["users/4"] == before
    assert "new" not in users
    users.doc("4").delete()
    users.doc("4").set(User("x"))


def test_writes_have_the_version(store: grebe.Store) -> None:
    """Each way to write, and through each reference of the path."""
    users = users_of(store)
    users.doc("a").create(User("a"))
    users.create_many({"b": User("b")})
    store.doc("users/c").set(User("c"))
    with store.transaction() as tx:
        tx.set(users.doc("d"), User("d"))
    stored = store.inspect()["documents"]
    assert {path: data["$version"] for path, data in stored.items()} == {
        f"users/{name}": 3 for name in "abcd"
    }
    assert [user.data.first for user in users] == list("abcd")
    assert users.doc("a").set(User("a")) is users.doc("a").get()


def test_values_that_are_no_objects(open_store: OpenStore) -> None:
    """Named tuples are arrays: wrapped, migrated, read as before."""

    class Point(NamedTuple):
        x: int
        y: int

    kept = MemoryPersistor()
    with open_store(kept) as store:
        store.doc("points/1").set([1])
    with open_store(kept) as store:
        points = store.collection(
            "points", model=Point, version=2, migrate={1: lambda data: [*data, 0]}
        )
        assert points.doc("1").get().data == Point(1, 0)  # type: ignore[union-attr]
        points.doc("2").set(Point(2, 3))
        assert store.inspect()["documents"]["points/2"] == {"$version": 2, "$value": [2, 3]}


# --- options


def test_version_and_migrate_are_remembered_one_by_one(store: grebe.Store) -> None:
    """As every option is; None takes them back."""
    users_of(store)
    users = store.collection("users", model=User)
    users.doc("1").set(User("x"))
    assert version_of(json.dumps(store.inspect()["documents"]["users/1"]).encode()) == 3
    adapter = users._adapter()
    users_of(store)
    assert users._adapter() is adapter
    store.collection("users", version=4, migrate={3: lambda data: {**data, "last": "4"}})
    assert data_of(users, "1") == User("x", "4")
    store.collection("users", version=None, migrate=None)
    assert store._engine.schemas == {}
    assert store._engine.options.by_path["users"].version is None


def test_a_reference_with_a_model_of_its_own_has_the_version(store: grebe.Store) -> None:
    """Also when the version is given after it was made."""
    early = store.collection("users", model=User)
    early.doc("1").set(User("x"))
    store.collection("users", version=2, migrate={1: lambda data: {**data, "last": "2"}})
    assert data_of(early, "1") == User("x", "2")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"version": 0}, ValueError),
        ({"version": "2"}, TypeError),
        ({"version": True}, TypeError),
        ({"migrate": {}}, TypeError),
        ({"version": 2, "migrate": 3}, TypeError),
        ({"version": 2, "migrate": {1: None}}, TypeError),
        ({"version": 3, "migrate": {1: split_name}}, ValueError),
        ({"version": 3, "migrate": {1: split_name, 2: add_age, 3: add_age}}, ValueError),
        ({"version": 3, "migrate": {0: split_name, 1: split_name, 2: add_age}}, ValueError),
    ],
)
def test_wrong_options_are_refused(
    store: grebe.Store, options: dict[str, Any], error: type[Exception]
) -> None:
    """At once, and nothing is remembered."""
    with pytest.raises(error):
        store.collection("users", **options)
    assert store._engine.options.by_path == {}
