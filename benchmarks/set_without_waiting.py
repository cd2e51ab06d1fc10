"""Replacing one of 100,000 documents without waiting for the disk, beside a dict and an encoder."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from typing import Any

import grebe
from measure import Report, Settings, Watch, document, documents, encode, fresh, median, scratch

WRITES = 1_000
"""Writes in a block; the cases take turns block by block."""


def run(settings: Settings) -> Report:
    """Measure in some processes."""
    count, runs = settings.pick(100_000, 20_000), settings.pick(5, 2)
    found = [
        fresh("set_without_waiting", "write", settings, count=count, blocks=settings.pick(60, 20))
        for _ in range(1 if settings.profile else runs)
    ]
    report = Report(
        f"set without waiting: one of {count:,} documents, microseconds; "
        f"median of {runs} processes",
        ["", "microseconds", "x dict + encode"],
    )
    base = "dict + encode"
    for name in found[0]:
        report.rows.append(
            [name, median([f[name] for f in found]), median([f[name] / f[base] for f in found])]
        )
    report.notes.append("directory: the committer writes every 0.1 s beside it, on its thread")
    return report


def write(count: int, blocks: int) -> Mapping[str, float]:
    """Return the median time of a write for each case."""
    data = documents(count)
    with scratch() as directory:
        memory = grebe.open()
        disk = grebe.open(os.path.join(directory, "store"))
        watched = grebe.open()
        for store in (memory, disk, watched):
            store.collection("users").create_many(data)
        disk.checkpoint()
        live = watched.collection("users").observe()
        live.subscribe_changes(lambda _: None)
        encoded: dict[str, bytes] = {}
        cases: dict[str, Callable[[str, Any], Any]] = {
            "dict + encode": lambda key, value: encoded.__setitem__(key, encode(value)),
            "memory": _setter(memory),
            "memory, the collection observed": _setter(watched),
            "directory": _setter(disk),
        }
        times = _interleave(cases, list(data), blocks)
        disk.close()
    return {name: median(found) for name, found in times.items()}


def _setter(store: grebe.Store) -> Callable[[str, Any], Any]:
    users = store.collection("users")
    return lambda key, value: users.doc(key).set(value)


def _interleave(
    cases: Mapping[str, Callable[[str, Any], Any]], keys: list[str], blocks: int
) -> Mapping[str, list[float]]:
    rng = random.Random(4)
    times: dict[str, list[float]] = {name: [] for name in cases}
    for block in range(blocks):
        for name, case in cases.items():
            chosen = rng.sample(keys, WRITES)
            values = [(key, document(int(key), block + 1)) for key in chosen]
            with Watch() as watch:
                for key, value in values:
                    case(key, value)
            times[name].append(watch.us / WRITES)
    return times
