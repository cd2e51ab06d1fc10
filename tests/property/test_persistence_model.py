"""Random operations on a persisted store, against two plain dicts: what memory and disk hold.

The seed is the test's parameter, so a failure names it. GREBE_RANDOM_ROUNDS multiplies the rounds.
"""

from __future__ import annotations

import copy
import random
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.core import path as paths
from grebe.core.operation import Batch, Record
from grebe.persistors import MemoryPersistor
from tests.conftest import NEVER_S, rounds

COLLECTIONS = (
    "a",
    "b",
    "a/1/s",
    "a/2/s",
    "b/1/s",
    "a/1/s/1/t",
    "a/1/s/2/t",
    "a/1/memory",
    "memory",
)
IDS = ("1", "2", "3")
PARTITIONS = ("P", "Q", "__store__")
MEMORY_ONLY = ("a/1/memory", "memory")

Contained = dict[str, Any]


def by_field(snapshot: grebe.Snapshot[Any]) -> str:
    return str(snapshot.data["p"])


def _shortened(depth: int, path: str) -> str:
    return "/".join(path.split("/")[:depth])


def under(contents: Contained, path: str) -> list[str]:
    return [p for p in contents if paths.is_under(p, path)]


class FailingMemory(MemoryPersistor):
    """Fails on demand, before or after the batch was applied."""

    def __init__(self) -> None:
        super().__init__()
        self.fail: str | None = None

    def commit(self, batch: Batch) -> None:
        if self.fail == "before":
            raise OSError("no space")
        super().commit(batch)
        if self.fail == "after":
            raise OSError("it was stored, but nobody knows")


class MemoryDevice:
    """A MemoryPersistor that can be copied as it is, as if the process had been killed."""

    can_fail = True

    def __init__(self) -> None:
        self.persistor = FailingMemory()

    def target(self) -> Any:
        return self.persistor

    def copy(self) -> MemoryDevice:
        twin = MemoryDevice()
        twin.persistor._contents = copy.deepcopy(self.persistor._contents)
        twin.persistor._metadata = self.persistor._metadata
        twin.persistor._commits = self.persistor._commits
        return twin

    def records(self) -> list[Record]:
        return list(self.persistor.load(None))

    def set_fail(self, how: str | None) -> None:
        self.persistor.fail = how


class DirectoryDevice:
    """A directory; its copy is what a killed process leaves behind."""

    can_fail = False

    def __init__(self, root: Path, number: int = 0) -> None:
        self._root = root
        self._number = number
        self._copies = 0

    def target(self) -> Any:
        return grebe.FilePersistor(self._directory(), checkpoint_bytes=2000)

    def copy(self) -> DirectoryDevice:
        self._copies += 1
        twin = DirectoryDevice(self._root, self._number * 1000 + self._copies)
        shutil.copytree(self._directory(), twin._directory(), dirs_exist_ok=True)
        return twin

    def records(self) -> list[Record]:
        twin = self.copy()
        persistor = grebe.FilePersistor(twin._directory())
        persistor.open()
        found = list(persistor.load(None))
        persistor.close()
        shutil.rmtree(twin._directory())
        return found

    def set_fail(self, how: str | None) -> None:
        raise NotImplementedError

    def _directory(self) -> Path:
        return self._root / f"store-{self._number}"


class Walk:
    """One random walk. `memory` and `disk` are the model; `disk` includes what waits."""

    def __init__(self, seed: int, device: Any) -> None:
        self.random = random.Random(seed)
        self.device = device
        self.memory: Contained = {}
        self.disk: Contained = {}
        self.committed: Contained = {}
        self.doubtful: Contained | None = None
        self.hidden: set[str] = set()
        self.log: list[str] = []
        self.counter = 0
        self.failing = False
        self.open(None)

    # --- opening

    def open(self, hydrate: list[str] | bool | None) -> None:
        mode = self.random.choice([True, True, False, "some"]) if hydrate is None else hydrate
        wanted: Any = [self.any_path() for _ in range(2)] if mode == "some" else mode
        default = self.random.choice([None, None, "P", by_field])
        self.log.append(f"open(hydrate={wanted}, partition={default})")
        self.store = grebe.open(
            self.device.target(), hydrate=wanted, partition=default, commit_interval=NEVER_S
        )
        for path in MEMORY_ONLY:
            self.store.collection(path, persist=False)
        self.memory = {}
        self.hidden = set()
        self.doubtful = None
        self.committed = dict(self.disk)
        self.bring_in([""] if wanted is True else wanted or [])
        self.compare()

    def bring_in(self, loaded: list[str]) -> None:
        for path, value in self.disk.items():
            wanted = any(not root or paths.is_under(path, root) for root in loaded)
            if wanted and path not in self.memory and path not in self.hidden:
                self.memory[path] = value

    def hydrate(self) -> None:
        wanted = [self.any_path()] if self.random.random() < 0.6 else []
        self.log.append(f"hydrate({wanted})")
        self.store.hydrate(*wanted)
        self.bring_in(wanted or [""])

    def reopen(self) -> None:
        self.repair()
        self.log.append("close")
        self.store.close()
        self.open(None)

    def crash(self) -> None:
        twin = self.device.copy()
        self.log.append("crash")
        self.repair()
        self.store.close()
        self.device = twin
        possible = [self.committed] + ([self.doubtful] if self.doubtful is not None else [])
        with grebe.open(twin.target(), commit_interval=NEVER_S) as store:
            found = contents_of(store)
        assert found in possible, f"neither the last commit nor one in doubt\n{self.story()}"
        self.disk = found
        self.open(None)

    def repair(self) -> None:
        if self.failing:
            self.failing = False
            self.device.set_fail(None)

    # --- picking

    def any_path(self) -> str:
        collection = self.random.choice(COLLECTIONS)
        if self.random.random() < 0.5:
            return collection
        return f"{collection}/{self.random.choice(IDS)}"

    def any_doc(self) -> str:
        return f"{self.random.choice(COLLECTIONS)}/{self.random.choice(IDS)}"

    def value(self) -> dict[str, Any]:
        self.counter += 1
        return {"p": self.random.choice(PARTITIONS), "n": self.counter % 7}

    # --- writes; each tells the model and the store

    def put(self, path: str, value: Any, persist: bool) -> None:
        self.memory[path] = value
        if persist and not path.startswith(MEMORY_ONLY):
            self.disk[path] = value

    def remove(self, path: str, persist: bool) -> None:
        for gone in under(self.memory, path):
            del self.memory[gone]
        if path.startswith(MEMORY_ONLY):
            return
        for gone in under(self.disk, path):
            if persist:
                del self.disk[gone]
            else:
                self.hidden.add(gone)

    def write(self) -> None:
        path, value = self.any_doc(), self.value()
        persist = self.random.random() < 0.85
        doc = self.store.doc(path)
        kind = self.random.choice(["set", "set", "set", "create", "replace", "update", "same"])
        self.log.append(f"{kind} {path} {value} persist={persist}")
        if kind == "create":
            if path in self.memory:
                with pytest.raises(grebe.DocumentExistsError):
                    doc.create(value, persist=persist)
                return
            doc.create(value, persist=persist)
        elif kind == "set":
            doc.set(value, persist=persist)
        elif path not in self.memory:
            with pytest.raises(grebe.DocumentNotFoundError):
                doc.replace(value, persist=persist)
            return
        elif kind == "replace":
            doc.replace(value, persist=persist)
        elif kind == "update":
            doc.update({"n": value["n"]}, persist=persist)
            value = {**self.memory[path], "n": value["n"]}
        else:
            value = dict(reversed(self.memory[path].items()))
            doc.set(value, persist=persist)
        self.put(path, value, persist)
        self.check_place(path, persist)

    def delete(self) -> None:
        path = self.any_path()
        persist = self.random.random() < 0.75
        self.log.append(f"delete {path} persist={persist}")
        if paths.is_document(path):
            self.store.doc(path).delete(persist=persist)
        else:
            self.store.collection(path).delete(persist=persist)
        self.remove(path, persist)

    def create_many(self) -> None:
        collection = self.random.choice(COLLECTIONS)
        items = {i: self.value() for i in self.random.sample(IDS, 2)}
        self.log.append(f"create_many {collection} {items}")
        if any(f"{collection}/{i}" in self.memory for i in items):
            with pytest.raises(grebe.DocumentExistsError):
                self.store.collection(collection).create_many(items)
            return
        self.store.collection(collection).create_many(items)
        for key, value in items.items():
            self.put(f"{collection}/{key}", value, True)

    def replace_all(self) -> None:
        collection = self.random.choice(COLLECTIONS)
        items = {i: self.value() for i in self.random.sample(IDS, self.random.randrange(3))}
        self.log.append(f"replace {collection} {items}")
        self.store.collection(collection).replace(items)
        self.bring_in([collection])
        for path in [p for p in self.memory if paths.split(p)[0] == collection]:
            if paths.split(path)[1] not in items:
                self.remove(path, True)
        for key, value in items.items():
            self.put(f"{collection}/{key}", value, True)

    def option(self) -> None:
        collection = self.random.choice(COLLECTIONS)
        option = self.random.choice([*PARTITIONS, by_field, by_field, None])
        self.log.append(f"option {collection} partition={option}")
        self.store.collection(collection, partition=option)

    def transaction(self) -> None:
        self.log.append("transaction {")
        with self.store.transaction() as tx:
            for _ in range(self.random.randrange(1, 6)):
                path, value = self.any_doc(), self.value()
                if self.random.random() < 0.3:
                    self.log.append(f"  delete {path}")
                    tx.delete(self.store.doc(path))
                    self.remove(path, True)
                else:
                    self.log.append(f"  set {path} {value}")
                    tx.set(self.store.doc(path), value)
                    self.put(path, value, True)
        self.log.append("}")

    def batch(self) -> None:
        self.log.append("batch {")
        with self.store.batch():
            for _ in range(self.random.randrange(1, 6)):
                self.random.choice([self.write, self.write, self.delete, self.option])()
        self.log.append("}")

    def clear(self) -> None:
        if self.failing or self.random.random() < 0.7:
            return
        self.log.append("clear")
        self.store.clear()
        self.memory, self.disk, self.hidden = {}, {}, set()
        self.acknowledged()

    # --- the disk

    def commit(self) -> None:
        call = self.store.checkpoint if self.random.random() < 0.3 else self.store.commit
        if self.device.can_fail and not self.failing and self.random.random() < 0.25:
            how = self.random.choice(["before", "after"])
            self.log.append(f"commits fail {how} they are stored")
            self.device.set_fail(how)
            self.failing = True
        elif self.failing and self.random.random() < 0.7:
            self.log.append("commits work again")
            self.repair()
        self.log.append(f"{call.__name__}()")
        try:
            call()
        except grebe.PersistenceError:
            assert self.failing
            if self.device.persistor.fail == "after":
                self.doubtful = dict(self.disk)
            return
        self.acknowledged()
        self.check_records()

    def acknowledged(self) -> None:
        if self.store.inspect()["commit"]["waiting"] == 0:
            self.committed = dict(self.disk)
            self.doubtful = None

    # --- checks

    def story(self) -> str:
        return "\n".join(self.log[-60:])

    def compare(self) -> None:
        found = contents_of(self.store)
        assert found == self.memory, f"memory differs\n{self.story()}"

    def check_place(self, path: str, persist: bool) -> None:
        """A document just written is where its options say."""
        engine = self.store._engine
        if persist and not path.startswith(MEMORY_ONLY):
            wanted = self.wanted_partition(path)
            found = engine.tree.get(path).partition
            assert found == wanted, f"{path} is in {found}, not {wanted}\n{self.story()}"

    def wanted_partition(self, path: str) -> str:
        engine = self.store._engine
        collection = paths.split(path)[0]
        options = engine.options.by_path.get(collection)
        option = options.partition if options is not None else None
        above = paths.parent_document(collection)
        if option is None and above is None:
            option = engine.options.defaults.partition or "__store__"
        if callable(option):
            return str(self.memory[path]["p"])
        if option is not None:
            return str(option)
        assert above is not None
        # What a callable above computed holds for this document too; a name above, for all.
        by_callable = self.nearest_is_callable(paths.split(above)[0])
        if by_callable is not None:
            entry = engine.tree.get(by_callable(path))
            if entry is not None:
                return str(entry.partition)
            return str(engine.options.resolve(collection).partition)
        return self.wanted_name(paths.split(above)[0])

    def nearest_is_callable(self, collection: str | None) -> Callable[[str], str] | None:
        """Return how to find the document whose computed partition is inherited."""
        engine = self.store._engine
        while collection is not None:
            options = engine.options.by_path.get(collection)
            option = options.partition if options is not None else None
            above = paths.parent_collection(collection)
            if option is None and above is None:
                option = engine.options.defaults.partition
            if option is not None:
                if not callable(option):
                    return None
                depth = collection.count("/") + 2
                return partial(_shortened, depth)
            collection = above
        return None

    def wanted_name(self, collection: str) -> str:
        engine = self.store._engine
        options = engine.options.by_path.get(collection)
        if options is not None and options.partition is not None:
            return str(options.partition)
        above = paths.parent_collection(collection)
        if above is None:
            return str(engine.options.defaults.partition or "__store__")
        return self.wanted_name(above)

    def check_records(self) -> None:
        """On disk each document is once, where memory thinks it is."""
        records = self.device.records()
        twice = [path for path, n in Counter(r.path for r in records).items() if n > 1]
        assert not twice, f"in two partitions: {twice}\n{self.story()}"
        stored = {r.path: r for r in records}
        assert sorted(stored) == sorted(self.disk), f"disk differs\n{self.story()}"
        for place in self.store._engine.tree.walk():
            if place.leaf.home.saved and place.path in stored:
                found, believed = stored[place.path].partition, place.leaf.partition
                assert found == believed, (
                    f"{place.path} is in {found} on disk, memory thinks {believed}\n{self.story()}"
                )

    def run(self, steps: int) -> None:
        weighted = [
            *[self.write] * 12,
            *[self.delete] * 3,
            *[self.option] * 3,
            *[self.commit] * 4,
            *[self.hydrate] * 2,
            self.create_many,
            self.replace_all,
            self.transaction,
            self.batch,
            self.reopen,
            self.crash,
            self.clear,
        ]
        for _ in range(steps):
            self.random.choice(weighted)()
            self.compare()
            self.store._engine.check()
        self.repair()
        self.store.close()
        with grebe.open(self.device.target(), commit_interval=NEVER_S) as store:
            assert contents_of(store) == self.disk, f"the disk differs\n{self.story()}"
        part = self.any_path()
        with grebe.open(self.device.target(), hydrate=[part], commit_interval=NEVER_S) as store:
            wanted = {p: self.disk[p] for p in under(self.disk, part)}
            assert contents_of(store) == wanted, f"part {part} differs\n{self.story()}"


def contents_of(store: grebe.Store) -> Contained:
    return dict(store.inspect()["documents"])


@pytest.mark.parametrize("seed", rounds(60))
def test_a_persistor_in_memory_holds_what_a_dict_holds(seed: int) -> None:
    """After any operations, failures and kills, memory and disk hold what two dicts hold."""
    Walk(seed, MemoryDevice()).run(60)


@pytest.mark.parametrize("seed", rounds(8))
def test_a_directory_holds_what_a_dict_holds(seed: int, tmp_path: Path) -> None:
    """The same on a directory of files, checkpoints included."""
    Walk(seed, DirectoryDevice(tmp_path)).run(40)
