"""An open database: connections, transactions, and SQLite's errors in the words of Grebe.

The only module that imports `sqlite3`, which some Pythons lack (Pyodide loads it on demand); it is
imported when a database is opened.

One connection writes, guarded by a mutex. Each load reads through a connection of its own, in one
transaction, so it sees one commit and no commit waits for it.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import threading
from collections.abc import Iterator, Sequence

from grebe.core.operation import Batch, RecordGroup, check_known
from grebe.errors import CorruptDataError, GrebeError, PersistenceError, StoreLockedError
from grebe.persistors.sqlite import schema
from grebe.persistors.sqlite.checkpointing import HAS_THREADS, BackgroundCheckpoint
from grebe.persistors.sqlite.place import Place
from grebe.persistors.sqlite.statements import (
    apply,
    read_groups,
    read_metadata,
    save_metadata,
)

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_FORBIDDEN = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"
_WHY = {
    sqlite3.SQLITE_BUSY: ("another program is writing to it", errno.EBUSY),
    sqlite3.SQLITE_LOCKED: ("another program is writing to it", errno.EBUSY),
    sqlite3.SQLITE_FULL: ("the disk is full", errno.ENOSPC),
    sqlite3.SQLITE_READONLY: ("it may not be written to", errno.EACCES),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", errno.EACCES),
    sqlite3.SQLITE_PERM: ("it may not be opened", errno.EACCES),
    sqlite3.SQLITE_IOERR: ("the disk failed", errno.EIO),
}


class Database:
    """A database file of Grebe's that is open for writing."""

    def __init__(self, place: Place, timeout_s: float) -> None:
        """Open it; an empty file becomes a database in one transaction.

        Raises:
            StoreLockedError: another program is writing to it.
            PersistenceError: it cannot be opened, or is not Grebe's.
        """
        self._place = place
        self._timeout_s = timeout_s
        self._mutex = threading.Lock()
        self._background = BackgroundCheckpoint(self._fold_log)
        with failures(place, "opened", opening=True):
            self._connection = _connect(place.uri("rw"), timeout_s)
            try:
                new = schema.is_new(self._connection, place.path)
                if new:
                    self._connection.execute(f"PRAGMA page_size = {schema.PAGE_BYTES}")
                self._set_durable()
                if new:
                    schema.create(self._connection)
            except BaseException:
                self._connection.close()
                raise

    def _set_durable(self) -> None:
        mode = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise PersistenceError(
                f"{self._place.path} cannot have a write-ahead log, which a network file system "
                "lacks; keep it on a local disk"
            )
        settings = ["synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON"]
        if HAS_THREADS:
            settings.append("wal_autocheckpoint = 0")
        for setting in settings:
            self._connection.execute(f"PRAGMA {setting}")

    def commit(self, batch: Batch) -> None:
        """Apply a batch in one transaction, durably. O(batch)."""
        check_known(batch.parts)
        with self._mutex, failures(self._place, "written to"):
            connection = self._connection
            before = connection.total_changes
            try:
                connection.execute("BEGIN IMMEDIATE")
                apply(connection, batch.parts)
                if batch.metadata is not None:
                    save_metadata(connection, batch.metadata)
                connection.execute("COMMIT")
            except BaseException:
                # The connection stays: after a failed sync it writes the same bytes anew, whereas
                # a new one might take what the page cache shows for what is on the disk.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._background.changed(connection.total_changes - before)

    def checkpoint(self) -> None:
        """Copy what the write-ahead log has into the database, as far as readers allow it."""
        with self._mutex, failures(self._place, "written to"):
            self._connection.execute(_CHECKPOINT)

    def _fold_log(self) -> None:
        """Do as `checkpoint`, and hold up commits only for what came meanwhile.

        Without that last part the log would never be whole in the database while commits go on, and
        would grow for ever.
        """
        with failures(self._place, "written to"):
            connection = _connect(self._place.uri("rw"), self._timeout_s)
            try:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA checkpoint_fullfsync = ON")
                connection.execute(_CHECKPOINT)
            finally:
                connection.close()
        self.checkpoint()

    def read(self, wanted: Sequence[str] | None) -> list[RecordGroup]:
        """Return the documents at and under the paths, or all."""
        with failures(self._place, "read"), reading(self._place, self._timeout_s) as connection:
            return read_groups(connection, wanted, self._place.name)

    def metadata(self) -> bytes | None:
        """Return the metadata of the last batch that had any."""
        with failures(self._place, "read"), reading(self._place, self._timeout_s) as connection:
            return read_metadata(connection, self._place.name)

    def close(self) -> None:
        """Close it; the last who does folds the write-ahead log in and removes it."""
        self._background.join()
        with self._mutex, failures(self._place, "closed"):
            self._connection.close()


class Snapshot:
    """One commit of a database that somebody else may be writing, and whether it is the last."""

    def __init__(self, place: Place, timeout_s: float) -> None:
        """Read everything. O(documents)."""
        self._place = place
        with failures(place, "opened"):
            self._connection = _connect_reader(place, timeout_s)
        try:
            self.read()
        except BaseException:
            self._connection.close()
            raise

    def is_old(self) -> bool:
        """Tell whether there was a commit since."""
        with failures(self._place, "read"):
            return self._version() != self._seen

    def read(self) -> None:
        """Read everything anew."""
        with failures(self._place, "read"):
            # First the version: a commit that comes in between is read, and then looked for again.
            self._seen = self._version()
            with _transaction(self._connection):
                self.groups = read_groups(self._connection, None, self._place.name)
                self.metadata = read_metadata(self._connection, self._place.name)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def _version(self) -> int:
        found: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return found


def check_owner(place: Place, timeout_s: float) -> None:
    """Check that a file may be opened, without changing it or anything beside it.

    Raises:
        PersistenceError: it is no database, another program's, or a newer version's.
    """
    with failures(place, "opened", opening=True):
        # Without a log nobody has it open, and a connection that knows so makes no files beside it.
        mode = "ro" if place.has_log() else "ro&immutable=1"
        connection = _connect(place.uri(mode), timeout_s)
        try:
            schema.is_new(connection, place.path)
        finally:
            connection.close()


@contextlib.contextmanager
def reading(place: Place, timeout_s: float) -> Iterator[sqlite3.Connection]:
    """Give a connection that reads one commit."""
    connection = _connect_reader(place, timeout_s)
    try:
        with _transaction(connection):
            yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _connect(uri: str, timeout_s: float) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False
    )


def _connect_reader(place: Place, timeout_s: float) -> sqlite3.Connection:
    connection = _connect(place.uri("ro"), timeout_s)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if _code(error) not in _FORBIDDEN or place.has_log():
            raise
        # Where nothing can be made beside it, SQLite cannot make the log's index. Without a log
        # nobody has it open, and all of it is in the one file.
        return _connect(place.uri("ro&immutable=1"), timeout_s)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def failures(place: Place, what: str, *, opening: bool = False) -> Iterator[None]:
    """Turn the errors of SQLite and of the system into Grebe's, with the cause."""
    try:
        yield
    except GrebeError:
        raise
    except sqlite3.Error as error:
        code = _code(error)
        if opening and code in _BUSY:
            raise StoreLockedError(place.path, None) from error
        if code in _DAMAGED or (code is None and "UTF-8" in str(error)):
            raise CorruptDataError(
                f"{place.path} is damaged, or no SQLite database: {error}; nothing was changed, "
                "restore it from a copy",
                place.name,
            ) from error
        why, number = _WHY.get(code or 0, (str(error), errno.EIO))
        raise _failed(place, what, why, number) from error
    except OSError as error:
        number = error.errno or errno.EIO
        raise _failed(place, what, error.strerror or str(error), number) from error


def _failed(place: Place, what: str, why: str, number: int) -> PersistenceError:
    found = PersistenceError(
        f"{place.path} could not be {what}: {why}; what is stored there stays as it was"
    )
    found.errno, found.strerror, found.filename = number, why, place.path
    return found


def _code(error: sqlite3.Error) -> int | None:
    """Return the primary result code (sqlite.org/rescode.html)."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
