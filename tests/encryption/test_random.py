"""Random walks over encrypted stores, compared with a dict: options, moves, kills, rotation.

In each life of a store it is loaded or not, written, given other options and another key, and then
closed or killed; between lives somebody may use its plain part without the key.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.persistors.file.persistor import FilePersistor
from tests.conftest import NEVER_S, rounds
from tests.encryption.test_store import contents

pytestmark = [pytest.mark.usefixtures("no_ambient_key"), pytest.mark.slow]

KEYS = [bytes([n]) * 32 for n in range(5)]
COLLECTIONS = ["a", "b", "a/1/x", "b/2/y"]
PARTITIONS = ["p", "q", "r"]


class Walk:
    """One store in one place, and what it has to hold."""

    def __init__(self, seed: int, kind: str, place: Path) -> None:
        self.rng = random.Random(seed)
        self.kind = kind
        self.place = place
        self.model: dict[str, Any] = {}
        self.key = 0
        self.log: list[tuple[Any, ...]] = []
        place.mkdir()

    def open(self, **options: Any) -> grebe.Store:
        options |= {"commit_interval": NEVER_S, "on_corruption": "raise"}
        if self.kind == "sqlite":
            return grebe.open(f"sqlite:///{self.place}/app.db", **options)
        options["checkpoint_bytes"] = self.rng.choice([200, 1 << 20])
        return grebe.open(self.place / "data", **options)

    def end(self, store: grebe.Store) -> None:
        """Close the store, or have the next life begin with what a kill leaves."""
        store.commit()
        if self.rng.random() < 0.6:
            store.close()
            self.log.append(("close",))
            return
        persistor = store._lifecycle._persistor
        if isinstance(persistor, FilePersistor):
            persistor._background.join()
        copy = self.place.with_name("copy")
        shutil.copytree(self.place, copy)
        store.close()
        shutil.rmtree(self.place)
        copy.rename(self.place)
        self.log.append(("kill",))

    def life(self) -> None:
        """Open with the key, do this and that, end."""
        hydrate = self.rng.random() < 0.7
        self.log.append(("open", hydrate))
        store = self.open(encryption_key=KEYS[self.key], hydrate=hydrate)
        if hydrate:
            assert contents(store) == self.model
        for _ in range(self.rng.randrange(1, 12)):
            kinds = (self.set_option, self.write, self.write, self.delete, self.settle)
            self.rng.choice(kinds)(store)
        self.end(store)

    def set_option(self, store: grebe.Store) -> None:
        collection = self.rng.choice(COLLECTIONS)
        if self.rng.random() < 0.5:
            option: dict[str, Any] = {"encrypted": self.rng.choice([True, False, None])}
        elif self.rng.random() < 0.8:
            option = {"partition": self.rng.choice([*PARTITIONS, None])}
        else:
            option = {"partition": lambda snapshot: PARTITIONS[snapshot.data]}
        self.log.append((collection, option))
        store.collection(collection, **option)

    def write(self, store: grebe.Store) -> None:
        path = f"{self.rng.choice(COLLECTIONS)}/{self.rng.choice('123')}"
        value = self.rng.randrange(3)
        self.log.append(("set", path, value))
        store.doc(path).set(value)
        self.model[path] = value

    def delete(self, store: grebe.Store) -> None:
        collection = self.rng.choice(COLLECTIONS)
        if self.rng.random() < 0.2:
            self.log.append(("delete", collection))
            store.collection(collection).delete()
            self.forget(collection)
        else:
            path = f"{collection}/{self.rng.choice('123')}"
            self.log.append(("delete", path))
            store.doc(path).delete()
            self.forget(path)

    def forget(self, above: str) -> None:
        self.model = {
            path: value
            for path, value in self.model.items()
            if path != above and not path.startswith(above + "/")
        }

    def settle(self, store: grebe.Store) -> None:
        what = self.rng.choice(["commit", "commit", "checkpoint", "rotate", "clear"])
        self.log.append((what,))
        if what == "commit":
            store.commit()
        elif what == "checkpoint":
            store.checkpoint()
        elif what == "rotate":
            self.key = self.rng.randrange(len(KEYS))
            store.rotate_key(KEYS[self.key])
        elif self.rng.random() < 0.3:
            store.clear()
            self.model = {}

    def life_without_key(self) -> None:
        """Use the plain part: what is seen of it is right, what is changed stays."""
        self.log.append(("without key",))
        store = self.open()
        seen = contents(store)
        assert {path: self.model.get(path) for path in seen} == seen
        store.collection("plain", encrypted=False).doc("1").set(len(self.log))
        self.model["plain/1"] = len(self.log)
        leaves = [path for path in seen if not any(p.startswith(path + "/") for p in self.model)]
        if leaves:
            path = self.rng.choice(leaves)
            store.doc(path).delete()
            self.model.pop(path, None)
        if self.rng.random() < 0.5:
            store.checkpoint()
        self.end(store)


@pytest.mark.parametrize("kind", ["directory", "sqlite"])
def test_random_walks(tmp_path: Path, kind: str) -> None:
    base = int(os.environ.get("GREBE_CRASH_SEED", "0"))
    for seed in rounds(8):
        walk = Walk(base + seed, kind, tmp_path / str(seed))
        try:
            for _ in range(6):
                walk.life()
                if walk.rng.random() < 0.3:
                    walk.life_without_key()
            with walk.open(encryption_key=KEYS[walk.key]) as store:
                assert contents(store) == walk.model
                store._engine.check()
        except BaseException as error:
            error.add_note(f"seed {base + seed}: {walk.log}")
            raise
