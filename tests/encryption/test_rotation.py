"""A change of the key: whatever happens on the way, exactly one of the two keys opens the store."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.core.operation import Batch
from grebe.persistors.file.filesystem import OsFileSystem
from grebe.persistors.file.persistor import FilePersistor
from grebe.testing import MODELS, Disk, SimulatedFileSystem
from grebe.testing.faults import CHANGING, Fault, FaultyFileSystem
from tests.crash.harness import report
from tests.encryption.sealed import KEY, OTHER_KEY, Secrets, found_in
from tests.encryption.test_store import contents

OpenStore = Callable[..., grebe.Store]

pytestmark = pytest.mark.usefixtures("no_ambient_key")

KILLS = int(os.environ.get("GREBE_CRASH_KILLS", "4"))
DOCUMENTS = 20_000 if "GREBE_CRASH_KILLS" in os.environ else 2_000
ROUNDS = int(os.environ.get("GREBE_CRASH_ROUNDS", "1"))
SEED = int(os.environ.get("GREBE_CRASH_SEED", "6"))


def fill(store: grebe.Store, count: int = 20) -> None:
    secrets = store.collection("secrets", encrypted=True)
    secrets.create_many({str(n): {"n": n} for n in range(count)})
    secrets.doc("1").collection("deep", partition="other").doc("x").set("deep")
    store.collection("plain", partition="plain").doc("1").set("plain")


def sealed_values(directory: Path) -> set[bytes]:
    """Return what persisted encrypted documents look like."""
    persistor = FilePersistor(directory, read_only=True)
    persistor.open()
    found = {bytes(r.value) for r in persistor.load(None) if r.encrypted}
    persistor.close()
    return found


def open_with_one(place: Any, **options: Any) -> tuple[bytes, grebe.Store]:
    """Open with whichever of the two keys fits; exactly one must."""
    fitting = []
    for key in (KEY, OTHER_KEY):
        try:
            grebe.open(place, encryption_key=key, **options).close()
            fitting.append(key)
        except grebe.EncryptionError:
            continue
    assert len(fitting) == 1
    return fitting[0], grebe.open(place, encryption_key=fitting[0], **options)


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "unloaded"])
def test_rotation(open_store: OpenStore, directory: Path, loaded: bool) -> None:
    """All documents are there under the new key, nothing of the old one is in any file."""
    with open_store(directory, encryption_key=KEY) as store:
        fill(store)
        wanted = contents(store)
    old = sealed_values(directory)
    with open_store(directory, encryption_key=KEY, hydrate=loaded) as store:
        store.doc("plain/2").set("pending")
        store.rotate_key(OTHER_KEY)
        data = b"".join(path.read_bytes() for path in directory.iterdir())
        assert not any(value.hex().encode() in data for value in old)
        assert sealed_values(directory).isdisjoint(old)
        assert b'"previous"' not in data
        store.collection("secrets", encrypted=True).doc("2").set("after")
        store.collection("more", encrypted=True).doc("2").set("after")
    wanted |= {"plain/2": "pending", "secrets/2": "after", "more/2": "after"}
    with pytest.raises(grebe.EncryptionError, match="wrong"):
        grebe.open(directory, encryption_key=KEY)
    with open_store(directory, encryption_key=OTHER_KEY, on_corruption="raise") as store:
        assert contents(store) == wanted
        assert store.recovery == grebe.RecoveryReport()


def test_what_is_written_meanwhile(open_store: OpenStore, directory: Path) -> None:
    """Writes during a rotation wait for it, and are sealed under the new key."""
    store = open_store(directory, encryption_key=KEY, commit_interval=0.001)
    fill(store)
    store.commit()
    inner = store._lifecycle._persistor
    assert inner is not None
    commit = inner.commit

    def commit_beside_writes(batch: Batch) -> Any:
        store.collection("born", encrypted=True).doc("1").set("meanwhile")
        store.doc("secrets/3").set("meanwhile")
        inner.commit = commit  # type: ignore[method-assign]
        return commit(batch)

    inner.commit = commit_beside_writes  # type: ignore[method-assign]
    store.rotate_key("a passphrase")
    wanted = contents(store)
    store.close()
    with open_store(directory, encryption_key="a passphrase") as store:
        assert contents(store) == wanted
        assert store.doc("born/1").exists()


def test_again_and_on_other_persistors(open_store: OpenStore, tmp_path: Path) -> None:
    """To the same key, to another and back; in memory and in SQLite."""
    for target in (grebe.MemoryPersistor(), f"sqlite:///{tmp_path}/app.db"):
        with open_store(target, encryption_key=KEY) as store:
            fill(store)
            wanted = contents(store)
            for key in (KEY, OTHER_KEY, KEY, OTHER_KEY):
                store.rotate_key(key)
        with pytest.raises(grebe.EncryptionError):
            grebe.open(target, encryption_key=KEY)
        with open_store(target, encryption_key=OTHER_KEY) as store:
            assert contents(store) == wanted


def test_refused(open_store: OpenStore, directory: Path) -> None:
    """Without the present key, without a new one, in a batch, in a reader."""
    with open_store(directory, encryption_key=KEY) as store:
        store.rotate_key(OTHER_KEY)  # nothing is encrypted yet: it is the key from now on
        fill(store)
        wanted = contents(store)
        for wrong in (b"short", ""):
            with pytest.raises(grebe.EncryptionError):
                store.rotate_key(wrong)
        with pytest.raises(TypeError):
            store.rotate_key(None)  # type: ignore[arg-type]
        with pytest.raises(grebe.EncryptionError):
            store.rotate_key(lambda: b"short")
        with store.batch(), pytest.raises(RuntimeError):
            store.rotate_key(KEY)
    with open_store(directory) as store, pytest.raises(grebe.EncryptionError, match="key"):
        store.rotate_key(KEY)
    with (
        open_store(directory, encryption_key=OTHER_KEY, read_only=True) as store,
        pytest.raises(grebe.ReadOnlyError),
    ):
        store.rotate_key(KEY)
    with open_store(directory, encryption_key=OTHER_KEY) as store:
        assert contents(store) == wanted


@pytest.mark.slow
def test_every_failing_operation(tmp_path: Path) -> None:
    """Each operation on files fails in turn: one key opens, nothing is lost, the store goes on."""
    base = tmp_path / "base"
    with grebe.open(base, encryption_key=KEY) as store:
        fill(store)
        wanted = contents(store)
    number = 0
    while True:
        place = tmp_path / f"at-{number}"
        shutil.copytree(base, place)
        fs = FaultyFileSystem(OsFileSystem())
        store = grebe.open(FilePersistor(place, file_system=fs), encryption_key=KEY)
        fs.fault = Fault(number + 1, kinds=CHANGING)
        failed = False
        try:
            store.rotate_key(OTHER_KEY)
        except grebe.PersistenceError:
            failed = True
        fs.heal()
        if not failed:
            store.close()
            break
        copy = tmp_path / f"killed-{number}"
        shutil.copytree(place, copy)
        _, reopened = open_with_one(copy, on_corruption="raise")
        with reopened:
            assert contents(reopened) == wanted
        store.collection("secrets", encrypted=True).doc("new").set("after")
        store.close()
        _, reopened = open_with_one(place, on_corruption="raise")
        with reopened:
            assert contents(reopened) == {**wanted, "secrets/new": "after"}
        number += 1
    assert number > 10


@pytest.mark.slow
def test_power_lost_at_every_step() -> None:
    """Whatever may be left after each operation of a rotation opens with one key, whole."""
    secrets = Secrets(12)
    rng = random.Random(SEED)
    report(f"GREBE_CRASH_SEED={SEED}")
    fs = SimulatedFileSystem()
    place = os.path.abspath("data")
    moments: list[Disk] = []
    with grebe.open(FilePersistor(place, file_system=fs), encryption_key=KEY) as store:
        fill(store, 4)
        hidden = store.collection(secrets.names[0], encrypted=True)
        hidden.create_many(dict(zip(secrets.ids, secrets.values, strict=True)))
    store = grebe.open(FilePersistor(place, file_system=fs), encryption_key=KEY)
    hidden = store.collection(secrets.names[0], encrypted=True)
    hidden.doc(secrets.ids[0]).set(secrets.values[1])
    store.commit()
    wanted = contents(store)
    fs.on_change = lambda: moments.append(fs.disk)
    store.rotate_key(OTHER_KEY)
    fs.on_change = None
    assert len(moments) > 15
    fitting: set[bytes] = set()
    seen: set[int] = set()
    for disk in moments:
        for model in MODELS:
            for image in disk.images(model, rng, 4 * ROUNDS):
                key = hash(frozenset(image.items()))
                if key in seen:
                    continue
                seen.add(key)
                data = b"\n".join(part for part in image.values() if part is not None)
                assert not any(text.encode() in data for text in secrets.all())
                left = SimulatedFileSystem(image)
                fits, reopened = open_with_one(
                    FilePersistor(place, file_system=left, on_corruption="raise")
                )
                with reopened:
                    assert contents(reopened) == wanted
                fitting.add(fits)
    report(f"{len(seen)} distinct disks at {len(moments)} moments")
    assert fitting == {KEY, OTHER_KEY}


WRITER = """
import sys, grebe
store = grebe.open(sys.argv[1], encryption_key=bytes.fromhex(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
print("rotating", flush=True)
store.rotate_key(bytes.fromhex(sys.argv[3]))
print("done", flush=True)
store.close()
"""


def rotate_in_child(directory: Path, old: bytes, new: bytes, limit_s: float | None) -> float | None:
    """Rotate in another process, killed after a time; return how long it took, if it got done."""
    command = [sys.executable, "-c", WRITER, str(directory), old.hex(), new.hex()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "rotating\n"
        start = time.monotonic()
        killer = threading.Timer(3600 if limit_s is None else limit_s, writer.kill)
        killer.start()
        done = writer.stdout.readline() == "done\n"
        took_s = time.monotonic() - start
        killer.cancel()
        assert writer.wait() in (0, 1 if os.name == "nt" else -9)
    return took_s if done else None


@pytest.mark.slow
def test_kills(directory: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments of a rotation: nothing is lost, no secret is in any file."""
    secrets = Secrets(200)
    with grebe.open(directory, encryption_key=KEY) as store:
        fill(store, DOCUMENTS)
        hidden = store.collection(secrets.names[0], encrypted=True)
        hidden.create_many(dict(zip(secrets.ids, secrets.values, strict=True)))
        wanted = contents(store)
    rng = random.Random(SEED)
    report(f"GREBE_CRASH_SEED={SEED}")
    whole_s = rotate_in_child(directory, KEY, OTHER_KEY, None)
    assert whole_s is not None
    key, other = OTHER_KEY, KEY
    outcomes: list[str] = []
    for _ in range(5 * KILLS):
        done = rotate_in_child(directory, key, other, rng.uniform(0, whole_s))
        assert found_in(directory, secrets.all()) == []
        fitting, store = open_with_one(directory, on_corruption="raise")
        with store:
            assert contents(store) == wanted
        if done is None:
            outcomes.append("old" if fitting == key else "new")
        else:
            assert fitting == other
        if fitting != key:
            key, other = other, key
        if len(outcomes) == KILLS:
            break
    assert len(outcomes) == KILLS
    report(f"{whole_s:.2f} s undisturbed; the key that opened it after a kill: {outcomes}")
