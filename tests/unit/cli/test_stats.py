"""`grebe stats`: true numbers, and nothing touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import grebe
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


def stats_of(capsys: Capture, directory: Path) -> dict:
    before = state_of(directory)
    code, output, errors = call(capsys, "stats", directory, "--json")
    assert (code, errors) == (0, "")
    assert state_of(directory) == before
    return json.loads(output)


def test_closed(capsys: Capture, tmp_path: Path) -> None:
    """Documents and bytes of each partition are those of the files."""
    directory = make_store(tmp_path / "s")
    found = stats_of(capsys, directory)
    notes = [f"note {n}" for n in range(NOTES)]
    assert found["partitions"]["notes"] == {
        "documents": NOTES,
        "encrypted_documents": 0,
        "payload_bytes": sum(len(json.dumps(note)) for note in notes),
        "file_bytes": (directory / "notes.json").stat().st_size,
        "last_commit": 1,
    }
    assert found["documents"] == USERS + NOTES
    assert found["payload_bytes"] == sum(p["payload_bytes"] for p in found["partitions"].values())
    assert found["disk_bytes"] == sum(file.stat().st_size for file in directory.iterdir())
    assert found["disk_per_payload"] == round(found["disk_bytes"] / found["payload_bytes"], 3)
    assert found["clean"] is True
    assert (found["journals"], found["journal_bytes"], found["commits_to_replay"]) == (0, 0, 0)
    manifest = json.loads((directory / "__manifest__.json").read_text())["grebe"]
    assert (found["format"], found["store"]) == (manifest["format"], manifest["store"])


def test_not_closed(capsys: Capture, tmp_path: Path) -> None:
    """Commits in the journal count, and a partition that is in no file yet is there."""
    directory = make_unclosed_store(tmp_path / "s")
    (journal,) = directory.glob("journal-*")
    found = stats_of(capsys, directory)
    assert (found["journals"], found["commits_to_replay"]) == (1, 4)
    assert found["journal_bytes"] == journal.stat().st_size
    assert found["partitions"]["users"]["documents"] == USERS + 4
    with grebe.open(tmp_path / "new", commit_interval=3600) as store:
        store.collection("c", partition="p").doc("1").set(1)
        store.commit()
        found = stats_of(capsys, tmp_path / "new")
    assert found["partitions"]["p"]["last_commit"] is None
    assert found["partitions"]["p"]["file_bytes"] == 0


def test_text(capsys: Capture, tmp_path: Path) -> None:
    """For people: a table of the partitions, and the totals."""
    directory = make_store(tmp_path / "s")
    (directory / "users.json.corrupt-1").write_bytes(b"123")
    code, output, errors = call(capsys, "stats", directory)
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert lines[2].split("  ")[0] == "partition"
    assert [line.split()[:3] for line in lines[3:5]] == [["notes", "5", "0"], ["users", "600", "0"]]
    assert "documents: 605 in 2 partitions, " in output
    assert "journal:   0 files, 0 bytes, 0 commits to replay" in output
    assert " times the payload\n" in output
    assert "set aside: users.json.corrupt-1 (3 bytes, not in the disk use)" in output


@pytest.mark.parametrize("name", ["", "Köln/1", "a\\b", "two\nlines", "x" * 300])
def test_names(capsys: Capture, tmp_path: Path, name: str) -> None:
    """Any name of a partition can be printed, and belongs to its file."""
    with grebe.open(tmp_path / "s", partition=name) as store:
        store.doc("a/1").set(1)
    found = stats_of(capsys, tmp_path / "s")["partitions"]
    assert list(found) == [name]
    assert found[name]["file_bytes"] > 0
    assert found[name]["documents"] == 1
    code, output, _ = call(capsys, "stats", tmp_path / "s")
    assert code == 0
    assert output.count("\n") == 8


def test_empty(capsys: Capture, tmp_path: Path) -> None:
    """An empty store has no ratio."""
    grebe.open(tmp_path / "s").close()
    found = stats_of(capsys, tmp_path / "s")
    assert (found["partitions"], found["disk_per_payload"]) == ({}, None)
    assert call(capsys, "stats", tmp_path / "s")[0] == 0


def test_damaged(capsys: Capture, tmp_path: Path) -> None:
    """What can be read is counted, and damage is mentioned."""
    directory = make_store(tmp_path / "s")
    flip(directory / "users.json", b'"text":"')
    (directory / "__manifest__.json").unlink()
    found = stats_of(capsys, directory)
    assert (found["clean"], found["store"]) == (False, None)
    assert found["partitions"]["users"]["documents"] == USERS - 88
    assert "DAMAGED" in call(capsys, "stats", directory)[1]
