"""Directories written by each release still open, and hold what was put into them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from grebe.persistors.file.persistor import FilePersistor
from tests.formats.write import HERE, METADATA, STORED, write

DIRECTORIES = sorted(HERE.glob("*/*/__manifest__.json"))

SEALED = b'"c2VhbGVk"'
PLAIN = {(path, partition, False, value) for path, (value, partition) in STORED.items()}


def check(directory: Path, sealed: bytes = SEALED) -> None:
    wanted = {*PLAIN, ("sealed/1", "users", True, sealed)}
    for _ in range(2):
        persistor = FilePersistor(directory, on_corruption="raise")
        persistor.open()
        records = list(persistor.load(None))
        assert {(r.path, r.partition, r.encrypted, bytes(r.value)) for r in records} == wanted
        assert len(records) == len(wanted)
        assert persistor.load_metadata() == METADATA
        persistor.checkpoint()
        persistor.close()


@pytest.mark.parametrize(
    "manifest", DIRECTORIES, ids=[str(d.parent.relative_to(HERE)) for d in DIRECTORIES]
)
def test_directories_of_all_releases_open(manifest: Path, tmp_path: Path):
    """What a release wrote, closed or killed, is read, rewritten and read again."""
    directory = tmp_path / "copy"
    shutil.copytree(manifest.parent, directory)
    # 0.1.0 could not encrypt; it put what it was given into the file, where base64 has to be.
    is_old = manifest.parent.relative_to(HERE).as_posix() == "0.1.0/closed"
    check(directory, b"sealed" if is_old else SEALED)


@pytest.mark.parametrize("closed", [True, False])
def test_this_version(closed: bool, directory: Path):
    """What this version would add here holds the same."""
    write(directory, closed)
    check(directory)
