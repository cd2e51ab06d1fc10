"""The error tree: what a user can catch, what messages say and never show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grebe


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (grebe.InvalidPathError, ValueError),
        (grebe.DocumentNotFoundError, KeyError),
        (grebe.DocumentTypeError, TypeError),
        (grebe.SerializationError, TypeError),
        (grebe.PersistenceError, OSError),
        (grebe.CorruptDataError, grebe.PersistenceError),
        (grebe.DocumentExistsError, grebe.GrebeError),
        (grebe.ConflictError, grebe.GrebeError),
        (grebe.StoreClosedError, grebe.GrebeError),
        (grebe.StoreLockedError, grebe.GrebeError),
        (grebe.ReadOnlyError, grebe.GrebeError),
        (grebe.EncryptionError, grebe.GrebeError),
    ],
)
def test_the_tree(error: type[BaseException], base: type[BaseException]) -> None:
    """Each is a GrebeError and the built-in that a Python user expects."""
    assert issubclass(error, grebe.GrebeError)
    assert issubclass(error, base)


@dataclasses.dataclass
class User:
    name: str
    age: int = 0


SECRET = "s3cret"


def test_no_message_shows_data(store: grebe.Store) -> None:
    """Whatever goes wrong with a document, its data is not in the message."""
    users = store.collection("users", model=User)
    plain = store.collection("plain")
    plain.doc("1").set({"name": SECRET, "age": SECRET})
    plain.doc("2").set(SECRET)
    users.doc("1").set(User(SECRET))
    typed = store.collection("plain", model=User)
    functions = store.collection("plain", from_json=lambda d: User(**d), to_json=dataclasses.asdict)
    calls: list[Callable[[], Any]] = [
        lambda: plain.doc("1").create({"a": SECRET}),
        lambda: plain.doc("1").set({"a": {SECRET}}),
        lambda: plain.doc("1").set({"a": [SECRET, "\ud800" + SECRET]}),
        lambda: plain.doc("2").update(a=SECRET),
        lambda: plain.doc("9").update(a=SECRET),
        lambda: users.doc("1").set({"name": SECRET}),  # type: ignore[arg-type]
        lambda: users.doc("1").set(User(SECRET, SECRET)),  # type: ignore[arg-type]
        lambda: users.doc("1").set(User({SECRET})),  # type: ignore[arg-type]
        lambda: users.doc("1").update(age=SECRET),
        lambda: users.doc("1").update({SECRET: 1}) and None,
        lambda: typed.doc("1").get().data,  # type: ignore[union-attr]
        lambda: typed.doc("2").get().data,  # type: ignore[union-attr]
        lambda: functions.doc("2").get().data,  # type: ignore[union-attr]
        lambda: store.collection("x", partition=lambda s: s.data).doc("1").set([SECRET]),
    ]
    shown = []
    for number, call in enumerate(calls):
        with pytest.raises((grebe.GrebeError, TypeError)) as caught:
            call()
        if number != 9:  # the name of a field that does not exist is the caller's, not data
            shown.append(str(caught.value) + repr(caught.value))
    assert SECRET not in "\n".join(shown)


def test_messages_say_what_where_and_what_to_do(store: grebe.Store) -> None:
    """And attributes hold the particulars."""
    doc = store.doc("users/1")
    with pytest.raises(grebe.DocumentNotFoundError) as missing:
        doc.replace(1)
    assert str(missing.value) == "users/1 does not exist; use create() or set() to make it"
    doc.set(1)
    with pytest.raises(grebe.DocumentExistsError) as exists:
        doc.create(1)
    assert str(exists.value) == "users/1 already exists; use set() to replace it"
    assert missing.value.path == exists.value.path == "users/1"


def test_a_locked_directory_names_its_holder(disk_store: grebe.Store, directory: Path) -> None:
    """The pid is in the message and an attribute."""
    import os

    with pytest.raises(grebe.StoreLockedError) as caught:
        grebe.open(directory)
    assert caught.value.pid == os.getpid()
    assert str(os.getpid()) in str(caught.value)
    assert str(directory) in str(caught.value)


def test_a_persistence_error_prints_its_message() -> None:
    """With the attributes of an OSError, but not in its form."""
    error = grebe.PersistenceError("the commit failed: full")
    error.errno, error.strerror, error.filename = 28, "No space left", None
    assert str(error) == "the commit failed: full"
