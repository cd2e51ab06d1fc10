"""A reader beside a writer, each a process: every view is one commit, none older than before it.

GREBE_CRASH_READER_S=60 has it go on for a minute.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from grebe.persistors.file.persistor import FilePersistor
from tests.crash import writers
from tests.crash.harness import ROUNDS, SEED, report
from tests.crash.oracle import EMPTY, state_of

READER_S = float(os.environ.get("GREBE_CRASH_READER_S", str(2.5 * ROUNDS)))


MAIN_FILE = {"file": "__manifest__.json", "sqlite": writers.DATABASE}


@dataclass(slots=True)
class Figures:
    """What the reader saw."""

    views: int = 0
    advanced: int = 0
    """Views that were newer than the one before."""
    versions: int = 0
    """The last version."""
    checkpoints: int = 0
    """Views with another manifest, or database, than the one before: a checkpoint lies between."""
    in_journal: int = 0
    """Commits that were read from journals."""


def look(directory: Path, kind: str) -> writers.AnyPersistor:
    reader = writers.persistor_of(directory, kind, read_only=True)
    reader.open()
    return reader


def wait_for_commits(writer: subprocess.Popen[bytes], count: int) -> None:
    assert writer.stdout is not None
    for _ in range(count + 1):
        assert writer.stdout.readline()


@pytest.mark.slow
@pytest.mark.timeout(60 + 2 * READER_S)
@pytest.mark.parametrize("kind", writers.KINDS)
def test_reader_beside_writer(tmp_path: Path, kind: str):
    """Through checkpoints, rotations, closing and opening each view is exactly one commit."""
    directory = tmp_path / "data"
    figures = Figures()
    state, version, manifest = EMPTY, 0, b""
    with writers.start(directory, SEED, kind) as writer:
        try:
            wait_for_commits(writer, 1)
            os.set_blocking(writer.stdout.fileno(), False)
            end = time.monotonic() + READER_S
            while time.monotonic() < end:
                writer.stdout.read()  # so that the writer never waits for its reader
                reader = look(directory, kind)
                found = writers.version_of(reader)
                assert found >= version, f"seed {SEED}: back from {version} to {found}"
                state = writers.state_after(state, version, found)
                seen = state_of(reader)
                wrong = seen.documents ^ state.documents
                assert seen == state, f"seed {SEED}: not the state of commit {found}: {wrong}"
                now = (directory / MAIN_FILE[kind]).read_bytes()
                figures.views += 1
                figures.advanced += found > version
                figures.checkpoints += now != manifest
                if isinstance(reader, FilePersistor):
                    assert reader.recovery.clean, reader.recovery
                    figures.in_journal += reader.recovery.journal_records_replayed
                version, manifest = found, now
                reader.close()
            assert writer.poll() is None, "the writer ended by itself"
        finally:
            writer.kill()
    figures.versions = version
    report(f"{kind}: {figures} in {READER_S} s (seed {SEED})")
    assert figures.advanced > 10
    assert figures.checkpoints > 1
