"""`grebe dump`: all documents or a subtree, as JSON, also beside a writer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import grebe
from tests.unit.cli.conftest import Run, bytes_of

DOCUMENTS = {
    "users/1": {"name": "Zoë", "tags": [1, 2.5, None, True]},
    "users/1/friends/2": {"line": "a\nb\u2028c"},
    "users/10": {"name": "Ten"},
    "notes/a": "text",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with grebe.open(tmp_path / "s") as store:
        for path, data in DOCUMENTS.items():
            store.doc(path).set(data)
    return tmp_path / "s"


def lines_of(output: str) -> list:
    assert output.endswith("\n")
    return [json.loads(line) for line in output[:-1].split("\n")]


def test_everything(run: Run, directory: Path) -> None:
    """By default a line for each document; nothing on disk changes."""
    before = bytes_of(directory)
    found = lines_of(run("dump", directory))
    assert {line["path"]: line["data"] for line in found} == DOCUMENTS
    assert all(list(line) == ["path", "data"] for line in found)
    assert bytes_of(directory) == before


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("users", ["users/1", "users/10", "users/1/friends/2"]),
        ("users/1", ["users/1", "users/1/friends/2"]),
        ("users/1/friends", ["users/1/friends/2"]),
        ("notes/a", ["notes/a"]),
    ],
)
def test_subtree(run: Run, directory: Path, path: str, found: list[str]) -> None:
    """A path limits the output to it and what is below; `users/1` is not `users/10`."""
    assert sorted(line["path"] for line in lines_of(run("dump", directory, path))) == sorted(found)


def test_one_object(run: Run, directory: Path) -> None:
    """As one object, a document a line."""
    output = run("dump", directory, "--format", "json")
    assert json.loads(output) == DOCUMENTS
    assert output.count("\n") == len(DOCUMENTS) + 2


def test_data_only(run: Run, directory: Path) -> None:
    assert lines_of(run("dump", directory, "notes", "--data")) == ["text"]


def test_empty_store(run: Run, tmp_path: Path) -> None:
    grebe.open(tmp_path / "s").close()
    assert run("dump", tmp_path / "s") == ""
    assert json.loads(run("dump", tmp_path / "s", "--format", "json")) == {}


def test_beside_a_writer(run: Run, tmp_path: Path) -> None:
    """The last commit is seen, and what was not committed is not."""
    with grebe.open(tmp_path / "s", commit_interval=3600) as store:
        store.doc("users/1").set({"n": 1})
        store.commit()
        store.doc("users/1").set({"n": 2})
        assert lines_of(run("dump", tmp_path / "s", "--data")) == [{"n": 1}]


def test_errors(run: Run, directory: Path, tmp_path: Path) -> None:
    """Each says what is wrong, in one line, and makes nothing."""
    assert "nothing is stored at users/2" in run("dump", directory, "users/2", code=1)
    assert "empty segment" in run("dump", directory, "users/", code=1)
    assert "does not exist" in run("dump", tmp_path / "none", code=1)
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_reader_that_goes_away(tmp_path: Path) -> None:
    """`grebe dump | head -1` ends quietly."""
    with grebe.open(tmp_path / "s") as store:
        store.collection("c").create_many({str(n): {"text": "x" * 100} for n in range(5000)})
    command = [sys.executable, "-m", "grebe.cli", "dump", str(tmp_path / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dump:
        assert dump.stdout is not None
        assert dump.stderr is not None
        assert json.loads(dump.stdout.readline())["path"] == "c/0"
        dump.stdout.close()
        assert dump.stderr.read() == b""
        assert dump.wait() == 0
