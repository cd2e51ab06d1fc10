"""Real kills: a process that writes is killed at a random moment, again and again, one directory.

GREBE_CRASH_KILLS=1000 sets the number of rounds; GREBE_CRASH_ROUNDS multiplies the usual one.
"""

from __future__ import annotations

import os
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from grebe.persistors.file.persistor import FilePersistor
from tests.crash import writers
from tests.crash.harness import ROUNDS, SEED, report
from tests.crash.oracle import EMPTY, State, state_of

KILLS = int(os.environ.get("GREBE_CRASH_KILLS", str(4 * ROUNDS)))
KILL_WITHIN_S = 0.5
"""After the writer says that it is about to open."""


@dataclass(slots=True)
class Figures:
    """What happened in all rounds."""

    kills: int = 0
    commits: int = 0
    unacknowledged: int = 0
    """Rounds after which a commit was there that nobody had been told of: fine."""
    temporary: int = 0
    """Rounds that left a temporary file (killed in a checkpoint or a creation), or SQLite's log."""
    torn: int = 0
    replayed: int = 0


def kill_once(directory: Path, seed: int, kind: str) -> int:
    """Have a writer killed; return the last version that it acknowledged, or 0."""
    delay_s = random.Random(seed).uniform(0, KILL_WITHIN_S)
    with writers.start(directory, seed, kind) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"opening\n"
            writer.wait(delay_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            assert writer.poll() is None, f"seed {seed}: the writer ended by itself"
            writer.kill()
        lines = writer.stdout.read().splitlines(keepends=True)
    return max((int(line) for line in lines if line.endswith(b"\n")), default=0)


@pytest.mark.slow
@pytest.mark.timeout(60 + KILLS * 5)
@pytest.mark.parametrize("kind", writers.KINDS)
def test_kills(tmp_path: Path, kind: str):
    """After any of many kills the store opens on one commit, no older than acknowledged."""
    directory = tmp_path / "data"
    figures = Figures()
    state, version = EMPTY, 0
    for number in range(KILLS):
        seed = SEED + number
        acknowledged = kill_once(directory, seed, kind)
        names = os.listdir(directory) if directory.exists() else []
        figures.temporary += any(name.endswith((".tmp", "-wal")) for name in names)
        state, found = check(directory, kind, seed, state, version, acknowledged, figures)
        figures.kills += 1
        figures.commits += found - version
        figures.unacknowledged += found > max(acknowledged, version)
        version = found
    report(f"{kind}: {figures} (seed {SEED})")


def check(
    directory: Path,
    kind: str,
    seed: int,
    state: State,
    version: int,
    acknowledged: int,
    figures: Figures,
) -> tuple[State, int]:
    """Open what the kill left; return its state and version."""
    persistor = writers.open_small(directory, kind)
    try:
        found = writers.version_of(persistor)
        assert found >= max(acknowledged, version), f"seed {seed}: {acknowledged} lost, {found}"
        assert found <= max(acknowledged, version) + 1, f"seed {seed}: {found} out of nowhere"
        expected = writers.state_after(state, version, found)
        assert state_of(persistor) == expected, f"seed {seed}: not the state of commit {found}"
        if isinstance(persistor, FilePersistor):
            recovery = persistor.recovery
            assert recovery.clean, f"seed {seed}: {recovery}"
            figures.torn += recovery.torn_bytes_dropped > 0
            figures.replayed += recovery.journal_records_replayed
        if seed % 2:
            persistor.checkpoint()
    finally:
        persistor.close()
    return expected, found
