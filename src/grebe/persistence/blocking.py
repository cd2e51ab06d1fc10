"""Calls a persistor's methods so that they block, whether they are plain or `async def`.

With threads, awaitables run on an event loop in a thread of its own. In a browser there are none;
there the Python code that waits can be suspended while the page goes on (JSPI, "JavaScript Promise
Integration"), if the browser has that and JavaScript entered Python in a way that allows it.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

R = TypeVar("R")

HAS_THREADS = sys.platform != "emscripten"
"""Whether threads can be started; asked of the platform, as trying would be no better."""


def can_suspend() -> bool:
    """Tell whether `suspend` works right here. Only asked where there are no threads."""
    try:
        from pyodide.ffi import can_run_sync
    except ImportError:  # no Pyodide
        return False
    return bool(can_run_sync())


def suspend(awaitable: Awaitable[R]) -> R:
    """Return the result of an awaitable; other tasks of the page run meanwhile."""
    from pyodide.ffi import run_sync

    return run_sync(awaitable)  # type: ignore[no-any-return]


class BlockingCalls:
    """Runs awaitables on an event loop in a thread of its own, made when first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of a method, awaited if need be."""
        result = method(*arguments)
        if result is None or not inspect.isawaitable(result):
            return result
        if not HAS_THREADS:
            return suspend(_await(result))
        return asyncio.run_coroutine_threadsafe(_await(result), self._running_loop()).result()

    def close(self) -> None:
        """Stop the loop and its thread, if there is one."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="grebe-persistor", daemon=True
                )
                self._thread.start()
            return self._loop


async def _await(awaitable: Any) -> Any:
    return await awaitable
