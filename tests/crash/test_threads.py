"""Threads that commit at the same time: they share syncs, and each one's commits last."""

from __future__ import annotations

import random
import threading

import pytest

import grebe
from grebe.persistors.file.persistor import FilePersistor
from grebe.testing import FaultyFileSystem, SimulatedFileSystem
from tests.crash.harness import ROUNDS, SEED, report
from tests.crash.oracle import DIRECTORY

THREADS = 8
WAIT_S = 30.0


def start(work, count: int = THREADS) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_commits_share_a_sync():
    """Commits that are asked for while a sync runs are all in the next one."""
    fs = FaultyFileSystem(SimulatedFileSystem())
    store = grebe.open(FilePersistor(DIRECTORY, file_system=fs), commit_interval=3600)
    store.doc("u/first").set({})
    store.commit()
    wrote = threading.Barrier(THREADS + 1)
    begin = fs.begin
    syncs = []

    def slow(kind: str, path: str):
        if kind == "sync":
            if not syncs:
                wrote.wait(WAIT_S)  # until everybody else has written, and waits for a commit
            syncs.append(path)
        return begin(kind, path)

    fs.begin = slow  # type: ignore[method-assign]
    store.doc("u/slow").set({})

    def work(number: int) -> None:
        store.doc(f"u/{number}").set({"n": number})
        wrote.wait(WAIT_S)
        store.commit()

    slow_commit = threading.Thread(target=store.commit)
    slow_commit.start()
    for thread in [slow_commit, *start(work)]:
        thread.join(WAIT_S)
    assert len(syncs) == 2
    store.close()


@pytest.mark.slow
def test_power_loss_under_threads():
    """Whatever thread committed it: nothing acknowledged is lost, no transaction is torn."""
    fs = SimulatedFileSystem()
    acknowledged = [0] * THREADS
    moments = []
    fs.on_change = lambda: moments.append((fs.disk, tuple(acknowledged)))
    persistor = FilePersistor(DIRECTORY, file_system=fs, checkpoint_bytes=1000)
    store = grebe.open(persistor, commit_interval=3600)
    for name in ("a", "b", "c"):
        store.collection(name, partition=name)
    commits = 12

    def work(number: int) -> None:
        for count in range(1, commits + 1):
            with store.transaction() as tx:
                tx.set(store.doc(f"a/{number}"), {"n": count})
                tx.set(store.doc(f"b/{number}"), {"n": count})
                tx.set(store.doc(f"c/{number}"), {"n": count, "more": "x" * 50})
            store.commit()
            acknowledged[number] = count

    for thread in start(work):
        thread.join(WAIT_S)
    store.close()
    assert acknowledged == [commits] * THREADS
    rng = random.Random(SEED)
    states = set()
    for disk, known in rng.sample(moments, min(len(moments), 150 * ROUNDS)):
        for image in disk.images("weak", rng, 3 * ROUNDS):
            states.add(hash(frozenset(image.items())))
            survivor = FilePersistor(
                DIRECTORY, file_system=SimulatedFileSystem(image), on_corruption="raise"
            )
            with grebe.open(survivor, commit_interval=3600) as opened:
                for number in range(THREADS):
                    found = [opened.doc(f"{name}/{number}").get() for name in "abc"]
                    counts = {0 if snapshot is None else snapshot.data["n"] for snapshot in found}
                    assert len(counts) == 1, f"torn: {counts} (seed {SEED})"
                    assert counts.pop() >= known[number], f"lost (seed {SEED})"
    report(f"{THREADS} threads: {len(states)} distinct states, 0 violations (seed {SEED})")
