"""Store: what a user opens. Thin: state and writes are in the engine, the rest in Lifecycle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar, Unpack, overload

from grebe.core import path as paths
from grebe.core.options import CollectionOptions, OptionArguments
from grebe.documents.collection import Collection, document_at, make_collection
from grebe.documents.collection_group import CollectionGroup
from grebe.documents.document import Document
from grebe.documents.transaction import Transaction
from grebe.errors import ConflictError
from grebe.persistence.encryption.keys import new_key
from grebe.persistence.persistor import Persistor
from grebe.persistence.report import PartitionInfo, RecoveryReport
from grebe.reactive.broadcast import Scheduler
from grebe.store.lifecycle import Callbacks, Lifecycle, paths_of
from grebe.store.migrating import MigrationProgress
from grebe.store.writing import Writer

M = TypeVar("M")
R = TypeVar("R")


class _Engine(Writer):
    """The engine of a store, wired to its life."""

    def __init__(self, defaults: CollectionOptions, scheduler: Scheduler | None) -> None:
        super().__init__(defaults, scheduler)
        self.lifecycle: Lifecycle | None = None

    def load_for_writing(self, path: str) -> None:
        if self.lifecycle is not None:
            self.lifecycle.drive(
                self.lifecycle.hydrate([path]), f"await store.ahydrate({path!r}) before"
            )

    def schema_changed(self, collection: str) -> None:
        if self.lifecycle is not None and self.tree.documents(collection):
            self.lifecycle.migrator.wake([collection])

    def batch_ended(self) -> None:
        if self.lifecycle is not None:
            self.lifecycle.batch_ended()


class Store:
    """Documents in collections, in memory, watched and kept on disk. Made by `grebe.open`.

    Every method may be called from any thread.
    """

    def __init__(
        self,
        persistor: Persistor | None,
        defaults: CollectionOptions,
        scheduler: Scheduler | None,
        callbacks: Callbacks,
        **settings: Any,
    ) -> None:
        self._engine = _Engine(defaults, scheduler)
        self._lifecycle = Lifecycle(self._engine, persistor, callbacks, **settings)
        self._engine.lifecycle = self._lifecycle

    # --- references

    @overload
    def collection(
        self, path: str, *, model: type[M], **options: Unpack[OptionArguments]
    ) -> Collection[M]: ...
    @overload
    def collection(
        self,
        path: str,
        *,
        from_json: Callable[[Any], M],
        to_json: Callable[[M], Any],
        **options: Unpack[OptionArguments],
    ) -> Collection[M]: ...
    @overload
    def collection(
        self,
        path: str,
        *,
        model: None = ...,
        from_json: None = ...,
        to_json: None = ...,
        **options: Unpack[OptionArguments],
    ) -> Collection[Any]: ...
    def collection(self, path: str, **options: Any) -> Collection[Any]:
        """Return a reference to a collection; options given are remembered for its path.

        Each option that is given replaces that option from then on; None takes it back.

        Args:
            path: a name, or a whole path such as `users/1/friends`.
            **options: `model` (type of the documents) or `from_json` and `to_json`;
                `partition` (a name, or a function of a snapshot), `encrypted` and `persist`,
                which subcollections inherit; `depends_on` (a function of a snapshot that gives
                documents); `indexes` (names of fields).

        Raises:
            InvalidPathError: the path is malformed or that of a document.
            TypeError: an option is of the wrong type.
        """
        self._engine.check_open()
        return make_collection(self._engine, paths.check_collection_path(path), **options)

    def collection_group(self, name: str) -> CollectionGroup[Any]:
        """Return the query for the documents of all collections of this name, wherever they are.

        Raises:
            InvalidPathError: the name is empty or holds `/`, NUL or a lone surrogate.

        >>> import grebe
        >>> store = grebe.open()
        >>> _ = store.doc("users/1/friends/a").set({}), store.doc("users/2/friends/b").set({})
        >>> [friend.path for friend in store.collection_group("friends")]
        ['users/1/friends/a', 'users/2/friends/b']
        """
        self._engine.check_open()
        return CollectionGroup(self._engine, name)

    def doc(self, path: str) -> Document[Any]:
        """Return a reference to a document; a single segment is in the collection `root`.

        Raises:
            InvalidPathError: the path is malformed or that of a collection.
        """
        self._engine.check_open()
        return document_at(self._engine, paths.check_document_path(path))

    def collections(self) -> list[Collection[Any]]:
        """Return the top-level collections that hold something."""
        self._engine.check_open()
        return [Collection(self._engine, name) for name in self._engine.tree.children(None)]

    # --- transactions and broadcasts

    def transaction(self) -> Transaction:
        """Return a transaction, for `with` or `async with`.

        >>> import grebe
        >>> store = grebe.open()
        >>> a, b = store.doc("accounts/a"), store.doc("accounts/b")
        >>> _ = a.set({"sum": 100}), b.set({"sum": 0})
        >>> with store.transaction() as tx:
        ...     _ = tx.update(a, sum=tx.get(a).data["sum"] - 10)
        ...     _ = tx.update(b, sum=tx.get(b).data["sum"] + 10)
        >>> a.get().data["sum"], b.get().data["sum"]
        (90, 10)
        """
        return Transaction(self._engine)

    def run_transaction(self, fn: Callable[[Transaction], R], attempts: int = 5) -> R:
        """Call `fn(tx)` in a transaction, again if it conflicts, and return its result.

        Raises:
            ConflictError: it conflicted `attempts` times.
        """
        for left in range(_check_attempts(attempts), 0, -1):
            try:
                with self.transaction() as tx:
                    return fn(tx)
            except ConflictError:
                if left == 1:
                    raise
        raise AssertionError

    async def arun_transaction(
        self, fn: Callable[[Transaction], Awaitable[R]], attempts: int = 5
    ) -> R:
        """Do as `run_transaction`, for an `async def fn(tx)`."""
        for left in range(_check_attempts(attempts), 0, -1):
            try:
                async with self.transaction() as tx:
                    return await fn(tx)
            except ConflictError:
                if left == 1:
                    raise
        raise AssertionError

    def batch(self) -> AbstractContextManager[None]:
        """Return a context in which writes are grouped: one broadcast and one commit at its end.

        No isolation and no rollback: writes are visible at once, and stay after an exception.
        """
        return self._engine.batch()

    def broadcast(self) -> None:
        """Deliver now what observers have not been told yet."""
        self._engine.check_open()
        self._engine.broadcasting.deliver(now=True)

    # --- the disk

    def hydrate(self, *refs_or_paths: Any) -> None:
        """Load subtrees given by references or paths, or everything; blocks while reading.

        What is in memory, or was deleted there, is never overwritten.
        """
        wanted = paths_of(refs_or_paths) if refs_or_paths else None
        self._lifecycle.drive(self._lifecycle.hydrate(wanted), "await store.ahydrate()")

    async def ahydrate(self, *refs_or_paths: Any) -> None:
        """Do as `hydrate`, without blocking the event loop."""
        wanted = paths_of(refs_or_paths) if refs_or_paths else None
        await self._lifecycle.run(self._lifecycle.hydrate(wanted))

    def commit(self) -> None:
        """Return when every write made before is on disk.

        Raises:
            PersistenceError: it could not be written; it is kept and tried again.
            RuntimeError: called inside one's own batch.
        """
        self._engine.check_open()
        self._engine.check_outside_batch("commit()", blocking=True)
        self._lifecycle.commit_here()

    async def acommit(self) -> None:
        """Do as `commit`, without blocking the event loop."""
        self._engine.check_open()
        self._engine.check_outside_batch("acommit()", blocking=False)
        await self._lifecycle.run(self._lifecycle.commit())

    def checkpoint(self) -> None:
        """Commit, then fold the journal into the partition files. Raises PersistenceError."""
        self._engine.check_open()
        self._engine.check_outside_batch("checkpoint()", blocking=True)
        self._lifecycle.drive(self._lifecycle.checkpoint(), "await store.acheckpoint()")

    async def acheckpoint(self) -> None:
        """Do as `checkpoint`, without blocking the event loop."""
        self._engine.check_open()
        self._engine.check_outside_batch("acheckpoint()", blocking=False)
        await self._lifecycle.run(self._lifecycle.checkpoint())

    def clear(self, *, broadcast: bool = True) -> None:
        """Delete everything, in memory and on disk; durable on return."""
        self._engine.check_outside_batch("clear()", blocking=True)
        self._lifecycle.drive(self._lifecycle.clear(broadcast), "await store.aclear()")

    async def aclear(self, *, broadcast: bool = True) -> None:
        """Do as `clear`, without blocking the event loop."""
        self._engine.check_outside_batch("aclear()", blocking=False)
        await self._lifecycle.run(self._lifecycle.clear(broadcast))

    def migrate(
        self, *, on_progress: Callable[[MigrationProgress], object] | None = None
    ) -> dict[str, MigrationProgress]:
        """Bring all loaded documents to the versions of their collections; durable on return.

        That goes on in the background anyway; this waits for it. Documents that cannot be migrated
        stay as they are, and are counted in the result, which is by collection.

        Args:
            on_progress: called after each batch, which is one commit.

        Raises:
            PersistenceError: a batch could not be written; it is kept and tried again.
            ReadOnlyError: the store was opened with read_only=True.

        >>> import grebe
        >>> store = grebe.open()
        >>> _ = store.doc("users/1").set({"name": "John Smith"})
        >>> def split_name(user):
        ...     first, last = user.pop("name").split()
        ...     return {"first": first, "last": last, **user}
        >>> users = store.collection("users", version=2, migrate={1: split_name})
        >>> users.doc("1").get().data
        {'first': 'John', 'last': 'Smith'}
        >>> store.migrate()["users"].current
        1
        """
        self._engine.check_writable()
        self._engine.check_outside_batch("migrate()", blocking=True)
        migration = self._lifecycle.migrate(on_progress)
        return self._lifecycle.drive(migration, "await store.amigrate()", rests=True)

    async def amigrate(
        self, *, on_progress: Callable[[MigrationProgress], object] | None = None
    ) -> dict[str, MigrationProgress]:
        """Do as `migrate`, without blocking the event loop."""
        self._engine.check_writable()
        self._engine.check_outside_batch("amigrate()", blocking=False)
        return await self._lifecycle.run(self._lifecycle.migrate(on_progress))

    def migrations(self) -> dict[str, MigrationProgress]:
        """Return how far the collections with a version are. O(their loaded documents)."""
        self._engine.check_open()
        return self._lifecycle.migrations()

    def rotate_key(self, key: bytes | str | Callable[[], Any]) -> None:
        """Have all encrypted documents sealed under another key, in one commit.

        Returns when that is durable and no current file holds anything sealed under the old key.
        After a crash, or an error, exactly one of the two keys opens the store: the new one if the
        commit is on disk. Commits wait meanwhile; O(encrypted documents).

        Args:
            key: 32 bytes, a passphrase, or a function that returns either.

        Raises:
            EncryptionError: the store was opened without its key, or this is no key.
            PersistenceError: the documents could not be read, or written.
        """
        source = new_key(key)
        del key  # no frame of a traceback shows it
        self._engine.check_outside_batch("rotate_key()", blocking=True)
        self._lifecycle.drive(self._lifecycle.rotate_key(source), "await store.arotate_key()")

    async def arotate_key(self, key: bytes | str | Callable[[], Any]) -> None:
        """Do as `rotate_key`, without blocking the event loop."""
        source = new_key(key)
        del key
        self._engine.check_outside_batch("arotate_key()", blocking=False)
        await self._lifecycle.run(self._lifecycle.rotate_key(source))

    def refresh(self) -> None:
        """Bring newer commits of the writing process into a store opened with read_only=True.

        Observers are told as of any other change. Elsewhere there is nothing to bring.
        """
        self._lifecycle.drive(self._lifecycle.refresh(), "aopen() again")

    def close(self) -> None:
        """Commit what is pending, checkpoint, release the lock. Closing twice is fine.

        Raises:
            PersistenceError: the commit failed; the store stays open and keeps the data.
        """
        if not self._engine.closed:
            self._engine.check_outside_batch("close()", blocking=True)
            self._engine.broadcasting.finish()
            self._lifecycle.drive(self._lifecycle.close(), "await store.aclose()")

    async def aclose(self) -> None:
        """Do as `close`, without blocking the event loop."""
        if not self._engine.closed:
            self._engine.check_outside_batch("aclose()", blocking=False)
            self._engine.broadcasting.finish()
            await self._lifecycle.run(self._lifecycle.close())

    # --- looking inside

    @property
    def recovery(self) -> RecoveryReport:
        """What opening found."""
        return self._lifecycle.recovery

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self._engine.closed

    def partitions(self) -> dict[str, PartitionInfo]:
        """Return the partitions of the documents that are loaded. O(documents)."""
        counts: dict[str, list[int]] = {}
        with self._engine.lock:
            self._engine.check_open()
            for place in self._engine.tree.walk():
                entry = place.leaf
                count = counts.setdefault(entry.partition, [0, 0, 0])
                count[0] += 1
                count[1] += entry.home.encrypted
                count[2] += len(entry.value)
        return {name: PartitionInfo(*count) for name, count in sorted(counts.items())}

    def inspect(self) -> dict[str, Any]:
        """Return the data tree, pending events, dependencies, partitions and commit state.

        For debugging; the documents are plain values, of encrypted ones only their size is shown.
        O(documents).
        """
        engine = self._engine
        with engine.lock:
            engine.check_open()
            plain = engine.adapter("")
            return {
                "documents": {
                    place.path: f"<encrypted, {len(place.leaf.value)} bytes>"
                    if place.leaf.home.encrypted
                    else plain.decode(place.leaf.value, place.path)
                    for place in engine.tree.walk()
                },
                "pending": engine.broadcasting.pending(),
                "dependencies": engine.broadcasting.dependencies.as_dict(),
                "observers": [repr(o) for o in engine.broadcasting.observers()],
                "partitions": self.partitions(),
                "commit": self._lifecycle.inspect(),
            }

    def __enter__(self) -> Store:
        """Return the store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    async def __aenter__(self) -> Store:
        """Return the store."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()

    def __repr__(self) -> str:
        """Show where the data is, and how many documents are loaded."""
        if self._engine.closed:
            return f"<Store {self._lifecycle.name}: closed>"
        return f"<Store {self._lifecycle.name}: {len(self._engine.tree)} documents>"


def _check_attempts(attempts: int) -> int:
    if attempts < 1:
        raise ValueError(f"attempts= is at least 1, not {attempts}")
    return attempts
