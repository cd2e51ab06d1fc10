"""How long `set` and `set` + `commit` take while a checkpoint runs in the background, and without.

All documents are in one partition, so each checkpoint writes all of them. Whether one runs is seen
by its thread. Beside them an append + fdatasync to another file of the same directory: how long the
disk itself makes somebody wait who has nothing to do with Grebe.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Mapping
from typing import Any

import grebe
from durable_update import UnsyncedFileSystem
from grebe.persistors.file.filesystem import OsFileSystem
from measure import Bar, Report, Settings, document, documents, fresh, median, percentile, scratch

SET_MAX = 10.0
COMMIT_MAX = 5.0
COMMIT = "set + commit"
CASES = ("set", COMMIT, "append + fdatasync")
LINE = b"x" * 300 + b"\n"
SETS = 20
"""Writes that are timed one by one before one with a commit is."""


def run(settings: Settings) -> Report:
    """Measure in some processes."""
    count, runs = settings.pick(100_000, 20_000), settings.pick(3, 1)
    found = [_measured(settings, "synced", count) for _ in range(1 if settings.profile else runs)]
    alone = [_measured(settings, "unsynced", count) for _ in range(1 if settings.profile else runs)]
    report = Report(
        f"pauses by a checkpoint of {count:,} documents, microseconds; median of {runs} processes",
        ["", "50 %", "99 %", "99.9 %", "longest", "50 % during", "99 %", "99.9 %", "longest"],
    )
    columns = zip(*([*f[COMMIT]["elsewhere"], *f[COMMIT]["during"]] for f in alone), strict=True)
    report.rows.append([f"{COMMIT}, no syncs", *(median(column) for column in columns)])
    for name in CASES:
        columns = zip(*([*f[name]["elsewhere"], *f[name]["during"]] for f in found), strict=True)
        report.rows.append([name, *(median(column) for column in columns)])
    for name, limit in (("set", SET_MAX), (COMMIT, COMMIT_MAX)):
        ratio = median([f[name]["during"][1] / f[name]["elsewhere"][0] for f in found])
        report.bars.append(Bar(f"{name}: 99 % during / median elsewhere", ratio, limit))
    commit, append = (
        median([f[name]["during"][1] / f[name]["elsewhere"][1] for f in found])
        for name in CASES[1:]
    )
    report.notes.append(
        f"99 % during / 99 % elsewhere: set + commit {commit:.2f}, append + fdatasync {append:.2f}"
    )
    seconds = median([f["seconds"] for f in found])
    writes = median([f["writes"] for f in found])
    report.notes.append(f"a checkpoint takes {seconds:.2f} s; {writes:,.0f} writes beside all")
    return report


def _measured(settings: Settings, case: str, count: int) -> Mapping[str, Any]:
    checkpoints = settings.pick(4, 2)
    return fresh("checkpoint_pauses", case, settings, count=count, checkpoints=checkpoints)


def synced(count: int, checkpoints: int) -> Mapping[str, Any]:
    """Return the times beside checkpoints and without."""
    return _pauses(count, checkpoints, OsFileSystem())


def unsynced(count: int, checkpoints: int) -> Mapping[str, Any]:
    """Return what is left of them if the disk answers at once."""
    return _pauses(count, checkpoints, UnsyncedFileSystem())


def _pauses(count: int, checkpoints: int, fs: OsFileSystem) -> Mapping[str, Any]:
    rng = random.Random(6)
    times: dict[str, dict[str, list[float]]] = {
        name: {"elsewhere": [], "during": []} for name in CASES
    }
    seconds = []
    with scratch() as directory:
        raw = os.open(os.path.join(directory, "raw"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        persistor = grebe.FilePersistor(os.path.join(directory, "store"), file_system=fs)
        store = grebe.open(persistor, commit_interval=3600)
        users = store.collection("users")
        users.create_many(documents(count))
        store.checkpoint()
        for _ in range(checkpoints):
            _measure(users, store, raw, times, rng, lambda passed: passed < 400)
            # What makes a checkpoint due: much has changed.
            with store.batch():
                for number in range(count):
                    users.doc(f"{number:06d}").set(document(number, 1))
            store.commit()
            start = time.perf_counter()
            _measure(users, store, raw, times, rng, lambda _: _is_running())
            seconds.append(time.perf_counter() - start)
        store.close()
    during = [len(times[name]["during"]) for name in times]
    return {
        **{name: {when: _shares(t) for when, t in both.items()} for name, both in times.items()},
        "seconds": median(seconds),
        "writes": sum(during),
    }


def _is_running() -> bool:
    return any(thread.name == "grebe-checkpoint" for thread in threading.enumerate())


def _shares(times: list[float]) -> list[float]:
    return [percentile(times, share) for share in (0.5, 0.99, 0.999, 1)]


def _measure(
    users: Any, store: grebe.Store, raw: int, times: Any, rng: random.Random, go_on: Any
) -> None:
    clock = time.perf_counter
    count = len(users)
    passed = 0
    while go_on(passed):
        running = _is_running()
        found: dict[str, list[float]] = {name: [] for name in CASES}
        for number in range(SETS + 1):
            key = rng.randrange(count)
            value = document(key, rng.randrange(1000))
            doc = users.doc(f"{key:06d}")
            start = clock()
            doc.set(value)
            if number == SETS:
                store.commit()
            name = "set + commit" if number == SETS else "set"
            found[name].append((clock() - start) * 1e6)
        start = clock()
        os.write(raw, LINE)
        os.fdatasync(raw)
        found["append + fdatasync"].append((clock() - start) * 1e6)
        when = "during" if running or _is_running() else "elsewhere"
        for name, some in found.items():
            times[name][when] += some
        passed += 1
