"""Which partitions may hold what: never one too few."""

from __future__ import annotations

import pytest

import grebe
from grebe.persistence.resolver import Resolver, readable_resolver


def made() -> Resolver:
    resolver = Resolver()
    resolver.add("users", "P")
    resolver.add("users/1/friends", "Q")
    resolver.add("users/2/friends", "R")
    resolver.add("posts", "S")
    return resolver


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("", {"P", "Q", "R", "S"}),
        ("users", {"P", "Q", "R"}),
        ("users/1", {"P", "Q", "R"}),
        ("users/9/friends", {"Q", "R"}),
        ("users/9/friends/1", {"Q", "R"}),
        ("posts", {"S"}),
        ("user", set()),
        ("missing/1", set()),
    ],
)
def test_candidates_hold_all_that_may_be_there(path: str, wanted: set[str]) -> None:
    """At and under a path, by the names in it: ids do not count."""
    assert made().candidates(path) == wanted


def test_it_is_as_small_as_the_schema() -> None:
    """A thousand documents with subcollections in one partition are one entry for each name."""
    resolver = Resolver()
    for i in range(1000):
        resolver.add(f"users/{i}/friends", "P")
    assert resolver.as_dict() == {"users/friends": ["P"]}


def test_it_knows_when_it_must_be_saved() -> None:
    """Only something new makes it differ from what was saved."""
    resolver = made()
    assert resolver.changed
    resolver.changed = False
    resolver.add("users/7/friends", "Q")
    assert not resolver.changed
    resolver.add("users", "Q")
    assert resolver.changed
    assert resolver.of("users") == ["P", "Q"]
    resolver.changed = False
    resolver.clear()
    assert resolver.changed
    assert resolver.candidates("") == set()
    resolver.changed = False
    resolver.clear()
    assert not resolver.changed


def test_it_comes_back_from_metadata() -> None:
    """And nothing is known without any."""
    again = Resolver.decode(made().encode())
    assert again.as_dict() == made().as_dict()
    assert not again.changed
    assert Resolver.decode(None).as_dict() == {}
    assert readable_resolver(None) is None


@pytest.mark.parametrize(
    "metadata", [b"", b"[]", b"{}", b'{"resolver":7}', b'{"resolver":{"a":1}}']
)
def test_other_metadata_is_damage(metadata: bytes) -> None:
    """CorruptDataError, without quoting it."""
    with pytest.raises(grebe.CorruptDataError):
        Resolver.decode(metadata)
    assert readable_resolver(metadata) is None
