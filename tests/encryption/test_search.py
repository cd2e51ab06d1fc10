"""A search of every byte of every file for 1,000 values, ids and names of encrypted documents.

Through writes, moves between partitions, deletions, checkpoints, crashes, damage and rotation; in
directories and in SQLite.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import grebe
from grebe.persistors.file.filesystem import OsFileSystem
from grebe.persistors.file.persistor import FilePersistor
from grebe.testing.faults import CHANGING, Fault, FaultyFileSystem
from tests.encryption.sealed import KEY, OTHER_KEY, Secrets, files_in, found_in
from tests.encryption.test_store import contents

OpenStore = Callable[..., grebe.Store]

pytestmark = [pytest.mark.usefixtures("no_ambient_key"), pytest.mark.slow]

SEED = int(os.environ.get("GREBE_CRASH_SEED", "6"))


def write(store: grebe.Store, secrets: Secrets, rng: random.Random) -> None:
    """Write all secrets, in collections and below documents, over several partitions."""
    for name in secrets.names:
        store.collection(name, encrypted=True, partition=rng.choice(["a", "b", "c"]))
    for n, (document_id, value) in enumerate(zip(secrets.ids, secrets.values, strict=True)):
        names = secrets.names
        doc = store.collection(names[n % len(names)]).doc(document_id)
        doc.set({"value": value, "n": n, value: [value]})
        if n % 10 == 0:
            doc.collection(names[-1 - n % len(names)]).doc(document_id).set(value)
            store.collection("plain").doc(str(n)).set({"n": n})


def walk(store: grebe.Store, secrets: Secrets, rng: random.Random) -> None:
    """Change, move and delete some."""
    for name in rng.sample(secrets.names, 3):
        store.collection(name, partition=rng.choice(["a", "b", "c", "d"]))
    for n in rng.sample(range(secrets.count), secrets.count // 5):
        name = secrets.names[n % len(secrets.names)]
        doc = store.collection(name).doc(secrets.ids[n])
        if n % 7 == 0:
            doc.delete()
        else:
            doc.set({"value": secrets.values[n], "again": rng.random()})


def check(place: Path, secrets: Secrets) -> None:
    assert found_in(place, secrets.all()) == []
    assert sum(path.stat().st_size for path in files_in(place)) > 1000


@pytest.mark.parametrize("kind", ["directory", "sqlite"])
def test_nothing_is_found(open_store: OpenStore, tmp_path: Path, kind: str) -> None:
    secrets, rng = Secrets(1000), random.Random(SEED)
    place = tmp_path / "place"
    place.mkdir()
    target = f"sqlite:///{place}/app.db" if kind == "sqlite" else place / "data"
    options = {"checkpoint_bytes": 20_000} if kind == "directory" else {}
    with open_store(target, encryption_key=KEY, **options) as store:
        write(store, secrets, rng)
        store.commit()
        check(place, secrets)
        for _ in range(3):
            walk(store, secrets, rng)
            store.commit()
            check(place, secrets)
        store.checkpoint()
        check(place, secrets)
        shutil.copytree(place, tmp_path / "killed")
        walk(store, secrets, rng)
        store.rotate_key(OTHER_KEY)
        check(place, secrets)
        wanted = contents(store)
    check(place, secrets)
    with open_store(target, encryption_key=OTHER_KEY, hydrate=False) as store:
        for name in secrets.names:
            store.collection(name, encrypted=True, partition="e")
        store.collection(secrets.names[0]).doc("other").set(1)
        store.doc(f"{secrets.names[1]}/{secrets.ids[1]}").delete()
        store.checkpoint()
        check(place, secrets)
    wanted.pop(f"{secrets.names[1]}/{secrets.ids[1]}", None)
    with open_store(target, encryption_key=OTHER_KEY) as store:
        assert contents(store) == {**wanted, f"{secrets.names[0]}/other": 1}
    # What a kill leaves, opened without the key.
    killed = tmp_path / "killed"
    left = f"sqlite:///{killed}/app.db" if kind == "sqlite" else killed / "data"
    with open_store(left) as store:
        store.doc("plain/new").set(1)
    check(killed, secrets)


def test_nor_after_faults(tmp_path: Path) -> None:
    """Failed operations leave temporary files and half journals, a flipped bit quarantined ones."""
    secrets, rng = Secrets(100), random.Random(SEED)
    for number in range(1, 60, 9):
        place = tmp_path / str(number)
        fs = FaultyFileSystem(OsFileSystem())
        persistor = FilePersistor(place, file_system=fs, checkpoint_bytes=2000)
        store = grebe.open(persistor, encryption_key=KEY, commit_interval=3600)
        write(store, secrets, rng)
        store.commit()
        fs.fault = Fault(number, when=rng.choice(["before", "after", "short"]), kinds=CHANGING)
        for step in (store.commit, store.checkpoint, partial(store.rotate_key, OTHER_KEY)):
            walk(store, secrets, rng)
            try:
                step()
            except grebe.PersistenceError:
                check(place, secrets)
        fs.heal()
        store.close()
        check(place, secrets)
    file = next(place.glob("*.encrypted.json"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    for key in (KEY, OTHER_KEY):
        try:
            with grebe.open(place, encryption_key=key) as store:
                assert not store.recovery.clean
                assert store.recovery.quarantined
        except grebe.EncryptionError:
            continue
    check(place, secrets)
    assert list(place.glob("*.corrupt-1"))
