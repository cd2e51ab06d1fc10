"""What overwriting costs: room on the disk and bytes written, as ratios to what is stored."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from grebe.core.operation import Batch, Put
from grebe.persistors.file import remainder
from grebe.persistors.file.filesystem import NewFile, OsFileSystem
from grebe.persistors.file.persistor import FilePersistor
from tests.crash.harness import report
from tests.crash.oracle import state_of

DOCUMENTS = 1_000
BATCH = 50
TIMES = 10
CHECKPOINT_BYTES = 8_000
USE_MAX = 2.5
WRITTEN_MAX = 8.0
"""The journal has each byte once; a checkpoint of 0.2 payloads writes a whole one."""


@pytest.fixture(autouse=True)
def small_files_leave_remainders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have as much room as fits these files; what is to be left out of them is as everywhere."""
    monkeypatch.setattr(remainder, "ROOM_BYTES", CHECKPOINT_BYTES)


class MeteredFile:
    """A file that tells how it grows."""

    def __init__(self, file: NewFile, meter: Meter) -> None:
        self.sync = file.sync
        self.close = file.close
        self._file = file
        self._meter = meter

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._meter.written += len(data)
        self._meter.look()

    def reserve(self, size: int) -> None:
        self._file.reserve(size)
        self._meter.written += size
        self._meter.look()


class Meter(OsFileSystem):
    """A disk whose fullest moment and written bytes are known."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.largest = 0
        self.written = 0

    def create(self, path: str) -> NewFile:
        return MeteredFile(super().create(path), self)

    def look(self) -> None:
        self.largest = max(self.largest, self.used_bytes())

    def used_bytes(self) -> int:
        used = 0
        for entry in os.scandir(self.directory):
            with contextlib.suppress(FileNotFoundError):  # by the other thread, just now
                used += entry.stat().st_size
        return used


def document(number: int, revision: int) -> Put:
    return Put(f"u/{number}", b'{"revision":%06d,"text":"%b"}' % (revision, b"x" * 170), "a")


def overwrite(persistor: FilePersistor, revision: int, batch: int) -> None:
    for start in range(0, DOCUMENTS, batch):
        some = range(start, start + batch)
        persistor.commit(Batch(document(number, revision) for number in some))


@pytest.mark.slow
def test_overwriting_everything(directory: Path):
    """Disk use stays below 2.5 times the payload and two journals; bytes written are bounded."""
    fs = Meter(directory)
    persistor = FilePersistor(directory, file_system=fs, checkpoint_bytes=CHECKPOINT_BYTES)
    persistor.open()
    overwrite(persistor, 0, BATCH)
    persistor.checkpoint()
    payload = sum(len(document(number, 0).value) for number in range(DOCUMENTS))
    fs.largest = fs.written = 0
    for revision in range(1, TIMES + 1):
        overwrite(persistor, revision, BATCH)
    use = (fs.largest - 2 * CHECKPOINT_BYTES) / payload
    written = fs.written / (payload * TIMES)
    report(f"disk use {use:.2f} x payload, {written:.2f} bytes written per byte")
    assert use < USE_MAX
    assert written < WRITTEN_MAX
    persistor.checkpoint()
    assert fs.used_bytes() < 1.2 * payload
    values = {value for _, _, _, value in state_of(persistor).documents}
    assert values == {document(0, TIMES).value}
    persistor.close()


@pytest.mark.slow
@pytest.mark.parametrize("percent", [15, 25, 40, 60, 80, 95, 99, 100])
@pytest.mark.parametrize("partitions", ["a", "abc"])
def test_overwriting_much_at_once(directory: Path, percent: int, partitions: str):
    """Each commit replaces much of all partitions: files, a journal and a remainder have room."""
    fs = Meter(directory)
    persistor = FilePersistor(directory, file_system=fs, checkpoint_bytes=CHECKPOINT_BYTES)
    persistor.open()
    batches = [
        [
            document(number, revision)._replace(partition=partitions[number % len(partitions)])
            for number in range(DOCUMENTS)
            if not revision or (number * 37 + revision * 11) % 100 < percent
        ]
        for revision in range(TIMES)
    ]
    for batch in batches:
        persistor.commit(Batch(batch))
    persistor.close()
    payload = sum(len(put.value) for put in batches[0])
    use = (fs.largest - 2 * CHECKPOINT_BYTES) / payload
    written = fs.written / sum(len(put.value) for batch in batches for put in batch)
    report(f"{percent} % at once: disk use {use:.2f} x payload, {written:.2f} bytes written each")
    assert use < USE_MAX
    found = {path: value for path, _, _, value in state_of(persistor).documents}
    assert found == {put.path: put.value for batch in batches for put in batch}


def test_a_commit_costs_what_changed(tmp_path: Path):
    """The bytes that a commit writes do not depend on what is stored."""
    costs = []
    for count in (10, DOCUMENTS):
        fs = Meter(tmp_path / str(count))
        persistor = FilePersistor(fs.directory, file_system=fs)
        persistor.open()
        persistor.commit(Batch(document(number, 0) for number in range(count)))
        persistor.checkpoint()
        persistor.commit(Batch((document(1, 1),)))
        persistor.commit(Batch((document(1, 2),)))
        fs.written = 0
        persistor.commit(Batch((document(1, 3),)))
        costs.append(fs.written)
        persistor.close()
    assert costs[0] == costs[1] < 2 * len(document(1, 3).value)
