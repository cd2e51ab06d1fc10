"""What it costs to answer a query, with an index and without, beside dicts kept by hand.

The documents were read before. Baselines give a list of dicts; Grebe gives snapshots. Times are CPU
times of the calling thread; what is compared takes turns.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

from sortedcontainers import SortedDict, SortedList

import grebe
from grebe import field
from measure import Bar, Report, Settings, exponent, fresh, median

SIZES = (1_000, 10_000, 100_000)
LARGEST = SIZES[-1]
ANSWER = 10
"""Documents in an answer, whatever the size of the collection."""
WRITES = 2_000


def run(settings: Settings) -> Report:
    """Measure each case in fresh processes."""
    runs, rounds = settings.pick(5, 1), settings.pick(300, 60)
    report = Report(
        f"queries: CPU microseconds; median of {runs} processes",
        ["case", "documents", "by hand", "Grebe", "ratio", "examined", "bar"],
    )

    def measured(case: str, **arguments: Any) -> dict[str, float]:
        found = [fresh("queries", case, settings, rounds=rounds, **arguments) for _ in range(runs)]
        return {name: median([one[name] for one in found]) for name in found[0]}

    for kind in ("equality", "range", "in_", "prefix", "top 10"):
        times = []
        for size in SIZES:
            found = measured("indexed", kind=kind, size=size)
            ratio = found["grebe"] / found["hand"]
            cells = [found["hand"], found["grebe"], ratio, int(found["examined"]), 3]
            report.rows.append([f"index: {kind}", size, *cells])
            times.append(found["grebe"])
        report.bars.append(Bar(f"index, {kind}, {size:,} documents / by hand", ratio, 3))
        report.bars.append(Bar(f"index, {kind}: exponent", exponent(SIZES, times), 0.2))
    for kind in ("==", ">="):
        found = measured("scanned", kind=kind)
        ratio = found["grebe"] / found["hand"]
        cells = [found["hand"], found["grebe"], ratio, LARGEST, 2]
        report.rows.append([f"scan: {kind}", LARGEST, *cells])
        report.bars.append(Bar(f"scan {kind} / list comprehension", ratio, 2))
    found = measured("kept")
    cells = [found["plain"] + found["container"], found["indexed"], "", "", ""]
    report.rows.append(["a write, then indexed", LARGEST, *cells])
    added = found["indexed"] - found["plain"] - found["container"]
    report.bars.append(Bar("an index above a write and its container, us a write", added, 1.5))
    report.notes.append("a write, then indexed: by hand is a write of Grebe and a SortedList's")
    report.notes.append("remove and add; the index catches up when a query uses it, and pays then.")
    return report


# --- cases


def indexed(kind: str, size: int, rounds: int) -> dict[str, float]:
    """A query that an index answers."""
    people = _people(size)
    collection = grebe.open().collection("people", indexes=["group", "name"])
    collection.create_many(people)
    list(map(_data, collection))  # read once
    rows = list(people.values())
    groups: dict[int, list[Any]] = {}
    names = SortedDict()
    for row in rows:
        groups.setdefault(row["group"], []).append(row)
        names[row["name"]] = row
    by_group = SortedDict(groups)
    last = size // ANSWER - 1

    def ask(number: int) -> tuple[Callable[[], Any], Callable[[], list[Any]]]:
        group, begin = number % last, f"{number % last:05d}"
        if kind == "equality":
            return collection.where(field("group") == group).get, lambda: list(groups[group])
        if kind == "in_":
            few = [group, group + 1]
            return (
                collection.where(field("group").in_(few)).get,
                lambda: [row for one in few for row in groups[one]],
            )
        if kind == "range":
            condition = (field("group") >= group) & (field("group") < group + 1)
            return (
                collection.where(condition).get,
                lambda: [
                    row
                    for key in by_group.irange(group, group + 1, (True, False))
                    for row in by_group[key]
                ],
            )
        if kind == "prefix":
            return (
                collection.where(field("name").starts_with(begin)).get,
                lambda: [names[key] for key in names.irange(begin, begin + "~")],
            )
        return (
            collection.order_by("name", desc=True).limit(10).get,
            lambda: [names[key] for key in islice(reversed(names), 10)],
        )

    times: dict[str, list[float]] = {"hand": [], "grebe": []}
    for number in range(rounds):
        asked, by_hand = zip(*(ask(number * 7 + i) for i in range(20)), strict=True)
        for name, calls in (("hand", by_hand), ("grebe", asked)):
            times[name].append(_us(calls))
    query = collection.where(field("group") == 1)
    assert len(query.get()) == ANSWER
    assert len(asked[0]()) == len(by_hand[0]())
    examined = asked[0].__self__.explain().examined
    return {**{name: median(found) for name, found in times.items()}, "examined": examined}


def scanned(kind: str, rounds: int) -> dict[str, float]:
    """A query that looks at all documents."""
    people = _people(LARGEST)
    collection = grebe.open().collection("people")
    collection.create_many(people)
    list(map(_data, collection))
    rows = list(map(_data, collection))  # the same dicts: no other memory, no other luck
    if kind == "==":
        query = collection.where(field("age") == 42)
        calls = {"hand": lambda: [row for row in rows if row["age"] == 42], "grebe": query.get}
    else:
        query = collection.where(field("age") >= 90)
        calls = {"hand": lambda: [row for row in rows if row["age"] >= 90], "grebe": query.get}
    times: dict[str, list[float]] = {"hand": [], "grebe": []}
    for _ in range(max(5, rounds // 10)):
        for name, call in calls.items():
            times[name].append(_us([call]))
    assert len(calls["hand"]()) == len(query.get())
    return {name: median(found) for name, found in times.items()}


def kept(rounds: int) -> dict[str, float]:
    """Writes with an index and without; a query makes the index catch up."""
    people = _people(LARGEST)
    collections = {
        "plain": grebe.open().collection("people"),
        "indexed": grebe.open().collection("people", indexes=["score"]),
    }
    for collection in collections.values():
        collection.create_many(people)
        list(map(_data, collection))
        collection.where(field("score") == -1).get()
    chance = random.Random(5)
    container = SortedList((row["score"], key) for key, row in people.items())
    times: dict[str, list[float]] = {"plain": [], "indexed": [], "container": []}
    for turn in range(max(5, rounds // 15)):
        work = []
        for _ in range(WRITES):
            key = f"{chance.randrange(LARGEST):06d}"
            before = people[key]
            people[key] = {**before, "score": chance.randrange(10**9)}
            work.append((key, before["score"], people[key]))
        for name, collection in collections.items():
            docs = [(collection.doc(key), value) for key, _, value in work]
            start = time.thread_time()
            for doc, value in docs:
                doc.set(value)
            if name == "indexed":
                collection.where(field("score") == -1).get()
            _note(times, name, start, turn)
        start = time.thread_time()
        for key, score, value in work:
            container.remove((score, key))
            container.add((value["score"], key))
        _note(times, "container", start, turn)
    return {name: median(found) for name, found in times.items()}


def _note(times: dict[str, list[float]], name: str, start: float, turn: int) -> None:
    if turn:  # the first is for warming up
        times[name].append((time.thread_time() - start) / WRITES * 1e6)


def _people(size: int) -> dict[str, Any]:
    return {
        f"{number:06d}": {
            "name": f"{number // ANSWER:05d}-{number}",
            "group": number // ANSWER,
            "age": number * 7919 % 100,
            "score": number,
        }
        for number in range(size)
    }


def _data(snapshot: Any) -> Any:
    return snapshot.data


def _us(calls: Any) -> float:
    start = time.thread_time()
    for call in calls:
        call()
    return (time.thread_time() - start) / len(calls) * 1e6
