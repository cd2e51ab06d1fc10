"""Random operations under many observers: each is told exactly the difference, once.

What every observer must hear is computed by a model that knows only what the operations were and
what `get()` says. The seed is the test's parameter; GREBE_RANDOM_ROUNDS multiplies the rounds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import grebe
from grebe import Event
from grebe.core import path as paths
from grebe.persistors import MemoryPersistor
from tests.conftest import NEVER_S, rounds

COLLECTIONS = ("a", "b", "a/1/s", "a/2/s", "a/1/s/1/t")
IDS = ("1", "2", "3", "4")


def at_least(limit: int) -> Callable[[grebe.Snapshot[Any]], bool]:
    return lambda snapshot: snapshot.data["n"] >= limit


CONDITIONS = [at_least(2), at_least(4)]

Told = dict[str, tuple[Event, Any, Any]]


LOUD, TOUCH, LOADED = "loud", "touch", "loaded"


@dataclass
class Watched:
    """An observer, what it was told last, and what has happened since."""

    source: Any
    observer: Any
    told: dict[str, tuple[int, Any]]
    """Place and data of each document, by path."""
    flags: dict[str, set[str]]
    fresh: set[str] = field(default_factory=set)
    """Paths that were marked since the observer began or was last told."""
    late: bool = False
    """Began after the last broadcast: it may be told of touches that came before."""
    changes: list[list[grebe.Change[Any]]] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def is_document(self) -> bool:
        return isinstance(self.source, grebe.Document)


def without_touches(told: Told, watched: Watched) -> Told:
    return {path: new for path, new in told.items() if not watched.late or new[0] != Event.TOUCHED}


class Walk:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.scheduled: list[Callable[[], None]] = []
        kept = MemoryPersistor()
        with grebe.open(kept, commit_interval=NEVER_S) as before:
            for collection in COLLECTIONS:
                for i in self.random.sample(IDS, 2):
                    before.doc(f"{collection}/{i}").set({"n": self.random.randrange(6)})
            self.unloaded = dict(before.inspect()["documents"])
        self.store = grebe.open(
            kept, hydrate=False, commit_interval=NEVER_S, scheduler=self.scheduled.append
        )
        self.data: dict[str, Any] = {}
        self.place: dict[str, int] = {}
        self.last_place = 0
        self.flags: dict[str, set[str]] = {}
        self.watched: list[Watched] = []
        self.log: list[str] = []
        for collection in COLLECTIONS[:3]:
            self.store.collection(collection, depends_on=self.depends_on)

    def depends_on(self, snapshot: grebe.Snapshot[Any]) -> list[grebe.Document[Any] | None]:
        return [self.store.doc(path) for path in snapshot.data.get("deps", ())] + [None]

    def story(self) -> str:
        return "\n".join(self.log[-40:])

    # --- operations

    def any_doc(self) -> str:
        return f"{self.random.choice(COLLECTIONS)}/{self.random.choice(IDS)}"

    def value(self) -> Any:
        value: dict[str, Any] = {"n": self.random.randrange(6)}
        if self.random.random() < 0.3:
            value["deps"] = [self.any_doc() for _ in range(self.random.randrange(1, 3))]
        return value

    def mark(self, path: str, *flags: str) -> None:
        self.flags.setdefault(path, set()).update(flags)
        for watched in self.watched:
            watched.flags.setdefault(path, set()).update(flags)
            watched.fresh.add(path)

    def put(self, path: str, value: Any, loud: bool) -> None:
        if path not in self.data:
            self.last_place += 1
            self.place[path] = self.last_place
        elif self.data[path] == value:
            return
        self.data[path] = value
        self.mark(path, *([LOUD] if loud else []))

    def remove(self, path: str, loud: bool) -> None:
        for gone in [p for p in self.data if paths.is_under(p, path)]:
            del self.data[gone], self.place[gone]
            self.mark(gone, *([LOUD] if loud else []))
        for gone in [p for p in self.unloaded if paths.is_under(p, path)]:
            del self.unloaded[gone]

    def write(self) -> None:
        path, value, loud = self.any_doc(), self.value(), self.random.random() < 0.8
        if self.random.random() < 0.2 and path in self.data:
            value = dict(reversed(self.data[path].items()))
        self.log.append(f"set {path} {value} loud={loud}")
        self.store.doc(path).set(value, broadcast=loud)
        self.unloaded.pop(path, None)
        self.put(path, value, loud)

    def delete(self) -> None:
        path = self.any_doc() if self.random.random() < 0.8 else self.random.choice(COLLECTIONS)
        loud = self.random.random() < 0.8
        self.log.append(f"delete {path} loud={loud}")
        if paths.is_document(path):
            self.store.doc(path).delete(broadcast=loud)
        else:
            self.store.collection(path).delete(broadcast=loud)
        self.remove(path, loud)

    def touch(self) -> None:
        path = self.any_doc()
        self.log.append(f"touch {path}")
        self.store.doc(path).touch()
        if path in self.data:
            self.mark(path, LOUD, TOUCH)

    def create_many(self) -> None:
        collection = self.random.choice(COLLECTIONS)
        free = [i for i in IDS if f"{collection}/{i}" not in self.data]
        items = {i: self.value() for i in free}
        loud = self.random.random() < 0.8
        self.log.append(f"create_many {collection} {items} loud={loud}")
        self.store.collection(collection).create_many(items, broadcast=loud)
        for i, value in items.items():
            self.unloaded.pop(f"{collection}/{i}", None)
            self.put(f"{collection}/{i}", value, loud)

    def hydrate(self) -> None:
        path = self.any_doc() if self.random.random() < 0.7 else self.random.choice(COLLECTIONS)
        self.log.append(f"hydrate {path}")
        self.store.hydrate(path)
        for found in [p for p in self.unloaded if paths.is_under(p, path)]:
            value = self.unloaded.pop(found)
            if found not in self.data:
                self.last_place += 1
                # Within a collection the order is the persistor's, read from what came of it.
                self.place[found] = self.store._engine.tree.get(found).order
                self.last_place = max(self.last_place, self.place[found])
                self.data[found] = value
                self.mark(found, LOUD, LOADED)

    def replace(self) -> None:
        collection = self.random.choice(COLLECTIONS)
        items = {i: self.value() for i in self.random.sample(IDS, 2)}
        self.log.append(f"replace {collection} {items}")
        self.store.hydrate(collection)
        for found in [p for p in self.unloaded if paths.is_under(p, collection)]:
            value = self.unloaded.pop(found)
            self.place[found] = self.store._engine.tree.get(found).order
            self.data[found] = value
            self.mark(found, LOUD, LOADED)
        self.last_place = self.store._engine.order
        self.store.collection(collection).replace(items)
        for path in [p for p in self.data if paths.split(p)[0] == collection]:
            if paths.split(path)[1] not in items:
                self.remove(path, True)
        for i, value in items.items():
            self.put(f"{collection}/{i}", value, True)

    def batch(self) -> None:
        self.log.append("batch {")
        with self.store.batch():
            for _ in range(self.random.randrange(2, 7)):
                self.random.choice([self.write, self.write, self.delete, self.touch])()
        self.log.append("}")

    def transaction(self) -> None:
        self.log.append("transaction {")
        with self.store.transaction() as tx:
            for _ in range(self.random.randrange(1, 5)):
                path, value = self.any_doc(), self.value()
                if self.random.random() < 0.3:
                    self.log.append(f"  delete {path}")
                    tx.delete(self.store.doc(path))
                    self.later(self.remove, path)
                else:
                    self.log.append(f"  set {path} {value}")
                    tx.set(self.store.doc(path), value)
                    self.later(self.put, path, value)
        for fn, *arguments in self.buffered:
            if fn == self.put:
                self.unloaded.pop(arguments[0], None)
            fn(*arguments, True)
        self.buffered.clear()
        self.log.append("}")

    buffered: list[Any] = []  # noqa: RUF012 - emptied after each transaction

    def later(self, fn: Callable[..., None], path: str, *arguments: Any) -> None:
        # A transaction keeps the last write of a document, in the place of the first, or behind a
        # deletion that covers it.
        places = [i for i, b in enumerate(self.buffered) if (b[0], b[1]) == (fn, path)]
        covered = any(b[0] == self.remove and paths.is_under(path, b[1]) for b in self.buffered)
        if fn == self.put and places and not covered:
            self.buffered[places[0]] = (fn, path, *arguments)
            return
        if fn == self.put:
            self.buffered[:] = [b for b in self.buffered if (b[0], b[1]) != (fn, path)]
        else:
            self.buffered[:] = [
                b for b in self.buffered if b[0] == fn or not paths.is_under(b[1], path)
            ]
        self.buffered.append((fn, path, *arguments))

    def clear(self) -> None:
        if self.random.random() < 0.2:
            self.log.append("clear")
            self.store.clear()
            self.remove_everything()

    def remove_everything(self) -> None:
        for path in list(self.data):
            self.remove(path, True)
        self.unloaded.clear()

    # --- observers

    def attach(self) -> None:
        if len(self.watched) > 14:
            gone = self.watched.pop(self.random.randrange(len(self.watched)))
            gone.observer.close()
        if self.random.random() < 0.3:
            source: Any = self.store.doc(self.any_doc())
        else:
            source = self.store.collection(self.random.choice(COLLECTIONS))
            if self.random.random() < 0.6:
                source = source.where(self.random.choice(CONDITIONS))
        self.log.append(f"observe {source}")
        flags = {path: set(found) for path, found in self.flags.items()}
        watched = Watched(source, source.observe(), self.now(source), flags, late=True)
        watched.observer.subscribe_changes(watched.changes.append)
        watched.observer.subscribe(watched.values.append)
        self.watched.append(watched)

    def now(self, source: Any) -> dict[str, tuple[int, Any]]:
        found = source.get()
        snapshots = found if not isinstance(source, grebe.Document) else [found] if found else []
        if not isinstance(source, grebe.Document):
            places = [self.place[snapshot.path] for snapshot in snapshots]
            assert places == sorted(places), f"not in insertion order\n{self.story()}"
        return {s.path: (self.place[s.path], s.data) for s in snapshots}

    def expected(self, watched: Watched, touched: set[str]) -> Told:
        """Return event, data and previous data that the observer is to be told, by path."""
        found: Told = {}
        now = self.now(watched.source)
        loud = {p for p in watched.fresh if LOUD in watched.flags[p]} | touched
        for path in loud:
            flags = watched.flags.get(path, set())
            before, after = watched.told.get(path), now.get(path)
            data = None if after is None else after[1]
            prev = None if before is None else before[1]
            if before is None and after is not None:
                found[path] = (Event.HYDRATED if LOADED in flags else Event.ADDED, data, None)
            elif before is not None and after is None:
                found[path] = (Event.REMOVED, None, prev)
            elif before is not None and after is not None:
                moved = before[0] != after[0] and not watched.is_document()
                if moved or prev != data:
                    found[path] = (Event.MODIFIED, data, prev)
                elif TOUCH in flags or path in touched:
                    found[path] = (Event.TOUCHED, data, prev)
            if after is None:
                watched.told.pop(path, None)
            else:
                watched.told[path] = after
        return found

    def dependents(self) -> set[str]:
        """Return the documents that are announced because others were."""
        reverse: dict[str, list[str]] = {}
        for path, value in self.data.items():
            if paths.split(path)[0] in COLLECTIONS[:3]:
                for wanted in value.get("deps", ()):
                    reverse.setdefault(wanted, []).append(path)
        waiting = [path for path, flags in self.flags.items() if LOUD in flags]
        found: set[str] = set()
        while waiting:
            for dependent in reverse.get(waiting.pop(), ()):
                if dependent not in found:
                    found.add(dependent)
                    waiting.append(dependent)
        return found

    def broadcast(self) -> None:
        self.log.append("broadcast")
        touched = self.dependents()
        wanted = [self.expected(watched, touched) for watched in self.watched]
        if self.random.random() < 0.3:
            self.store.broadcast()
        while self.scheduled:
            self.scheduled.pop()()
        for watched, expected in zip(self.watched, wanted, strict=True):
            where = f"{watched.source}\n{self.story()}"
            assert len(watched.changes) == len(watched.values) <= 1, f"{expected} {where}"
            changes = watched.changes.pop() if watched.changes else []
            told = {c.path: (c.event, c.data, c.prev_data) for c in changes}
            assert len(told) == len(changes), f"a document is told of twice: {where}"
            assert without_touches(told, watched) == without_touches(expected, watched), where
            if watched.values:
                assert watched.values.pop() == watched.source.get(), where
            watched.flags.clear()
            watched.fresh.clear()
            watched.late = False
        self.flags.clear()

    # --- running

    def run(self, steps: int) -> None:
        weighted = [
            *[self.write] * 8,
            *[self.delete] * 2,
            *[self.touch] * 2,
            *[self.attach] * 3,
            *[self.broadcast] * 5,
            self.create_many,
            self.hydrate,
            self.replace,
            self.batch,
            self.batch,
            self.transaction,
            self.clear,
        ]
        for _ in range(4):
            self.attach()
        for _ in range(steps):
            self.random.choice(weighted)()
            assert self.store.inspect()["documents"] == self.data, self.story()
            if self.random.random() < 0.3:
                for watched in self.watched:
                    assert watched.observer.get() == watched.source.get(), self.story()
            if self.random.random() < 0.1:
                self.store._engine.check()
        self.broadcast()
        self.store._engine.check()
        for watched in self.watched:
            watched.observer.close()
        assert not self.store._engine.broadcasting.watched
        self.store.close()


@pytest.mark.parametrize("seed", rounds(150))
def test_observers_are_told_the_difference(seed: int) -> None:
    """Whatever is written, each observer is told exactly what changed since it was last told."""
    Walk(seed).run(80)
