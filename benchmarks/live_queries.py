"""What it costs to tell an observer of one change, beside hand-written incremental Python.

The baselines do by hand what the query needs and no more: dicts, a SortedKeyList, a named tuple for
each change. They do not encode, lock, compare, find positions or know what was told last, as Grebe
does; "with positions" is the same that also finds the two positions of each change.

Times are CPU times of the calling thread, per write, medians over short blocks in which the stores
take turns: nothing waits in these cases, and other work on the machine does not count then.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from sortedcontainers import SortedKeyList

import grebe
from grebe import agg, field
from measure import Bar, Report, Settings, exponent, fresh, median

SIZES = (100, 1_000, 10_000, 100_000)
LARGEST = SIZES[-1]
WRITES = 25
"""Writes in a block."""
DEPENDENTS = 100

Write = Callable[[int, dict[str, Any]], None]


def run(settings: Settings) -> Report:
    """Measure each case in fresh processes."""
    runs, blocks = settings.pick(5, 1), settings.pick(400, 100)
    report = Report(
        f"live queries: CPU microseconds for one change told; median of {runs} processes",
        ["case", "rows", "baseline", "with positions", "Grebe", "ratio", "bar"],
    )

    def measured(case: str, **arguments: Any) -> dict[str, float]:
        found = [
            fresh("live_queries", case, settings, blocks=blocks, **arguments) for _ in range(runs)
        ]
        return {name: median([one[name] for one in found]) for name in found[0]}

    def row(name: str, rows: int, found: dict[str, float], limit: float) -> None:
        ratio = found["grebe"] / found["baseline"]
        cells = [found["baseline"], found.get("positions", ""), found["grebe"], ratio, limit]
        report.rows.append([name, rows, *cells])
        report.bars.append(Bar(f"{name}, {rows:,} rows / baseline", ratio, limit))

    for values, name, limit in ((False, "moved to the front", 4), (True, "the same, as a view", 3)):
        times = []
        for rows in SIZES:
            found = measured("moved", rows=rows, values=values)
            row(name, rows, found, limit)
            times.append(found["grebe"])
        most = 0.4 if values else 0.3
        report.bars.append(Bar(f"{name}: exponent", exponent(SIZES[1:], times[1:]), most))
    for kind in ("stays", "enters"):
        row(f"1 % filtered, one {kind}", LARGEST, measured("filtered", kind=kind), 5)
    row("top 10", LARGEST, measured("top"), 5)
    for kind in ("count", "sum", "group"):
        found = measured("aggregated", kind=kind)
        added = found["grebe"] - found["baseline"]
        cells = [found["baseline"], "", found["grebe"], added, 10]
        report.rows.append([f"aggregate: {kind}", LARGEST, *cells])
        report.bars.append(Bar(f"live {kind} above a plain write, us", added, 10))
    row(f"{DEPENDENTS} dependents", LARGEST, measured("dependent"), 3)
    report.notes.append(
        "aggregates: the baseline is a plain write; the ratio column is what the live"
    )
    report.notes.append(
        "aggregate adds to it, in microseconds. The views: first and last row read."
    )
    return report


# --- cases


def moved(rows: int, values: bool, blocks: int) -> dict[str, float]:
    """One row moves to the front of an ordered result."""
    told: list[Any] = []
    see = (lambda value: told.append((value[0], value[-1]))) if values else told.append
    tasks = _filled(rows)
    observer = tasks.order_by("rank").observe()
    (observer.subscribe if values else observer.subscribe_changes)(see)
    bare, located = _Sorted(rows, told, values), _Sorted(rows, told, values, positions=True)
    writes = {"baseline": bare.write, "positions": located.write, "grebe": _writer(tasks)}
    ranks = iter(range(-1, -(10**9), -1))

    def change(chance: random.Random) -> tuple[int, dict[str, Any]]:
        number = chance.randrange(rows)
        return number, _task(number, next(ranks))

    return _compare(writes, change, blocks, told)


def filtered(kind: str, blocks: int) -> dict[str, float]:
    """One row of a result of 1 % changes, or one that was outside enters and one goes."""
    told: list[Any] = []
    tasks = _filled(LARGEST)
    observer = tasks.where(field("group") == 7).observe()
    observer.subscribe_changes(told.append)
    baseline = _Filtered(LARGEST, told)
    entered: set[int] = set()
    sizes = iter(range(1000, 10**9))

    def change(chance: random.Random) -> tuple[int, dict[str, Any]]:
        number = chance.randrange(LARGEST // 100) * 100 + (7 if kind == "stays" else 8)
        task = {**_task(number, number), "size": next(sizes)}
        if kind == "enters":
            task["group"] = 7
            if number in entered:
                entered.remove(number)
                task["group"] = 8
            else:
                entered.add(number)
        return number, task

    return _compare({"baseline": baseline.write, "grebe": _writer(tasks)}, change, blocks, told)


def top(blocks: int) -> dict[str, float]:
    """A row enters the first ten of all, and pushes the tenth out."""
    told: list[Any] = []
    tasks = _filled(LARGEST)
    observer = tasks.order_by("rank").limit(10).observe()
    observer.subscribe_changes(told.append)
    baseline = _Top(LARGEST, told)
    ranks = iter(range(-1, -(10**9), -1))

    def change(chance: random.Random) -> tuple[int, dict[str, Any]]:
        number = chance.randrange(LARGEST)
        return number, _task(number, next(ranks))

    return _compare({"baseline": baseline.write, "grebe": _writer(tasks)}, change, blocks, told)


def aggregated(kind: str, blocks: int) -> dict[str, float]:
    """A write under a live aggregate of all documents; the baseline is the same write without."""
    told: list[Any] = []
    plain, watched = _filled(LARGEST), _filled(LARGEST)
    source: Any = {
        "count": watched.aggregate(n=agg.count()),
        "sum": watched.aggregate(total=agg.sum("size")),
        "group": watched.group_by("group").aggregate(n=agg.count(), total=agg.sum("size")),
    }[kind]
    source.observe().subscribe(told.append)
    sizes = iter(range(1000, 10**9))

    def change(chance: random.Random) -> tuple[int, dict[str, Any]]:
        number = chance.randrange(LARGEST)
        return number, {**_task(number, number), "size": next(sizes)}

    writes = {"baseline": _writer(plain), "grebe": _writer(watched)}
    return _compare(writes, change, blocks, told, all_told=kind != "count")


def dependent(blocks: int) -> dict[str, float]:
    """A user is written on whom 100 posts depend, which are in a result of 100,000."""
    told: list[Any] = []
    store = grebe.open()
    users = store.collection("users")
    users.create_many({f"{i}": {"name": f"user {i}"} for i in range(LARGEST // DEPENDENTS)})
    posts = store.collection("posts", depends_on=lambda post: [users.doc(post.data["author"])])
    posts.create_many({f"{i}": _post(i) for i in range(LARGEST)})
    posts.observe().subscribe_changes(told.append)
    baseline = _Posts(told)
    names = iter(range(10**9))

    def change(chance: random.Random) -> tuple[int, dict[str, Any]]:
        return chance.randrange(LARGEST // DEPENDENTS), {"name": f"user {next(names)}"}

    writes = {"baseline": baseline.write, "grebe": _writer(users)}
    return _compare(writes, change, max(1, blocks // 20), told, size=DEPENDENTS)


# --- what is compared


class Change(NamedTuple):
    """What the baselines tell."""

    event: str
    id: Any
    data: Any
    prev_data: Any
    prev_index: int | None = None
    index: int | None = None


class _Sorted:
    """Rows in a SortedKeyList."""

    def __init__(
        self, rows: int, told: list[Any], values: bool, *, positions: bool = False
    ) -> None:
        self.rows = {number: _task(number, number) for number in range(rows)}
        self.sorted = SortedKeyList(self.rows.values(), key=_rank)
        self.told = told
        self.values = values
        self.positions = positions

    def write(self, number: int, fields: dict[str, Any]) -> None:
        rows = self.rows
        before = rows[number]
        after = {**before, **fields}
        if self.positions:
            gone = self.sorted.index(before)
            del self.sorted[gone]
            self.sorted.add(after)
            change = Change("modified", number, after, before, gone, self.sorted.index(after))
        else:
            self.sorted.remove(before)
            self.sorted.add(after)
            change = Change("modified", number, after, before)
        rows[number] = after
        if self.values:
            whole = tuple(self.sorted)
            self.told.append((whole[0], whole[-1]))
        else:
            self.told.append([change])


def _rank(row: dict[str, Any]) -> int:
    rank: int = row["rank"]
    return rank


class _Filtered:
    """Rows, and those of group 7 in a dict."""

    def __init__(self, rows: int, told: list[Any]) -> None:
        self.rows = {number: _task(number, number) for number in range(rows)}
        self.inside = {number: row for number, row in self.rows.items() if row["group"] == 7}
        self.told = told

    def write(self, number: int, fields: dict[str, Any]) -> None:
        before = self.rows[number]
        after = self.rows[number] = {**before, **fields}
        was = number in self.inside
        if after["group"] == 7:
            self.inside[number] = after
            self.told.append([Change("modified" if was else "added", number, after, before)])
        elif was:
            del self.inside[number]
            self.told.append([Change("removed", number, None, before)])


class _Top:
    """Rows in a SortedKeyList, of which the first ten are told."""

    def __init__(self, rows: int, told: list[Any]) -> None:
        self.rows = {number: _task(number, number) for number in range(rows)}
        self.sorted = SortedKeyList(self.rows.values(), key=_rank)
        self.told = told

    def write(self, number: int, fields: dict[str, Any]) -> None:
        before = self.rows[number]
        after = self.rows[number] = {**before, **fields}
        tenth = self.sorted[9]
        was = before["rank"] <= tenth["rank"]
        self.sorted.remove(before)
        self.sorted.add(after)
        new_tenth = self.sorted[9]
        changes: list[Any] = []
        if was or after["rank"] <= new_tenth["rank"]:
            if was:
                changes.append(Change("modified", number, after, before))
            else:
                changes.append(Change("added", number, after, None))
                changes.append(Change("removed", tenth, None, tenth))
        if changes:
            self.told.append(changes)


class _Posts:
    """Posts with the name of their author, and who depends on whom in a dict."""

    def __init__(self, told: list[Any]) -> None:
        self.users: dict[int, Any] = {i: {} for i in range(LARGEST // DEPENDENTS)}
        self.posts = {number: _post(number) for number in range(LARGEST)}
        self.by_author: dict[int, set[int]] = {}
        for number, post in self.posts.items():
            self.by_author.setdefault(int(post["author"]), set()).add(number)
        self.told = told

    def write(self, number: int, fields: dict[str, Any]) -> None:
        self.users[number] = {**self.users[number], **fields}
        posts, changes = self.posts, []
        for post in self.by_author[number]:
            before = posts[post]
            after = posts[post] = {**before, **fields}
            changes.append(Change("modified", post, after, before))
        self.told.append(changes)


def _task(number: int, rank: int) -> dict[str, Any]:
    return {
        "title": f"task {number}",
        "rank": rank,
        "group": number % 100,
        "size": 3,
        "done": False,
    }


def _post(number: int) -> dict[str, Any]:
    return {"title": f"post {number}", "author": f"{number // DEPENDENTS}"}


def _filled(rows: int) -> Any:
    tasks = grebe.open().collection("tasks")
    tasks.create_many({f"{number}": _task(number, number) for number in range(rows)})
    return tasks


def _writer(collection: Any) -> Write:
    docs: dict[int, Any] = {}

    def write(number: int, data: dict[str, Any]) -> None:
        docs[number].set(data)

    def prepare(number: int) -> None:
        docs[number] = collection.doc(f"{number}")

    write.prepare = prepare  # type: ignore[attr-defined]  # a user keeps references as well
    return write


def _compare(
    writes: dict[str, Write],
    change: Callable[[random.Random], tuple[int, dict[str, Any]]],
    blocks: int,
    told: list[Any],
    *,
    all_told: bool = True,
    size: int = 1,
) -> dict[str, float]:
    """Return the median CPU time of a write for each; they take turns and do the same."""
    chance = random.Random(4)
    times: dict[str, list[float]] = {name: [] for name in writes}
    for block in range(blocks + 10):
        work = [change(chance) for _ in range(WRITES)]
        for name, write in writes.items():
            prepare = getattr(write, "prepare", None)
            for number, _ in work if prepare is not None else ():
                prepare(number)
            told.clear()
            start = time.thread_time()
            for number, data in work:
                write(number, data)
            seconds = time.thread_time() - start
            if all_told and name == "grebe":
                assert len(told) == WRITES, (len(told), name)
                assert size == 1 or len(told[0]) == size
            if block >= 10:  # the first are for warming up
                times[name].append(seconds / WRITES * 1e6)
    return {name: median(found) for name, found in times.items()}
