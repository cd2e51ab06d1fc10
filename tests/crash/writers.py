"""Writers for tests that need real processes: `python -m tests.crash.writers DIRECTORY SEED KIND`.

What commit number `v` does is the same in every process, so whoever opens the directory knows what
must be there. Lines on the standard output: `opening` at the start, then the number of each commit
that was acknowledged. A writer never ends by itself; its parent kills it.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from grebe.core.operation import Batch, Delete, Move, Operation, Put
from grebe.persistors.file.persistor import FilePersistor
from grebe.persistors.sqlite.persistor import SqlitePersistor
from tests.crash.oracle import State

AnyPersistor = FilePersistor | SqlitePersistor
KINDS = ("file", "sqlite")
DATABASE = "data.db"
PARTITIONS = ("a", "b", "c", "d")
DOCUMENTS = 8
"""Of each partition, apart from what moves."""
CHECKPOINT_BYTES = 6_000
"""Small, so that checkpoints go on in the background all the time."""
CHECKPOINT_CHANCE = 0.02
REOPEN_CHANCE = 0.02


def batch_of(version: int) -> Batch:
    """Return what commit number `version` does: in every partition, plain and encrypted."""
    chance = random.Random(version)
    operations: list[Operation] = []
    for partition in PARTITIONS:
        operations.append(Put(f"version/{partition}", b"%d" % version, partition))
        number = chance.randrange(DOCUMENTS)
        value = json.dumps({"version": version, "pad": "x" * chance.randrange(300)}).encode()
        operations.append(Put(f"{partition}/{number}", value, partition))
    operations.append(Put(f"sealed/{version % 5}", b'"sealed %d"' % version, "b", encrypted=True))
    if version % 7 == 0:
        operations.append(Delete(f"a/{chance.randrange(DOCUMENTS)}"))
    if version % 5 == 0:
        # A document that is in one partition after the other.
        before, now = PARTITIONS[(version // 5 - 1) % 4], PARTITIONS[version // 5 % 4]
        operations.append(Move("moving/1", before, now))
        operations.append(Put("moving/1", b"%d" % version, now))
    if version % 11 == 0:
        # A partition that is there and not there in turn.
        gone = Delete("short") if version % 2 else Put("short/1", b"%d" % version, "short")
        operations.append(gone)
    return Batch(operations, b"%d" % version)


def state_after(state: State, since: int, until: int) -> State:
    """Return what commits `since` + 1 to `until` make of a state."""
    for version in range(since + 1, until + 1):
        state = state.after(batch_of(version))
    return state


def version_of(persistor: AnyPersistor) -> int:
    """Return the number of the commit that an open persistor shows."""
    return int(persistor.load_metadata() or 0)


def persistor_of(directory: str | os.PathLike[str], kind: str, **options: object) -> AnyPersistor:
    """Return a persistor that is not open; a crash is no damage, so damage is an error."""
    if kind == "sqlite":
        return SqlitePersistor(os.path.join(directory, DATABASE), **options)
    return FilePersistor(
        directory, checkpoint_bytes=CHECKPOINT_BYTES, on_corruption="raise", **options
    )


def open_small(directory: str | os.PathLike[str], kind: str = "file") -> AnyPersistor:
    """Open a directory for writing."""
    persistor = persistor_of(directory, kind)
    persistor.open()
    return persistor


def start(
    directory: str | os.PathLike[str], seed: int, kind: str = "file"
) -> subprocess.Popen[bytes]:
    """Start a writer in a process of its own."""
    command = [sys.executable, "-m", "tests.crash.writers", str(directory), str(seed), kind]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root)


def say(line: str) -> None:
    """Write a line as a whole, at once."""
    os.write(1, line.encode() + b"\n")


def write(directory: str, seed: int, kind: str) -> None:
    """Commit without end; checkpoint, close and reopen now and then."""
    chance = random.Random(seed)
    say("opening")
    while True:
        persistor = open_small(directory, kind)
        version = version_of(persistor)
        while chance.random() >= REOPEN_CHANCE:
            version += 1
            persistor.commit(batch_of(version))
            say(str(version))
            if chance.random() < CHECKPOINT_CHANCE:
                persistor.checkpoint()
        if chance.random() < 0.5:
            persistor.checkpoint()
        persistor.close()


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), sys.argv[3])
