"""Paths and ids: what is valid, what they name."""

from __future__ import annotations

import re
from typing import Any

import pytest

import grebe
from grebe.core import path as paths
from grebe.core.ids import ALPHABET, LENGTH, random_id

ODD_SEGMENTS = [
    "..",
    ".",
    " ",
    "\n",
    "\t",
    "a__b",
    "__",
    "root",
    "é",
    "🐦",
    "'",
    '"',
    "\\",
    "~",
    "-",
    "%2F",
    "a.b",
    "{}",
    "[0]",
    "\u2028",
    "\x01",
    "\x7f",
    "x" * 10_000,
]


@pytest.mark.parametrize("segment", ODD_SEGMENTS)
def test_odd_ids_are_ordinary(store: grebe.Store, segment: str) -> None:
    """As collection name and as id, on their own and in a whole path."""
    doc = store.collection(segment).doc(segment)
    doc.set({"n": 1})
    assert (doc.id, doc.path) == (segment, f"{segment}/{segment}")
    assert store.doc(f"{segment}/{segment}").get().data == {"n": 1}
    below = doc.collection(segment).doc(segment)
    below.set(2)
    assert store.doc(f"{segment}/{segment}/{segment}/{segment}").get().data == 2
    assert segment in store.collection(segment)


@pytest.mark.parametrize("segment", ["", "a/b", "/", "a\0b", "\ud800", "a\udfffb"])
def test_invalid_segments_are_refused(store: grebe.Store, segment: str) -> None:
    """Empty, with a slash, NUL or a lone surrogate: InvalidPathError wherever one is taken."""
    calls = [
        lambda: store.collection("users").doc(segment),
        lambda: store.doc("users/1").collection(segment),
        lambda: store.collection("users").create_many({segment: {}}),
        lambda: store.collection("users").replace({segment: {}}),
        lambda: paths.check_segment(segment),
    ]
    for call in calls:
        with pytest.raises(grebe.InvalidPathError) as caught:
            call()
        assert isinstance(caught.value, ValueError)
    assert store.inspect()["documents"] == {}


@pytest.mark.parametrize("segment", [1, None, b"a", 1.5, ("a",)])
def test_segments_are_text(store: grebe.Store, segment: Any) -> None:
    """Another type is an InvalidPathError that names it (None makes a random id)."""
    for call in (paths.check_segment, paths.check_path):
        with pytest.raises(grebe.InvalidPathError, match=type(segment).__name__):
            call(segment)


@pytest.mark.parametrize(
    "path", ["", "/", "users/", "/users", "users//1", "users/1/", "a/b/c/\0", "a/\ud800"]
)
def test_malformed_paths_are_refused(store: grebe.Store, path: str) -> None:
    """By store.doc, store.collection and store.hydrate alike."""
    for call in (store.doc, store.collection, store.hydrate):
        with pytest.raises(grebe.InvalidPathError):
            call(path)


def test_a_path_names_one_kind(store: grebe.Store) -> None:
    """Collections have an odd number of segments, documents an even one; errors say what to do."""
    with pytest.raises(grebe.InvalidPathError, match=re.escape("use store.doc()")):
        store.collection("users/1")
    with pytest.raises(grebe.InvalidPathError, match=re.escape("use store.collection()")):
        store.doc("users/1/friends")
    assert store.collection("users/1/friends").path == "users/1/friends"
    assert store.doc("users/1/friends/2").path == "users/1/friends/2"


def test_a_single_segment_is_a_root_document(store: grebe.Store) -> None:
    """store.doc("x") is the document x of the collection root."""
    doc = store.doc("x")
    assert doc == store.collection("root").doc("x") == store.doc("root/x")
    assert doc.collection("friends").path == "root/x/friends"


def test_random_ids_are_long_and_plain(store: grebe.Store) -> None:
    """21 characters of letters, digits, - and ~; none of 2,000 is there twice."""
    ids = {random_id() for _ in range(2000)}
    assert len(ids) == 2000
    assert all(len(i) == LENGTH == 21 and set(i) <= set(ALPHABET) for i in ids)
    assert set("".join(ids)) == set(ALPHABET)
    assert len(set(ALPHABET)) == 64
    assert len(store.collection("users").doc().id) == 21


def test_helpers_agree_on_the_shape() -> None:
    """Splitting, parents, names and ancestors of the same path."""
    path = "users/1/friends/2"
    assert paths.split(path) == ("users/1/friends", "2")
    assert paths.parent_document("users/1/friends") == "users/1"
    assert paths.parent_document("users") is None
    assert paths.parent_collection("users/1/friends") == "users"
    assert paths.parent_collection("users") is None
    assert paths.names("users/1/friends") == "users/friends"
    assert paths.ancestors(path) == [path, "users/1/friends", "users/1", "users"]
    assert paths.is_under(path, "users/1")
    assert paths.is_under(path, path)
    assert not paths.is_under("users/10", "users/1")
    assert not paths.is_under("users", "users/1")


def test_errors_quote_unprintable_segments_safely() -> None:
    """A lone surrogate in a message can be printed."""
    with pytest.raises(grebe.InvalidPathError) as caught:
        paths.check_segment("a\ud800")
    str(caught.value).encode()
