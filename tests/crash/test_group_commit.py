"""Commits of many threads share syncs, whatever the order in which the threads run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import grebe
from grebe.persistors.file.filesystem import OsFileSystem
from grebe.persistors.file.persistor import FilePersistor
from grebe.testing import FaultyFileSystem
from tests.crash.harness import report

THREADS = 8
EACH = 40
WAIT_S = 30.0


class Gated(FaultyFileSystem):
    """A disk on which a sync takes until all other threads wait for the next one."""

    def __init__(self) -> None:
        super().__init__(OsFileSystem())
        self.syncs = 0
        self.ready = threading.Condition()
        self.asking = 0
        """Threads that have written and asked for a commit that has not returned."""
        self.finished = 0

    def begin(self, kind: str, path: str):  # type: ignore[no-untyped-def]
        if kind == "sync":
            with self.ready:
                self.syncs += 1
                everybody = self.ready.wait_for(
                    lambda: self.asking + self.finished >= THREADS, WAIT_S
                )
                assert everybody
        return super().begin(kind, path)

    def change(self, *, asking: int, finished: int = 0) -> None:
        with self.ready:
            self.asking += asking
            self.finished += finished
            self.ready.notify_all()


@pytest.mark.slow
def test_eight_threads(directory: Path):
    """While a sync runs the other threads gather for the next: below half a sync a commit."""
    fs = Gated()
    fs.finished = THREADS
    store = grebe.open(FilePersistor(directory, file_system=fs), commit_interval=3600)
    store.doc("u/first").set({})
    store.commit()
    fs.syncs, fs.finished = 0, 0
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for count in range(EACH):
                store.doc(f"u/{number}").set({"n": count})
                fs.change(asking=1)
                store.commit()
                fs.change(asking=-1)
        except BaseException as error:
            errors.append(error)
        finally:
            fs.change(asking=0, finished=1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert not errors, errors
    share = fs.syncs / (THREADS * EACH)
    report(f"{THREADS} threads, {THREADS * EACH} commits: {share:.2f} syncs per commit")
    assert share < 0.5
    with grebe.open(directory, read_only=True) as reader:
        found = {snapshot.id: snapshot.data for snapshot in reader.collection("u").get()}
    assert found == {str(n): {"n": EACH - 1} for n in range(THREADS)} | {"first": {}}
    store.close()


def test_one_thread_pays_one_sync(directory: Path):
    """A commit of one thread costs exactly one sync, and no sync of the directory."""
    fs = FaultyFileSystem(OsFileSystem())
    store = grebe.open(FilePersistor(directory, file_system=fs), commit_interval=3600)
    for number in range(12):
        store.doc("u/1").set({"n": number})
        store.commit()
    kinds = [call.kind for call in fs.calls if "journal-" in call.path]
    # The first commit makes the journal, the second makes room in it for many more.
    made = kinds.index("rename") + 1
    assert kinds[made:] == ["write", "reserve", "sync", *["write", "sync"] * 10]
    store.close()
