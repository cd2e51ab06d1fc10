"""`grebe compact`: no journal is left, nothing is lost, and damage is not touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import grebe
from tests.unit.cli.conftest import documents_of
from tests.unit.cli.damage import (
    NOTES,
    USERS,
    call,
    flip,
    make_store,
    make_unclosed_store,
    state_of,
)

Capture = pytest.CaptureFixture[str]


def test_folds_the_journal(capsys: Capture, tmp_path: Path) -> None:
    """The commits of the journal are in the partition files then; the disk use is told."""
    directory = make_unclosed_store(tmp_path / "s")
    size = sum(file.stat().st_size for file in directory.iterdir())
    code, output, errors = call(capsys, "compact", directory, "--json")
    assert (code, errors) == (0, "")
    found = json.loads(output)
    assert found["commits_folded"] == 4
    assert found["documents"] == USERS + NOTES + 4
    assert abs(found["disk_bytes_before"] - size) <= 10  # the lock's pid
    assert found["disk_bytes_after"] < found["disk_bytes_before"]
    assert list(directory.glob("journal-*")) == []
    assert len(documents_of(directory)) == found["documents"]


def test_text(capsys: Capture, tmp_path: Path) -> None:
    directory = make_unclosed_store(tmp_path / "s")
    code, output, errors = call(capsys, "compact", directory)
    assert (code, errors) == (0, "")
    assert output.startswith(f"{directory}: 4 commits folded, disk use ")
    code, output, errors = call(capsys, "compact", directory)
    assert output.startswith(f"{directory}: 0 commits folded, disk use ")


def test_damaged(capsys: Capture, tmp_path: Path) -> None:
    """A damaged store is refused in one line that says what helps, and left as it is."""
    directory = make_unclosed_store(tmp_path / "s")
    flip(directory / "users.json", b'"text":"')
    before = state_of(directory)
    code, output, errors = call(capsys, "compact", directory)
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert "users.json: checksum" in errors
    after = state_of(directory)
    assert {name: data for name, (data, _) in after.items() if name != ".lock"} == {
        name: data for name, (data, _) in before.items() if name != ".lock"
    }


def test_locked(capsys: Capture, tmp_path: Path) -> None:
    directory = make_store(tmp_path / "s")
    with grebe.open(directory) as store:
        code, output, errors = call(capsys, "compact", directory)
        assert (code, output, errors.count("\n")) == (1, "", 1)
        assert "is open for writing in process" in errors
        assert len(store.collection("users")) == USERS


def test_commits_that_need_the_key(capsys: Capture, tmp_path: Path) -> None:
    """It does not claim to have folded what it left in the journal."""
    store = grebe.open(tmp_path / "s", encryption_key=bytes(32))
    store.collection("secrets", encrypted=True).doc("1").set(1)
    store.commit()
    shutil.copytree(tmp_path / "s", tmp_path / "killed")
    store.close()
    code, output, errors = call(capsys, "compact", tmp_path / "killed")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert "key" in errors
    assert list((tmp_path / "killed").glob("journal-*"))
    with grebe.open(tmp_path / "killed", encryption_key=bytes(32)) as store:
        assert store.doc("secrets/1").get() is not None
