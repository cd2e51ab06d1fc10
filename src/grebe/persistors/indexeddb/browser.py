"""A database in a browser's IndexedDB: the only module that calls JavaScript.

What shapes it:
1. An await inside a transaction ends it, so everything is issued at once and then awaited.
2. A transaction is durable at its `complete` event, not when its requests have succeeded.
3. An exception in a function called by JavaScript reaches nobody: those here settle a future.
4. JavaScript's null is `jsnull`, not None.
5. When nobody holds a bucket any more, the transactions in it never end.
6. The lock is a Web Lock: the browser lets go of it when the page dies, so it is never stale.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from grebe.errors import PersistenceError
from grebe.persistors.indexeddb.copies import APART, MAIN
from grebe.persistors.indexeddb.database import MAPS, Change, Database, Range

VERSION = 1
LEAVING = ("pagehide", "visibilitychange")


class BrowserDatabase:
    """See Database. Outside a browser only `open` and `lock` can be called, and say so."""

    mended: tuple[str, ...] = ()

    def __init__(self, name: str, bucket: str | None = None) -> None:
        """Name the database, and the storage bucket it is in; None is the one every site has."""
        self._name = name
        self._bucket = bucket
        self._connection: Any = None
        self._home: Any = None
        self.lost = False
        self.deleted = ""
        self._release: Callable[[], object] | None = None
        self._held: Any = None
        self._handlers: list[Any] = []

    async def lock(self) -> bool:
        """See Database."""
        js, ffi = _javascript()
        locks = getattr(js.navigator, "locks", None)
        if locks is None:
            raise PersistenceError(
                f"indexeddb:{self._name} needs Web Locks, which a browser has for https pages and "
                "for localhost only; serve the page from there"
            )
        granted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def decide(lock: Any) -> Any:
            if granted.done():
                return None
            if lock is None or lock is ffi.jsnull:
                granted.set_result(False)
                return None
            until = js.Promise.withResolvers()
            self._release = until.resolve
            granted.set_result(True)
            return until.promise

        callback = ffi.create_proxy(decide)
        options = _object({"ifAvailable": True})
        self._held = (
            js.navigator.locks.request(f"grebe:{self._name}", options, callback),
            callback,
        )
        if not await granted:
            await self.unlock()
            return False
        return True

    async def unlock(self) -> None:
        """See Database."""
        if self._held is None:
            return
        (held, callback), self._held = self._held, None
        release, self._release = self._release, None
        if release is not None:
            release()
        await held  # until then another would not get it
        callback.destroy()

    async def open(self, *, create: bool) -> None:
        """See Database."""
        self.close()
        self.deleted = ""
        self._home = await _home(self._bucket)
        request = self._home.indexedDB.open(self._name, VERSION)
        missing = False

        def upgrade(event: Any) -> None:
            nonlocal missing
            if getattr(event, "dataLoss", "none") == "total":
                self.deleted = str(event.dataLossMessage)
            if not create:
                missing = True
                event.target.transaction.abort()
                return
            for name in MAPS:
                event.target.result.createObjectStore(name)

        try:
            await _settled(request, "success", ("error",), {"upgradeneeded": upgrade})
        except OSError as error:
            if missing:
                raise FileNotFoundError(errno.ENOENT, "it does not exist") from error
            raise
        connection = request.result
        if sorted(connection.objectStoreNames) != sorted(MAPS):
            connection.close()
            raise PersistenceError(f"the database {self._name} is not of Grebe; use another name")
        self._connection = connection
        self.lost = False
        # Another tab wants to delete the database, and would wait; or the browser has closed it.
        self._listen(connection, "versionchange", lambda _: self._lose())
        self._listen(connection, "close", lambda _: self._lose())

    def write(self, change: Change) -> Awaitable[None]:
        """See Database."""
        _, ffi = _javascript()
        names = {name for name, _, _ in (*change.puts, *change.deletions)}
        transaction = self._transaction(names, "readwrite")
        done = _settled(transaction, "complete", ("abort",))
        try:
            stores = {name: transaction.objectStore(name) for name in names}
            for name, first, last in change.deletions:
                stores[name].delete(_key_range(first, last))
            for name, number, data in change.puts:
                stores[name].put(ffi.to_js(data), number)
            transaction.commit()
        except ffi.JsException as error:
            transaction.abort()
            raise _as_os_error(error) from error
        return done

    async def read(self, *ranges: Range) -> list[dict[int, bytes]]:
        """See Database."""
        transaction = self._transaction({name for name, _, _ in ranges}, "readonly")
        done = _settled(transaction, "complete", ("abort",))
        requests = []
        for name, first, last in ranges:
            store, keys = transaction.objectStore(name), _key_range(first, last)
            requests.append((store.getAllKeys(keys), store.getAll(keys)))
        await done
        return [
            {int(k): v.to_bytes() for k, v in zip(keys.result, values.result, strict=True)}
            for keys, values in requests
        ]

    async def spare(self, name: str, number: int) -> bytes | None:
        """See Database."""
        return None

    def when_leaving(self, callback: Callable[[], None]) -> None:
        """See Database."""
        js, _ = _javascript()

        def leave(event: Any) -> None:
            if event.type == "pagehide" or js.document.visibilityState == "hidden":
                callback()

        for name in LEAVING:
            # A worker has no page: it is not told either.
            target = js.document if name == "visibilitychange" and hasattr(js, "document") else js
            self._listen(target, name, leave)

    def close(self) -> None:
        """See Database."""
        connection, self._connection = self._connection, None
        handlers, self._handlers = self._handlers, []
        for remove in handlers:
            remove()
        if connection is not None:
            connection.close()

    def _lose(self) -> None:
        self.close()
        self.lost = True

    def _transaction(self, names: set[str], mode: str) -> Any:
        _, ffi = _javascript()
        if self._connection is None:
            raise OSError(errno.ENOTCONN, "the browser or another tab has closed it")
        options = _object({"durability": "strict"})
        try:
            return self._connection.transaction(ffi.to_js(sorted(names)), mode, options)
        except ffi.JsException as error:
            if error.name == "InvalidStateError":
                self._lose()
                raise OSError(errno.ENOTCONN, "the browser has closed it") from error
            raise _as_os_error(error) from error

    def _listen(self, target: Any, name: str, handler: Callable[[Any], None]) -> None:
        _, ffi = _javascript()
        proxy = ffi.create_proxy(handler)
        target.addEventListener(name, proxy)

        def remove() -> None:
            target.removeEventListener(name, proxy)
            # Not now: this may be called by the very handler.
            asyncio.get_running_loop().call_soon(proxy.destroy)

        self._handlers.append(remove)


class BrowserPlaces:
    """See Places: storage buckets, each with files of its own."""

    def __init__(self, name: str) -> None:
        """Name the database. A bucket's name has few letters, so it is named by a digest."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        self._name = name
        self._buckets = {place: f"grebe-{place}-{digest}" for place in APART}

    async def apart(self) -> list[int] | None:
        """See Places."""
        js, ffi = _javascript()
        buckets = getattr(js.navigator, "storageBuckets", None)
        if buckets is None:
            return None
        try:
            names = set(await buckets.keys())
        except ffi.JsException as error:
            raise _as_os_error(error) from error
        return [place for place, name in self._buckets.items() if name in names]

    def database(self, place: int) -> Database:
        """See Places."""
        return BrowserDatabase(self._name, self._buckets.get(place))

    async def delete(self, place: int) -> None:
        """See Places."""
        js, ffi = _javascript()
        if place == MAIN:
            await _settled(js.indexedDB.deleteDatabase(self._name), "success", ("error",))
            return
        try:
            await js.navigator.storageBuckets.delete(self._buckets[place])
        except ffi.JsException as error:
            raise _as_os_error(error) from error


async def _home(bucket: str | None) -> Any:
    """Return what has the `indexedDB` of a bucket, which is made if need be."""
    js, ffi = _javascript()
    if bucket is None:
        return js
    options = _object({"durability": "strict", "persisted": True})
    try:
        return await js.navigator.storageBuckets.open(bucket, options)
    except ffi.JsException as error:
        raise _as_os_error(error) from error


def _javascript() -> tuple[Any, Any]:
    """Return the modules `js` and `pyodide.ffi`.

    Raises:
        PersistenceError: this is no browser.
    """
    try:
        import js
        import pyodide.ffi
    except ImportError as error:
        raise PersistenceError(
            "IndexedDB is in browsers only, under Pyodide; give a directory or sqlite:/// here"
        ) from error
    return js, pyodide.ffi


def _object(fields: dict[str, Any]) -> Any:
    js, ffi = _javascript()
    return ffi.to_js(fields, dict_converter=js.Object.fromEntries)


def _key_range(first: int, last: int) -> Any:
    js, _ = _javascript()
    return js.IDBKeyRange.bound(first, last)


def _settled(
    target: Any,
    success: str,
    failures: tuple[str, ...],
    handlers: dict[str, Callable[[Any], None]] | None = None,
) -> asyncio.Future[None]:
    """Return a future of a request's or transaction's end; its error is that of the target."""
    _, ffi = _javascript()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def succeed(_: Any) -> None:
        finish(None)

    def fail(_: Any) -> None:
        finish(_as_os_error(target.error))

    def finish(error: OSError | None) -> None:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        for name, proxy in proxies.items():
            target.removeEventListener(name, proxy)
            proxy.destroy()

    wanted = {success: succeed, **dict.fromkeys(failures, fail), **(handlers or {})}
    proxies = {name: ffi.create_proxy(handler) for name, handler in wanted.items()}
    for name, proxy in proxies.items():
        target.addEventListener(name, proxy)
    # Nobody may be waiting any more, as for a transaction that is issued while the page goes.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


def _as_os_error(error: Any) -> OSError:
    """Return the error of a transaction, a DOMException or null, as Python's."""
    name = str(getattr(error, "name", "") or "AbortError")
    if name == "QuotaExceededError":
        return OSError(
            errno.ENOSPC, "the browser's quota for this site is used up (QuotaExceededError)"
        )
    if name == "VersionError":
        return PersistenceError("it was made by a newer version of Grebe; update Grebe")
    message = str(getattr(error, "message", "") or "the transaction was aborted")
    return OSError(errno.EIO, f"{message} ({name})")
