"""Documents: every way to write one, what it returns and raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import grebe
from grebe.core.operation import Batch, Put

OpenStore = Callable[..., grebe.Store]


@pytest.fixture
def doc(store: grebe.Store) -> grebe.Document[Any]:
    return store.collection("users").doc("1")


def test_create_demands_that_it_is_missing(doc: grebe.Document[Any]) -> None:
    """It returns the snapshot; a second one raises and changes nothing."""
    snapshot = doc.create({"n": 1})
    assert snapshot == doc.get()
    assert snapshot.data == {"n": 1}
    with pytest.raises(grebe.DocumentExistsError):
        doc.create({"n": 2})
    assert doc.get() is snapshot


def test_set_creates_or_replaces(doc: grebe.Document[Any]) -> None:
    """It returns the new snapshot; older ones stay as they were."""
    first = doc.set({"n": 1})
    second = doc.set([1])
    assert (first.data, second.data) == ({"n": 1}, [1])
    assert doc.get() == second


def test_replace_demands_that_it_exists(doc: grebe.Document[Any]) -> None:
    """DocumentNotFoundError, a KeyError with a readable message."""
    with pytest.raises(KeyError) as caught:
        doc.replace({"n": 1})
    assert isinstance(caught.value, grebe.DocumentNotFoundError)
    assert str(caught.value).startswith("users/1 does not exist")
    assert not doc.exists()
    doc.set({"n": 1, "m": 1})
    assert doc.replace({"n": 2}).data == {"n": 2}


def test_update_merges_top_level_fields(doc: grebe.Document[Any]) -> None:
    """From keywords, a mapping or both; nested ones are replaced as a whole."""
    doc.set({"a": 1, "b": {"x": 1, "y": 1}})
    assert doc.update(a=2).data == {"a": 2, "b": {"x": 1, "y": 1}}
    assert doc.update({"b": {"x": 2}}).data == {"a": 2, "b": {"x": 2}}
    assert doc.update({"a": 3}, c=4).data == {"a": 3, "b": {"x": 2}, "c": 4}
    assert doc.update().data == {"a": 3, "b": {"x": 2}, "c": 4}


def test_update_of_fields_named_like_its_options(doc: grebe.Document[Any]) -> None:
    """broadcast and persist go through the mapping, and so does any odd name."""
    doc.set({})
    changed = {"broadcast": 1, "persist": 2, "mapping": 3, "self": 4, "a b": 5}
    assert doc.update(changed, broadcast=False).data == changed
    assert doc.update(mapping=6, self=7).data == {**changed, "mapping": 6, "self": 7}


def test_update_demands_fields(doc: grebe.Document[Any]) -> None:
    """TypeError for data without fields, DocumentNotFoundError for a missing document."""
    with pytest.raises(grebe.DocumentNotFoundError):
        doc.update(n=1)
    for data in ([1], "x", 1, True):
        doc.set(data)
        with pytest.raises(TypeError, match=r"users/1 holds a .*no fields"):
            doc.update(n=1)
        assert doc.get().data == data


def test_modify_sets_what_a_function_makes(doc: grebe.Document[Any]) -> None:
    """It gets the snapshot; what it raises reaches the caller and nothing changes."""
    with pytest.raises(grebe.DocumentNotFoundError):
        doc.modify(lambda snapshot: snapshot.data)
    doc.set({"n": 1})
    assert doc.modify(lambda s: {"n": s.data["n"] + 1, "id": s.id}).data == {"n": 2, "id": "1"}
    with pytest.raises(ZeroDivisionError):
        doc.modify(lambda s: 1 / 0)
    assert doc.get().data["n"] == 2


def test_modify_of_a_document_that_its_function_deletes(doc: grebe.Document[Any]) -> None:
    """It is not brought back."""
    doc.set({"n": 1})

    def fn(snapshot: grebe.Snapshot[Any]) -> Any:
        doc.delete()
        return snapshot.data

    with pytest.raises(grebe.DocumentNotFoundError):
        doc.modify(fn)
    assert not doc.exists()


def test_edit_gives_a_mutable_draft(doc: grebe.Document[Any]) -> None:
    """Set on a clean exit, dropped on an exception; both ends demand the document."""
    with pytest.raises(grebe.DocumentNotFoundError), doc.edit():
        pytest.fail("entered")
    doc.set({"tags": ["a"]})
    with doc.edit() as draft:
        draft["tags"].append("b")
        draft["n"] = 1
        assert doc.get().data == {"tags": ["a"]}
    assert doc.get().data == {"tags": ["a", "b"], "n": 1}
    with pytest.raises(ZeroDivisionError), doc.edit() as draft:  # noqa: PT012
        draft["tags"].clear()
        raise ZeroDivisionError
    assert doc.get().data == {"tags": ["a", "b"], "n": 1}
    with pytest.raises(grebe.DocumentNotFoundError), doc.edit() as draft:
        doc.delete()


def test_delete_takes_everything_below_along(store: grebe.Store) -> None:
    """A missing one is fine, and what is under a missing one goes too; None is returned."""
    store.doc("users/1").set(1)
    store.doc("users/1/friends/2").set(1)
    store.doc("users/1/friends/2/pets/3").set(1)
    store.doc("users/10").set(1)
    store.doc("ghosts/1/friends/2").set(1)
    result: Any = store.doc("users/1").delete()
    assert result is None
    store.doc("users/1").delete()
    store.doc("ghosts/1").delete()
    assert set(store.inspect()["documents"]) == {"users/10"}


@pytest.mark.parametrize("write", ["create", "set", "replace", "update", "modify", "edit"])
def test_every_write_takes_both_switches(store: grebe.Store, write: str) -> None:
    """broadcast= and persist= are keywords of all of them, and of no positional place."""
    doc = store.doc("users/1")
    if write != "create":
        doc.set({"n": 1})
    arguments: list[Any] = {"modify": [lambda s: {"n": 2}], "edit": []}.get(write, [{"n": 2}])
    call = getattr(doc, write)(*arguments, broadcast=False, persist=False)
    if write == "edit":
        with call as draft:
            draft["n"] = 2
    assert doc.get().data == {"n": 2}
    with pytest.raises(TypeError):
        getattr(doc, write)(*arguments, False, False)


def test_an_equal_write_keeps_the_snapshot(doc: grebe.Document[Any]) -> None:
    """The same JSON is no change: not even the entry is made anew."""
    snapshot = doc.set({"a": 1, "b": 2})
    assert doc.set({"b": 2, "a": 1}) is snapshot
    assert list(doc.get().data) == ["a", "b"]


@pytest.mark.parametrize(("old", "new"), [(1, 1.0), (1, True), (0, False), (1.0, True), ("1", 1)])
def test_types_count(doc: grebe.Document[Any], old: Any, new: Any) -> None:
    """A value of another type is stored, though Python calls them equal."""
    doc.set({"n": old})
    first = doc.get()
    second = doc.set({"n": new})
    assert first != second
    assert type(doc.get().data["n"]) is type(new)


def test_references_are_values(store: grebe.Store, open_store: OpenStore) -> None:
    """Equal and hash-equal by path and store, whether the document exists or not."""
    one, same = store.doc("users/1"), store.collection("users").doc("1")
    assert one == same
    assert hash(one) == hash(same)
    assert len({one, same, store.doc("users/2")}) == 2
    assert one != open_store().doc("users/1")
    assert one != "users/1"
    assert one != store.collection("users")
    assert (one.id, one.path, one.parent) == ("1", "users/1", store.collection("users"))
    assert repr(one) == "<Document 'users/1'>"


def test_exists_and_get(doc: grebe.Document[Any]) -> None:
    """False and None for a missing one; a falsy document exists."""
    assert not doc.exists()
    assert doc.get() is None
    doc.set(0)
    assert doc.exists()
    assert doc.get().data == 0


def test_collections_lists_what_holds_something(store: grebe.Store) -> None:
    """Of the store and of a document, collections under missing documents included."""
    assert store.collections() == []
    store.doc("users/1").set(1)
    store.doc("posts/1/comments/2/likes/3").set(1)
    assert store.collections() == [store.collection("users"), store.collection("posts")]
    assert store.doc("posts/1").collections() == [store.collection("posts/1/comments")]
    assert store.doc("users/1").collections() == []
    store.collection("posts").delete()
    assert store.collections() == [store.collection("users")]


def test_a_snapshot_is_of_its_moment(doc: grebe.Document[Any]) -> None:
    """With id, path, doc and data; equal by document and data, whatever the order of keys."""
    first = doc.set({"a": 1, "b": 2})
    assert (first.id, first.path, first.doc) == ("1", "users/1", doc)
    doc.delete()
    assert first.data == {"a": 1, "b": 2}
    again = doc.set({"b": 2, "a": 1})
    assert first == again
    assert hash(first) == hash(again)
    assert first != doc.parent.doc("2").set({"a": 1, "b": 2})
    assert first != {"a": 1, "b": 2}
    assert repr(again) == "<Snapshot 'users/1': 13 bytes>"
    with pytest.raises(AttributeError):
        first.data = 1  # type: ignore[misc]


def test_an_unread_document_is_not_decoded(store: grebe.Store) -> None:
    """Its bytes are decoded at the first look, once."""
    decoded: list[Any] = []

    def from_json(value: Any) -> Any:
        decoded.append(value)
        return value

    users = store.collection("users", from_json=from_json, to_json=lambda value: value)
    users.doc("1").set({"n": 1})
    snapshot = users.doc("1").get()
    assert decoded == []
    assert snapshot.data is snapshot.data is users.doc("1").get().data
    assert decoded == [{"n": 1}]


def test_a_closed_store_answers_nothing(open_store: OpenStore) -> None:
    """Any read or write after close() raises StoreClosedError; closing twice is fine."""
    store = open_store()
    users = store.collection("users")
    doc = users.doc("1")
    doc.set({"n": 1})
    snapshot = doc.get()
    store.close()
    store.close()
    calls: list[Callable[[], Any]] = [
        doc.get,
        doc.exists,
        lambda: doc.set(1),
        lambda: doc.create(1),
        lambda: doc.replace(1),
        lambda: doc.update(n=1),
        lambda: doc.modify(lambda s: s.data),
        lambda: doc.edit().__enter__(),
        doc.delete,
        doc.touch,
        doc.observe,
        doc.collections,
        doc.dependencies,
        doc.dependents,
        doc.rebuild_dependencies,
        users.get,
        users.exists,
        users.first,
        users.count,
        lambda: len(users),
        lambda: list(users),
        lambda: "1" in users,
        lambda: users.create_many([1]),
        lambda: users.replace({}),
        users.delete,
        users.observe,
        lambda: store.collection("users"),
        lambda: store.doc("users/1"),
        store.collections,
        store.hydrate,
        store.commit,
        store.checkpoint,
        store.clear,
        store.broadcast,
        store.partitions,
        store.inspect,
        lambda: store.transaction().__enter__(),
        lambda: store.batch().__enter__(),
    ]
    for call in calls:
        with pytest.raises(grebe.StoreClosedError):
            call()
    assert snapshot.data == {"n": 1}
    assert repr(store) == "<Store memory:: closed>"


@pytest.mark.parametrize("looked_at", [False, True])
@pytest.mark.parametrize(
    ("stored", "written", "is_same"),
    [
        (b'{"a": 1.0, "b": "\\u00fc"}', {"b": "\u00fc", "a": 1.0}, True),
        (b'{"a": 1.0, "b": "\\u00fc"}', {"b": "\u00fc", "a": 1}, False),
        (b'{"a": 1.0, "b": "\\u00fc"}', {"b": "\u00fc", "a": True}, False),
        (b'{"a": [1, {"x": null}]}', {"a": [1, {"x": None}]}, True),
        (b'{"a": [1, {"x": null}]}', {"a": [1, {"x": False}]}, False),
        (b"[1e0]", [1.0], True),
    ],
)
def test_a_text_of_another_encoder_is_compared_as_a_value(
    stored: bytes, written: Any, is_same: bool, looked_at: bool
) -> None:
    """What was written by hand or elsewhere is no change if it is the same value."""
    persistor = grebe.MemoryPersistor()
    persistor.open()
    persistor.commit(Batch([Put("users/1", stored)]))
    persistor.close()
    with grebe.open(persistor) as store:
        user = store.doc("users/1")
        before = user.get()
        assert before is not None
        if looked_at:
            assert before.data is not None
        assert (user.set(written) is before) == is_same


@pytest.mark.parametrize(
    "remove",
    [
        lambda store: store.doc("a/1").delete(),
        lambda store: store.collection("a/1/b").delete(),
        lambda store: store.collection("a").delete(),
        lambda store: store.doc("a/1/b/1").delete(),
        lambda store: store.clear(),
    ],
)
def test_references_see_what_happens_to_the_collection(store: grebe.Store, remove: Any) -> None:
    """It is deleted, with what is above it or alone, and made again; the references stay."""
    below = store.collection("a/1/b")
    doc = below.doc("1")
    assert doc.get() is None
    for number in range(3):
        store.doc("a/1").set({})
        store.doc("a/1/b/1").set({"n": number})
        for reference in (doc, below.doc("1"), store.doc("a/1/b/1")):
            assert reference.get().data == {"n": number}
        remove(store)
        for reference in (doc, below.doc("1"), store.doc("a/1/b/1")):
            assert reference.get() is None
        assert len(below) == 0
