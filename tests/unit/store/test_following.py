"""Commits of somebody else, brought into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.core.operation import Batch, Clear, Delete, Move, Put, Record


def watched(store: grebe.Store, collection: str) -> tuple[list[Any], grebe.Observer[Any, Any]]:
    told: list[Any] = []
    observer = store.collection(collection).observe()
    observer.subscribe_changes(
        lambda changes: told.append([(c.event.value, c.id, c.data, c.prev_data) for c in changes])
    )
    return told, observer


def test_refresh_brings_appended_commits(tmp_path: Path) -> None:
    """Commits that were appended since are told as ordinary changes, once."""
    with grebe.open(tmp_path) as writer:
        writer.doc("users/1").set({"n": 1})
        writer.commit()
        with grebe.open(tmp_path, read_only=True) as reader:
            told, observer = watched(reader, "users")
            writer.doc("users/1").set({"n": 2})
            writer.doc("users/2").set({"n": 3})
            writer.commit()
            assert reader.doc("users/2").get() is None
            reader.refresh()
            reader.refresh()
            assert told == [[("modified", "1", {"n": 2}, {"n": 1}), ("added", "2", {"n": 3}, None)]]
            assert [user.id for user in observer.get()] == ["1", "2"]


def test_refresh_brings_what_a_checkpoint_folded(tmp_path: Path) -> None:
    """After a checkpoint, with no journal to follow, the difference is told."""
    with grebe.open(tmp_path) as writer:
        for n in range(3):
            writer.doc(f"users/{n}").set({"n": n})
        writer.commit()
        with grebe.open(tmp_path, read_only=True) as reader:
            told, _ = watched(reader, "users")
            writer.doc("users/1").delete()
            writer.checkpoint()
            writer.doc("users/0").set({"n": 9})
            writer.checkpoint()
            reader.refresh()
            (changes,) = told
            assert sorted(changes) == [
                ("modified", "0", {"n": 9}, {"n": 0}),
                ("removed", "1", None, {"n": 1}),
            ]


def test_refresh_deletes_subtrees_and_everything(tmp_path: Path) -> None:
    """Recursive deletions and clearing arrive too."""
    with grebe.open(tmp_path) as writer:
        writer.doc("users/1/friends/2").set({"n": 1})
        writer.doc("users/3").set({"n": 1})
        writer.commit()
        with grebe.open(tmp_path, read_only=True) as reader:
            writer.doc("users/1").delete()
            writer.commit()
            reader.refresh()
            assert list(reader.inspect()["documents"]) == ["users/3"]
            writer.clear()
            reader.refresh()
            assert reader.inspect()["documents"] == {}


def test_reader_loads_only_what_it_asked_for(tmp_path: Path) -> None:
    """A refresh changes nothing outside the loaded subtrees."""
    with grebe.open(tmp_path) as writer:
        writer.doc("a/1").set({"n": 1})
        writer.commit()
        with grebe.open(tmp_path, read_only=True, hydrate=["a"]) as reader:
            writer.doc("a/2").set({"n": 2})
            writer.doc("b/1").set({"n": 3})
            writer.commit()
            reader.refresh()
            assert list(reader.inspect()["documents"]) == ["a/1", "a/2"]
            reader.hydrate("b")
            assert list(reader.inspect()["documents"]) == ["a/1", "a/2", "b/1"]


def test_reader_cannot_write(tmp_path: Path) -> None:
    """Every write of a reader is refused, and commit() does nothing."""
    grebe.open(tmp_path).close()
    with grebe.open(tmp_path, read_only=True) as reader:
        writes: list[Callable[[], object]] = [
            lambda: reader.doc("a/1").set({}),
            lambda: reader.doc("a/1").delete(),
            lambda: reader.collection("a").create_many([{}]),
            lambda: reader.collection("a").replace({}),
            lambda: reader.clear(),
            lambda: reader.transaction().__enter__(),
        ]
        for write in writes:
            with pytest.raises(grebe.ReadOnlyError, match="read_only"):
                write()
        reader.commit()
        reader.checkpoint()


def test_a_missing_store_cannot_be_read(tmp_path: Path) -> None:
    """Reading what is not there is an error, and makes nothing."""
    with pytest.raises(grebe.PersistenceError, match="does not exist"):
        grebe.open(tmp_path / "none", read_only=True)
    with pytest.raises(grebe.PersistenceError, match="holds no store"):
        grebe.open(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []


class Shared:
    """A persistor whose data somebody else changes as well."""

    deliver: Callable[[Batch], None]

    def open(self) -> None: ...
    def commit(self, batch: Batch) -> None: ...
    def load_metadata(self) -> bytes | None: ...
    def close(self) -> None: ...

    def load(self, paths: Sequence[str] | None) -> Iterable[Record]:
        return [Record("users/1", b'{"n":1}')]

    def follow(self, deliver: Callable[[Batch], None]) -> None:
        self.deliver = deliver


def test_the_same_value_in_other_words_is_no_change() -> None:
    """Another program may store the same JSON with its keys in another order, or spaces."""
    shared = Shared()
    with grebe.open(shared) as store:
        shared.deliver(Batch([Put("users/1", b'{"n":1,"a":2}')]))
        told, _ = watched(store, "users")
        shared.deliver(Batch([Put("users/1", b'{"a": 2, "n": 1}')]))
        assert told == []
        shared.deliver(Batch([Put("users/1", b'{"a":3,"n":1}')]))
        assert told == [[("modified", "1", {"a": 3, "n": 1}, {"n": 1, "a": 2})]]


def test_a_persistor_may_deliver_commits_of_others() -> None:
    """What `follow` delivers changes memory and is told; it is not committed back."""
    shared = Shared()
    with grebe.open(shared) as store:
        told, _ = watched(store, "users")
        shared.deliver(
            Batch(
                [
                    Put("users/1", b'{"n":2}'),
                    Put("users/2", b'{"n":5}', "other"),
                    Move("users/1", "__store__", "other"),
                ]
            )
        )
        assert told == [[("modified", "1", {"n": 2}, {"n": 1}), ("added", "2", {"n": 5}, None)]]
        assert store.partitions()["other"].documents == 2
        shared.deliver(Batch([Delete("users/1", False), Put("users/2", b'{"n":5}')]))
        assert told[1:] == [[("removed", "1", None, {"n": 2})]]
        shared.deliver(Batch([Clear()]))
        assert store.inspect()["documents"] == {}
        assert store.inspect()["commit"]["written"] == 0
