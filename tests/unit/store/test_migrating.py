"""Migration in the background: what is put in the place of old documents, and who notices."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.persistors import FilePersistor, MemoryPersistor
from grebe.store import migrating

OpenStore = Callable[..., grebe.Store]
OLD = 1_234
"""More than two batches."""


@dataclass(frozen=True)
class User:
    name: str
    number: int


def add_number(user: Any) -> Any:
    return {"name": user["name"], "number": int(user["name"][1:])}


def users_of(store: grebe.Store, migrate: Any = add_number) -> grebe.Collection[User]:
    return store.collection("users", model=User, version=2, migrate={1: migrate})


def old_documents(count: int = OLD) -> dict[str, Any]:
    return {str(number): {"name": f"n{number}"} for number in range(count)}


@pytest.fixture
def kept(open_store: OpenStore) -> MemoryPersistor:
    kept = MemoryPersistor()
    with open_store(kept) as store:
        store.collection("users").create_many(old_documents())
    return kept


def stored(open_store: OpenStore, kept: Any) -> dict[str, Any]:
    """Return what is persisted."""
    with open_store(kept, read_only=True) as store:
        documents: dict[str, Any] = store.inspect()["documents"]
        return documents


def settle(store: grebe.Store) -> None:
    """Return when the background has nothing to do."""
    thread = store._lifecycle.migrator._thread
    if thread is not None:
        thread.join()


def test_it_happens_by_itself(open_store: OpenStore, kept: MemoryPersistor) -> None:
    """Once the collection is asked for with its version; batch by batch, each one commit."""
    batches: list[grebe.Batch] = []
    store = open_store(kept, on_commit=batches.append)
    users = users_of(store)
    settle(store)
    assert [len(batch.operations) for batch in batches] == [500, 500, 234]
    assert store.migrations() == {
        "users": migrating.MigrationProgress("users", 2, current=OLD),
    }
    assert users.doc("7").get().data == User("n7", 7)  # type: ignore[union-attr]
    store.close()
    found = stored(open_store, kept)
    assert found == {
        f"users/{n}": {"$version": 2, "name": f"n{n}", "number": n} for n in range(OLD)
    }


def test_it_is_done_once(open_store: OpenStore, kept: MemoryPersistor) -> None:
    """The next opening finds nothing old, and starts nothing."""
    with open_store(kept) as store:
        users_of(store)
        store.migrate()
    calls: list[Any] = []
    store = open_store(kept, on_commit=calls.append)
    users_of(store, calls.append)
    settle(store)
    assert store.migrate()["users"].current == OLD
    assert [user.data.number for user in users_of(store)] == list(range(OLD))
    assert calls == []


def test_migrate_waits_and_reports(open_store: OpenStore, kept: MemoryPersistor) -> None:
    """After each batch; what it returns is durable."""
    store = open_store(kept, hydrate=False)
    users_of(store)
    assert store.migrations()["users"].waiting == 0
    store._lifecycle.migrator.stop()  # so that this alone migrates
    store.hydrate("users")
    seen: list[migrating.MigrationProgress] = []
    result = store.migrate(on_progress=seen.append)
    assert [(step.current, step.waiting) for step in seen] == [(500, 734), (1000, 234), (OLD, 0)]
    assert result == {"users": seen[-1]}
    assert not store.inspect()["commit"]["waiting"]


def test_what_is_loaded_later_is_migrated(open_store: OpenStore, kept: MemoryPersistor) -> None:
    """In the background too."""
    store = open_store(kept, hydrate=False)
    users_of(store)
    store.hydrate("users/1", "users/2")
    settle(store)
    assert store.migrations()["users"].current == 2
    store.close()
    versions = [data.get("$version") for data in stored(open_store, kept).values()]
    assert sorted(versions, key=str) == [2, 2] + [None] * (OLD - 2)


def test_nobody_is_told(open_store: OpenStore, kept: MemoryPersistor) -> None:
    """To readers it is the same document: no change, no conflict, the same snapshots."""
    store = open_store(kept)
    told: list[Any] = []
    users = store.collection("users", model=User, indexes=["number"])
    gate = threading.Event()

    def waiting(user: Any) -> Any:
        gate.wait()
        return add_number(user)

    users_of(store, waiting)
    migrator = store._lifecycle.migrator
    store.collection("users", migrate={1: add_number})  # for readers; the first run gives up
    gate.set()
    few = users.where(grebe.field("number") < 10)
    with few.observe() as live, users.doc("1").observe() as one:
        live.subscribe_changes(told.extend)
        one.subscribe(told.append)
        before = list(live.get())
        snapshot = one.get()
        with store.transaction() as tx:
            seen = tx.get(users.doc("3"))
            store.migrate()
            settle(store)
            tx.update(users.doc("3"), name="changed")
        assert seen is not None
        assert seen.data == User("n3", 3)
        assert one.get() is snapshot
        assert [a for a, b in zip(live.get(), before, strict=True) if a is not b] == [
            users.doc("3").get()
        ]
    assert [change.event.name for change in told] == ["MODIFIED"]
    assert told[0].prev_data == User("n3", 3)
    assert migrator is store._lifecycle.migrator


def test_snapshots_from_before_stay(open_store: OpenStore, kept: MemoryPersistor) -> None:
    """Nobody had looked at their data, which is that of the model with which they were made."""
    store = open_store(kept)
    plain = store.doc("users/1").get()
    store.collection("users", version=2, migrate={1: add_number})
    second = store.doc("users/2").get()
    store.collection("users", version=3, migrate={1: add_number, 2: lambda user: {**user, "x": 1}})
    settle(store)
    assert plain is not None
    assert plain.data == {"name": "n1"}
    assert second is not None
    assert second.data == {"name": "n2", "number": 2}


def test_a_write_meanwhile_wins(open_store: OpenStore, kept: MemoryPersistor) -> None:
    """What was written, or deleted, while the migration looked at it stays so."""
    store = open_store(kept)
    store._lifecycle.migrator.stop()
    users = store.collection("users", model=User)

    def interrupting(user: Any) -> Any:
        if user["name"] == "n5":
            users.doc("5").set(User("mine", 0))
            users.doc("6").delete()
        return add_number(user)

    users_of(store, interrupting)
    store.migrate()
    assert users.doc("5").get().data == User("mine", 0)  # type: ignore[union-attr]
    store.close()
    found = stored(open_store, kept)
    assert found["users/5"] == {"$version": 2, "name": "mine", "number": 0}
    assert "users/6" not in found
    assert len(found) == OLD - 1


def test_what_fails_stays(
    open_store: OpenStore, kept: MemoryPersistor, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and logged without its data; the others go on; so do newer documents."""
    with open_store(kept) as store:
        bad = {"name": "secret"}
        newer = {"$version": 9, "name": "n1"}
        store.collection("users").create_many({"bad": bad, "newer": newer})
    store = open_store(kept)
    users_of(store)
    caplog.set_level(logging.INFO)
    progress = store.migrate()["users"]
    assert (progress.current, progress.waiting) == (OLD, 0)
    assert progress.newer == 1
    settle(store)
    assert store.migrations()["users"].waiting == 1
    assert "secret" not in caplog.text
    assert "users/bad has version 1" in caplog.text
    store.close()
    found = stored(open_store, kept)
    assert (found["users/bad"], found["users/newer"]) == (bad, newer)
    assert sum(data.get("$version") == 2 for data in found.values()) == OLD


class Failing(MemoryPersistor):
    """Refuses a number of commits."""

    failures = 0

    def commit(self, batch: grebe.Batch) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("disk full")
        super().commit(batch)


def test_it_goes_on_when_the_disk_does(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed commit is tried again, and nothing is lost or done twice."""
    monkeypatch.setattr(migrating, "PAUSE_FIRST_S", 0.001)
    kept = Failing()
    with open_store(kept) as store:
        store.collection("users").create_many(old_documents())
    store = open_store(kept)
    kept.failures = 3
    users_of(store)
    settle(store)
    assert kept.failures == 0
    store.close()
    assert {data["$version"] for data in stored(open_store, kept).values()} == {2}


def test_migrate_raises_when_it_cannot_be_durable(open_store: OpenStore) -> None:
    """The documents wait for the disk like any write."""
    kept = Failing()
    with open_store(kept) as store:
        store.collection("users").create_many(old_documents(10))
    store = open_store(kept)
    store._lifecycle.migrator.stop()
    users_of(store)
    kept.failures = 1
    with pytest.raises(grebe.PersistenceError):
        store.migrate()
    store.commit()
    assert store.migrate()["users"].current == 10


def test_close_ends_it(open_store: OpenStore, kept: MemoryPersistor) -> None:
    """After the document that it is at; what is done so far is kept or not, the rest is old."""
    started, gate = threading.Event(), threading.Event()

    def slow(user: Any) -> Any:
        started.set()
        gate.wait()
        return add_number(user)

    store = open_store(kept)
    users_of(store, slow)
    started.wait()
    closing = threading.Thread(target=store.close)
    closing.start()
    while not store.closed:
        gate.wait(0.001)
    gate.set()
    closing.join()
    assert store._lifecycle.migrator._thread is None
    assert len(stored(open_store, kept)) == OLD


def test_a_reader_writes_nothing(open_store: OpenStore, tmp_path: Path) -> None:
    """It migrates what it reads, and says that it cannot write."""
    with open_store(tmp_path / "x") as store:
        store.collection("users").create_many(old_documents(3))
    reader = open_store(tmp_path / "x", read_only=True)
    users = users_of(reader)
    assert [user.data.number for user in users] == [0, 1, 2]
    assert reader.migrations()["users"].waiting == 3
    with pytest.raises(grebe.ReadOnlyError):
        reader.migrate()


def test_a_reader_beside_is_not_told(open_store: OpenStore, tmp_path: Path) -> None:
    """It has seen the new version already; of a change that came along it is told."""
    with open_store(tmp_path / "x") as store:
        store.collection("users").create_many(old_documents(3))
    writer = open_store(tmp_path / "x")
    reader = open_store(tmp_path / "x", read_only=True)
    told: list[grebe.Change[User]] = []
    with users_of(reader).observe() as live:
        live.subscribe_changes(told.extend)
        users_of(writer)
        writer.migrate()
        reader.refresh()
        assert told == []
        assert reader.migrations()["users"].current == 3
        users_of(writer).doc("1").update(number=7)
        writer.commit()
        reader.refresh()
    assert [(change.event.name, change.data) for change in told] == [("MODIFIED", User("n1", 7))]


def test_without_a_model_and_without_a_disk(store: grebe.Store) -> None:
    """Plain data has versions too, and so has a store in memory, when it is asked."""
    store.collection("users").create_many(old_documents(3))
    users = store.collection("users", version=2, migrate=lambda data, version: add_number(data))
    assert store._lifecycle.migrator._thread is None
    assert users.doc("1").get().data == {"name": "n1", "number": 1}  # type: ignore[union-attr]
    assert store.migrate()["users"].current == 3
    assert users.doc("1").get().data == {"name": "n1", "number": 1}  # type: ignore[union-attr]
    assert store.inspect()["documents"]["users/1"]["$version"] == 2


def test_partitions_stay(open_store: OpenStore, tmp_path: Path) -> None:
    """Each document goes back to the file that it was in."""
    with open_store(tmp_path / "x") as store:
        users = store.collection("users", partition=lambda user: user.data["name"])
        users.create_many(old_documents(4))
    with open_store(tmp_path / "x") as store:
        users_of(store)
        store.migrate()
        assert set(store.partitions()) == {"n0", "n1", "n2", "n3"}
    persistor = FilePersistor(tmp_path / "x")
    persistor.open()
    assert {(r.partition, r.path) for r in persistor.load(None)} == {
        (f"n{n}", f"users/{n}") for n in range(4)
    }
    persistor.close()


def test_encrypted_documents_stay_sealed(open_store: OpenStore, tmp_path: Path) -> None:
    """They go back to the side that they came from."""
    key = b"k" * 32
    with open_store(tmp_path / "x", encryption_key=key) as store:
        store.collection("users", encrypted=True).create_many(old_documents(600))
    for _ in range(2):
        with open_store(tmp_path / "x", encryption_key=key) as store:
            users = users_of(store)
            assert [user.data.number for user in users] == list(range(600))
            assert store.migrate()["users"].current == 600
            assert store.partitions()["__store__"].encrypted_documents == 600
    for file in (tmp_path / "x").iterdir():
        assert b"number" not in file.read_bytes()


def test_others_read_and_write_meanwhile(open_store: OpenStore, tmp_path: Path) -> None:
    """Every reader sees the new version, every write is kept."""
    with open_store(tmp_path / "x") as store:
        store.collection("users").create_many(old_documents(3_000))
    store = open_store(tmp_path / "x")
    users = store.collection("users", model=User)
    wrong: list[Any] = []

    def read() -> None:
        for _ in range(3):
            wrong.extend(u.id for u in users if u.data.name != f"n{u.id}" or u.data.number < 0)

    def write() -> None:
        for number in range(0, 3_000, 7):
            users.doc(str(number)).update(number=number + 100_000)

    users_of(store)
    threads = [threading.Thread(target=work) for work in (read, write, read)]
    for thread in threads:
        thread.start()
    store.migrate()
    for thread in threads:
        thread.join()
    settle(store)
    assert wrong == []
    store.close()
    with open_store(tmp_path / "x", read_only=True) as reader:
        assert reader.migrations() == {}
        found = {user.id: user.data.number for user in users_of(reader)}
        assert reader.migrations()["users"].current == 3_000
    assert found == {str(n): n + 100_000 * (n % 7 == 0) for n in range(3_000)}


def test_where_there_are_no_threads(open_store: OpenStore, kept: MemoryPersistor) -> None:
    """A task of the event loop does the same, and the asynchronous call."""

    async def run() -> None:
        store = open_store(None)
        lifecycle = type(store._lifecycle)(
            store._engine,
            kept,
            migrating_callbacks(),
            hydrate=True,
            commit_interval_s=3600.0,
            read_only=False,
            threads=False,
        )
        store._lifecycle = store._engine.lifecycle = lifecycle
        await lifecycle.open()
        users_of(store)
        task = lifecycle.migrator._task
        assert task is not None
        await task
        assert (await store.amigrate())["users"].current == OLD
        await store.aclose()

    asyncio.run(run())
    assert {data["$version"] for data in stored(open_store, kept).values()} == {2}


def migrating_callbacks() -> Any:
    from grebe.store.lifecycle import Callbacks

    return Callbacks()
