"""Who commits and when: the calling thread, the committer's thread, an asyncio task."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import grebe
from grebe.core.operation import Batch
from grebe.core.options import CollectionOptions
from grebe.store.lifecycle import Callbacks
from tests.unit.persistence.fakes import WAIT_S, FakePersistor

OpenStore = Callable[..., grebe.Store]


class Threads:
    """Runs functions in threads and gives back what they raised."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, *functions: Callable[[], object]) -> None:
        for fn in functions:
            self._threads.append(threading.Thread(target=self._guard, args=(fn,)))
            self._threads[-1].start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive(), "a thread hangs"

    def _guard(self, fn: Callable[[], object]) -> None:
        try:
            fn()
        except BaseException as error:
            self.errors.append(error)


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    threads.join()


@pytest.fixture
def fake() -> FakePersistor:
    return FakePersistor()


@pytest.fixture
def store(open_store: OpenStore, fake: FakePersistor) -> grebe.Store:
    return open_store(fake)


# --- the calling thread


def test_an_idle_committer_commits_on_the_calling_thread(
    store: grebe.Store, fake: FakePersistor
) -> None:
    """No hand-over to another thread is paid; without new writes nothing is committed."""
    store.doc("a/1").set(1)
    store.doc("a/1").set(2)
    store.commit()
    store.commit()
    assert fake.stored() == [["a/1"]]
    assert fake.threads == [threading.get_ident()]


def test_a_write_in_memory_only_is_no_commit(store: grebe.Store, fake: FakePersistor) -> None:
    """persist=False, for the write or the collection, gives the persistor nothing."""
    store.doc("a/1").set(1, persist=False)
    memory = store.collection("memory", persist=False)
    memory.doc("1").set(1)
    memory.doc("1").collection("below").doc("2").set(1)
    memory.delete()
    store.commit()
    assert fake.attempts == 0


def test_an_equal_write_is_no_commit(store: grebe.Store, fake: FakePersistor) -> None:
    """The order of keys does not make a difference, types do."""
    doc = store.doc("a/1")
    doc.set({"x": 1, "y": {"b": 1, "a": [1]}})
    store.doc("a/2").set({})
    store.commit()
    doc.set({"y": {"a": [1], "b": 1}, "x": 1})
    doc.update(x=1)
    doc.modify(lambda snapshot: snapshot.data)
    store.commit()
    assert fake.stored() == [["a/1", "a/2"]]
    doc.update(x=1.0)
    store.commit()
    assert fake.stored()[1:] == [["a/1"]]


def test_created_and_deleted_is_nothing_to_undo(store: grebe.Store, fake: FakePersistor) -> None:
    """The put that waited is dropped; the deletion alone goes."""
    store.doc("a/1").set(1)
    store.doc("a/1").delete()
    store.commit()
    assert fake.stored() == [["-a/1"]]


def test_a_failed_commit_loses_nothing(open_store: OpenStore, fake: FakePersistor) -> None:
    """PersistenceError with the cause, on_error called, and the next commit has it all."""
    errors: list[BaseException] = []
    store = open_store(fake, on_error=errors.append)
    fake.failures.append(OSError(28, "No space left on device", "journal"))
    store.doc("a/1").set(1)
    with pytest.raises(
        grebe.PersistenceError, match=r"the commit failed: .*No space left"
    ) as caught:
        store.commit()
    assert isinstance(caught.value.__cause__, OSError)
    assert (caught.value.errno, caught.value.filename) == (28, "journal")
    assert errors == [caught.value]
    assert store.inspect()["commit"]["failures"] == 1
    store.doc("a/2").set(1)
    store.commit()
    assert fake.stored() == [["a/1", "a/2"]]
    assert store.inspect()["commit"]["failures"] == 0


def test_any_exception_of_a_persistor_is_a_persistence_error(
    open_store: OpenStore, fake: FakePersistor
) -> None:
    """Not only OSError; Grebe's own errors stay what they are."""
    store = open_store(fake)
    fake.failures += [ZeroDivisionError(), grebe.CorruptDataError("damaged", "x.json")]
    store.doc("a/1").set(1)
    with pytest.raises(grebe.PersistenceError) as caught:
        store.commit()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(grebe.CorruptDataError, match="damaged"):
        store.commit()


def test_an_interrupted_commit_is_given_again(store: grebe.Store, fake: FakePersistor) -> None:
    """KeyboardInterrupt in the middle of one reaches the caller and loses nothing."""
    fake.failures.append(KeyboardInterrupt())
    store.doc("a/1").set(1)
    with pytest.raises(KeyboardInterrupt):
        store.commit()
    store.commit()
    assert fake.stored() == [["a/1"]]


def test_a_failed_close_leaves_the_store_open(store: grebe.Store, fake: FakePersistor) -> None:
    """Nothing is lost by closing a store whose disk is full; closing again works."""
    fake.failures.append(OSError("full"))
    store.doc("a/1").set(1)
    with pytest.raises(grebe.PersistenceError):
        store.close()
    assert store.doc("a/1").get().data == 1
    store.doc("a/2").set(1)
    store.close()
    assert fake.stored() == [["a/1", "a/2"]]


def test_calls_during_a_commit_share_the_next(
    store: grebe.Store, fake: FakePersistor, threads: Threads
) -> None:
    """Group commit: however many wait, one more commit serves them all."""
    store.doc("a/0").set(1)
    fake.gate.clear()
    threads.start(store.commit)
    assert fake.entered.wait(WAIT_S)
    written = threading.Barrier(6)

    def write(number: int) -> None:
        store.doc(f"a/{number}").set(1)
        written.wait(WAIT_S)
        store.commit()

    threads.start(*(lambda n=n: write(n) for n in range(1, 6)))
    written.wait(WAIT_S)
    fake.gate.set()
    threads.join()
    assert threads.errors == []
    assert [sorted(paths) for paths in fake.stored()] == [
        ["a/0"],
        ["a/1", "a/2", "a/3", "a/4", "a/5"],
    ]


def test_whoever_waits_for_a_failing_commit_hears_of_it(
    store: grebe.Store, fake: FakePersistor, threads: Threads
) -> None:
    """Both the caller that ran it and the one that waited raise."""
    fake.broken = OSError("full")
    fake.gate.clear()
    store.doc("a/1").set(1)
    threads.start(store.commit)
    assert fake.entered.wait(WAIT_S)
    threads.start(store.commit)
    fake.gate.set()
    threads.join()
    assert [type(error) for error in threads.errors] == [grebe.PersistenceError] * 2
    fake.broken = None
    store.commit()
    assert fake.stored() == [["a/1"]]


# --- batches


def test_a_batch_is_in_one_commit(
    store: grebe.Store, fake: FakePersistor, threads: Threads
) -> None:
    """A commit of another thread waits for its end."""
    with store.batch():
        store.doc("a/1").set(1)
        threads.start(store.commit)
        store.doc("a/2").set(1)
        store.doc("a/3").set(1)
    threads.join()
    assert threads.errors == []
    store.commit()
    assert fake.stored() == [["a/1", "a/2", "a/3"]]


@pytest.mark.parametrize("call", ["commit", "checkpoint", "close", "clear"])
def test_waiting_for_ones_own_batch_is_refused(
    store: grebe.Store, fake: FakePersistor, call: str
) -> None:
    """A RuntimeError that says so, and the batch is intact."""
    with store.batch():
        store.doc("a/1").set(1)
        with pytest.raises(RuntimeError, match="inside a batch"):
            getattr(store, call)()
        store.doc("a/2").set(1)
    store.commit()
    assert fake.stored() == [["a/1", "a/2"]]


@pytest.mark.parametrize("call", ["acommit", "acheckpoint", "aclose", "aclear"])
def test_the_same_for_coroutines(store: grebe.Store, fake: FakePersistor, call: str) -> None:
    """Another task may wait for the batch, its own task may not."""

    async def main() -> None:
        with store.batch():
            store.doc("a/1").set(1)
            with pytest.raises(RuntimeError, match="inside a batch"):
                await getattr(store, call)()
            other = asyncio.create_task(getattr(store, call)())
            for _ in range(5):
                await asyncio.sleep(0)
            if call != "aclear":
                assert not other.done()
            store.doc("a/2").set(1)
        await asyncio.wait_for(other, WAIT_S)

    asyncio.run(main())
    assert len(fake.commits) == 1


def test_another_task_may_not_block_the_loop_for_a_batch(store: grebe.Store) -> None:
    """commit() on the batch's thread would never return, whichever task calls it."""

    async def other() -> None:
        with pytest.raises(RuntimeError, match="inside a batch"):
            store.commit()

    async def main() -> None:
        with store.batch():
            store.doc("a/1").set(1)
            await asyncio.create_task(other())

    asyncio.run(main())


def test_a_transaction_is_in_one_commit(store: grebe.Store, fake: FakePersistor) -> None:
    """With nothing before its exit."""
    with store.transaction() as tx:
        tx.set(store.doc("a/1"), 1)
        store.commit()
        tx.set(store.doc("a/2"), 1)
    store.commit()
    assert fake.stored() == [["a/1", "a/2"]]


# --- the committer's own thread


def test_a_write_is_committed_by_itself(open_store: OpenStore, fake: FakePersistor) -> None:
    """Within the interval, on another thread; again after a pause, when it has gone to sleep."""
    store = open_store(fake, commit_interval=0.001)
    for count in range(1, 4):
        store.doc(f"a/{count}").set(1)
        fake.wait_for_commits(count)
        driver: Any = store._lifecycle._driver
        while not driver.committer.asleep:
            driver._stop.wait(0.001)
    assert threading.get_ident() not in fake.threads


def test_a_failed_commit_is_tried_again_by_itself(
    open_store: OpenStore, fake: FakePersistor
) -> None:
    """Without anybody calling commit(); on_error is called for each failure."""
    errors: list[BaseException] = []
    store = open_store(fake, commit_interval=0.001, on_error=errors.append)
    fake.failures.append(OSError("busy"))
    store.doc("a/1").set(1)
    fake.wait_for_commits(1)
    assert fake.stored() == [["a/1"]]
    assert len(errors) == 1


def test_the_window_holds_the_last_value(open_store: OpenStore, fake: FakePersistor) -> None:
    """Everything in the window is one commit, each document in it once."""
    store = open_store(fake)
    for n in range(20):
        store.doc("a/1").set(n)
        store.doc("a/2").set(n)
    store.commit()
    assert [[put.value for put in batch.operations] for batch in fake.commits] == [[b"19", b"19"]]


def test_a_store_that_is_not_closed_commits_at_exit(
    open_store: OpenStore, fake: FakePersistor
) -> None:
    """What atexit calls commits and closes."""
    store = open_store(fake)
    store.doc("a/1").set(1)
    store._lifecycle._at_exit()
    assert fake.stored() == [["a/1"]]
    assert store.closed


def test_an_exit_that_cannot_commit_is_logged(
    open_store: OpenStore, fake: FakePersistor, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not raise in the interpreter's shutdown."""
    store = open_store(fake)
    store.doc("a/1").set(1)
    fake.failures.append(OSError("full"))
    with caplog.at_level(logging.ERROR, "grebe"):
        store._lifecycle._at_exit()
    assert "could not be closed at exit" in caplog.text


# --- callbacks


def test_on_commit_gets_each_batch(open_store: OpenStore, fake: FakePersistor) -> None:
    """After it is durable; one that raises is logged and harms nothing."""
    seen: list[Batch] = []
    store = open_store(fake, on_commit=seen.append)
    store.doc("a/1").set(1)
    store.commit()
    assert seen == fake.commits


def test_a_callback_that_raises_is_logged(
    open_store: OpenStore, fake: FakePersistor, caplog: pytest.LogCaptureFixture
) -> None:
    """The commit stands."""

    def fails(_: object) -> None:
        raise ZeroDivisionError

    store = open_store(fake, on_commit=fails, on_error=fails, on_hydrate=fails)
    fake.failures.append(OSError("full"))
    store.doc("a/1").set(1)
    with caplog.at_level(logging.ERROR, "grebe"), pytest.raises(grebe.PersistenceError):
        store.commit()
    store.commit()
    assert fake.stored() == [["a/1"]]
    assert caplog.text.count("ZeroDivisionError") >= 2


def test_callbacks_go_through_the_scheduler(open_store: OpenStore, fake: FakePersistor) -> None:
    """If there is one, they run when it says."""
    waiting: list[Callable[[], None]] = []
    seen: list[object] = []
    store = open_store(fake, scheduler=waiting.append, on_commit=seen.append)
    store.doc("a/1").set(1)
    store.commit()
    assert seen == []
    for fn in waiting:
        fn()
    assert seen == fake.commits


# --- persistors with coroutines


class AsyncPersistor(FakePersistor):
    """Its methods are coroutines, and all run on one loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loops: set[int] = set()

    async def open(self) -> None:  # type: ignore[override]
        self._note()

    async def commit(self, batch: Batch) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self._note()
        super().commit(batch)

    async def load(self, paths: Any) -> Any:  # type: ignore[override]
        self._note()
        return []

    async def load_metadata(self) -> bytes | None:  # type: ignore[override]
        self._note()
        return None

    async def checkpoint(self) -> None:
        self._note()

    async def close(self) -> None:  # type: ignore[override]
        self._note()

    def _note(self) -> None:
        self.loops.add(id(asyncio.get_running_loop()))


def test_a_persistor_may_have_coroutines(open_store: OpenStore) -> None:
    """They are awaited on one loop of their own, also when a loop runs here."""
    fake = AsyncPersistor()
    store = open_store(fake)

    async def main() -> None:
        store.doc("a/1").set(1)
        store.commit()
        store.doc("a/2").set(1)
        await store.acommit()
        await store.acheckpoint()
        await store.aclose()

    asyncio.run(main())
    assert fake.stored() == [["a/1"], ["a/2"]]
    assert len(fake.loops) == 1


# --- no threads: the asyncio driver


def store_without_threads(fake: FakePersistor, interval_s: float = 0.001) -> grebe.Store:
    return grebe.Store(
        fake,
        CollectionOptions(),
        None,
        Callbacks(),
        hydrate=True,
        commit_interval_s=interval_s,
        read_only=False,
        threads=False,
    )


def test_a_task_commits_where_there_are_no_threads() -> None:
    """A write is committed by itself in the running loop; acommit() and aclose() await it."""
    fake = AsyncPersistor()

    async def main() -> None:
        store = store_without_threads(fake)
        await store._lifecycle.open()
        store.doc("a/1").set(1)
        while not fake.commits:
            await asyncio.sleep(0)
        store.doc("a/2").set(1)
        await store.acommit()
        store.doc("a/3").set(1)
        await store.aclose()

    before = threading.active_count()
    asyncio.run(asyncio.wait_for(main(), WAIT_S))
    assert threading.active_count() == before
    assert fake.stored() == [["a/1"], ["a/2"], ["a/3"]]
    assert set(fake.threads) == {threading.get_ident()}


def test_blocking_calls_are_refused_where_there_are_no_threads() -> None:
    """commit() says to use the asynchronous call; nothing is lost by the attempt."""
    fake = AsyncPersistor()

    async def main() -> None:
        store = store_without_threads(fake)
        await store._lifecycle.open()
        store.doc("a/1").set(1)
        with pytest.raises(RuntimeError, match=r"without threads; use await store.acommit\(\)"):
            store.commit()
        await store.acommit()
        await store.aclose()

    asyncio.run(asyncio.wait_for(main(), WAIT_S))
    assert fake.stored() == [["a/1"]]


def test_a_task_tries_again_after_a_failure() -> None:
    """acommit() raises; the task goes on by itself; a batch is never split."""
    fake = FakePersistor()
    fake.broken = OSError("full")

    async def main() -> None:
        store = store_without_threads(fake)
        await store._lifecycle.open()
        with store.batch():
            store.doc("a/1").set(1)
            waiting = asyncio.create_task(store.acommit())
            for _ in range(20):
                await asyncio.sleep(0)
            store.doc("a/2").set(1)
        with pytest.raises(grebe.PersistenceError, match="full"):
            await waiting
        fake.broken = None
        while not fake.commits:
            await asyncio.sleep(0)
        await store.aclose()

    asyncio.run(asyncio.wait_for(main(), WAIT_S))
    assert fake.stored() == [["a/1", "a/2"]]
