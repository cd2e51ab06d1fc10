"""One write with one interested observer, beside 0, 1,000 and 50,000 idle ones.

Idle: of other documents of the same collection, and of queries of other collections. Queries of the
written collection are not idle: each has to be asked whether the document is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grebe
from measure import Bar, Report, Settings, Watch, document, fresh, median

COUNTS = (0, 1_000, 50_000)
DOCUMENTS = 50_000
WRITES = 100
"""Writes in a block; the stores take turns block by block."""


def run(settings: Settings) -> Report:
    """Measure both kinds of interested observers, some runs each."""
    runs, blocks = settings.pick(5, 2), settings.pick(60, 20)
    found: dict[str, list[dict[str, float]]] = {"document": [], "query": []}
    for _ in range(1 if settings.profile else runs):
        for kind in found:
            found[kind].append(fresh("idle_observers", "write", settings, kind=kind, blocks=blocks))
    report = Report(
        f"idle observers: one write told to one observer, microseconds; median of {runs} processes",
        ["idle observers", "of a document", "ratio", "of a query", "ratio"],
    )
    for count in COUNTS:
        row: list[Any] = [f"{count:,}"]
        for kind, results in found.items():
            ratio = median([r[str(count)] / r["0"] for r in results])
            row += [median([r[str(count)] for r in results]), ratio]
            if count:
                report.bars.append(Bar(f"{count:,} idle / none, of a {kind}", ratio, 1.2))
        report.rows.append(row)
    return report


def write(kind: str, blocks: int) -> Mapping[str, float]:
    """Return the median time of a write for each number of idle observers."""
    told: list[Any] = []
    stores = {count: _store(count, kind, told.append) for count in COUNTS}
    times: dict[int, list[float]] = {count: [] for count in COUNTS}
    written = 1  # revision 0 is there already
    for block in range(blocks + 2):
        for count in _turned(COUNTS, block):
            doc = stores[count].doc("users/000001")
            values = [document(1, written + i) for i in range(WRITES)]
            written += WRITES
            told.clear()
            with Watch() as watch:
                for value in values:
                    doc.set(value)
            assert len(told) == WRITES
            if block >= 2:  # the first are for warming up
                times[count].append(watch.us / WRITES)
    return {str(count): median(found) for count, found in times.items()}


def _store(idle: int, kind: str, told: Callable[[Any], object]) -> grebe.Store:
    store = grebe.open()
    users = store.collection("users")
    users.create_many({f"{i:06d}": document(i) for i in range(DOCUMENTS)})
    for i in range(idle // 2):
        users.doc(f"{i + 2:06d}").observe().subscribe(lambda _: None)
        other = store.collection(f"others-{i}").where(lambda _: True)
        other.observe().subscribe(lambda _: None)
    source = users.doc("000001") if kind == "document" else users.where(lambda s: "age" in s.data)
    source.observe().subscribe(told)
    return store


def _turned(items: tuple[int, ...], by: int) -> tuple[int, ...]:
    by %= len(items)
    return items[by:] + items[:by]
