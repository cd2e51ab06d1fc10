"""Asynchronous iterators over values and changes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from grebe.reactive.change import Change
from grebe.reactive.observer import Observer

V = TypeVar("V")
T = TypeVar("T")

log = logging.getLogger("grebe")


class _Buffer:
    """Items between the thread that broadcasts and the loop that reads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, size_max: int | None, what: str) -> None:
        self.items: deque[Any] = deque(maxlen=size_max)
        self.ended = False
        self._loop = loop
        self._ready = asyncio.Event()
        self._what = what
        self._warn = size_max is not None and size_max > 1

    def put(self, item: Any) -> None:
        if self._warn and len(self.items) == self.items.maxlen:
            self._warn = False
            log.warning("a stream of %s is read too slowly: its oldest values go", self._what)
        self.items.append(item)
        self._wake()

    def end(self) -> None:
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        # The loop may be over while another thread still writes.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ready.set)

    async def next(self) -> Any:
        while not self.items:
            if self.ended:
                raise StopAsyncIteration
            self._ready.clear()
            if not self.items and not self.ended:
                await self._ready.wait()
        return self.items.popleft()


class _Stream:
    """What both kinds share: a buffer filled by an observer that ends with the stream."""

    _buffer: _Buffer
    _observer: Observer[Any, Any]

    async def aclose(self) -> None:
        """Stop watching; the iteration ends."""
        self._observer.close()

    def __aiter__(self) -> Self:
        """Return the stream itself."""
        return self

    async def __aenter__(self) -> Self:
        """Return the stream."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching."""
        await self.aclose()

    def __del__(self) -> None:
        """Stop watching when the reader is gone: `break` in an `async for` closes nothing."""
        observer = getattr(self, "_observer", None)
        if observer is not None:
            observer.close()

    def __repr__(self) -> str:
        """Show what is watched."""
        return f"<{type(self).__name__} of {self._observer._source.name}>"


class ValueStream(_Stream, AsyncIterator[V], Generic[V]):
    """The value now, then one for each broadcast that affects it; ends with the store."""

    def __init__(self, observer: Observer[V, Any], buffer: int | str) -> None:
        if buffer == "latest":
            size_max = 1
        elif isinstance(buffer, int) and not isinstance(buffer, bool) and buffer > 0:
            size_max = buffer
        else:
            observer.close()
            raise ValueError(f"buffer= is 'latest' or a number of values, not {buffer!r}")
        self._observer = observer
        self._buffer = _Buffer(asyncio.get_running_loop(), size_max, observer._source.name)
        observer.subscribe(self._buffer.put)
        observer.on_close(self._buffer.end)
        self._buffer.put(observer.get())

    async def __anext__(self) -> V:
        """Wait for the next value."""
        return await self._buffer.next()  # type: ignore[no-any-return]


class ChangeStream(_Stream, AsyncIterator[list[Change[T]]], Generic[T]):
    """Lists of changes, one for each broadcast that affects what is watched; none is dropped."""

    def __init__(self, observer: Observer[Any, T]) -> None:
        self._observer = observer
        self._buffer = _Buffer(asyncio.get_running_loop(), None, observer._source.name)
        observer.subscribe_changes(self._buffer.put)
        observer.on_close(self._buffer.end)

    async def __anext__(self) -> list[Change[T]]:
        """Wait for the next list of changes."""
        return await self._buffer.next()  # type: ignore[no-any-return]
