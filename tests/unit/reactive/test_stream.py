"""Asynchronous iteration over values and changes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import grebe
from grebe import Event

OpenStore = Callable[..., grebe.Store]


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), 10))


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_the_current_value_comes_first(store: grebe.Store) -> None:
    """None for a missing document, an empty result for an empty query, then each new one."""
    doc, users = store.doc("users/1"), store.collection("users")

    async def main() -> None:
        one, many = doc.stream(), users.stream()
        assert await anext(one) is None
        assert await anext(many) == []
        doc.set({"n": 1})
        assert (await anext(one)).data == {"n": 1}
        assert [s.id for s in await anext(many)] == ["1"]
        doc.delete()
        assert await anext(one) is None
        assert await anext(many) == []

    run(main)


def test_a_slow_reader_gets_the_latest_value(store: grebe.Store) -> None:
    """With buffer="latest" there is no backlog, the first value included."""
    doc = store.doc("users/1")

    async def main() -> None:
        stream = doc.stream()
        for n in range(5):
            doc.set({"n": n})
            await turn()
        assert (await anext(stream)).data == {"n": 4}
        doc.set({"n": 5})
        assert (await anext(stream)).data == {"n": 5}

    run(main)


def test_a_buffer_keeps_the_last_n(store: grebe.Store, caplog: pytest.LogCaptureFixture) -> None:
    """buffer=n keeps each value while there are no more than n, then the oldest go, logged once."""
    doc = store.doc("users/1")

    async def main() -> None:
        stream = doc.stream(buffer=3)
        for n in range(2):
            doc.set({"n": n})
            await turn()
        found = [await anext(stream) for _ in range(3)]
        assert [None if s is None else s.data["n"] for s in found] == [None, 0, 1]
        assert caplog.records == []
        for n in range(2, 9):
            doc.set({"n": n})
            await turn()
        assert [(await anext(stream)).data["n"] for _ in range(3)] == [6, 7, 8]
        assert len(caplog.records) == 1

    run(main)


@pytest.mark.parametrize("buffer", [0, -1, True, "all", None, 1.5])
def test_other_buffers_are_refused(store: grebe.Store, buffer: Any) -> None:
    """A ValueError, and no observer is left behind."""

    async def main() -> None:
        with pytest.raises(ValueError, match="buffer="):
            store.doc("x").stream(buffer=buffer)

    run(main)
    assert store.inspect()["observers"] == []


def test_no_change_is_dropped(store: grebe.Store) -> None:
    """stream_changes() keeps every list of changes, however slow the reader; none at first."""
    users = store.collection("users")
    users.doc("0").set({})

    async def main() -> None:
        stream = users.stream_changes()
        for n in range(1, 50):
            users.doc(str(n)).set({})
            await turn()
        found = [await anext(stream) for _ in range(1, 50)]
        assert [[(c.event, c.id) for c in told] for told in found] == [
            [(Event.ADDED, str(n))] for n in range(1, 50)
        ]

    run(main)


def test_a_stream_ends_with_the_store(open_store: OpenStore) -> None:
    """Readers that wait finish their loops when it is closed."""
    store = open_store()

    async def read(stream: Any) -> int:
        return len([value async for value in stream])

    async def main() -> None:
        readers = [
            asyncio.create_task(read(store.doc("x").stream())),
            asyncio.create_task(read(store.collection("users").stream())),
            asyncio.create_task(read(store.collection("users").stream_changes())),
        ]
        await turn()
        await store.aclose()
        assert await asyncio.gather(*readers) == [1, 1, 0]

    run(main)


def test_what_is_buffered_is_read_before_the_end(open_store: OpenStore) -> None:
    """Changes that were told before the store closed are still handed out."""
    store = open_store()
    users = store.collection("users")

    async def main() -> None:
        stream = users.stream_changes()
        users.doc("1").set({})
        await turn()
        await store.aclose()
        assert [[c.id for c in told] async for told in stream] == [["1"]]

    run(main)


@pytest.mark.parametrize("close", ["close", "aclose"])
def test_what_was_written_before_the_end_is_told(open_store: OpenStore, close: str) -> None:
    """Closing in the same turn drops no change."""
    store = open_store()
    users = store.collection("users")

    async def main() -> None:
        stream = users.stream_changes()
        users.doc("1").set({})
        if close == "close":
            store.close()
        else:
            await store.aclose()
        assert [[c.id for c in told] async for told in stream] == [["1"]]

    run(main)


def test_break_lets_go(store: grebe.Store) -> None:
    """Leaving an `async for` releases the observer."""
    users = store.collection("users")

    async def main() -> None:
        async for _ in users.stream():
            break
        async for _ in store.doc("x").stream():
            break
        gc.collect()
        assert store.inspect()["observers"] == []

    run(main)


def test_aclose_and_async_with_end_it(store: grebe.Store) -> None:
    """Both close the observer, and the iteration is over."""
    users = store.collection("users")

    async def main() -> None:
        async with users.stream_changes() as changes:
            assert len(store.inspect()["observers"]) == 1
        stream = users.stream()
        await stream.aclose()
        await stream.aclose()
        assert store.inspect()["observers"] == []
        with pytest.raises(StopAsyncIteration):
            await anext(changes)
        assert [len(value) async for value in stream] == [0]

    run(main)


def test_a_cancelled_reader_loses_nothing(store: grebe.Store) -> None:
    """A timeout while waiting leaves the stream usable."""
    users = store.collection("users")

    async def main() -> None:
        stream = users.stream_changes()
        waiting = asyncio.ensure_future(anext(stream))
        await turn()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        users.doc("1").set({})
        assert [c.id for c in await anext(stream)] == ["1"]

    run(main)


def test_writes_of_another_thread_arrive(store: grebe.Store) -> None:
    """The reader's loop is woken from the writing thread."""
    users = store.collection("users")

    async def main() -> None:
        stream = users.stream_changes()
        await asyncio.to_thread(lambda: [users.doc(str(i)).set({}) for i in range(20)])
        found = [await anext(stream) for _ in range(20)]
        assert [told[0].id for told in found] == [str(i) for i in range(20)]

    run(main)


def test_a_stream_needs_a_loop(store: grebe.Store) -> None:
    """Without one it is a RuntimeError, and no observer stays."""
    with pytest.raises(RuntimeError):
        store.collection("users").stream()
    with pytest.raises(RuntimeError):
        store.collection("users").stream_changes()
    gc.collect()
    assert store.inspect()["observers"] == []


def test_a_writer_outlives_the_readers_loop(store: grebe.Store) -> None:
    """Writes go on when a stream's loop is closed and the stream still there."""
    users = store.collection("users")
    streams: list[Any] = []

    async def main() -> None:
        streams.append(users.stream())

    asyncio.run(main())
    users.doc("1").set({})
    assert users.doc("1").exists()


def test_streams_show_what_they_watch(store: grebe.Store) -> None:
    """repr() names the kind of stream and the path."""

    async def main() -> None:
        assert repr(store.doc("x").stream()) == "<ValueStream of document 'root/x'>"
        changes = store.collection("users").stream_changes()
        assert repr(changes) == "<ChangeStream of Collection 'users'>"

    run(main)
