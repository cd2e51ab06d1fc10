"""`grebe demo`: runs to its end, and its checks notice what they are there for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import grebe
from grebe.cli import bank, demo, demo_crash, main
from tests.unit.cli.conftest import Run, documents_of

SEED = 7


@pytest.fixture
def banks(tmp_path: Path) -> Path:
    """A store with the banks as of version 3."""
    with grebe.open(tmp_path / "s") as store:
        bank.open_accounts(store)
        for version in (1, 2, 3):
            bank.make_transfer(store, SEED, version)
    return tmp_path / "s"


@pytest.mark.slow
def test_from_beginning_to_end(tmp_path: Path) -> None:
    """As a user runs it into a pipe: plain text, a kill, all checks good, and the data kept."""
    directory = tmp_path / "data"
    command = [sys.executable, "-m", "grebe.cli", "demo", str(directory), "--kills", "1"]
    environment = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "COLUMNS")}
    ended = subprocess.run(
        [*command, "--seed", "1"], capture_output=True, check=False, env=environment
    )
    output = ended.stdout.decode()
    assert (ended.returncode, ended.stderr) == (0, b""), output
    assert "\x1b" not in output
    assert "\r" not in output
    assert max(map(len, output.splitlines())) <= max(80, len(str(directory)) + 20)
    assert "All good: 1 crashes, no half commit, nothing lost." in output
    assert "ADDED qdi" in output
    documents = documents_of(directory)
    assert documents["countries/FR"]["name"] == "France"
    assert documents["countries/FR/subdivisions/FR-75C"]["name"] == "Paris"
    assert "note" not in documents["languages/fra"]
    assert len(documents) > 13_000
    for file in directory.iterdir():
        json.loads(file.read_bytes())


@pytest.mark.slow
def test_directory_of_an_earlier_demo_is_used_again(run: Run, tmp_path: Path) -> None:
    """A second run starts afresh; nothing of the first is left."""
    for _ in range(2):
        run("demo", tmp_path / "d", "--kills", "0")
        with grebe.open(tmp_path / "d") as store:
            assert not store.doc("extra").exists()
            store.doc("extra").set({"n": 1})


def test_other_directories_are_refused(run: Run, tmp_path: Path) -> None:
    """A store of somebody's, other files, a file: none is touched."""
    with grebe.open(tmp_path / "store") as store:
        store.doc("countries/mine").set({"n": 1})
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert "is not empty and holds no demo" in run("demo", tmp_path / "store", code=1)
    assert "is not empty and holds no demo" in run("demo", tmp_path, code=1)
    assert "is a file" in run("demo", tmp_path / "file", code=1)
    assert documents_of(tmp_path / "store") == {"countries/mine": {"n": 1}}


def test_failed_checks_end_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What any act reports is printed and makes the exit code 1."""
    monkeypatch.setattr(demo.demo_live, "watch", lambda console, store: ["the query was deaf"])
    assert main(["demo", str(tmp_path / "d"), "--kills", "0"]) == 1
    output = capsys.readouterr().out
    assert "FAILED: the query was deaf" in output
    assert "All good" not in output


def test_whole_commit_passes(banks: Path) -> None:
    with grebe.open(banks) as store:
        assert demo_crash._check(store, SEED, bank.versions_in(store), acknowledged=3) == []


@pytest.mark.parametrize(
    ("path", "data", "complaint"),
    [
        ("banks/oslo", {"version": 2}, "half a commit"),
        ("banks/oslo/accounts/0", {"balance": 7}, "in all accounts instead of 20000"),
    ],
)
def test_broken_commit_is_noticed(banks: Path, path: str, data: dict, complaint: str) -> None:
    """Half a commit, and money that is lost."""
    with grebe.open(banks) as store:
        bank.banks(store)
        store.doc(path).set(data)
        problems = demo_crash._check(store, SEED, bank.versions_in(store), acknowledged=2)
    assert complaint in " ".join(problems)


def test_lost_commit_is_noticed(banks: Path) -> None:
    """A whole commit, but older than one that was acknowledged."""
    with grebe.open(banks) as store:
        problems = demo_crash._check(store, SEED, bank.versions_in(store), acknowledged=4)
    assert problems == ["version 3 found, but 4 was acknowledged"]


def test_mixture_of_commits_is_noticed(banks: Path) -> None:
    """The sum and all versions are right, the accounts are those of another version."""
    with grebe.open(banks) as store:
        for city in bank.CITIES:
            bank.banks(store).doc(city).set({"version": 4})
        problems = demo_crash._check(store, SEED, bank.versions_in(store), acknowledged=4)
    assert problems == ["the accounts are not as they were at version 4"]


@pytest.mark.slow
def test_writer_that_fails_is_no_crash(tmp_path: Path) -> None:
    """A child that ends by itself is reported, not taken for killed."""
    grebe.open(tmp_path / "s").close()  # no banks in it
    with pytest.raises(demo_crash.CommandError, match="ended by itself with exit code 1"):
        demo_crash.kill_and_check(tmp_path / "s", SEED, 1)
