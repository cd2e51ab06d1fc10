"""When observers are told: at the end of a batch, in the loop's next turn, by a scheduler."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import grebe
from grebe.reactive.live_query import LiveQuery

OpenStore = Callable[..., grebe.Store]


def sizes(observer: grebe.Observer[Any, Any]) -> list[int]:
    """Have the length of each value that the observer delivers collected."""
    found: list[int] = []
    observer.subscribe(lambda value: found.append(len(value)))
    return found


# --- a running event loop


def test_writes_of_one_turn_are_told_in_the_next_iteration(store: grebe.Store) -> None:
    """With a loop in the writing thread nothing is delivered before the task yields."""
    users = store.collection("users")
    told = sizes(users.observe())

    async def main() -> None:
        users.doc("1").set({})
        users.doc("2").set({})
        assert told == []
        await asyncio.sleep(0)
        assert told == [2]
        users.doc("3").set({})
        await asyncio.sleep(0)
        assert told == [2, 3]

    asyncio.run(main())


def test_writes_of_several_tasks_of_one_iteration_come_together(store: grebe.Store) -> None:
    """The turn is the loop's, not the task's."""
    users = store.collection("users")
    told = sizes(users.observe())

    async def write(key: str) -> None:
        users.doc(key).set({})

    async def main() -> None:
        await asyncio.gather(*(write(str(i)) for i in range(5)))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert told == [5]


def test_broadcast_delivers_now(store: grebe.Store) -> None:
    """store.broadcast() does not wait for the loop, and leaves nothing to it."""
    users = store.collection("users")
    told = sizes(users.observe())

    async def main() -> None:
        users.doc("1").set({})
        store.broadcast()
        assert told == [1]
        await asyncio.sleep(0)

    asyncio.run(main())
    assert told == [1]


def test_a_second_loop_is_used_after_the_first(store: grebe.Store) -> None:
    """What a finished loop left undone is delivered by whoever comes next."""
    users = store.collection("users")
    told = sizes(users.observe())

    async def write(key: str) -> None:
        users.doc(key).set({})

    loop = asyncio.new_event_loop()
    loop.run_until_complete(write("1"))
    loop.close()  # its next iteration never comes
    asyncio.run(write("2"))
    users.doc("3").set({})
    assert told in ([2, 3], [1, 2, 3])


def test_a_subscriber_that_writes_in_a_loop(store: grebe.Store) -> None:
    """Its write is told too, in a later call, without recursion."""
    users = store.collection("users")
    told: list[int] = []

    def more(value: Any) -> None:
        told.append(len(value))
        if len(value) < 3:
            users.doc(str(len(value))).set({})

    users.observe().subscribe(more)

    async def main() -> None:
        users.doc("0").set({})
        for _ in range(4):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert told == [1, 2, 3]


def test_a_batch_of_a_task_is_told_at_its_end(store: grebe.Store) -> None:
    """The loop's next iteration comes in the middle of the batch and tells nothing of it."""
    users = store.collection("users")
    told = sizes(users.observe())

    async def main() -> None:
        users.doc("before").set({})
        with store.batch():
            users.doc("1").set({})
            for _ in range(3):
                await asyncio.sleep(0)
            users.doc("2").set({})
        await asyncio.sleep(0)

    asyncio.run(main())
    assert told == [3]


def test_a_broadcast_of_nothing_does_not_split_a_later_batch(store: grebe.Store) -> None:
    """store.broadcast() tells what was written before it, and leaves no order behind."""
    users = store.collection("users")
    told = sizes(users.observe())
    store.broadcast()

    async def main() -> None:
        users.doc("before").set({})
        with store.batch():
            users.doc("1").set({})
            await asyncio.sleep(0)
            users.doc("2").set({})
        await asyncio.sleep(0)

    asyncio.run(main())
    assert told == [3]


# --- a scheduler


def test_a_scheduler_decides_when(open_store: OpenStore) -> None:
    """It is asked once for all writes until it runs the function it was given."""
    waiting: list[Callable[[], None]] = []
    store = open_store(scheduler=waiting.append)
    users = store.collection("users")
    told = sizes(users.observe())
    users.doc("1").set({})
    users.doc("2").set({})
    assert (told, len(waiting)) == ([], 1)
    waiting.pop()()
    assert told == [2]
    users.doc("3").set({})
    assert len(waiting) == 1
    waiting.pop()()
    assert told == [2, 3]


def test_a_scheduler_may_run_at_once(open_store: OpenStore) -> None:
    """Also while a subscriber writes."""
    store = open_store(scheduler=lambda fn: fn())
    users = store.collection("users")
    told: list[int] = []

    def more(value: Any) -> None:
        told.append(len(value))
        if len(value) < 3:
            users.doc(str(len(value))).set({})

    users.observe().subscribe(more)
    users.doc("0").set({})
    assert told == [1, 2, 3]


def test_a_scheduler_that_fails_is_asked_again(open_store: OpenStore) -> None:
    """Its exception reaches the writer, whose write stays, and the next write is told."""
    calls: list[Callable[[], None]] = []

    def schedule(fn: Callable[[], None]) -> None:
        if not calls:
            calls.append(fn)
            raise RuntimeError("no window yet")
        fn()

    store = open_store(scheduler=schedule)
    users = store.collection("users")
    told = sizes(users.observe())
    with pytest.raises(RuntimeError, match="no window yet"):
        users.doc("1").set({})
    assert users.doc("1").exists()
    users.doc("2").set({})
    assert told == [2]


def test_nobody_watching_asks_no_scheduler(open_store: OpenStore) -> None:
    """A store without observers never bothers it."""
    waiting: list[Any] = []
    store = open_store(scheduler=waiting.append)
    store.doc("users/1").set({})
    store.doc("users/1").touch()
    assert waiting == []


# --- threads


def test_a_write_of_another_thread_is_told_there(store: grebe.Store) -> None:
    """Without loop or scheduler, subscribers run on the thread that wrote."""
    threads: list[int] = []
    store.collection("users").observe().subscribe(lambda _: threads.append(threading.get_ident()))
    writer = threading.Thread(target=lambda: store.doc("users/1").set({}))
    writer.start()
    writer.join()
    assert threads == [writer.ident]


def test_a_broadcast_of_one_thread_does_not_split_the_batch_of_another(
    store: grebe.Store,
) -> None:
    """A thread that is delivering leaves alone what an open batch has written so far."""
    users = store.collection("users")
    told: list[list[str]] = []
    in_batch, delivering, finish = threading.Event(), threading.Event(), threading.Event()

    def subscriber(value: Any) -> None:
        told.append([user.id for user in value])
        if len(told) == 1:
            delivering.set()
            assert in_batch.wait(10)

    users.observe().subscribe(subscriber)

    def write_batch() -> None:
        assert delivering.wait(10)
        with store.batch():
            users.doc("batch 1").set({})
            in_batch.set()
            assert finish.wait(10)
            users.doc("batch 2").set({})

    other = threading.Thread(target=write_batch)
    other.start()
    users.doc("first").set({})
    finish.set()
    other.join()
    assert told == [["first"], ["first", "batch 1", "batch 2"]]


def test_threads_that_write_at_once_are_all_told(store: grebe.Store) -> None:
    """Whoever has the turn tells what the others wrote, to the last; nobody has to ask again."""
    users = store.collection("users")
    told: dict[str, Any] = {}

    def see(changes: list[grebe.Change[Any]]) -> None:
        told.update((change.id, change.data) for change in changes)

    users.observe().subscribe_changes(see)

    def write(name: str) -> None:
        for n in range(100):
            users.doc(f"{name}{n % 7}").set({"n": n})

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert told == {user.id: user.data for user in users}
    assert store.inspect()["pending"] == {}


def test_a_write_in_the_last_moment_is_told(store: grebe.Store) -> None:
    """It finds the turn taken, by a thread that saw nothing more to tell."""
    users = store.collection("users")
    told = sizes(users.observe())
    broadcasting = store._engine.broadcasting
    turn = broadcasting._turn

    class Turn:
        acquire = turn.acquire
        asked = False

        def release(self) -> None:
            if not self.asked:
                self.asked = True
                other = threading.Thread(target=lambda: users.doc("2").set({}))
                other.start()
                other.join()
            turn.release()

    broadcasting._turn = Turn()  # type: ignore[assignment]
    users.doc("1").set({})
    assert told == [1, 2]


def test_writes_of_a_subscriber_are_told_together(store: grebe.Store) -> None:
    """They wait until it is done, and are one broadcast."""
    users = store.collection("users")
    told: list[list[str]] = []

    def more(changes: list[grebe.Change[Any]]) -> None:
        told.append([change.id for change in changes])
        if len(told) == 1:
            users.doc("2").set({})
            users.doc("3").set({})

    users.observe().subscribe_changes(more)
    users.doc("1").set({})
    assert told == [["1"], ["2", "3"]]


def test_an_interrupted_write_is_told_with_the_next(store: grebe.Store) -> None:
    """It was written when the interrupt came; who looked before it is not told twice."""
    users = store.collection("users")
    calls: list[str] = []

    def condition(user: grebe.Snapshot[Any]) -> bool:
        calls.append(user.id)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return True

    told: list[list[str]] = []
    for query in (users, users.where(condition)):
        query.observe().subscribe_changes(lambda changes: told.append([c.id for c in changes]))
    with pytest.raises(KeyboardInterrupt):
        users.doc("1").set({})
    assert users.doc("1").exists()
    users.doc("2").set({})
    assert sorted(told) == [["1"], ["1", "2"], ["2"]]


def test_an_interrupted_result_takes_the_write_in_later(
    store: grebe.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no function of the user is in between."""

    def interrupt(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    users = store.collection("users")
    told: list[list[str]] = []
    users.observe().subscribe_changes(lambda changes: told.append([c.id for c in changes]))
    with monkeypatch.context() as patch:
        patch.setattr(LiveQuery, "collect_one", interrupt)
        with pytest.raises(KeyboardInterrupt):
            users.doc("1").set({})
    users.doc("2").set({})
    assert told == [["1", "2"]]


def test_a_condition_that_reads_another_result_sees_the_write(store: grebe.Store) -> None:
    """What a live value says is current, also to a function that is asked before that is told."""
    users = store.collection("users")
    seen: list[int] = []
    first = users.where(lambda user: bool(seen.append(len(all_users.get()))) or True).observe()
    all_users = users.observe()
    with first, all_users:
        for n in range(1, 4):
            users.doc(str(n)).set({"n": n})
        assert [len(first.get()), seen] == [3, [1, 2, 3]]


def test_broadcast_waits_for_the_thread_that_delivers(store: grebe.Store) -> None:
    """When store.broadcast() returns, what was written before it has been told."""
    users = store.collection("users")
    inside, go_on = threading.Event(), threading.Event()
    told: list[int] = []

    def subscriber(value: Any) -> None:
        if not told:
            inside.set()
            assert go_on.wait(10)
        told.append(len(value))

    users.observe().subscribe(subscriber)
    other = threading.Thread(target=lambda: users.doc("1").set({}))
    other.start()
    assert inside.wait(10)
    releaser = threading.Timer(0.01, go_on.set)
    releaser.start()
    store.broadcast()
    assert told == [1]
    other.join()
    releaser.join()


# --- cost


def test_idle_observers_are_not_visited(store: grebe.Store) -> None:
    """A write asks only those who watch its document or collection."""
    asked: list[str] = []

    def condition(name: str) -> Callable[[Any], bool]:
        return lambda snapshot: asked.append(name) is None

    for name in ("a", "b", "c"):
        store.collection(name).where(condition(name)).observe()
    store.doc("b/1").set({})
    store.doc("b/1/nested/2").set({})
    assert asked == ["b"]


def test_pending_events_can_be_inspected(open_store: OpenStore) -> None:
    """inspect() names what waits for the broadcast."""
    store = open_store(scheduler=lambda fn: None)
    store.collection("users").observe()
    store.doc("users/1").set({})
    assert store.inspect()["pending"] == {"users": ["1"]}
    store.broadcast()
    assert store.inspect()["pending"] == {}
