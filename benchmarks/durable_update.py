"""One durable update, `set` + `commit()`, in stores of three sizes.

Beside it an append + fdatasync of the same bytes in the same directory, and SQLite (WAL, FULL). All
take turns, update by update, in one process, so a slow spell of the disk hits all of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grebe
from grebe.persistors.file.filesystem import NewFile, OsFileSystem
from measure import (
    Bar,
    Report,
    Settings,
    Watch,
    document,
    documents,
    encode,
    fresh,
    median,
    percentile,
    scratch,
    sqlite,
    sqlite_fill,
)

SIZES = (1_000, 10_000, 100_000)
Update = Callable[[str, dict[str, Any]], None]


def run(settings: Settings) -> Report:
    """Measure with the disk and without, some runs each."""
    runs, rounds = settings.pick(5, 2), settings.pick(400, 100)
    with_disk, without = [], []
    for _ in range(1 if settings.profile else runs):
        if not settings.profile:
            with_disk.append(fresh("durable_update", "synced", settings, rounds=rounds))
        without.append(fresh("durable_update", "unsynced", settings, rounds=rounds * 5))
    report = Report(
        "durable update: set + commit of one document, microseconds; "
        f"medians of {rounds} updates, medians of {runs} processes",
        ["", "median", "x append+fdatasync", "99 %", "software alone"],
    )
    for name in without[0]:
        software = median([run[name]["median"] for run in without])
        if settings.profile:
            report.rows.append([name, "", "", "", software])
            continue
        middle = median([run[name]["median"] for run in with_disk])
        ratio = median([run[name]["median"] / run["append"]["median"] for run in with_disk])
        slow = median([run[name]["slow"] for run in with_disk])
        report.rows.append([name, middle, ratio, slow, software])
        if name.startswith("grebe"):
            report.bars.append(Bar(f"{name} / append + fdatasync", ratio, 1.5))
    if not settings.profile:
        smallest, largest = (f"grebe {size:,}" for size in (SIZES[0], SIZES[-1]))
        growth = median([r[largest]["median"] / r[smallest]["median"] for r in with_disk])
        report.bars.append(Bar(f"{largest} / {smallest}", growth, 1.25))
    report.notes.append("software alone: every sync does nothing; SQLite with synchronous=OFF")
    return report


def synced(rounds: int) -> Mapping[str, Mapping[str, float]]:
    """Measure everything, with the disk."""
    return _measure(rounds, OsFileSystem(), os.fdatasync, "FULL")


def unsynced(rounds: int) -> Mapping[str, Mapping[str, float]]:
    """Measure what the software costs."""
    return _measure(rounds, UnsyncedFileSystem(), lambda _: None, "OFF")


class UnsyncedFile:
    """A file whose sync does nothing."""

    def __init__(self, file: NewFile) -> None:
        self.write = file.write
        self.reserve = file.reserve
        self.close = file.close

    def sync(self) -> None:
        """See NewFile."""


class UnsyncedFileSystem(OsFileSystem):
    """The real file system without syncs."""

    def create(self, path: str) -> NewFile:
        """See FileSystem."""
        return UnsyncedFile(super().create(path))

    def sync_directory(self, path: str) -> None:
        """See FileSystem."""


def _measure(
    rounds: int, fs: OsFileSystem, sync: Callable[[int], None], synchronous: str
) -> Mapping[str, Mapping[str, float]]:
    with scratch() as directory:
        stores, updates, databases = [], {}, []
        updates["append"] = _append(directory, sync)
        for size in SIZES:
            data = documents(size)
            persistor = grebe.FilePersistor(os.path.join(directory, f"{size}"), file_system=fs)
            with grebe.open(persistor) as store:
                store.collection("users").create_many(data)
            stores.append(grebe.open(persistor))
            updates[f"grebe {size:,}"] = _grebe(stores[-1])
            database = sqlite(os.path.join(directory, f"{size}.db"))
            sqlite_fill(database, data)
            database.execute(f"PRAGMA synchronous={synchronous}")
            databases.append(database)
            updates[f"sqlite {size:,}"] = _sqlite(database)
        times = _interleave(updates, rounds)
        for store in stores:
            store.close()
        for database in databases:
            database.close()
    return {
        name: {"median": median(found), "slow": percentile(found, 0.99)}
        for name, found in times.items()
    }


def _interleave(updates: Mapping[str, Update], rounds: int) -> Mapping[str, list[float]]:
    rng = random.Random(1)
    times: dict[str, list[float]] = {name: [] for name in updates}
    names = list(updates)
    for number in range(rounds + 10):
        names.append(names.pop(0))
        for name in names:
            limit = int(name.split()[1].replace(",", "")) if " " in name else 1
            key = rng.randrange(limit)
            value = document(key, number + 1)
            update = updates[name]
            with Watch() as watch:
                update(f"{key:06d}", value)
            if number >= 10:  # the first are for warming up
                times[name].append(watch.us)
    return times


def _append(directory: str, sync: Callable[[int], None]) -> Update:
    fd = os.open(os.path.join(directory, "raw"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    line = _journal_line(os.path.join(directory, "sample"))

    def update(_key: str, _value: dict[str, Any]) -> None:
        os.write(fd, line)
        sync(fd)

    return update


def _journal_line(directory: str) -> bytes:
    """Return the bytes that an update appends to the journal."""
    with grebe.open(directory) as store:
        users = store.collection("users")
        for revision in range(2):
            users.doc("000001").set(document(1, revision))
            store.commit()
        (journal,) = Path(directory).glob("journal-*")
        return journal.read_bytes().rstrip(b" ").splitlines(keepends=True)[-1]


def _grebe(store: grebe.Store) -> Update:
    users = store.collection("users")

    def update(key: str, value: dict[str, Any]) -> None:
        users.doc(key).set(value)
        store.commit()

    return update


def _sqlite(connection: Any) -> Update:
    def update(key: str, value: dict[str, Any]) -> None:
        connection.execute(
            "UPDATE documents SET value = ? WHERE path = ?",
            (encode(value).decode(), f"users/{key}"),
        )

    return update
