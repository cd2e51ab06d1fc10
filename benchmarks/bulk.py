"""100,000 documents of 200 bytes into an empty store, durably: Grebe against SQLite."""

from __future__ import annotations

import os
from typing import Any

import grebe
from measure import (
    Bar,
    Report,
    Settings,
    Watch,
    documents,
    encode,
    fresh,
    median,
    peak_mb,
    scratch,
    sqlite,
    sqlite_fill,
)


def run(settings: Settings) -> Report:
    """Run the cases in turn, each time in a new process."""
    count, runs = settings.pick(100_000, 20_000), settings.pick(9, 3)
    cases = ["grebe_store"] if settings.profile else ["grebe_store", "sqlite_store", "raw_file"]
    found: dict[str, list[Any]] = {case: [] for case in cases}
    for _ in range(1 if settings.profile else runs):
        for case in cases:
            found[case].append(fresh("bulk", case, settings, count=count))
    report = Report(
        f"bulk: {count:,} documents of 200 bytes, then commit; median of {runs} fresh processes",
        ["", "seconds", "of it commit", "fastest", "peak MB", "above input MB"],
    )
    for case, results in found.items():
        report.rows.append(
            [
                case,
                median([r["seconds"] for r in results]),
                median([r["commit"] for r in results]),
                min(r["seconds"] for r in results),
                median([r["peak"] for r in results]),
                median([r["peak"] - r["peak_before"] for r in results]),
            ]
        )
    if not settings.profile:
        pairs = zip(found["grebe_store"], found["sqlite_store"], strict=True)
        ratio = median([ours["seconds"] / theirs["seconds"] for ours, theirs in pairs])
        report.bars.append(
            Bar("Grebe / SQLite (WAL, FULL, one executemany), run by run", ratio, 1.0)
        )
        report.notes.append("raw_file: encode, join, write and fdatasync, nothing kept")
    return report


def grebe_store(count: int) -> dict[str, float]:
    """create_many, then commit."""
    data = documents(count)
    with scratch() as directory:
        store = grebe.open(os.path.join(directory, "store"))
        before = peak_mb()
        with Watch() as making:
            store.collection("users").create_many(data)
        with Watch() as committing:
            store.commit()
        peak = peak_mb()
        store.close()
    return _result(making.seconds, committing.seconds, before, peak)


def sqlite_store(count: int) -> dict[str, float]:
    """One executemany in one transaction, encoding included."""
    data = documents(count)
    with scratch() as directory:
        connection = sqlite(os.path.join(directory, "store.db"))
        before = peak_mb()
        with Watch() as making:
            sqlite_fill(connection, data)
        peak = peak_mb()
        connection.close()
    return _result(making.seconds, 0.0, before, peak)


def raw_file(count: int) -> dict[str, float]:
    """The least that any store has to do."""
    data = documents(count)
    with scratch() as directory:
        fd = os.open(os.path.join(directory, "raw"), os.O_WRONLY | os.O_CREAT)
        before = peak_mb()
        with Watch() as making:
            text = b"\n".join([encode(value) for value in data.values()])
        with Watch() as committing:
            os.write(fd, text)
            os.fdatasync(fd)
        peak = peak_mb()
        os.close(fd)
    return _result(making.seconds, committing.seconds, before, peak)


def _result(making: float, commit: float, before: float, peak: float) -> dict[str, float]:
    return {"seconds": making + commit, "commit": commit, "peak_before": before, "peak": peak}
