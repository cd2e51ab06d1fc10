"""`grebe export`: a whole file or none, and never one that somebody needs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import grebe
from grebe.cli import export
from tests.unit.cli.conftest import documents_of
from tests.unit.cli.damage import NOTES, USERS, call, flip, make_store, state_of

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return make_store(tmp_path / "s")


def lines_of(file: Path) -> dict:
    found = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return {line["path"]: line["data"] for line in found}


def test_everything(capsys: Capture, directory: Path, tmp_path: Path) -> None:
    """By default a line for each document; the store is not touched, no other file is left."""
    before = state_of(directory)
    target = tmp_path / "out.jsonl"
    code, output, errors = call(capsys, "export", directory, target)
    assert (code, errors) == (0, "")
    size = target.stat().st_size
    assert output == f"exported {USERS + NOTES} documents to {target}, {size:,} bytes\n"
    assert lines_of(target) == documents_of(directory)
    assert state_of(directory) == before
    assert sorted(os.listdir(tmp_path)) == ["out.jsonl", "s"]


@pytest.mark.parametrize(("name", "options"), [("out.json", []), ("out.txt", ["--format", "json"])])
def test_one_object(
    capsys: Capture, directory: Path, tmp_path: Path, name: str, options: list[str]
) -> None:
    """One object if the file's name or --format says so."""
    assert call(capsys, "export", directory, tmp_path / name, *options)[0] == 0
    assert json.loads((tmp_path / name).read_bytes()) == documents_of(directory)


def test_path(capsys: Capture, directory: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    assert call(capsys, "export", directory, target, "--path", "notes/3")[0] == 0
    assert lines_of(target) == {"notes/3": "note 3"}
    code, _, errors = call(capsys, "export", directory, tmp_path / "no", "--path", "notes/9")
    assert code == 1
    assert "nothing is stored at notes/9" in errors
    assert not (tmp_path / "no").exists()


def test_existing_file(capsys: Capture, directory: Path, tmp_path: Path) -> None:
    """A file is replaced with --force only; through a symbolic link too."""
    target, link = tmp_path / "out.json", tmp_path / "link.json"
    target.write_text("precious")
    link.symlink_to(target)
    for file in (target, link):
        code, output, errors = call(capsys, "export", directory, file)
        assert (code, output, errors.count("\n")) == (2, "", 1)
        assert "use --force to replace it" in errors
        assert target.read_text() == "precious"
    assert call(capsys, "export", directory, link, "--force")[0] == 0
    assert link.is_symlink()
    assert json.loads(target.read_bytes()) == documents_of(directory)


def test_places_that_are_refused(capsys: Capture, directory: Path, tmp_path: Path) -> None:
    """Neither among the store's own files nor over a directory."""
    before = state_of(directory)
    assert call(capsys, "export", directory, directory / "users.json", "--force")[0] == 2
    assert call(capsys, "export", directory, directory / "new.json")[0] == 2
    assert call(capsys, "export", directory, tmp_path, "--force")[0] == 2
    assert call(capsys, "export", tmp_path / "none", tmp_path / "x")[0] == 2
    assert call(capsys, "export", directory, tmp_path / "none" / "x")[0] == 1
    assert state_of(directory) == before
    assert os.listdir(tmp_path) == ["s"]


def test_whole_or_not_at_all(
    capsys: Capture, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is interrupted or the disk is full, the old file stays and no other is left."""
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    for error, code in ((KeyboardInterrupt(), 130), (OSError(28, "No space left"), 1)):

        def fail_later(
            lines: Iterable[str], *_: object, error: BaseException = error
        ) -> Iterator[str]:
            yield next(iter(lines))
            raise error

        monkeypatch.setattr(export, "track_if_seen", fail_later)
        found, output, errors = call(capsys, "export", directory, target, "--force")
        assert (found, output, errors.count("\n")) == (code, "", 1)
        assert target.read_text() == "old"
        assert sorted(os.listdir(tmp_path)) == ["out.jsonl", "s"]


def test_damaged(capsys: Capture, directory: Path, tmp_path: Path) -> None:
    """A damaged store is not exported: the file would not be all of it."""
    flip(directory / "users.json", b'"text":"')
    code, output, errors = call(capsys, "export", directory, tmp_path / "out")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert "users.json" in errors
    assert not (tmp_path / "out").exists()


def test_progress_on_a_terminal(
    capsys: Capture, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar goes to the standard error, and the file is the same."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    code, output, _ = call(capsys, "export", directory, tmp_path / "out.jsonl")
    assert code == 0
    assert output.count("\n") == 1
    assert lines_of(tmp_path / "out.jsonl") == documents_of(directory)


def test_beside_a_writer(capsys: Capture, directory: Path, tmp_path: Path) -> None:
    """The last commit is exported."""
    with grebe.open(directory, commit_interval=3600) as store:
        store.doc("notes/0").set("committed")
        store.commit()
        store.doc("notes/0").set("not yet")
        assert call(capsys, "export", directory, tmp_path / "out", "--path", "notes")[0] == 0
    assert lines_of(tmp_path / "out")["notes/0"] == "committed"
