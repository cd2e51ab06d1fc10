"""`SqlitePersistor` against plain sqlite3 code that does the same transactions.

Single durable updates take turns in one process, so a slow spell of the disk hits both; 100,000
documents at once are put into an empty database by a fresh process each. Both databases are in WAL
mode with synchronous=FULL. The plain table has the key and the value and nothing else.
"""

from __future__ import annotations

import os
import random
from typing import Any

import grebe
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

SIZE = 10_000
WARM_UP = 10


def run(settings: Settings) -> Report:
    """Measure updates and loads, some processes each."""
    runs, rounds = settings.pick(7, 3), settings.pick(500, 150)
    count = settings.pick(100_000, 20_000)
    updates, bulks = [], []
    for _ in range(1 if settings.profile else runs):
        updates.append(fresh("sqlite_persistor", "single", settings, rounds=rounds))
        bulks.append(
            {
                case: fresh("sqlite_persistor", case, settings, count=count)
                for case in ("bulk_grebe", "bulk_plain")
            }
        )
    report = Report(
        f"SqlitePersistor against plain sqlite3; medians of {runs} processes",
        ["", "grebe", "plain", "ratio"],
    )
    for what in ("median", "slow"):
        ours = median([run["grebe"][what] for run in updates])
        plain = median([run["plain"][what] for run in updates])
        ratio = median([run["grebe"][what] / run["plain"][what] for run in updates])
        name = "durable update, us" if what == "median" else "the same, 99 %"
        report.rows.append([name, ours, plain, ratio])
        if what == "median":
            report.bars.append(Bar("durable update, SqlitePersistor / plain sqlite3", ratio, 1.3))
    ratio = median([run["bulk_grebe"] / run["bulk_plain"] for run in bulks])
    report.rows.append(
        [
            f"{count:,} documents, s",
            median([run["bulk_grebe"] for run in bulks]),
            median([run["bulk_plain"] for run in bulks]),
            ratio,
        ]
    )
    report.bars.append(Bar(f"{count:,} documents at once", ratio, 1.5))
    return report


def single(rounds: int) -> dict[str, dict[str, float]]:
    """Update one document after the other, durably, here and there in turn."""
    data = documents(SIZE)
    times: dict[str, list[float]] = {"grebe": [], "plain": []}
    rng = random.Random(1)
    with scratch() as directory:
        store = grebe.open(f"sqlite:///{os.path.join(directory, 'grebe.db')}")
        users = store.collection("users")
        users.create_many(data)
        store.commit()
        plain = sqlite(os.path.join(directory, "plain.db"))
        sqlite_fill(plain, data)
        for number in range(rounds + WARM_UP):
            key = rng.randrange(SIZE)
            value = document(key, number + 1)
            found: dict[str, float] = {}
            for name in ("grebe", "plain") if number % 2 else ("plain", "grebe"):
                with Watch() as watch:
                    if name == "grebe":
                        users.doc(f"{key:06d}").set(value)
                        store.commit()
                    else:
                        _update(plain, key, value)
                found[name] = watch.us
            if number >= WARM_UP:
                for name, us in found.items():
                    times[name].append(us)
        store.close()
        plain.close()
    return {
        name: {"median": median(found), "slow": percentile(found, 0.99)}
        for name, found in times.items()
    }


def _update(connection: Any, key: int, value: dict[str, Any]) -> None:
    connection.execute(
        "UPDATE documents SET value = ? WHERE path = ?",
        (encode(value).decode(), f"users/{key:06d}"),
    )


def bulk_grebe(count: int) -> float:
    """create_many, then commit."""
    data = documents(count)
    with scratch() as directory:
        store = grebe.open(f"sqlite:///{os.path.join(directory, 'grebe.db')}")
        with Watch() as watch:
            store.collection("users").create_many(data)
            store.commit()
        store.close()
    return watch.seconds


def bulk_plain(count: int) -> float:
    """One executemany in one transaction, encoding included."""
    data = documents(count)
    with scratch() as directory:
        connection = sqlite(os.path.join(directory, "plain.db"))
        with Watch() as watch:
            sqlite_fill(connection, data)
        connection.close()
    return watch.seconds
