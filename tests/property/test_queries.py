"""Random writes under random queries, live and asked for, compared with a plain recomputation.

Checked after every broadcast, for each observer: the value; that the changes, applied one by one
at their positions to what the observer had before, give what it has now; that an old value stays
as it was. After each step: that queries give what the reference says, with indexes and without.

`python -m tests.property.test_queries STEPS` runs as many steps as wanted.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import grebe
from grebe import Event
from grebe.core import path as paths
from grebe.documents import indexes, scanning
from grebe.persistors import MemoryPersistor
from tests.conftest import NEVER_S, rounds
from tests.property.reference import (
    PARTS,
    Asked,
    By,
    Clause,
    Row,
    aggregated,
    grouped,
)

COLLECTIONS = ("u", "p/1/u", "p/2/u", "p")
SOURCES = ("u", "u", "u", "p/1/u", "//u")
"""What is queried; `//u`: the group of the three collections of that name."""
IDS = tuple("abcdefghijklmn")
INDEXED = (None, ["n"], ["s"], ["n", "s", "o.p", "t"], ["o.p"], ["t.0"])
FIELDS = ("n", "n", "n", "s", "s", "o.p", "t", "t.0", "gone")
GROUPS = (("s",), ("n",), ("t.0", "s"), ("o.p",))
TEXTS = ("", "a", "ab", "abc", "b", "ba", "\U0010ffff", "a\U0010ffffz")


@dataclass
class Watched:
    """An observer of a query and the list that it has, kept by the changes it was told."""

    asked: Asked
    source: Any
    query: Any
    observer: Any
    rows: list[Row] = field(default_factory=list)
    changes: list[list[grebe.Change[Any]]] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    kept: Any = ()
    copied: list[Any] = field(default_factory=list)


@dataclass
class Total:
    """An observer of an aggregate."""

    asked: Asked
    source: Any
    by: tuple[str, ...]
    aggregate: Any
    observer: Any
    told: Any
    values: list[Any] = field(default_factory=list)


class Walk:
    """A random walk; its steps are `deterministic` for a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.is_silent = seed % 3 == 0
        """Whether some writes are not announced; then only some of the checks apply."""
        self.scans_in_loops = seed % 2 == 0
        """Whether few documents are scanned as many are, see scanning.py."""
        self.takes_in_early = seed % 4 < 2
        """Whether few changes are taken into indexes as many are, see indexes.py."""
        self.scheduled: list[Callable[[], None]] = []
        self.moving = False
        persistor = MemoryPersistor()
        with grebe.open(persistor, commit_interval=NEVER_S) as before:
            for name in COLLECTIONS:
                for i in self.random.sample(IDS, 4):
                    before.doc(f"{name}/{i}").set(self.value())
            before.commit()
            self.unloaded = {s.path: s.data for n in COLLECTIONS for s in before.collection(n)}
        self.is_told_at_once = seed % 3 == 0
        """Whether each step is a broadcast: there is nobody who would decide when."""
        self.store = grebe.open(
            persistor,
            hydrate=False,
            commit_interval=NEVER_S,
            scheduler=None if self.is_told_at_once else self.scheduled.append,
        )
        self.data: dict[str, Any] = {}
        self.quiet: dict[str, Any] = {}
        """Documents whose last write was silent."""
        self.announced: set[str] = set()
        """Documents with a write since the last broadcast that is to be announced."""
        self.began = False
        """Whether an observer began since the last broadcast."""
        self.watched: list[Watched] = []
        self.totals: list[Total] = []
        self.asked_before: list[tuple[str, Asked, Any]] = []
        self.log: list[str] = []
        for name in COLLECTIONS[:2]:
            self.store.collection(name, partition=self.partition)

    def partition(self, snapshot: grebe.Snapshot[Any]) -> str:
        return f"part{self.moving}{len(snapshot.data)}"

    def story(self, *more: Any) -> str:
        steps = "\n".join(self.log[-25:])
        return f"seed {self.seed}: {' '.join(map(str, more))}\n{steps}"

    # --- random things

    def number(self) -> Any:
        choices = [0, 1, 2, 3, 4, 1.0, 2.5, -1, 0.1, 0.2, 2**53 + 1, float(2**53), True, False]
        return self.random.choice(choices)

    def text(self) -> str:
        return self.random.choice(TEXTS)

    def anything(self) -> Any:
        choices = [self.number, self.number, self.number, self.text, self.text, self.other]
        return self.random.choice(choices)()

    def other(self) -> Any:
        return self.random.choice([None, [], ["a"], [1, "a"], [1], {}, {"a": 1}, {"a": [2]}])

    def value(self) -> dict[str, Any]:
        made: dict[str, Any] = {"n": self.number(), "s": self.text()}
        if self.random.random() < 0.2:
            made[self.random.choice("ns")] = self.anything()
        if self.random.random() < 0.1:
            del made[self.random.choice("ns")]
        if self.random.random() < 0.5:
            made["o"] = {"p": self.anything()} if self.random.random() < 0.8 else self.anything()
        if self.random.random() < 0.5:
            made["t"] = [self.anything() for _ in range(self.random.randrange(3))]
        return made

    def test(self, depth: int = 0) -> Clause:
        if depth < 2 and self.random.random() < 0.3:
            operator = self.random.choice("&|~")
            count = 1 if operator == "~" else self.random.randrange(2, 4)
            return Clause(operator, inner=tuple(self.test(depth + 1) for _ in range(count)))
        if self.random.random() < 0.5:
            return self.likely()
        path = self.random.choice(FIELDS)
        operator = self.random.choice(
            [
                "==",
                "!=",
                "<",
                "<=",
                ">",
                ">=",
                "in_",
                "contains",
                "starts_with",
                "matches",
                "exists",
            ]
        )
        constant: Any = None
        if operator == "in_":
            constant = tuple(self.anything() for _ in range(self.random.randrange(4)))
        elif operator == "starts_with":
            constant = self.text()
        elif operator == "matches":
            constant = self.random.choice(["a", "^a", "b$", "^$", "[ab]{2}"])
        elif operator != "exists":
            constant = self.anything()
        return Clause(operator, path, constant)

    def likely(self) -> Clause:
        """Return a condition that some documents meet and others do not."""
        path, constant = self.random.choice([("n", self.number()), ("s", self.text())])
        operator = self.random.choice(
            ["==", "<", "<=", ">", ">=", "starts_with", "in_", "contains"]
        )
        if operator == "contains":
            return Clause(operator, "t", self.random.choice([0, 1, 2, "a", "ab", "b"]))
        if operator == "starts_with":
            return Clause(operator, "s", self.random.choice(["a", "ab", "b"]))
        if operator == "in_":
            return Clause(operator, path, (constant, self.number(), self.text()))
        return Clause(operator, path, constant)

    def asked(self) -> Asked:
        chance = self.random.random
        return Asked(
            tuple(self.test() for _ in range(self.random.choice([0, 1, 1, 2, 2]))),
            tuple(
                By(self.random.choice(FIELDS), chance() < 0.5)
                for _ in range(self.random.choice([0, 1, 1, 2]))
            ),
            self.random.choice([0, 0, 1, 3]),
            self.random.choice([None, None, 0, 1, 2, 4]),
        )

    def source(self, name: str) -> Any:
        if name.startswith("//"):
            return self.store.collection_group(name[2:])
        return self.store.collection(name)

    def any_doc(self) -> str:
        weights = (8, 3, 3, 1)
        (name,) = self.random.choices(COLLECTIONS, weights)
        return f"{name}/{self.random.choice(IDS)}"

    def is_loud(self, path: str) -> bool:
        if self.began and any(paths.is_under(one, path) for one in self.announced):
            # Whether a silent write that follows one to be announced is told to an observer that
            # began between them, is open: it depends on whether others watch the same.
            return True
        return not self.is_silent or self.random.random() < 0.7

    # --- writes

    def put(self, path: str, value: Any, loud: bool) -> None:
        same = path in self.data and repr(self.data[path]) == repr(value)
        self.unloaded.pop(path, None)
        self.data[path] = value
        if not same:
            self.note(path, loud)

    def note(self, path: str, loud: bool) -> None:
        if loud:
            self.quiet.pop(path, None)
            self.announced.add(path)
        elif path not in self.announced:
            self.quiet[path] = None

    def removed(self, path: str, loud: bool) -> None:
        for gone in [p for p in self.data if paths.is_under(p, path)]:
            del self.data[gone]
            self.note(gone, loud)
        for gone in [p for p in self.unloaded if paths.is_under(p, path)]:
            del self.unloaded[gone]

    def write(self) -> None:
        path, value = self.any_doc(), self.value()
        loud = self.is_loud(path)
        if self.random.random() < 0.3 and path in self.data:
            value = {**self.data[path], self.random.choice("ns"): self.number()}
        self.log.append(f"set {path} {value} loud={loud}")
        self.store.doc(path).set(value, broadcast=loud)
        self.put(path, value, loud)

    def delete(self) -> None:
        path = self.any_doc()
        if self.random.random() < 0.1:
            path = self.random.choice(["p/1", "p/2", "p", "u"])
        loud = self.is_loud(path)
        self.log.append(f"delete {path} loud={loud}")
        target = self.store.doc if paths.is_document(path) else self.store.collection
        target(path).delete(broadcast=loud)  # type: ignore[operator]
        self.removed(path, loud)

    def move(self) -> None:
        """Have documents stored in other partitions: no query may notice."""
        self.moving = not self.moving
        self.log.append("move")
        for path in [p for p in self.data if paths.split(p)[0] == "u"][:5]:
            self.store.doc(path).set(self.data[path])

    def touch(self) -> None:
        path = self.any_doc()
        self.log.append(f"touch {path}")
        self.store.doc(path).touch()
        if path in self.data:
            self.note(path, True)

    def create_many(self) -> None:
        name = self.random.choice(COLLECTIONS)
        free = [i for i in IDS if f"{name}/{i}" not in self.data][:5]
        items = {i: self.value() for i in free}
        self.log.append(f"create_many {name} {items}")
        self.store.collection(name).create_many(items)
        for i, value in items.items():
            self.put(f"{name}/{i}", value, True)

    def replace(self) -> None:
        name = self.random.choice(COLLECTIONS[:3])
        items = {i: self.value() for i in self.random.sample(IDS, 6)}
        self.log.append(f"replace {name} {items}")
        self.load(name)
        self.store.collection(name).replace(items)
        for path in [p for p in self.data if paths.split(p)[0] == name]:
            if paths.split(path)[1] not in items:
                self.removed(path, True)
        for i, value in items.items():
            self.put(f"{name}/{i}", value, True)

    def hydrate(self) -> None:
        path = self.any_doc() if self.random.random() < 0.7 else self.random.choice(COLLECTIONS)
        self.log.append(f"hydrate {path}")
        self.load(path)

    def load(self, path: str) -> None:
        self.store.hydrate(path)
        for found in [p for p in self.unloaded if paths.is_under(p, path)]:
            value = self.unloaded.pop(found)
            if found not in self.data:
                self.data[found] = value
                self.note(found, True)
        if self.is_told_at_once:
            self.broadcast()

    def batch(self) -> None:
        self.log.append("batch {")
        with self.store.batch():
            for _ in range(self.random.randrange(2, 9)):
                self.random.choice([self.write, self.write, self.delete, self.touch])()
        self.log.append("}")

    def transaction(self) -> None:
        writes = {self.any_doc(): self.value() for _ in range(self.random.randrange(1, 5))}
        self.log.append(f"transaction {writes}")
        with self.store.transaction() as tx:
            for path, value in writes.items():
                tx.set(self.store.doc(path), value)
        for path, value in writes.items():
            self.put(path, value, True)

    def index(self) -> None:
        name, fields = self.random.choice(COLLECTIONS[:3]), self.random.choice(INDEXED)
        self.log.append(f"index {name} {fields}")
        self.store.collection(name, indexes=fields or [])

    # --- reading

    def rows(self, source: str) -> list[Row]:
        get = self.store._engine.tree.get
        found = []
        for path, value in self.data.items():
            name = paths.split(path)[0]
            if name == source or (source == "//u" and name.endswith("u")):
                found.append(Row(path, get(path).order, value))
        return found

    def ask(self) -> None:
        """Compare what a query gives with the reference."""
        name, asked = self.random.choice(SOURCES), self.asked()
        query = asked.query(self.source(name))
        rows = self.rows(name)
        wanted = asked.answer(rows)
        if self.random.random() < 0.5:  # before anything else is asked of the query
            found = query.get()
            where = self.story(query, "first")
            assert [(s.path, s.data) for s in found] == [(r.path, r.data) for r in wanted], where
            self.asked_before.append((name, asked, query))
        self.ask_again()
        if self.random.random() < 0.5:
            self.store._engine.finder._ragged.clear()  # try the strict loop again
            assert len([row.data for row in self.source(name)]) == len(rows)  # all are read
        where = self.story(query, query.explain())
        assert [(s.path, s.data) for s in query.get()] == [(r.path, r.data) for r in wanted], where
        assert query.count() == len(query) == len(wanted), where
        assert query.first() == (query.get()[0] if wanted else None), where
        explained = query.explain()
        assert explained.index is None or any(explained.index in (f or ()) for f in INDEXED)
        assert explained.examined <= len(rows), where
        if explained.index is None and name != "//u":
            assert explained.examined == len(rows), where
        assert query.aggregate(**PARTS).get() == aggregated(wanted), where
        by = self.random.choice(GROUPS)
        assert query.group_by(*by).aggregate(**PARTS).get() == grouped(wanted, by), where

    def ask_again(self) -> None:
        """Compare what queries give that were asked before: they remember how to find it."""
        del self.asked_before[:-6]
        for name, asked, query in self.asked_before:
            found = [(s.path, s.data) for s in query.get()]
            wanted = asked.answer(self.rows(name))
            assert found == [(r.path, r.data) for r in wanted], self.story(query, "again")

    # --- observers

    def watch(self) -> None:
        if len(self.watched) > 9:
            self.watched.pop(self.random.randrange(len(self.watched))).observer.close()
        if self.watched and self.random.random() < 0.2:
            alike = self.random.choice(self.watched)
            asked, name = alike.asked, alike.source
        else:
            asked, name = self.asked(), self.random.choice(SOURCES)
        query = asked.query(self.source(name))
        self.log.append(f"watch {query}")
        one = Watched(asked, name, query, query.observe(), asked.answer(self.rows(name)))
        one.observer.subscribe_changes(one.changes.append)
        if self.random.random() < 0.5:
            one.observer.subscribe(one.values.append)
        self.watched.append(one)
        self.began = True

    def watch_total(self) -> None:
        if len(self.totals) > 5:
            self.totals.pop(self.random.randrange(len(self.totals))).observer.close()
        asked, name = self.asked(), self.random.choice(SOURCES)
        by = self.random.choice([(), *GROUPS])
        query = asked.query(self.source(name))
        aggregate = (query.group_by(*by) if by else query).aggregate(**PARTS)
        self.log.append(f"watch {aggregate}")
        total = Total(asked, name, by, aggregate, aggregate.observe(), aggregate.get())
        total.observer.subscribe(total.values.append)
        self.totals.append(total)
        self.began = True

    def broadcast(self) -> None:
        self.log.append("broadcast")
        if self.random.random() < 0.3:
            self.store.broadcast()
        while self.scheduled:
            self.scheduled.pop()()
        for one in self.watched:
            self.check_told(one)
        for total in self.totals:
            self.check_total(total)
        self.announced.clear()
        self.began = False

    def check_told(self, one: Watched) -> None:
        where = self.story("told", one.query)
        assert len(one.changes) <= 1, where
        before = list(one.rows)
        for change in one.changes.pop() if one.changes else []:
            self.apply(one, change, where)
        now = one.asked.answer(self.rows(one.source))
        self.compare(one, before, now, where)
        assert [(s.path, s.data) for s in one.observer.get()] == [(r.path, r.data) for r in now]
        assert list(one.kept) == one.copied, "an old value changed"
        one.kept = one.observer.get()
        one.copied = list(one.kept)
        if one.values:
            assert len(one.values) == 1, where
            assert one.values.pop() == one.query.get(), where

    def apply(self, one: Watched, change: grebe.Change[Any], where: str) -> None:
        """Do as a list model does: take out at `prev_index`, put in at `index`."""
        where = f"{change} {change.prev_index} {change.index} {where}"
        if change.event in (Event.ADDED, Event.HYDRATED):
            assert change.prev_index is None, where
        else:
            assert change.prev_index is not None, where
            gone = one.rows.pop(change.prev_index)
            assert (gone.path, gone.data) == (change.path, change.prev_data), where
        if change.event is Event.REMOVED:
            assert change.index is None, where
            return
        assert change.index is not None, where
        assert change.index <= len(one.rows), where
        place = self.store._engine.tree.get(change.path).order
        one.rows.insert(change.index, Row(change.path, place, change.data))

    def compare(self, one: Watched, before: list[Row], now: list[Row], where: str) -> None:
        """Compare what an observer has with what it should have."""
        if not self.quiet:
            assert one.rows == now, where
            return
        if one.asked.offset or one.asked.limit is not None:
            return  # what silent writes push over the edges is compared once they are announced
        told = {row.path: row for row in before}
        kept = [told[path] for path in self.quiet if path in told]
        wanted = [row for row in now if row.path not in self.quiet] + kept
        assert one.rows == one.asked.sorted(wanted), where

    def check_total(self, total: Total) -> None:
        where = self.story("told", total.aggregate)
        rows = total.asked.answer(self.rows(total.source))
        wanted = grouped(rows, total.by) if total.by else aggregated(rows)
        assert total.observer.get() == wanted, where
        assert len(total.values) <= 1, where
        if total.values:
            told = total.values.pop()
            assert told == wanted, where
            assert told != total.told, f"told again: {where}"
            total.told = told
        elif not self.quiet:
            assert total.told == wanted, f"not told: {where}"

    def announce(self) -> None:
        """Announce all that was written silently; then every observer has what is there."""
        self.log.append("announce")
        for path in list(self.quiet):
            value = {**self.value(), "announced": len(self.log)}  # another than all before
            self.store.doc(path).set(value)
            self.put(path, value, True)
            if self.is_told_at_once:
                self.broadcast()
        self.broadcast()
        assert not self.quiet

    # --- running

    def run(self, steps: int) -> None:
        few, held = scanning.FEW, indexes._HELD_MAX
        scanning.FEW = 0 if self.scans_in_loops else few
        indexes._HELD_MAX = 1 if self.takes_in_early else held
        try:
            self._run(steps)
        finally:
            scanning.FEW, indexes._HELD_MAX = few, held

    def _run(self, steps: int) -> None:
        weighted = [
            *[self.write] * 8,
            *[self.delete] * 2,
            *[self.watch] * 2,
            *[self.watch_total] * 1,
            *[self.broadcast] * 5,
            *[self.ask] * 5,
            *(self.batch, self.batch, self.transaction, self.touch, self.move, self.index),
            *(self.create_many, self.hydrate, self.replace),
        ]
        for _ in range(3):
            self.watch()
        self.index()
        for _ in range(steps):
            self.random.choice(weighted)()
            if self.is_told_at_once:
                self.broadcast()
            if self.random.random() < 0.2:
                self.check_now()
            if self.random.random() < 0.05:
                self.announce()
            if self.random.random() < 0.02:
                self.store._engine.check()
        self.announce()
        self.store._engine.check()
        for one in (*self.watched, *self.totals):
            one.observer.close()
        assert not self.store._engine.broadcasting.watched
        self.store.close()

    def check_now(self) -> None:
        """A live value is current also before the broadcast."""
        for one in self.watched:
            now = one.asked.answer(self.rows(one.source))
            found = [(s.path, s.data) for s in one.observer.get()]
            assert found == [(r.path, r.data) for r in now], self.story("now", one.query)


@pytest.mark.parametrize("seed", rounds(40))
def test_queries_agree_with_the_reference(seed: int) -> None:
    """Queries, live values, changes and positions are what recomputation says."""
    Walk(seed).run(100)


def main() -> None:
    """Run walks until there were as many steps as wanted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("steps", type=int)
    parser.add_argument("--seed", type=int, default=1_000_000)
    arguments = parser.parse_args()
    for walk in range(arguments.steps // 200):
        Walk(arguments.seed + walk).run(200)
    print(f"{arguments.steps} steps without a difference")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
