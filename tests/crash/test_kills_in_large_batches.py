"""Real kills while single commits replace most of a partition, of which a remainder comes first.

GREBE_CRASH_ROUNDS multiplies the number of kills.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from grebe.persistors.file.persistor import FilePersistor
from tests.crash.harness import ROUNDS, SEED, report

KILLS = 3 * ROUNDS
KILL_WITHIN_S = 0.6
DOCUMENTS = 8000
"""Together so large that there is no room for two files and such a commit."""
WRITER = f"""
import sys
from grebe.core.operation import Batch, PathsIn, PutMany
from grebe.persistors.file.persistor import FilePersistor

persistor = FilePersistor(sys.argv[1], checkpoint_bytes=100_000, on_corruption="raise")
persistor.open()
version = int(persistor.load_metadata() or 0)
print("open", flush=True)
while True:
    version += 1
    ids = [str(n) for n in range({DOCUMENTS}) if version == 1 or n % 4 != version % 4]
    values = [b'[%d,"%b"]' % (version, b"x" * 400)] * len(ids)
    persistor.commit(Batch([PutMany(PathsIn("u", ids), values, "p")], b"%d" % version))
    print(version, flush=True)
"""
"""Each commit but the first leaves every fourth document alone."""


def version_of(number: int, version: int) -> int:
    """Return which commit a document is of."""
    return version - 1 if version > 1 and number % 4 == version % 4 else version


def kill_once(directory: Path, seed: int) -> int:
    """Have a writer killed at some moment; return the last version it has acknowledged."""
    command = [sys.executable, "-c", WRITER, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            writer.wait(random.Random(seed).uniform(0, KILL_WITHIN_S))
        assert writer.poll() is None, f"seed {seed}: the writer ended by itself"
        writer.kill()
        lines = writer.stdout.read().splitlines(keepends=True)
    return max((int(line) for line in lines if line.endswith(b"\n")), default=0)


@pytest.mark.slow
@pytest.mark.timeout(60 + KILLS * 5)
def test_kills_in_large_batches(directory: Path) -> None:
    """What is there is one whole commit, in order, and none that was acknowledged is missing."""
    acknowledged = remainders = 0
    for seed in range(SEED, SEED + KILLS):
        acknowledged = max(acknowledged, kill_once(directory, seed))
        with contextlib.suppress(FileNotFoundError), open(directory / "p.json", "rb") as file:
            remainders += b'"awaits":' in file.readline()
        persistor = FilePersistor(directory, on_corruption="raise", checkpoint_bytes=1 << 40)
        persistor.open()
        version = int(persistor.load_metadata() or 0)
        groups = list(persistor.load_groups(None))
        persistor.close()
        assert version >= acknowledged, f"seed {seed}: {acknowledged} was acknowledged"
        if version:
            ids = [document_id for group in groups for document_id in group.ids]
            assert ids == [str(number) for number in range(DOCUMENTS)], f"seed {seed}"
            values = [bytes(value) for group in groups for value in group.values]
            assert values == [
                b'[%d,"%b"]' % (version_of(number, version), b"x" * 400)
                for number in range(DOCUMENTS)
            ], f"seed {seed}"
    report(f"{KILLS} kills, {acknowledged} commits, {remainders} times with a remainder")
