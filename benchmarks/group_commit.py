"""Threads that each set a document and commit it, again and again: how many share a sync.

One thread and eight take turns, round by round, on the same store.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

import grebe
from grebe.persistors.file.filesystem import NewFile, OsFileSystem
from measure import Bar, Report, Settings, Watch, document, fresh, median, percentile, scratch

THREADS = 8
SHARE_MAX = 0.5


def run(settings: Settings) -> Report:
    """Measure in some processes."""
    rounds, runs = settings.pick(20, 5), settings.pick(3, 1)
    found = [
        fresh("group_commit", "commits", settings, rounds=rounds, each=25)
        for _ in range(1 if settings.profile else runs)
    ]
    report = Report(
        f"group commit: set + commit by each thread; median of {runs} processes",
        ["", "syncs per commit", "commits/s", "commit 50 %, us", "commit 99 %, us"],
    )
    for name in found[0]:
        rows = [list(one[name].values()) for one in found]
        report.rows.append([name, *(median(column) for column in zip(*rows, strict=True))])
    many = median([one[f"{THREADS} threads"]["share"] for one in found])
    speed = median([one[f"{THREADS} threads"]["per_s"] / one["1 thread"]["per_s"] for one in found])
    report.bars.append(Bar(f"{THREADS} threads, syncs per commit", many, SHARE_MAX))
    report.notes.append(f"{THREADS} threads commit {speed:.2f} times as much as one")
    return report


class CountedFile:
    """A file that counts its syncs."""

    def __init__(self, file: NewFile, count: list[int]) -> None:
        self.write = file.write
        self.reserve = file.reserve
        self.close = file.close
        self._file = file
        self._count = count

    def sync(self) -> None:
        """See NewFile."""
        self._count[0] += 1
        self._file.sync()


class CountingFileSystem(OsFileSystem):
    """The real file system; `count[0]` is the number of syncs of files."""

    def __init__(self) -> None:
        self.count = [0]

    def create(self, path: str) -> NewFile:
        """See FileSystem."""
        return CountedFile(super().create(path), self.count)


def commits(rounds: int, each: int) -> Mapping[str, Mapping[str, float]]:
    """Return figures for one thread and for several."""
    fs = CountingFileSystem()
    names = {"1 thread": 1, f"{THREADS} threads": THREADS}
    syncs: dict[str, list[float]] = {name: [] for name in names}
    per_s: dict[str, list[float]] = {name: [] for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    with scratch() as directory:
        persistor = grebe.FilePersistor(os.path.join(directory, "store"), file_system=fs)
        with grebe.open(persistor, commit_interval=3600) as store:
            for _ in range(rounds):
                for name, threads in names.items():
                    before = fs.count[0]
                    count = each * THREADS // threads
                    with Watch() as watch:
                        times[name] += _work(store, threads, count)
                    done = threads * count
                    syncs[name].append((fs.count[0] - before) / done)
                    per_s[name].append(done / watch.seconds)
    return {
        name: {
            "share": median(syncs[name]),
            "per_s": median(per_s[name]),
            "middle": median(times[name]),
            "slow": percentile(times[name], 0.99),
        }
        for name in names
    }


def _work(store: grebe.Store, threads: int, count: int) -> list[float]:
    """Have each thread commit; return the time of each commit."""
    found: list[float] = []

    def commit(number: int) -> None:
        doc = store.doc(f"users/{number}")
        for revision in range(count):
            doc.set(document(number, revision))
            with Watch() as watch:
                store.commit()
            found.append(watch.us)

    workers = [threading.Thread(target=commit, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return found
