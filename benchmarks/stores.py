"""The stores that a user might pick, behind one small interface: Grebe, its peers, and the limits.

Each does its work as its own documentation shows; what is added so that an update is on the disk
when `update` returns is said at the class. orjson encodes for every store that takes bytes.
"""

from __future__ import annotations

import json
import os
import shelve
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

Documents = Mapping[str, dict[str, Any]]
COLLECTION = "users"


class Peer:
    """A store in a directory, opened when it is made."""

    durable: ClassVar[bool] = True
    """Whether `update` returns when the data is on the disk."""
    size_max: ClassVar[int] = 1_000_000
    """Above that it takes minutes."""
    note: ClassVar[str] = ""

    def __init__(self, directory: str) -> None:
        raise NotImplementedError

    def fill(self, data: Documents) -> None:
        """Store many documents, durably, in the fastest way that the store has."""
        raise NotImplementedError

    overwrite = fill
    """The same for documents that are there."""

    def update(self, key: str, value: dict[str, Any]) -> None:
        """Replace a document durably."""
        raise NotImplementedError

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Replace a document as the store does it by default, waiting for nothing more."""
        raise NotImplementedError

    def read(self, key: str) -> Any:
        """Return a document as Python values."""
        raise NotImplementedError

    def read_all(self) -> Iterable[Any]:
        """Return all documents as Python values."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go, as a program does at its end."""


class Grebe(Peer):
    def __init__(self, directory: str) -> None:
        import grebe

        self._store = grebe.open(os.path.join(directory, "store"))
        self._users = self._store.collection(COLLECTION)

    def fill(self, data: Documents) -> None:
        self._users.create_many(data)
        self._store.commit()

    def overwrite(self, data: Documents) -> None:
        users = self._users
        with self._store.batch():
            for key, value in data.items():
                users.doc(key).set(value)
        self._store.commit()

    def update(self, key: str, value: dict[str, Any]) -> None:
        self._users.doc(key).set(value)
        self._store.commit()

    def put(self, key: str, value: dict[str, Any]) -> None:
        self._users.doc(key).set(value)

    def read(self, key: str) -> Any:
        return self._users.doc(key).get().data

    def read_all(self) -> Iterable[Any]:
        return [snapshot.data for snapshot in self._users]

    def close(self) -> None:
        self._store.close()


class Sqlite(Peer):
    """WAL, synchronous=FULL; path and JSON text."""

    def __init__(self, directory: str) -> None:
        import orjson

        self._dumps, self._loads = orjson.dumps, orjson.loads
        self._db = sqlite3.connect(os.path.join(directory, "store.db"), isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, value TEXT)")

    def fill(self, data: Documents) -> None:
        dumps = self._dumps
        rows = ((key, dumps(value).decode()) for key, value in data.items())
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?)", rows)
        self._db.execute("COMMIT")

    overwrite = fill

    def update(self, key: str, value: dict[str, Any]) -> None:
        text = self._dumps(value).decode()
        self._db.execute("UPDATE documents SET value = ? WHERE id = ?", (text, key))

    put = update

    def read(self, key: str) -> Any:
        found = self._db.execute("SELECT value FROM documents WHERE id = ?", (key,)).fetchone()
        return self._loads(found[0])

    def read_all(self) -> Iterable[Any]:
        loads = self._loads
        return [loads(value) for (value,) in self._db.execute("SELECT value FROM documents")]

    def close(self) -> None:
        self._db.close()


class Lmdb(Peer):
    """Its default: a commit syncs the data, then the meta page."""

    def __init__(self, directory: str) -> None:
        import lmdb
        import orjson

        self._dumps, self._loads = orjson.dumps, orjson.loads
        self._env = lmdb.open(directory, map_size=1 << 34)

    def fill(self, data: Documents) -> None:
        dumps = self._dumps
        with self._env.begin(write=True) as tx:
            tx.cursor().putmulti([(key.encode(), dumps(value)) for key, value in data.items()])

    overwrite = fill

    def update(self, key: str, value: dict[str, Any]) -> None:
        with self._env.begin(write=True) as tx:
            tx.put(key.encode(), self._dumps(value))

    put = update

    def read(self, key: str) -> Any:
        with self._env.begin(buffers=True) as tx:
            return self._loads(tx.get(key.encode()))

    def read_all(self) -> Iterable[Any]:
        loads = self._loads
        with self._env.begin(buffers=True) as tx:
            return [loads(value) for _, value in tx.cursor()]

    def close(self) -> None:
        self._env.close()


class Rocksdict(Peer):
    """Raw mode; `update` and `fill` ask for a sync of the log, which it leaves out by default."""

    def __init__(self, directory: str) -> None:
        import orjson
        from rocksdict import Options, Rdict, WriteBatch, WriteOptions

        self._dumps, self._loads = orjson.dumps, orjson.loads
        self._batch = WriteBatch
        self._db = Rdict(os.path.join(directory, "store"), Options(raw_mode=True))
        self._synced, self._unsynced = WriteOptions(), WriteOptions()
        self._synced.sync = True

    def fill(self, data: Documents) -> None:
        batch = self._batch(raw_mode=True)
        for key, value in data.items():
            batch.put(key.encode(), self._dumps(value))
        self._db.set_write_options(self._synced)
        self._db.write(batch, self._synced)

    overwrite = fill

    def update(self, key: str, value: dict[str, Any]) -> None:
        self._db.put(key.encode(), self._dumps(value), write_opt=self._synced)

    def put(self, key: str, value: dict[str, Any]) -> None:
        self._db.put(key.encode(), self._dumps(value), write_opt=self._unsynced)

    def read(self, key: str) -> Any:
        return self._loads(self._db[key.encode()])

    def read_all(self) -> Iterable[Any]:
        loads = self._loads
        return [loads(value) for value in self._db.values()]

    def close(self) -> None:
        self._db.close()


class Zodb(Peer):
    """A BTree of plain dicts in a FileStorage; a commit is one sync."""

    def __init__(self, directory: str) -> None:
        import BTrees.OOBTree
        import transaction
        import ZODB.FileStorage

        self._commit = transaction.commit
        self._db = ZODB.DB(ZODB.FileStorage.FileStorage(os.path.join(directory, "data.fs")))
        self._connection = self._db.open()
        root = self._connection.root()
        if COLLECTION not in root:
            root[COLLECTION] = BTrees.OOBTree.OOBTree()
            self._commit()
        self._users = root[COLLECTION]

    def fill(self, data: Documents) -> None:
        self._users.update(data)
        self._commit()

    overwrite = fill

    def update(self, key: str, value: dict[str, Any]) -> None:
        self._users[key] = value
        self._commit()

    put = update

    def read(self, key: str) -> Any:
        return self._users[key]

    def read_all(self) -> Iterable[Any]:
        return list(self._users.values())

    def close(self) -> None:
        self._connection.close()
        self._db.close()


class Diskcache(Peer):
    """With sqlite_synchronous=FULL, which is NORMAL by default, and nothing evicted."""

    size_max = 100_000

    def __init__(self, directory: str) -> None:
        import diskcache

        settings = {"sqlite_synchronous": 2, "eviction_policy": "none"}
        self._cache = diskcache.Cache(directory, **settings)

    def fill(self, data: Documents) -> None:
        with self._cache.transact():
            for key, value in data.items():
                self._cache[key] = value

    overwrite = fill

    def update(self, key: str, value: dict[str, Any]) -> None:
        self._cache[key] = value

    put = update

    def read(self, key: str) -> Any:
        return self._cache[key]

    def read_all(self) -> Iterable[Any]:
        return [self._cache[key] for key in self._cache]

    def close(self) -> None:
        self._cache.close()


class Sqlitedict(Peer):
    """JSON text; `update` commits with synchronous=FULL, which is OFF by default."""

    size_max = 100_000

    def __init__(self, directory: str) -> None:
        import orjson
        import sqlitedict

        self._db = sqlitedict.SqliteDict(
            os.path.join(directory, "store.db"),
            encode=lambda value: orjson.dumps(value).decode(),
            decode=orjson.loads,
        )
        self._db.conn.execute("PRAGMA synchronous=FULL")

    def fill(self, data: Documents) -> None:
        self._db.update(data)
        self._db.commit()

    overwrite = fill

    def update(self, key: str, value: dict[str, Any]) -> None:
        self._db[key] = value
        self._db.commit()

    def put(self, key: str, value: dict[str, Any]) -> None:
        self._db[key] = value

    def read(self, key: str) -> Any:
        return self._db[key]

    def read_all(self) -> Iterable[Any]:
        return list(self._db.values())

    def close(self) -> None:
        self._db.close()


class Shelve(Peer):
    """The standard library's; `sync`, then a sync of its files, which it leaves out."""

    size_max = 10_000

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._shelf = shelve.open(os.path.join(directory, "shelf"))  # noqa: SIM115 - closed below

    def fill(self, data: Documents) -> None:
        self._shelf.update(data)
        self._sync()

    overwrite = fill

    def update(self, key: str, value: dict[str, Any]) -> None:
        self._shelf[key] = value
        self._sync()

    def put(self, key: str, value: dict[str, Any]) -> None:
        self._shelf[key] = value

    def read(self, key: str) -> Any:
        return self._shelf[key]

    def read_all(self) -> Iterable[Any]:
        return list(self._shelf.values())

    def close(self) -> None:
        self._shelf.close()

    def _sync(self) -> None:
        self._shelf.sync()
        sync_files(self._directory)


class Pickledb(Peer):
    """`save`, then a sync of the file, which it leaves out."""

    size_max = 100_000

    def __init__(self, directory: str) -> None:
        import pickledb

        self._directory = directory
        self._db = pickledb.PickleDB(os.path.join(directory, "store.json"))
        self._db.load()

    def fill(self, data: Documents) -> None:
        self._db.db.update(data)  # set() runs an event loop for each document
        self._save()

    overwrite = fill

    def update(self, key: str, value: dict[str, Any]) -> None:
        self._db.set(key, value)
        self._save()

    def put(self, key: str, value: dict[str, Any]) -> None:
        self._db.set(key, value)

    def read(self, key: str) -> Any:
        return self._db.get(key)

    def read_all(self) -> Iterable[Any]:
        return list(self._db.db.values())

    def _save(self) -> None:
        self._db.save()
        sync_files(self._directory)


class Tinydb(Peer):
    """Its default storage, which writes the whole file and syncs it."""

    size_max = 10_000

    def __init__(self, directory: str) -> None:
        import tinydb

        self._db = tinydb.TinyDB(os.path.join(directory, "store.json"))
        self._users = self._db.table(COLLECTION)
        self._document = tinydb.table.Document

    def fill(self, data: Documents) -> None:
        self._users.insert_multiple(
            self._document(value, doc_id=int(key)) for key, value in data.items()
        )

    def update(self, key: str, value: dict[str, Any]) -> None:
        self._users.update(value, doc_ids=[int(key)])

    put = update

    def read(self, key: str) -> Any:
        return self._users.get(doc_id=int(key))

    def read_all(self) -> Iterable[Any]:
        return self._users.all()

    def close(self) -> None:
        self._db.close()


class Limit(Peer):
    """A dict, and a line of JSON for each write: what any store in memory with a journal costs."""

    note = "a dict and a journal of JSON lines: no store, the least that one costs"

    def __init__(self, directory: str) -> None:
        import orjson

        self._dumps = orjson.dumps
        self._data: dict[str, Any] = {}
        path = os.path.join(directory, "journal.jsonl")
        if os.path.exists(path):
            with open(path, "rb") as file:
                for line in file:
                    key, value = orjson.loads(line)
                    self._data[key] = value
        self._file = open(path, "ab")  # noqa: SIM115 - closed below

    def fill(self, data: Documents) -> None:
        dumps = self._dumps
        self._data.update(data)
        self._file.write(b"\n".join([dumps(item) for item in data.items()]) + b"\n")
        self._sync()

    overwrite = fill

    def update(self, key: str, value: dict[str, Any]) -> None:
        self.put(key, value)
        self._sync()

    def put(self, key: str, value: dict[str, Any]) -> None:
        self._data[key] = value
        self._file.write(self._dumps((key, value)) + b"\n")

    def read(self, key: str) -> Any:
        return self._data[key]

    def read_all(self) -> Iterable[Any]:
        return list(self._data.values())

    def close(self) -> None:
        self._file.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fdatasync(self._file.fileno())


class WholeFile(Peer):
    """One JSON file, written anew and renamed with each update: what a careful script does."""

    size_max = 100_000
    note = "one JSON file by the standard library, replaced with each update"

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._path = os.path.join(directory, "store.json")
        self._data: dict[str, Any] = {}
        if os.path.exists(self._path):
            with open(self._path, encoding="utf-8") as file:
                self._data = json.load(file)

    def fill(self, data: Documents) -> None:
        self._data.update(data)
        self._save()

    overwrite = fill

    def update(self, key: str, value: dict[str, Any]) -> None:
        self._data[key] = value
        self._save()

    put = update

    def read(self, key: str) -> Any:
        return self._data[key]

    def read_all(self) -> Iterable[Any]:
        return list(self._data.values())

    def _save(self) -> None:
        temporary = self._path + ".tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(json.dumps(self._data))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
        sync_files(self._directory, names=False)


def sync_files(directory: str, *, names: bool = True) -> None:
    """Sync a directory, and the files in it."""
    paths = [entry.path for entry in os.scandir(directory) if names and entry.is_file()]
    for path in [*paths, directory]:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


PEERS: dict[str, type[Peer]] = {
    "grebe": Grebe,
    "limit": Limit,
    "sqlite": Sqlite,
    "lmdb": Lmdb,
    "rocksdict": Rocksdict,
    "zodb": Zodb,
    "diskcache": Diskcache,
    "sqlitedict": Sqlitedict,
    "shelve": Shelve,
    "pickledb": Pickledb,
    "tinydb": Tinydb,
    "whole file": WholeFile,
}
