"""The tree of collections and documents, against a dict of paths."""

from __future__ import annotations

import random

import pytest

from grebe.core import path as paths
from grebe.core.tree import Tree
from tests.conftest import rounds

COLLECTIONS = ("a", "b", "a/1/s", "a/1/t", "a/2/s", "a/1/s/1/u")


class Walk:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tree: Tree[int] = Tree()
        self.model: dict[str, int] = {}

    def any_doc(self) -> str:
        return f"{self.random.choice(COLLECTIONS)}/{self.random.randrange(1, 4)}"

    def put(self, number: int) -> None:
        path = self.any_doc()
        self.tree.put(path, number)
        self.model[path] = number

    def remove(self) -> None:
        path = self.any_doc() if self.random.random() < 0.7 else self.random.choice(COLLECTIONS)
        gone = {p: n for p, n in self.model.items() if paths.is_under(p, path)}
        removed = self.tree.remove(path)
        assert {place.path: place.leaf for place in removed} == gone
        assert len(removed) == len(gone)
        self.model = {p: n for p, n in self.model.items() if p not in gone}

    def discard(self) -> None:
        path = self.any_doc()
        assert self.tree.discard(path) == self.model.pop(path, None)

    def compare(self) -> None:
        self.tree.check()
        tree, model = self.tree, self.model
        assert len(tree) == len(model)
        walked = [place.path for place in tree.walk()]
        assert sorted(walked) == sorted(model)
        for path in walked:  # what is above comes first
            above = paths.parent_document(paths.split(path)[0])
            assert above not in model or walked.index(above) < walked.index(path)
        for path in ("a/1", "a", "a/1/s", "b/3", "missing", "missing/1"):
            under = {p for p in model if paths.is_under(p, path)}
            assert {place.path for place in tree.walk(path)} == under
            assert paths.is_document(path) or (path in tree.collections) == bool(under)
            if paths.is_document(path):
                assert tree.has_subtree(*paths.split(path)) == any(p != path for p in under)
                names = {p[len(path) + 1 :].split("/")[0] for p in under if p != path}
                assert set(tree.children(path)) == names
        assert set(tree.children(None)) == {p.split("/")[0] for p in model}
        for name in COLLECTIONS:
            node = tree.collections.get(name)
            # dicts keep insertion order, and a replaced value its place
            here = [p for p in model if paths.split(p)[0] == name]
            assert ([] if node is None else [f"{name}/{i}" for i in node.documents]) == here
        doc = self.any_doc()
        assert tree.get(doc) == model.get(doc)


@pytest.mark.parametrize("seed", rounds(20))
def test_it_is_a_dict_of_paths(seed: int) -> None:
    """Whatever is put and removed, every question has the answer a dict gives."""
    walk = Walk(seed)
    for number in range(60):
        walk.random.choice([lambda n=number: walk.put(n)] * 3 + [walk.remove, walk.discard])()
        walk.compare()
    walk.tree.clear()
    walk.model.clear()
    walk.compare()


def test_documents_may_hang_under_a_missing_one() -> None:
    """A subcollection does not need the document above it."""
    tree: Tree[int] = Tree()
    tree.put("a/1/s/2", 1)
    assert tree.get("a/1") is None
    assert tree.has_subtree("a", "1")
    assert [place.path for place in tree.remove("a/1")] == ["a/1/s/2"]
    assert len(tree) == 0
    assert tree.collections == {}


def test_removing_costs_what_is_removed() -> None:
    """Deleting a small subtree looks at no other document."""
    tree: Tree[int] = Tree()
    for i in range(1000):
        tree.put(f"a/{i}", i)
        tree.put(f"a/{i}/s/1", i)

    class Counted(dict):  # type: ignore[type-arg]
        looks = 0

        def __iter__(self):  # type: ignore[no-untyped-def]
            Counted.looks += 1
            return super().__iter__()

    tree.collections["a"].documents = Counted(tree.collections["a"].documents)
    assert len(tree.remove("a/5")) == 2
    assert Counted.looks == 0


@pytest.mark.parametrize("remove", ["a", "a/1", "a/1/b", "a/1/b/1", None])
def test_the_documents_of_a_dropped_collection_are_gone(remove: str | None) -> None:
    """For who kept its dict: references do, and look there first."""
    tree: Tree[int] = Tree()
    tree.put("a/1/b/1", 1)
    kept = tree.ensure("a/1/b").documents
    if remove is None:
        tree.clear()
    else:
        assert [place.leaf for place in tree.remove(remove)] == [1]
    assert kept == {}
    tree.put("a/1/b/1", 2)
    assert (kept, tree.get("a/1/b/1")) == ({}, 2)
    tree.check()
