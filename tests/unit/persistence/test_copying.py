"""Copying from one persistor to another: whole, in order, once, and not over something else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.core.operation import Batch, Delete, Put, Record
from grebe.errors import CorruptDataError, EncryptionError, PersistenceError
from grebe.persistence import copying
from grebe.persistence.copying import Copied
from grebe.persistence.encryption.keys import KeySource
from grebe.persistence.encryption.sealing import Encryption
from tests.conformance.examples import namespace

Make = Callable[[], Any]
KINDS = ("memory", "file", "sqlite", "dict", "object store")
COUNT = 95


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "BATCH_DOCUMENTS", 10)


def place(kind: str, directory: Path) -> Make:
    """Return what makes a persistor for a new place of a kind."""
    if kind == "file":
        return lambda: grebe.FilePersistor(directory / "data")
    if kind == "sqlite":
        return lambda: grebe.SqlitePersistor(directory / "data.db")
    if kind == "object store":
        objects = namespace()["ObjectStore"]()
        return lambda: namespace()["ObjectStorePersistor"](objects)
    kept = grebe.MemoryPersistor() if kind == "memory" else namespace()["DictPersistor"]()
    return lambda: kept


def fill(persistor: Any) -> None:
    """Store documents in several partitions, in no order of their ids, some sealed."""
    with grebe.open(persistor, encryption_key=bytes(32)) as store:
        users = store.collection("users", partition=lambda s: f"part {s.data['n'] % 3}")
        users.create_many({f"{n * 37 % 101}": {"n": n, "é": "\u2028"} for n in range(COUNT - 5)})
        users.doc("7").collection("friends").doc("x").set([1])
        secrets = store.collection("secrets", encrypted=True)
        secrets.create_many({str(n): {"secret": n} for n in range(4)})


def everything(persistor: Any) -> dict[tuple[str, str, bool], list[Any]]:
    """Return documents by collection and side, in order."""
    with grebe.open(persistor, encryption_key=bytes(32)) as store:
        data = store.inspect()["documents"]
        found: dict[tuple[str, str, bool], list[Any]] = {}
        for place in store._engine.tree.walk():
            side = place.collection, place.leaf.home.partition, place.leaf.home.encrypted
            found.setdefault(side, []).append((place.path, data[place.path]))
        return found


def copied_all(source: Any, target: Any, track: copying.Track, key: bytes = bytes(32)) -> Copied:
    return copying.copy_all(source, target, track, Encryption(KeySource(key)))


def plainly(batches: Iterable[Batch], _count: int) -> Iterable[Batch]:
    return batches


@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("since", KINDS)
def test_from_any_to_any(tmp_path: Path, since: str, to: str) -> None:
    """Everything is there, sealed documents too, in its order; and a second copy finds it whole."""
    (tmp_path / "a").mkdir()
    source, target = place(since, tmp_path / "a"), place(to, tmp_path / "b")
    fill(source())
    wanted = everything(source())
    copied = copied_all(source(), target(), plainly)
    assert (copied.documents, copied.encrypted_documents, copied.present) == (COUNT, 4, 0)
    assert everything(target()) == wanted
    again = copied_all(source(), target(), plainly)
    assert again.present == again.documents == COUNT


def stopping(after: int) -> copying.Track:
    def track(batches: Iterable[Batch], _count: int) -> Iterator[Batch]:
        for number, batch in enumerate(batches):
            if number == after:
                raise KeyboardInterrupt
            yield batch

    return track


@pytest.mark.parametrize("to", KINDS)
def test_it_goes_on(tmp_path: Path, to: str) -> None:
    """After an interruption it is no store; the next try stores only what is missing, once."""
    source, target = place("memory", tmp_path), place(to, tmp_path)
    fill(source())
    wanted = everything(source())
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            copied_all(source(), target(), stopping(2))
        with pytest.raises(PersistenceError, match="interrupted"):
            grebe.open(target())
    stored: list[int] = []

    def counting(batches: Iterable[Batch], _count: int) -> Iterator[Batch]:
        for batch in batches:
            stored.append(len(batch.operations))
            yield batch

    copied = copied_all(source(), target(), counting)
    assert copied.present == 60
    assert sum(stored) == COUNT - 60
    assert everything(target()) == wanted


def test_a_source_that_changed_meanwhile(tmp_path: Path) -> None:
    """What an interrupted copy has of an older state is not mixed with the newer one."""
    source, target = place("memory", tmp_path), place("file", tmp_path)
    fill(source())
    with pytest.raises(KeyboardInterrupt):
        copied_all(source(), target(), stopping(4))
    with grebe.open(source(), encryption_key=bytes(32)) as store:
        store.doc("users/0").delete()
        store.doc("users/37").update(n=100)
    copied = copied_all(source(), target(), plainly)
    assert copied.present == 0
    assert everything(target()) == everything(source())


def test_not_over_something_else(tmp_path: Path) -> None:
    source, target = place("memory", tmp_path), place("sqlite", tmp_path)
    fill(source())
    with grebe.open(target()) as store:
        store.doc("mine").set({"n": 1})
    with pytest.raises(PersistenceError, match="holds 1 documents already"):
        copied_all(source(), target(), plainly)
    with grebe.open(target()) as store:
        assert store.inspect()["documents"] == {"root/mine": {"n": 1}}


def test_an_unfinished_copy_is_no_source(tmp_path: Path) -> None:
    source, target = place("memory", tmp_path), place("file", tmp_path)
    fill(source())
    with pytest.raises(KeyboardInterrupt):
        copied_all(source(), target(), stopping(4))
    with pytest.raises(PersistenceError, match="unfinished copy itself"):
        copied_all(target(), place("memory", tmp_path)(), plainly)


def test_nothing_and_no_metadata(tmp_path: Path) -> None:
    """An empty place can be copied, and one that no store has used."""
    source, target = place("memory", tmp_path), place("file", tmp_path)
    assert copied_all(source(), target(), plainly) == Copied(0, 0, 0, 0)
    persistor = source()
    persistor.open()
    persistor.commit(Batch([Put("u/1", b"1", "p"), Put("v/1", b"2", "q")]))
    persistor.close()
    copied_all(source(), target(), plainly)
    with grebe.open(target(), hydrate=["u"]) as store:
        assert store.inspect()["documents"] == {"u/1": 1}


class Loses(grebe.MemoryPersistor):
    """Acknowledges everything and loses one document."""

    def commit(self, batch: Batch) -> None:
        super().commit(batch)
        super().commit(Batch([Delete("users/37")]))


class Garbles(grebe.MemoryPersistor):
    def load(self, paths: Any) -> list[Record]:
        return [
            record._replace(value=record.value.replace(b"100", b"101"))
            for record in super().load(paths)
        ]


@pytest.mark.parametrize("kind", [Loses, Garbles])
def test_what_is_read_again_is_compared(kind: Any, tmp_path: Path) -> None:
    source = place("memory", tmp_path)
    fill(source())
    with grebe.open(source(), encryption_key=bytes(32)) as store:
        store.doc("users/37").update(n=100)
    with pytest.raises(CorruptDataError, match="not what was copied, in partition '"):
        copied_all(source(), kind(), plainly)


def test_the_key_is_needed_by_who_authenticates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory says so at once; a database takes sealed documents as they are."""
    monkeypatch.delenv("GREBE_KEY", raising=False)
    source = place("memory", tmp_path)
    fill(source())
    nobody = Encryption(KeySource(lambda: None))
    copying.copy_all(source(), place("sqlite", tmp_path)(), plainly, nobody)
    with pytest.raises(EncryptionError, match="needs their key"):
        copying.copy_all(source(), place("file", tmp_path)(), plainly, nobody)
    with pytest.raises(EncryptionError):
        copied_all(source(), place("file", tmp_path)(), plainly, b"x" * 32)
    assert not (tmp_path / "data").exists()
    assert everything(place("sqlite", tmp_path)()) == everything(source())
