"""One store under eight threads, while observers watch."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe import Event
from grebe.persistors import MemoryPersistor
from tests.conftest import rounds

THREADS = 8
STEPS = 120
WAIT_S = 60.0
COLLECTIONS = ("a", "b", "a/1/s", "a/2/s")


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """Have the interpreter change threads far more often than every 5 milliseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], None], count: int = THREADS) -> None:
    """Run `work(number)` in so many threads at once, and raise what one of them raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def guarded(number: int) -> None:
        try:
            start.wait(WAIT_S)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]


class Told:
    """What an observer was told, applied: it must end as the observer's value."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.observer = source.observe()
        self.state: dict[str, Any] = {s.path: s.data for s in self.observer.get()}
        self.wrong: list[str] = []
        self.observer.subscribe_changes(self.apply)
        self.observer.subscribe(len)

    def apply(self, changes: list[grebe.Change[Any]]) -> None:
        for change in changes:
            known = change.path in self.state
            if known == (change.event in (Event.ADDED, Event.HYDRATED)):
                self.wrong.append(f"{change}: known={known}")
            if known and self.state[change.path] != change.prev_data:
                self.wrong.append(f"{change}: other previous data")
            if change.event is Event.REMOVED:
                self.state.pop(change.path, None)
            else:
                self.state[change.path] = change.data

    def check(self) -> None:
        assert self.wrong == []
        assert self.state == {s.path: s.data for s in self.source.get()}
        assert self.observer.get() == self.source.get()


class Hammer:
    def __init__(self, store: grebe.Store, seed: int) -> None:
        self.store = store
        self.seed = seed

    def __call__(self, number: int) -> None:
        rng = random.Random(f"{self.seed}-{number}")
        operations = [
            *[self.write] * 8,
            *[self.update] * 4,
            *[self.delete] * 2,
            *[self.transaction] * 3,
            *[self.batch] * 2,
            self.bulk,
            self.touch,
            self.observe,
            self.commit,
            self.option,
        ]
        for _ in range(STEPS):
            rng.choice(operations)(rng)

    def doc(self, rng: random.Random) -> grebe.Document[Any]:
        return self.store.doc(f"{rng.choice(COLLECTIONS)}/{rng.randrange(1, 6)}")

    def value(self, rng: random.Random) -> dict[str, Any]:
        return {"n": rng.randrange(10), "p": rng.choice("PQ")}

    def write(self, rng: random.Random) -> None:
        snapshot = self.doc(rng).set(self.value(rng))
        assert snapshot.data["p"] in "PQ"

    def update(self, rng: random.Random) -> None:
        try:
            self.doc(rng).update(n=rng.randrange(10))
            self.doc(rng).create(self.value(rng))
        except (grebe.DocumentNotFoundError, grebe.DocumentExistsError):
            pass

    def delete(self, rng: random.Random) -> None:
        if rng.random() < 0.8:
            self.doc(rng).delete()
        else:
            self.store.collection(rng.choice(COLLECTIONS)).delete()

    def transaction(self, rng: random.Random) -> None:
        one, two = self.doc(rng), self.doc(rng)
        try:
            with self.store.transaction() as tx:
                tx.set(one, self.value(rng))
                tx.get(two)
                tx.delete(two)
        except grebe.ConflictError:
            pass

    def batch(self, rng: random.Random) -> None:
        with self.store.batch():
            self.write(rng)
            self.write(rng)
            self.delete(rng)

    def bulk(self, rng: random.Random) -> None:
        self.store.collection("bulk").create_many([self.value(rng) for _ in range(3)])
        self.store.collection("b").replace({"1": self.value(rng)})

    def touch(self, rng: random.Random) -> None:
        self.doc(rng).touch()

    def observe(self, rng: random.Random) -> None:
        with self.store.collection(rng.choice(COLLECTIONS)).observe() as live:
            heard: list[Any] = []
            live.subscribe(heard.append)
            self.write(rng)
            assert all(isinstance(s.data, dict) for s in live.get())

    def commit(self, rng: random.Random) -> None:
        if rng.random() < 0.2:
            self.store.checkpoint()
        else:
            self.store.commit()

    def option(self, rng: random.Random) -> None:
        option = rng.choice(["P", "Q", None, lambda s: s.data["p"]])
        self.store.collection(rng.choice(COLLECTIONS), partition=option)


@pytest.mark.slow
@pytest.mark.parametrize("seed", rounds(3))
@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_eight_threads_and_observers(kind: str, seed: int, tmp_path: Path) -> None:
    """Writes, transactions, deletions, batches, commits: every observer was told each difference
    in order, the parts agree at the end, and a reopen gives what memory holds."""
    kept = MemoryPersistor()
    target: Any = tmp_path / "data" if kind == "directory" else kept
    store = grebe.open(target, commit_interval=0.001)
    even = lambda s: s.data["n"] % 2 == 0  # noqa: E731
    watching = [Told(store.collection(name)) for name in (*COLLECTIONS, "bulk")]
    watching += [Told(store.collection(name).where(even)) for name in COLLECTIONS]
    in_threads(Hammer(store, seed))
    store.broadcast()
    store._engine.check()
    for told in watching:
        told.check()
    wanted = store.inspect()["documents"]
    store.close()
    with grebe.open(target) as again:
        assert again.inspect()["documents"] == wanted
        again._engine.check()
    if kind == "memory":
        records = list(kept.load(None))
        assert len({record.path for record in records}) == len(records)


@pytest.mark.slow
def test_transactions_of_many_threads_keep_the_sum(store: grebe.Store) -> None:
    """Money moved between accounts by eight threads: none is made, none is lost, and no observer
    sees half of a transfer."""
    accounts = store.collection("accounts")
    accounts.create_many({str(i): {"sum": 100} for i in range(4)})
    sums: set[int] = set()
    accounts.observe().subscribe(lambda value: sums.add(sum(s.data["sum"] for s in value)))

    def work(number: int) -> None:
        rng = random.Random(number)
        for _ in range(60):
            source, target = (accounts.doc(i) for i in rng.sample("0123", 2))

            def transfer(tx: grebe.Transaction, source: Any = source, target: Any = target) -> None:
                tx.update(source, sum=tx.get(source).data["sum"] - 1)
                tx.update(target, sum=tx.get(target).data["sum"] + 1)

            store.run_transaction(transfer, attempts=1000)

    in_threads(work)
    store.broadcast()
    assert sums == {400}
    assert sum(s.data["sum"] for s in accounts) == 400


def test_modify_loses_no_update(store: grebe.Store) -> None:
    """No write can come between the reading and the writing of modify and update."""
    doc = store.doc("counters/1")
    doc.set({"n": 0})
    in_threads(
        lambda _: [doc.modify(lambda s: {"n": s.data["n"] + 1}) for _ in range(100)] and None
    )
    assert doc.get().data == {"n": 100 * THREADS}


def test_create_is_won_by_one(store: grebe.Store) -> None:
    """Of eight threads that create the same documents, each document has one creator."""
    won: list[str] = []

    def work(number: int) -> None:
        for i in range(50):
            try:
                store.doc(f"a/{i}").create({"by": number})
                won.append(str(i))
            except grebe.DocumentExistsError:
                pass

    in_threads(work)
    assert sorted(won) == sorted({str(i) for i in range(50)})


@pytest.mark.slow
def test_reading_while_others_write(store: grebe.Store) -> None:
    """Iteration, queries and live values never fail and never see a torn document."""
    users = store.collection("users")
    live = users.observe()
    stop = threading.Event()

    def work(number: int) -> None:
        rng = random.Random(number)
        if number < 4:
            for n in range(250):
                key = str(rng.randrange(20))
                users.doc(key).set({"a": n, "b": n})
                if n % 7 == 0:
                    users.doc(key).delete()
            stop.set()
        else:
            while not stop.is_set():
                for snapshot in [*users, *users.where(lambda s: s.data["a"] > 3), *live.get()]:
                    assert snapshot.data["a"] == snapshot.data["b"]
                assert len(users) <= 20

    in_threads(work)


@pytest.mark.slow
def test_closing_under_load(tmp_path: Path) -> None:
    """Writers meet StoreClosedError and nothing else; what was written before is on disk."""
    for attempt in range(5):
        store = grebe.open(tmp_path / str(attempt), commit_interval=0.001)
        done: dict[str, int] = {}

        def work(number: int, store: Any = store, done: Any = done) -> None:
            if number == 0:
                while len(done) < 4:
                    pass
                store.close()
                return
            try:
                for n in range(100_000):
                    store.doc(f"a/{number}").set(n)
                    done[f"a/{number}"] = n
            except grebe.StoreClosedError:
                pass

        in_threads(work)
        with grebe.open(tmp_path / str(attempt)) as again:
            assert again.inspect()["documents"].items() >= done.items()
