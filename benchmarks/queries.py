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
ANSWERS = (10, 100)
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

    for answer in ANSWERS:
        for kind in ("equality", "range", "in_", "prefix", "top"):
            times = []
            for size in SIZES:
                found = measured("indexed", kind=kind, size=size, answer=answer)
                ratio = found["grebe"] / found["hand"]
                cells = [found["hand"], found["grebe"], ratio, int(found["examined"]), 3]
                report.rows.append([f"index: {kind}, {answer} documents", size, *cells])
                times.append(found["grebe"])
            name = f"index, {kind}, {answer} of {size:,}"
            report.bars.append(Bar(f"{name} / by hand", ratio, 3))
            report.bars.append(Bar(f"{name}: exponent", exponent(SIZES, times), 0.2))
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


def indexed(kind: str, size: int, answer: int, rounds: int) -> dict[str, float]:
    """A query that an index answers; by hand ids are kept by value, and documents by id."""
    people = _people(size, answer)
    collection = grebe.open().collection("people", indexes=["group", "name"])
    collection.create_many(people)
    list(map(_data, collection))  # read once
    groups: dict[int, dict[str, None]] = {}
    for key, row in people.items():
        groups.setdefault(row["group"], {})[key] = None
    by_group = SortedDict(groups)
    names = SortedDict((row["name"], key) for key, row in people.items())
    last = size // answer - 1

    def ask(number: int) -> tuple[Callable[[], Any], Callable[[], list[Any]]]:
        group, begin = number % last, f"{number % last:05d}"
        if kind == "equality":
            query = collection.where(field("group") == group)
            return query.get, lambda: [people[key] for key in groups[group]]
        if kind == "in_":
            few = [group, group + 1]
            query = collection.where(field("group").in_(few))
            return query.get, lambda: [people[key] for one in few for key in groups[one]]
        if kind == "range":
            query = collection.where((field("group") >= group) & (field("group") < group + 1))
            return query.get, lambda: [
                people[key]
                for one in by_group.irange(group, group + 1, (True, False))
                for key in by_group[one]
            ]
        if kind == "prefix":
            query = collection.where(field("name").starts_with(begin))
            return query.get, lambda: [
                people[names[name]] for name in names.irange(begin, begin + "~")
            ]
        query = collection.order_by("name", desc=True).limit(answer)
        return query.get, lambda: [people[names[name]] for name in islice(reversed(names), answer)]

    times: dict[str, list[float]] = {"hand": [], "grebe": []}
    for number in range(rounds):
        asked, by_hand = zip(*(ask(number * 7 + i) for i in range(20)), strict=True)
        for name, calls in (("hand", by_hand), ("grebe", asked)):
            times[name].append(_us(calls))
    assert [one.data for one in asked[0]()] == by_hand[0]()
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
    container = SortedList((4, row["score"], n, key) for n, (key, row) in enumerate(people.items()))
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
            container.remove((4, score, int(key), key))
            container.add((4, value["score"], int(key), key))
        _note(times, "container", start, turn)
    return {name: median(found) for name, found in times.items()}


def _note(times: dict[str, list[float]], name: str, start: float, turn: int) -> None:
    if turn:  # the first is for warming up
        times[name].append((time.thread_time() - start) / WRITES * 1e6)


def _people(size: int, answer: int = 10) -> dict[str, Any]:
    return {
        f"{number:06d}": {
            "name": f"{number // answer:05d}-{number:06d}",
            "group": number // answer,
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
