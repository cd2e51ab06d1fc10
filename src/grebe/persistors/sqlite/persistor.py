"""The SQLite persistor: what it is to the store. How it is done is in database.py.

`sqlite3` is imported when a database is opened, not when Grebe is: some Pythons lack it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from grebe.core.operation import Batch, Record, RecordGroup
from grebe.errors import PersistenceError, ReadOnlyError, StoreLockedError
from grebe.persistence.contents import difference, select
from grebe.persistors.sqlite.place import Place

if TYPE_CHECKING:
    from grebe.persistors.sqlite.database import Database, Snapshot

LOCK_TIMEOUT_S = 5.0


class SqlitePersistor:
    """Documents in the table `documents` of a SQLite database; a commit is one transaction.

    >>> import tempfile, grebe
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     with grebe.open(f"sqlite:///{directory}/app.db") as store:
    ...         _ = store.doc("users/1").set({"age": 28})
    ...     with grebe.open(f"sqlite:///{directory}/app.db") as store:
    ...         store.doc("users/1").get().data
    {'age': 28}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        read_only: bool = False,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        """Name the file; `open` makes it.

        Args:
            path: the database file. Beside it, SQLite keeps `-wal` and `-shm` while it is open,
                and Grebe `-lock`.
            read_only: never write, take no lock; everything is read at once.
            lock_timeout_s: how long a commit waits for another program that writes to the file.
        """
        if os.fspath(path) == ":memory:":
            raise ValueError("a database in memory keeps nothing; use grebe.open() without target")
        self.path = path
        self._place = Place(path)
        self._read_only = read_only
        self._timeout_s = lock_timeout_s
        self._database: Database | None = None
        self._snapshot: Snapshot | None = None
        self._release: Callable[[], None] | None = None

    # --- Persistor

    def open(self) -> None:
        """Take the lock, open the file, make it if need be. See Persistor.

        Raises:
            CorruptDataError: it is damaged; nothing was changed.
            PersistenceError: it is another program's, or a newer version's, or cannot be opened.
        """
        if self._database is not None or self._snapshot is not None:
            raise StoreLockedError(self._place.path, os.getpid())
        database = _sqlite()
        if self._read_only:
            if not self._place.exists():
                raise PersistenceError(f"{self._place.path} does not exist; open it for writing")
            database.check_owner(self._place, self._timeout_s)
            self._snapshot = database.Snapshot(self._place, self._timeout_s)
            return
        with database.failures(self._place, "opened"):
            if self._place.exists():
                database.check_owner(self._place, self._timeout_s)
            else:
                self._place.make_directory()
            self._release = self._place.lock()
            try:
                self._place.make_file()
                self._database = database.Database(self._place, self._timeout_s)
            except BaseException:
                self._unlock()
                raise

    def commit(self, batch: Batch) -> None:
        """Apply the batch in one transaction. O(batch). See Persistor."""
        if self._database is None:
            raise ReadOnlyError(self._place.path)
        self._database.commit(batch)

    def load(self, wanted: Sequence[str] | None) -> Iterable[Record]:
        """Return documents; reads the rows of these subtrees only. See Persistor."""
        for group in self.load_groups(wanted):
            yield from group.records()

    def load_groups(self, wanted: Sequence[str] | None) -> Iterable[RecordGroup]:
        """Do as `load`, by collection. See Persistor."""
        if self._snapshot is not None:
            return list(select(self._snapshot.groups, wanted))
        assert self._database is not None, "not open"
        return self._database.read(wanted)

    def load_metadata(self) -> bytes | None:
        """See Persistor."""
        if self._snapshot is not None:
            return self._snapshot.metadata
        assert self._database is not None, "not open"
        return self._database.metadata()

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the database, as far as readers allow it."""
        if self._database is not None:
            self._database.checkpoint()

    def refresh(self) -> Batch | None:
        """Read what a writer has committed since; for `read_only`. Returns it, or None.

        O(1) if there was no commit, otherwise O(documents).
        """
        snapshot = self._snapshot
        assert snapshot is not None, "only a reader is refreshed"
        if not snapshot.is_old():
            return None
        before = snapshot.groups
        snapshot.read()
        parts = difference(_records(before), _records(snapshot.groups))
        return Batch(parts, snapshot.metadata) if parts else None

    def close(self) -> None:
        """Close the file and release the lock. See Persistor."""
        snapshot, self._snapshot = self._snapshot, None
        database, self._database = self._database, None
        try:
            if snapshot is not None:
                snapshot.close()
            if database is not None:
                database.close()
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._release is not None:
            release, self._release = self._release, None
            release()

    def __repr__(self) -> str:
        """Show the file."""
        return f"SqlitePersistor({os.fspath(self.path)!r})"


def _sqlite() -> ModuleType:
    try:
        from grebe.persistors.sqlite import database
    except ImportError as error:
        raise PersistenceError(
            "this Python has no sqlite3; install it (in Pyodide: "
            "await pyodide_js.loadPackage('sqlite3')), or use another persistor"
        ) from error
    return database


def _records(groups: Iterable[RecordGroup]) -> Iterator[Record]:
    for group in groups:
        yield from group.records()
