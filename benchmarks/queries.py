"""What it costs to answer a query, with an index and without, beside dicts kept by hand and SQLite.

By hand is what one would write for this one question: a dict of documents by id, beside it a dict
of ids by value (with sorted keys where an order is asked for), and a list comprehension, which
gives a list of dicts. Grebe gives snapshots, checks what is asked, and may be asked anything else.
"As written" makes the query and asks it, `users.where(field("group") == 7).get()`; "asked" has made
it before, and asks it for the first time; "again" has asked it before, and nothing was written
since; "changed" is as written, and each value has had one of its documents written since it was
asked for, which the index takes in. All documents were read before.

Times are CPU times of the calling thread; what is compared takes turns, in another order each time.
"""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import msgspec
from sortedcontainers import SortedDict, SortedList

import grebe
from grebe import field
from measure import Bar, Report, Settings, document, encode, exponent, fresh, median, scratch

SIZES = (1_000, 10_000, 100_000)
LARGEST = SIZES[-1]
ANSWERS = (10, 100)
"""Documents in an answer, whatever the size of the collection."""
WRITES = 2_000
KINDS = ("equality", "range", "in_", "prefix", "top")
ASKED = ("written", "asked", "again", "changed")


def run(settings: Settings) -> list[Report]:
    """Measure each case in fresh processes."""
    return [_by_index(settings), _scans(settings), _upkeep(settings), _beside_sqlite(settings)]


def _measured(settings: Settings, case: str, **arguments: Any) -> dict[str, float]:
    runs, rounds = settings.pick(5, 1), settings.pick(300, 60)
    found = [fresh("queries", case, settings, rounds=rounds, **arguments) for _ in range(runs)]
    return {name: median([one[name] for one in found]) for name in found[0]}


def _by_index(settings: Settings) -> Report:
    report = Report(
        "queries that an index answers: CPU microseconds",
        ["case", "documents", "by hand", *ASKED, "written / hand", "examined"],
    )
    for answer in ANSWERS:
        for kind in KINDS:
            times = []
            for size in SIZES:
                found = _measured(settings, "indexed", kind=kind, size=size, answer=answer)
                ratio = found["written"] / found["hand"]
                cells = [found["hand"], *(found[name] for name in ASKED), ratio]
                report.rows.append(
                    [f"{kind}, {answer} documents", size, *cells, int(found["examined"])]
                )
                times.append(found["written"])
            name = f"index, {kind}, {answer} of {size:,}"
            report.bars.append(Bar(f"{name}, as written / by hand", ratio, 3))
            report.bars.append(Bar(f"{name}, asked / by hand", found["asked"] / found["hand"], 3))
            report.bars.append(Bar(f"{name}: exponent", exponent(SIZES, times), 0.2))
    return report


def _scans(settings: Settings) -> Report:
    report = Report(
        f"scans of {LARGEST:,} documents of 200 bytes: CPU milliseconds",
        ["condition", "list comprehension", "Grebe", "ratio"],
    )
    found = _measured(settings, "scanned")
    for what in SCANS:
        hand, ours = found[f"hand: {what}"], found[f"grebe: {what}"]
        ratio = ours / hand
        report.rows.append([what, hand / 1000, ours / 1000, ratio])
        report.bars.append(Bar(f"scan, {what} / list comprehension", ratio, 2))
    return report


def _upkeep(settings: Settings) -> Report:
    report = Report(
        f"keeping an index of {LARGEST:,} documents: CPU microseconds a write",
        ["index", "plain write", "with the index", "added", "container", "left"],
    )
    for asks in ("equality", "ranges", "equality, ten share a value"):
        found = _measured(settings, "kept", asks=asks)
        added = found["indexed"] - found["plain"]
        left = added - found["container"]
        cells = [found["plain"], found["indexed"], added, found["container"], left]
        report.rows.append([f"asked for {asks}", *cells])
        report.bars.append(Bar(f"index asked for {asks}, above its container, us", left, 1.5))
    report.notes.append("container: remove and add of a SortedList of pairs (value, id) by hand;")
    report.notes.append("where values are shared, of a dict of dicts of ids")
    report.notes.append("the index catches up when a query uses it, which is counted here")
    return report


def _beside_sqlite(settings: Settings) -> Report:
    report = Report(
        f"beside SQLite with an index, {LARGEST:,} documents: CPU microseconds",
        ["query", "SQLite", "with json", "by hand", "Grebe, as written", "/ SQLite", "/ with json"],
    )
    for kind in ("equality, 10", "equality, 100", "equality, 1,600", "top 10"):
        found = _measured(settings, "sqlite", kind=kind)
        ratios = [found["grebe"] / found[name] for name in ("sqlite", "json")]
        names = ("sqlite", "json", "hand", "grebe")
        report.rows.append([kind, *(found[name] for name in names), *ratios])
        report.bars.append(Bar(f"{kind} / SQLite", ratios[0], 0.05))
        report.bars.append(Bar(f"{kind} / SQLite with json", ratios[1], 0.05))
    report.notes.append("SQLite: a column beside the JSON, with an index; the JSON is decoded by")
    report.notes.append("msgspec, or (with json) by the standard library")
    return report


# --- cases


def indexed(kind: str, size: int, answer: int, rounds: int) -> dict[str, float]:
    """A query that an index answers."""
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

    def by_hand(group: int) -> list[Any]:
        if kind == "equality":
            return [people[key] for key in groups[group]]
        if kind == "in_":
            return [people[key] for one in (group, group + 1) for key in groups[one]]
        if kind == "range":
            between = by_group.irange(group, group + 1, (True, False))
            return [people[key] for one in between for key in by_group[one]]
        if kind == "prefix":
            begin = f"{group:05d}"
            return [people[names[name]] for name in names.irange(begin, begin + "~")]
        return [people[names[name]] for name in islice(reversed(names), answer)]

    def query(group: int) -> Any:
        if kind == "equality":
            return collection.where(field("group") == group)
        if kind == "in_":
            return collection.where(field("group").in_([group, group + 1]))
        if kind == "range":
            return collection.where(field("group") >= group, field("group") < group + 1)
        if kind == "prefix":
            return collection.where(field("name").starts_with(f"{group:05d}"))
        return collection.order_by("name", desc=True).limit(answer)

    def written(group: int) -> Any:
        return query(group).get()

    times: dict[str, list[float]] = {name: [] for name in ("hand", *ASKED)}
    for number in range(rounds):
        values = [(number * 7 + i) % last for i in range(20)]
        # Others, so that nothing of an answer is in the processor's cache because of "written".
        queries = [query((value + last // 2) % last) for value in values]
        work: list[tuple[str, Callable[[Any], Any], list[Any]]] = [
            ("hand", by_hand, values),
            ("written", written, values),
            ("asked", _get, queries),
        ]
        for place in range(3):
            name, call, given = work[(number + place) % 3]
            times[name].append(_us(call, given))
        times["again"].append(_us(_get, queries))
    assert [one.data for one in written(values[0])] == by_hand(values[0])
    examined = queries[0].explain().examined
    for number in range(rounds):  # at last, as it gives documents other places in memory
        values = [(number * 7 + i) % last for i in range(20)]
        for group in values:
            key = f"{group * answer + number % answer:06d}"
            collection.doc(key).set({**people[key], "age": number})
        times["changed"].append(_us(written, values))
    return {**{name: median(found) for name, found in times.items()}, "examined": examined}


def _get(query: Any) -> Any:
    return query.get()


_SEARCH = re.compile("^user.*77@").search
_SOME = ("Rome", "Lima", "Oslo")
SCANS: dict[str, tuple[Any, Callable[[list[Any]], list[Any]]]] = {
    "== a number": (field("age") == 42, lambda rows: [r for r in rows if r["age"] == 42]),
    "== a text": (field("city") == "Rome", lambda rows: [r for r in rows if r["city"] == "Rome"]),
    "!=": (field("city") != "Rome", lambda rows: [r for r in rows if r["city"] != "Rome"]),
    ">= a number": (field("age") >= 90, lambda rows: [r for r in rows if r["age"] >= 90]),
    "< a text": (field("name") < "B", lambda rows: [r for r in rows if r["name"] < "B"]),
    "== None": (
        field("none") == None,  # noqa: E711
        lambda rows: [r for r in rows if r["none"] is None],
    ),
    "== True": (
        field("active") == True,  # noqa: E712
        lambda rows: [r for r in rows if r["active"] is True],
    ),
    "in_": (field("city").in_(_SOME), lambda rows: [r for r in rows if r["city"] in _SOME]),
    "contains, of a list": (
        field("tags").contains("paid"),
        lambda rows: [r for r in rows if "paid" in r["tags"]],
    ),
    "contains, of a text": (
        field("email").contains("99@"),
        lambda rows: [r for r in rows if "99@" in r["email"]],
    ),
    "starts_with": (
        field("name").starts_with("Ada"),
        lambda rows: [r for r in rows if r["name"].startswith("Ada")],
    ),
    "matches": (
        field("email").matches("^user.*77@"),
        lambda rows: [r for r in rows if _SEARCH(r["email"])],
    ),
    "exists": (field("extra").exists(), lambda rows: [r for r in rows if "extra" in r]),
    "> where some lack the field": (
        field("extra") > 40,
        lambda rows: [r for r in rows if r.get("extra", -1) > 40],
    ),
    "a path": (
        field("address.zip") == 77,
        lambda rows: [r for r in rows if r["address"]["zip"] == 77],
    ),
    "a position in a list": (
        field("tags.0") == "paid",
        lambda rows: [r for r in rows if r["tags"][0] == "paid"],
    ),
    "and": (
        (field("age") >= 50) & (field("city") == "Rome"),
        lambda rows: [r for r in rows if r["age"] >= 50 and r["city"] == "Rome"],
    ),
    "a range": (
        (field("age") >= 50) & (field("age") < 60),
        lambda rows: [r for r in rows if 50 <= r["age"] < 60],
    ),
    "or": (
        (field("age") < 20) | (field("city") == "Rome"),
        lambda rows: [r for r in rows if r["age"] < 20 or r["city"] == "Rome"],
    ),
    "not": (
        ~field("name").starts_with("A"),
        lambda rows: [r for r in rows if not r["name"].startswith("A")],
    ),
    "not, or, and": (
        ((field("age") < 20) | ~(field("city") == "Rome")) & field("name").starts_with("A"),
        lambda rows: [
            r for r in rows if (r["age"] < 20 or r["city"] != "Rome") and r["name"].startswith("A")
        ],
    ),
    "a function": (
        lambda snapshot: snapshot.data["age"] % 2 == 1,
        lambda rows: [r for r in rows if _is_odd(r)],
    ),
}


def _is_odd(row: Any) -> bool:
    return bool(row["age"] % 2 == 1)


def scanned(rounds: int) -> dict[str, float]:
    """Queries that look at all documents."""
    collection = grebe.open().collection("people")
    collection.create_many({f"{number:06d}": _person(number) for number in range(LARGEST)})
    list(map(_data, collection))
    rows = list(map(_data, collection))  # the same dicts: no other memory, no other luck
    found = {}
    for what, (condition, by_hand) in SCANS.items():
        query = collection.where(condition)
        assert [one.data for one in query.get()] == by_hand(rows)
        hand, ours = [], []
        for _ in range(max(5, rounds // 20)):
            hand.append(_us(by_hand, [rows]))
            ours.append(_us(_get, [query]))
        found |= {f"hand: {what}": median(hand), f"grebe: {what}": median(ours)}
    return found


def kept(asks: str, rounds: int) -> dict[str, float]:
    """Writes with an index and without; a query makes the index catch up."""
    share = 10 if "share" in asks else 1
    people = _people(LARGEST)
    for number, person in enumerate(people.values()):
        person["score"] = number // share
    collections = {
        "plain": grebe.open().collection("people"),
        "indexed": grebe.open().collection("people", indexes=["score"]),
    }
    score = field("score")
    condition = score < 0 if asks == "ranges" else score == -1
    for collection in collections.values():
        collection.create_many(people)
        list(map(_data, collection))
        collection.where(condition).get()
    chance = random.Random(5)
    container = SortedList((row["score"], key) for key, row in people.items())
    groups: dict[int, dict[str, None]] = {}
    for key, row in people.items():
        groups.setdefault(row["score"], {})[key] = None
    times: dict[str, list[float]] = {"plain": [], "indexed": [], "container": []}
    for turn in range(max(5, rounds // 15)):
        work = []
        for _ in range(WRITES):
            key = f"{chance.randrange(LARGEST):06d}"
            before = people[key]
            fresh_score = chance.randrange(LARGEST // share if share > 1 else 10**9)
            people[key] = {**before, "score": fresh_score}
            work.append((key, before["score"], people[key]))
        for name, collection in collections.items():
            docs = [(collection.doc(key), value) for key, _, value in work]
            start = time.thread_time()
            for doc, value in docs:
                doc.set(value)
            if name == "indexed":
                collection.where(condition).get()
            _note(times, name, start, turn)
        start = time.thread_time()
        for key, before, value in work:
            if share > 1:
                del groups[before][key]
                groups.setdefault(value["score"], {})[key] = None
            else:
                container.remove((before, key))
                container.add((value["score"], key))
        _note(times, "container", start, turn)
    return {name: median(found) for name, found in times.items()}


def sqlite(kind: str, rounds: int) -> dict[str, float]:
    """The same query of documents of 200 bytes, and of their JSON in SQLite."""
    is_top = kind == "top 10"
    answer = 10 if is_top else int(kind.split()[1].replace(",", ""))
    people = {
        f"{number:06d}": {**document(number), "group": number // answer}
        for number in range(LARGEST)
    }
    collection = grebe.open().collection("people", indexes=["group", "email"])
    collection.create_many(people)
    list(map(_data, collection))
    groups: dict[int, dict[str, None]] = {}
    for key, row in people.items():
        groups.setdefault(row["group"], {})[key] = None
    emails = SortedDict((row["email"], key) for key, row in people.items())
    with scratch() as directory:
        database = _sqlite_of(people, os.path.join(directory, "people.db"))
        sql = "SELECT v FROM people WHERE grp = ?"
        if is_top:
            sql = "SELECT v FROM people WHERE ? >= 0 ORDER BY email DESC LIMIT 10"

        def selected(decode: Callable[[str], Any]) -> Callable[[int], list[Any]]:
            def select(group: int) -> list[Any]:
                return [decode(value) for (value,) in database.execute(sql, (group,))]

            return select

        def by_hand(group: int) -> list[Any]:
            if is_top:
                return [people[emails[email]] for email in islice(reversed(emails), 10)]
            return [people[key] for key in groups[group]]

        def here(group: int) -> Any:
            if is_top:
                return collection.order_by("email", desc=True).limit(10).get()
            return collection.where(field("group") == group).get()

        calls: dict[str, Callable[[int], Any]] = {
            "sqlite": selected(msgspec.json.Decoder().decode),
            "json": selected(json.loads),
            "hand": by_hand,
            "grebe": here,
        }
        assert calls["sqlite"](7) == by_hand(7) == [one.data for one in here(7)]
        times: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(rounds // 3):
            values = [(number * 7 + i) % (LARGEST // answer) for i in range(20)]
            for name, call in calls.items():
                times[name].append(_us(call, values))
        database.close()
    return {name: median(found) for name, found in times.items()}


def _sqlite_of(people: dict[str, Any], path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE people (id TEXT PRIMARY KEY, grp INT, email TEXT, v TEXT)")
    rows = ((k, row["group"], row["email"], encode(row).decode()) for k, row in people.items())
    database.executemany("INSERT INTO people VALUES (?, ?, ?, ?)", rows)
    database.execute("CREATE INDEX by_group ON people (grp)")
    database.execute("CREATE INDEX by_email ON people (email)")
    database.commit()
    return database


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


def _person(number: int) -> dict[str, Any]:
    person = {**document(number), "none": None if number % 2 else "x"}
    person["address"] = {"zip": number % 1000}
    if number % 4 == 0:
        person["extra"] = number % 50
    return person


def _data(snapshot: Any) -> Any:
    return snapshot.data


def _us(call: Callable[[Any], Any], given: list[Any]) -> float:
    start = time.thread_time()
    for one in given:
        call(one)
    return (time.thread_time() - start) / len(given) * 1e6
