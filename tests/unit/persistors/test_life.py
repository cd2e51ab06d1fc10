"""One file persistor through its life: used twice, opened twice, written while it checkpoints."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.core.operation import Batch, Put
from grebe.persistors.file import persistor as persistor_module
from grebe.persistors.file.names import journal_number


def ids(directory: Path, collection: str = "users") -> list[str]:
    with grebe.open(directory, read_only=True) as store:
        return [user.id for user in store.collection(collection)]


@pytest.mark.parametrize("deletion", ["one", "subtree", "everything"])
def test_deletion_during_the_first_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deletion: str
) -> None:
    """What is deleted while its partition is written for the first time stays deleted."""
    store = grebe.open(tmp_path)
    users = store.collection("users", partition="users")
    users.create_many({"1": {}, "2": {}})
    write = persistor_module.write_manifest

    def delete_first(*arguments: Any) -> None:
        monkeypatch.undo()
        if deletion == "everything":
            store.clear()
        elif deletion == "subtree":
            users.delete()
        else:
            users.doc("1").delete()
        users.doc("3").set({})
        store.commit()
        write(*arguments)

    monkeypatch.setattr(persistor_module, "write_manifest", delete_first)
    store.checkpoint()
    store.close()
    assert ids(tmp_path) == (["2", "3"] if deletion == "one" else ["3"])


def test_a_refused_second_open_leaves_the_first_alone(tmp_path: Path) -> None:
    """A store that cannot be opened does not close what another one uses."""
    for persistor in (grebe.FilePersistor(tmp_path), grebe.MemoryPersistor()):
        with grebe.open(persistor) as store:
            for _ in range(2):
                with pytest.raises(grebe.StoreLockedError):
                    grebe.open(persistor)
            store.doc("users/1").set({})
            store.commit()
        with grebe.open(persistor) as store:
            assert store.doc("users/1").exists()


def test_a_persistor_can_be_used_again(tmp_path: Path) -> None:
    """After close() it opens anew, with nothing left over from before."""
    persistor = grebe.FilePersistor(tmp_path)
    for number in range(3):
        with grebe.open(persistor) as store:
            assert len(store.collection("users")) == number
            store.doc(f"users/{number}").set({})
            store.commit()


def test_two_threads_may_close_at_once(tmp_path: Path) -> None:
    """The persistor is closed once."""
    closed = []

    class Counting(grebe.FilePersistor):
        def close(self) -> None:
            closed.append(self)
            super().close()

    store = grebe.open(Counting(tmp_path))
    store.doc("users/1").set({})
    start = threading.Barrier(4)

    def close() -> None:
        start.wait()
        store.close()

    threads = [threading.Thread(target=close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(closed) == 1


def test_a_value_with_line_ends_is_stored(tmp_path: Path) -> None:
    """JSON that somebody else wrote over several lines becomes one line, in journal and file."""
    persistor = grebe.FilePersistor(tmp_path)
    persistor.open()
    persistor.commit(Batch([Put("users/1", b'{\n  "n": 1\n}')]))
    persistor.close()
    for _ in range(2):
        with grebe.open(tmp_path) as store:
            assert store.recovery.clean
            assert store.recovery.torn_bytes_dropped == 0
            assert store.doc("users/1").get().data == {"n": 1}


def test_journal_numbers_are_never_used_again(tmp_path: Path) -> None:
    """The number goes into the checksums, so a record of an earlier journal never fits."""
    seen: list[int] = []
    for _ in range(3):
        with grebe.open(tmp_path) as store:
            for _ in range(2):
                store.doc("users/1").set({"n": len(seen)})
                store.commit()
                numbers = [journal_number(path.name) for path in tmp_path.iterdir()]
                seen += [number for number in numbers if number is not None]
                store.checkpoint()
    assert len(seen) == 6
    assert seen == sorted(set(seen))


def test_insertion_order_lasts(tmp_path: Path) -> None:
    """A document written again in the same commit keeps its place, on disk as in memory."""
    with grebe.open(tmp_path) as store:
        users = store.collection("users")
        users.create_many({"1": {"n": 1}, "2": {"n": 2}})
        users.doc("1").set({"n": 3})
        for number in ("4", "5", "4"):
            users.doc(number).set({"n": int(number)})
        users.doc("4").set({"n": 0})
        with store.transaction() as tx:
            for number, n in (("6", 1), ("7", 2), ("6", 3)):
                tx.set(users.doc(number), {"n": n})
        wanted = ["1", "2", "4", "5", "6", "7"]
        assert [user.id for user in users] == wanted
        store.commit()
        assert ids(tmp_path) == wanted
    assert ids(tmp_path) == wanted


def test_any_text_names_a_partition(tmp_path: Path) -> None:
    """Also one that UTF-8 cannot carry; the documents are found by path after reopening."""
    names = ["", "lone \ud800", "back\\slash", "../x", "con", "a" * 300, "Users", "users"]
    with grebe.open(tmp_path) as store:
        for number, name in enumerate(names):
            store.collection(f"c{number}", partition=name).doc("1").set({"name": number})
    for number, name in enumerate(names):
        with grebe.open(tmp_path, hydrate=[f"c{number}"]) as store:
            assert store.recovery.clean
            assert list(store.partitions()) == [name]
            assert store.doc(f"c{number}/1").get().data == {"name": number}


def test_temporary_files_of_others_stay(tmp_path: Path) -> None:
    """Only left-overs of our own writing are removed."""
    for name in ("users.json.tmp", "journal-00000001.jsonl.tmp", "letter.tmp"):
        (tmp_path / name).write_bytes(b"half")
    grebe.open(tmp_path).close()
    assert [path.name for path in tmp_path.glob("*.tmp")] == ["letter.tmp"]
