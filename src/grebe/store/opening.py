"""Opening a store: from a target to a persistor, from arguments to options."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from grebe.core.operation import Batch
from grebe.core.options import CollectionOptions, PartitionOption
from grebe.documents.collection import check_option
from grebe.errors import PersistenceError
from grebe.persistence.clock import Clock
from grebe.persistence.encryption.keys import KeySource
from grebe.persistence.encryption.sealing import Encryption
from grebe.persistence.persistor import Persistor
from grebe.persistors.file.persistor import CHECKPOINT_BYTES, FilePersistor
from grebe.persistors.indexeddb.persistor import IndexedDBPersistor
from grebe.persistors.sqlite.persistor import SqlitePersistor
from grebe.reactive.broadcast import Scheduler
from grebe.store.lifecycle import Callbacks
from grebe.store.store import Store

Target = str | os.PathLike[str] | Persistor | None
Hydrate = bool | Iterable[Any]
EncryptionKey = bytes | str | Callable[[], bytes | str | None] | KeySource | None


def open(  # noqa: A001 - the name of the API
    target: Target = None,
    *,
    hydrate: Hydrate = True,
    commit_interval: float = 0.1,
    checkpoint_bytes: int = CHECKPOINT_BYTES,
    partition: PartitionOption | None = None,
    encrypted: bool | None = None,
    persist: bool | None = None,
    encryption_key: EncryptionKey = None,
    require_key: bool = False,
    on_corruption: Literal["quarantine", "raise"] = "quarantine",
    read_only: bool = False,
    scheduler: Scheduler | None = None,
    on_commit: Callable[[Batch], object] | None = None,
    on_error: Callable[[BaseException], object] | None = None,
    on_hydrate: Callable[[list[str] | None], object] | None = None,
) -> Store:
    """Open a store, made if need be, and load what `hydrate` says.

    Costs one sequential read of what is loaded; documents are decoded when somebody looks.

    Args:
        target: None or "memory:" persists nothing; a path is a directory of JSON files;
            `sqlite:///app.db` is a SQLite database (four slashes: a path from the root); a
            persistor is used as it is.
        hydrate: True loads everything, False nothing, a list only these subtrees (paths or
            references).
        commit_interval: seconds within which a write is on disk without `commit()`.
        checkpoint_bytes: size of the journal below which it is not folded by itself.
        partition: default partition of all collections, or a function of a snapshot.
        encrypted: default of all collections.
        persist: False keeps collections in memory that do not say otherwise.
        encryption_key: 32 bytes, a passphrase, or a function that returns either. Without it the
            environment variable GREBE_KEY counts, then the system's keyring.
        require_key: refuse to open without a key a store that has encrypted documents; without
            this, what is plain opens.
        on_corruption: "quarantine" sets damaged files aside and loads the rest (see
            `store.recovery`); "raise" refuses to open and changes nothing.
        read_only: never write; works beside a writer and sees its last commit.
        scheduler: called with a function that it must run soon, on the thread for subscribers.
        on_commit: called with each batch that is on disk.
        on_error: called with the error of each failed commit, which is tried again.
        on_hydrate: called with the paths that were loaded, None for everything.

    Raises:
        StoreLockedError: somebody else has it open for writing.
        CorruptDataError: what is stored is damaged, with on_corruption="raise".
        PersistenceError: the directory cannot be read, or made.
        EncryptionError: the key is wrong, or missing where it is required.

    >>> store = open()
    >>> store.doc("users/1").set({"age": 28}).data
    {'age': 28}
    """
    # At once, so that no frame of a traceback shows the key.
    encryption_key = KeySource(encryption_key)
    store = _make(**locals())
    store._lifecycle.drive(store._lifecycle.open(), "await grebe.aopen(...)")
    return store


async def aopen(target: Target = None, **options: Any) -> Store:
    """Open a store without blocking the event loop; the arguments are those of `open`."""
    options["encryption_key"] = KeySource(options.get("encryption_key"))
    store = _make(**{**_defaults(), **options, "target": target})
    await store._lifecycle.run(store._lifecycle.open())
    return store


def open_under(clock: Clock, target: Target = None, **options: Any) -> Store:
    """Open a store for which time passes as a clock says, see `grebe.testing.FakeClock`.

    The other arguments are those of `open`.
    """
    options["encryption_key"] = KeySource(options.get("encryption_key"))
    store = _make(**{**_defaults(), **options, "target": target}, clock=clock)
    store._lifecycle.drive(store._lifecycle.open(), "await grebe.aopen(...)")
    return store


def _defaults() -> dict[str, Any]:
    return dict(open.__kwdefaults__ or {})


def _make(
    *,
    target: Target,
    hydrate: Hydrate,
    commit_interval: float,
    checkpoint_bytes: int,
    partition: PartitionOption | None,
    encrypted: bool | None,
    persist: bool | None,
    encryption_key: KeySource,
    require_key: bool,
    on_corruption: str,
    read_only: bool,
    scheduler: Scheduler | None,
    on_commit: Callable[[Batch], object] | None,
    on_error: Callable[[BaseException], object] | None,
    on_hydrate: Callable[[list[str] | None], object] | None,
    clock: Clock | None = None,
) -> Store:
    check_option("partition", partition, (str,), callable_too=True)
    check_option("encrypted", encrypted, (bool,))
    check_option("persist", persist, (bool,))
    for name, callback in (
        ("scheduler", scheduler),
        ("on_commit", on_commit),
        ("on_error", on_error),
        ("on_hydrate", on_hydrate),
    ):
        check_option(name, callback, (), callable_too=True)
    if not isinstance(commit_interval, int | float) or not commit_interval >= 0:
        raise ValueError(f"commit_interval= is a number of seconds, not {commit_interval!r}")
    if on_corruption not in ("quarantine", "raise"):
        raise ValueError(f"on_corruption= is 'quarantine' or 'raise', not {on_corruption!r}")
    persistor = persistor_for(
        target,
        checkpoint_bytes=checkpoint_bytes,
        read_only=read_only,
        on_corruption=on_corruption,
    )
    defaults = CollectionOptions(partition=partition, encrypted=encrypted, persist=persist)
    return Store(
        persistor,
        defaults,
        scheduler,
        Callbacks(on_commit, on_error, on_hydrate, scheduler),
        encryption=Encryption(
            encryption_key, require_key=require_key, strict=on_corruption == "raise"
        ),
        hydrate=hydrate,
        commit_interval_s=float(commit_interval),
        read_only=read_only,
        clock=clock,
    )


def persistor_for(target: Target, *, read_only: bool, **options: Any) -> Persistor | None:
    """Return the persistor for a target; None for a store in memory.

    Raises:
        ValueError: a URL of an unknown kind.
        TypeError: neither path, URL nor persistor.
    """
    if target is None or target == "memory:":
        if read_only:
            raise PersistenceError("a store in memory is empty; read_only=True needs a directory")
        return None
    if isinstance(target, str | os.PathLike):
        text = os.fspath(target)
        if not isinstance(text, str):
            raise TypeError("target is a str or Path, not bytes")
        if not text:
            raise ValueError("target is empty; give a directory, or None for a store in memory")
        scheme = urlsplit(text).scheme if "://" in text else ""
        if scheme == "file":
            text = unquote(urlsplit(text).path)
        elif text.startswith("sqlite:"):
            return SqlitePersistor(_sqlite_path(text), read_only=read_only)
        elif text.startswith("indexeddb:"):
            name = text.removeprefix("indexeddb:")
            return IndexedDBPersistor(name, read_only=read_only, **options)
        elif scheme:
            raise ValueError(f"{text}: no persistor for this kind of URL in this version")
        return FilePersistor(text, read_only=read_only, **options)
    if isinstance(target, Persistor):
        return target
    kind = type(target).__name__
    raise TypeError(f"target is a path, a URL or a persistor, not {kind}")


def _sqlite_path(url: str) -> str:
    """Return the path in a SQLite URL: what is behind `sqlite:///`, taken as it is.

    >>> _sqlite_path("sqlite:///app.db"), _sqlite_path("sqlite:////srv/100%.db")
    ('app.db', '/srv/100%.db')
    """
    path = url.removeprefix("sqlite:///")
    if path == url or not path:
        raise ValueError(
            f"{url} names no file; write sqlite:///app.db, or sqlite:////srv/app.db for a path "
            "from the root"
        )
    return path
