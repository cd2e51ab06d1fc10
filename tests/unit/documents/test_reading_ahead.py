"""Going through a result decodes ahead where all is looked at, and nothing for nothing."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from typing import Any

import pytest

import grebe
from grebe import field
from grebe.documents import reading_ahead
from grebe.documents.models import UNREAD
from grebe.persistors import MemoryPersistor
from grebe.store import finding

OpenStore = Callable[..., grebe.Store]
COUNT = 3 * reading_ahead.FEW


@dataclasses.dataclass
class Numbered:
    n: int


@dataclasses.dataclass
class Everything:
    n: int
    city: str
    tags: list[Any]


def document(number: int) -> dict[str, Any]:
    return {"n": number, "city": f"city {number % 3}", "tags": ["a", {"deep": [number]}]}


@pytest.fixture(params=["made at once", "made when looked at"])
def users(
    store: grebe.Store, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> grebe.Collection[Any]:
    if request.param == "made when looked at":
        monkeypatch.setattr(finding, "MANY", 2)
    users: grebe.Collection[Any] = store.collection("users")
    users.create_many({f"{number}": document(number) for number in range(COUNT)})
    return users


def views(users: grebe.Collection[Any]) -> list[Any]:
    documents = users._engine.tree.collections["users"].documents
    return [entry.view for entry in documents.values()]


def read(results: Any) -> int:
    return sum(snapshot._data is not UNREAD for snapshot in results[:])


@pytest.mark.parametrize("block_bytes", [1, 1000, 1 << 20])
def test_all_are_read_right(
    users: grebe.Collection[Any], block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks of any size; from a collection, a query, and again."""
    monkeypatch.setattr(reading_ahead, "BLOCK_BYTES", block_bytes)
    for source in (users, users.where(field("n") >= 0), users.get()):
        assert [snapshot.data for snapshot in source] == [document(n) for n in range(COUNT)]


def test_what_is_read_ahead_is_read_only(users: grebe.Collection[Any]) -> None:
    """All the way down, as what is read alone."""
    *_, last = [snapshot.data for snapshot in users]
    for change in (
        lambda: last.update(n=1),
        lambda: last["tags"].append(1),
        lambda: last["tags"][1].clear(),
        lambda: last["tags"][1]["deep"].sort(),
    ):
        with pytest.raises(TypeError, match="read-only"):
            change()


def test_equal_texts_are_one_object(users: grebe.Collection[Any]) -> None:
    """In what is read ahead."""
    cities = [snapshot.data["city"] for snapshot in users][reading_ahead.FEW :]
    assert len({id(city) for city in cities}) == 3


def test_nothing_is_decoded_for_who_does_not_look(users: grebe.Collection[Any]) -> None:
    """At none, at the first ones, or at some."""
    results = users.get()
    assert [snapshot.id for snapshot in results] == [f"{number}" for number in range(COUNT)]
    assert read(results) == 0
    for number, snapshot in enumerate(results):
        if number < reading_ahead.FEW - 1:
            assert snapshot.data == document(number)
    assert read(results) == reading_ahead.FEW - 1


def test_who_stops_has_not_all_decoded(
    users: grebe.Collection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One block more than was looked at, at most."""
    monkeypatch.setattr(reading_ahead, "FEW", 2)
    results = users.get()
    next(snapshot for snapshot in results if snapshot.data["n"] == 3)
    assert read(results) == 2 + 16


def test_large_documents_are_read_ahead_one_by_one(
    users: grebe.Collection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held decoded ahead is bounded in bytes, not in documents."""
    monkeypatch.setattr(reading_ahead, "BLOCK_BYTES", 10)
    results = users.get()
    next(snapshot for snapshot in results if snapshot.data["n"] == reading_ahead.FEW + 1)
    assert read(results) == reading_ahead.FEW + 2


def test_a_document_that_cannot_be_decoded(open_store: OpenStore) -> None:
    """Whoever looks at it gets the error; the others are there."""
    persistor = MemoryPersistor()
    values = [b'{"n":1}'] * COUNT
    values[COUNT - 2] = b'{"n":'
    puts = [grebe.persistors.Put(f"users/{n}", value) for n, value in enumerate(values)]
    persistor.open()
    persistor.commit(grebe.Batch(puts, None))
    persistor.close()
    users = open_store(persistor).collection("users")
    seen = []
    with pytest.raises(ValueError, match=r".+"):
        seen += [snapshot.data for snapshot in users]
    for snapshot in users:
        if snapshot.id != f"{COUNT - 2}":
            assert snapshot.data == {"n": 1}


def test_models_are_decoded_when_they_are_looked_at(store: grebe.Store) -> None:
    """One that does not fit raises at itself, and not at the one before it."""
    store.collection("users").create_many({f"{n}": {"n": n} for n in range(COUNT)})
    store.doc(f"users/{COUNT - 1}").set({"n": "none"})
    going = iter(store.collection("users", model=Numbered))
    assert [next(going).data for _ in range(COUNT - 1)] == [Numbered(n) for n in range(COUNT - 1)]
    last = next(going)
    with pytest.raises(grebe.DocumentTypeError, match=f"users/{COUNT - 1}"):
        last.data  # noqa: B018 - what raises


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(
    users: grebe.Collection[Any], enabled: bool
) -> None:
    """On or off, also between two documents."""
    (gc.enable if enabled else gc.disable)()
    try:
        for snapshot in users:
            assert gc.isenabled() is enabled
            assert snapshot.data
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


@pytest.fixture
def many(store: grebe.Store, monkeypatch: pytest.MonkeyPatch) -> grebe.Collection[Any]:
    monkeypatch.setattr(finding, "MANY", COUNT)
    many: grebe.Collection[Any] = store.collection("users")
    many.create_many({f"{number}": document(number) for number in range(COUNT)})
    return many


def test_snapshots_of_many_documents_are_made_when_looked_at(
    many: grebe.Collection[Any],
) -> None:
    """One by one, or those of a slice; and they are the ones that everybody gets."""
    results = many.get()
    assert len(results) == COUNT
    assert views(many) == [None] * COUNT
    assert results[3] is many.doc("3").get()
    assert results[-2].id == f"{COUNT - 2}"
    assert results[5:7] == [many.doc("5").get(), many.doc("6").get()]
    assert [number for number, view in enumerate(views(many)) if view] == [3, 5, 6, COUNT - 2]
    with pytest.raises(IndexError):
        results[COUNT]
    assert results == many.get() == list(many)


def test_results_are_of_one_moment(many: grebe.Collection[Any]) -> None:
    """Also for documents whose snapshots are made later."""
    results, again = many.get(), many.get()
    many.doc("1").set({"n": -1})
    many.doc("2").delete()
    many.doc("new").set({"n": -2})
    assert [snapshot.data for snapshot in results] == [document(n) for n in range(COUNT)]
    assert again[1].data == document(1)
    assert [s.data["n"] for s in many] == [0, -1, *range(3, COUNT), -2]


def test_documents_that_were_looked_at_keep_their_snapshots(
    store: grebe.Store, many: grebe.Collection[Any]
) -> None:
    """Among those that are read ahead; those of a model are not taken for plain ones."""
    kept = many.doc(f"{COUNT - 9}").get()
    assert kept is not None
    data = kept.data
    through_model = store.collection("users", model=Everything).doc(f"{COUNT - 8}").get()
    assert through_model is not None
    assert through_model.data == Everything(**document(COUNT - 8))
    plain: grebe.Collection[Any] = store.collection("users", model=None)
    rows = []
    for row in plain.get():
        assert row.data == document(int(row.id))
        rows.append(row)
    assert rows[COUNT - 9] is kept
    assert rows[COUNT - 9].data is data
    assert len(rows) == COUNT
