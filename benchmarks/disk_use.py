"""Disk use and bytes written while 100,000 documents are overwritten, ten times over.

Each round writes every document, in batches of 1,000 with a commit after each; or a share of them,
spread evenly, in a single commit. Checkpoints come by themselves. The size of the directory is
added up after every operation that can make it larger.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import grebe
from grebe.persistors.file.filesystem import NewFile, OsFileSystem
from measure import DOCUMENT_BYTES, Bar, Report, Settings, Watch, document, encode, fresh, scratch

ROUNDS = 10
BATCH = 1_000
SHARES = (15, 25, 50, 75, 99, 100)
"""Percent of the documents that a single commit replaces."""
ALLOWANCE_BYTES = 2 << 20
USE_MAX = 2.5


def run(settings: Settings) -> Report:
    """Measure once each, with batches and with a single commit for each round."""
    count = settings.pick(100_000, 20_000)
    report = Report(
        f"disk use: {count:,} documents of {DOCUMENT_BYTES} bytes overwritten {ROUNDS} times",
        ["", "payload, MB", "largest use, MB", "x payload", "x without 2 MiB", "written x", "s"],
    )
    cases = [(f"commits of {BATCH:,}", BATCH, 100)]
    cases += [(f"commits of {percent} %", count, percent) for percent in SHARES]
    for name, batch, percent in cases:
        found = fresh("disk_use", "overwrite", settings, count=count, batch=batch, percent=percent)
        payload, largest = found["payload"], found["largest"]
        share = (largest - ALLOWANCE_BYTES) / payload
        report.rows.append(
            [
                name,
                payload / 1e6,
                largest / 1e6,
                largest / payload,
                share,
                found["written"] / (payload * ROUNDS * percent / 100),
                found["seconds"],
            ]
        )
        report.bars.append(Bar(f"{name}: (largest use - 2 MiB) / payload", share, USE_MAX))
    report.notes.append("payload: the JSON of all documents; written: bytes per overwritten byte")
    return report


class Meter:
    """Bytes in a directory, largest and now, and bytes written."""

    def __init__(self) -> None:
        self.written = 0
        self.largest = 0
        self._used = 0
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def changed(self, path: str, size: int) -> None:
        """Note the size of a file; -1: it is gone."""
        with self._lock:
            self._used += max(size, 0) - self._sizes.pop(path, 0)
            if size >= 0:
                self._sizes[path] = size
            self.largest = max(self.largest, self._used)

    def written_to(self, path: str, end: int, size: int) -> None:
        """Note that a file was written to, up to a place that may be behind its end."""
        self.written += size
        self.changed(path, max(self._sizes.get(path, 0), end))

    def renamed(self, source: str, target: str) -> None:
        """Note that a file has taken the place of another, or of none."""
        size = self._sizes.get(source, 0)
        self.changed(source, -1)
        self.changed(target, size)


class MeteredFile:
    """A file that tells a meter what it takes; a journal that was renamed is followed."""

    def __init__(self, file: NewFile, path: str, meter: Meter) -> None:
        self.sync = file.sync
        self.close = file.close
        self._file = file
        self._path = path
        self._meter = meter
        self._end = 0

    def write(self, data: bytes) -> None:
        """See NewFile."""
        self._file.write(data)
        self._end += len(data)
        self._grown(self._end, len(data))

    def reserve(self, size: int) -> None:
        """See NewFile."""
        self._file.reserve(size)
        self._grown(self._end + size, size)

    def _grown(self, end: int, written: int) -> None:
        if self._path not in self._meter._sizes:
            self._path = self._path.removesuffix(".tmp")
        self._meter.written_to(self._path, end, written)


class MeteredFileSystem(OsFileSystem):
    """The real file system, with a meter. Syncs are left out: they do not change any size."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def create(self, path: str) -> NewFile:
        """See FileSystem."""
        self._meter.changed(path, 0)
        return MeteredFile(super().create(path), path, self._meter)

    def rename(self, source: str, target: str) -> None:
        """See FileSystem."""
        super().rename(source, target)
        self._meter.renamed(source, target)

    def remove(self, path: str) -> None:
        """See FileSystem."""
        super().remove(path)
        self._meter.changed(path, -1)


def overwrite(count: int, batch: int, percent: int) -> Mapping[str, Any]:
    """Return the largest disk use, the bytes written, and the time it took."""
    meter = Meter()
    with scratch() as directory:
        fs = MeteredFileSystem(meter)
        persistor = grebe.FilePersistor(os.path.join(directory, "store"), file_system=fs)
        store = grebe.open(persistor, commit_interval=3600)
        users = store.collection("users")
        users.create_many({f"{n:06d}": document(n) for n in range(count)})
        store.checkpoint()
        payload = sum(len(encode(document(n))) for n in range(count))
        filled = meter.written
        meter.largest = 0
        with Watch() as watch:
            for revision in range(1, ROUNDS + 1):
                for start in range(0, count, batch):
                    with store.batch():
                        for n in range(start, min(start + batch, count)):
                            if (n * 37 + revision * 11) % 100 >= percent:
                                continue
                            users.doc(f"{n:06d}").set(document(n, revision))
                    store.commit()
        written = meter.written - filled
        store.close()
        at_end = sum(entry.stat().st_size for entry in os.scandir(persistor.directory))
    return {
        "payload": payload,
        "largest": meter.largest,
        "written": written,
        "seconds": watch.seconds,
        "at_end": at_end,
    }
