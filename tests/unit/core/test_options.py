"""Options: remembered by path, inherited, replaced one by one, taken back."""

from __future__ import annotations

from typing import Any

import pytest

import grebe
from grebe.core.options import UNSET, CollectionOptions, Options


def by_name(snapshot: Any) -> str:
    return "x"


@pytest.fixture
def options() -> Options:
    return Options()


def test_the_defaults(options: Options) -> None:
    """Persisted, not encrypted, in the default partition, depending on nothing."""
    found = options.resolve("users")
    assert (found.persist, found.encrypted, found.partition) == (True, False, "__store__")
    assert (found.partition_by, found.partition_above, found.depends_on) == (None, None, None)


def test_the_defaults_of_the_store_hold_everywhere() -> None:
    """Unless a collection says otherwise."""
    options = Options(CollectionOptions(partition="P", persist=False, encrypted=True))
    found = options.resolve("users/1/friends")
    assert (found.partition, found.persist, found.encrypted) == ("P", False, True)
    options.set("users", {"persist": True, "encrypted": False})
    found = options.resolve("users/1/friends")
    assert (found.partition, found.persist, found.encrypted) == ("P", True, False)


@pytest.mark.parametrize(
    ("name", "value"), [("partition", "P"), ("persist", False), ("encrypted", True)]
)
def test_three_options_are_inherited(options: Options, name: str, value: Any) -> None:
    """From the nearest ancestor that sets them; taken back, from the next one above."""
    default = getattr(options.resolve("a/1/s/2/t"), name)
    options.set("a", {name: value})
    assert getattr(options.resolve("a/1/s/2/t"), name) == value
    options.set("a/1/s", {name: default})
    assert getattr(options.resolve("a/1/s/2/t"), name) == default
    assert getattr(options.resolve("a/2/s"), name) == value
    options.set("a/1/s", {name: None})
    assert getattr(options.resolve("a/1/s/2/t"), name) == value
    options.set("a", {name: None})
    assert getattr(options.resolve("a/1/s/2/t"), name) == default


def test_the_others_are_not_inherited(options: Options) -> None:
    """A subcollection has its own model, dependencies and indexes."""
    options.set("a", {"depends_on": by_name, "adapter": object(), "indexes": ("x",)})
    assert options.resolve("a").depends_on is by_name
    assert options.resolve("a/1/s").depends_on is None
    assert "a/1/s" not in options.adapters


def test_what_is_not_given_stays(options: Options) -> None:
    """UNSET is not None."""
    options.set("a", {"partition": "P", "persist": False})
    options.set("a", {"partition": UNSET, "persist": True})
    found = options.resolve("a")
    assert (found.partition, found.persist) == ("P", True)


def test_a_callable_is_for_its_documents_and_what_inherits(options: Options) -> None:
    """Below it, the partition is that of the document above."""
    options.set("a", {"partition": by_name})
    assert options.resolve("a").partition_by is by_name
    assert options.resolve("a").partition_above is None
    assert options.resolve("a/1/s").partition_above == "a/1"
    assert options.resolve("a/1/s/2/t").partition_above == "a/1"
    options.set("a/1/s", {"partition": "P"})
    assert options.resolve("a/1/s/2/t").partition_above is None
    assert options.resolve("a/1/s/2/t").partition == "P"


def test_identity_changes_with_any_option(options: Options) -> None:
    """And only then: placement relies on it."""
    found = options.resolve("a")
    assert options.resolve("a") is found
    options.set("a", {})
    options.set("a", {"persist": UNSET})
    assert options.resolve("a") is found
    options.set("a", {"persist": None, "partition": None})
    assert options.resolve("a") is found
    options.set("b", {"persist": False, "partition": "P"})
    found = options.resolve("b")
    options.set("b", {"persist": False, "partition": "".join(["P"])})
    assert options.resolve("b") is found
    found = options.resolve("a")
    options.set("b", {"persist": True})
    assert options.resolve("a") is not found


def test_nothing_is_kept_of_what_was_taken_back(options: Options) -> None:
    """A path whose options are all None again is forgotten."""
    options.set("a", {"partition": "P"})
    options.set("a", {"partition": None})
    assert options.by_path == {}


def test_options_are_remembered_by_the_store(store: grebe.Store) -> None:
    """For every reference to the path, however it was made; asking again changes nothing."""
    store.collection("users", persist=False, partition="P")
    store.collection("users")
    store.doc("users/1").collection("friends", partition="Q")
    engine = store._engine
    assert engine.options.resolve("users").persist is False
    assert engine.options.resolve("users").partition == "P"
    assert engine.options.resolve("users/1/friends").partition == "Q"
    assert engine.options.resolve("users/1/friends").persist is False


@pytest.mark.parametrize(
    "wrong",
    [
        {"partition": 1},
        {"persist": "no"},
        {"persist": 0},
        {"encrypted": 1},
        {"depends_on": "users"},
        {"indexes": "age"},
        {"model": int | str},
        {"model": "User"},
        {"model": object},
        {"from_json": int},
        {"to_json": int},
        {"model": dict, "from_json": int, "to_json": int},
        {"unknown": 1},
    ],
    ids=str,
)
def test_wrong_options_are_refused(store: grebe.Store, wrong: dict[str, Any]) -> None:
    """A TypeError, and nothing of the call is remembered."""
    with pytest.raises(TypeError):
        store.collection("users", **{"partition": "P", **wrong})
    with pytest.raises(TypeError):
        store.doc("a/1").collection("users", **wrong)
    assert store._engine.options.by_path == {}
