"""`grebe verify`: finds every damage, tells it from a crash, and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

import grebe
from grebe.cli import inspection, main
from tests.unit.cli.damage import (
    DAMAGES,
    NOTES,
    USERS,
    call,
    edit,
    flip,
    make_store,
    make_unclosed_store,
    state_of,
)

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return make_store(tmp_path / "s")


def test_clean(capsys: Capture, directory: Path) -> None:
    """A clean store takes three lines, and nothing in it is touched."""
    before = state_of(directory)
    code, output, errors = call(capsys, "verify", directory)
    assert (code, errors) == (0, "")
    assert output == (
        f"{directory}: clean\n"
        "  fine: __manifest__.json, notes.json, users.json\n"
        f"  {USERS + NOTES} documents read, every byte checked\n"
    )
    assert state_of(directory) == before


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage(capsys: Capture, directory: Path, kind: str) -> None:
    """The damaged file is named, with what is wrong; nothing changes; the exit code is 1."""
    damage, file, _ = DAMAGES[kind]
    damage(directory)
    before = state_of(directory)
    code, output, errors = call(capsys, "verify", directory)
    assert (code, errors) == (1, "")
    assert "DAMAGED" in output
    assert f"\n  {file}: " in output
    assert file not in output.partition("fine: ")[2].partition("\n")[0].split(", ")
    code, output, errors = call(capsys, "verify", directory, "--json")
    assert (code, errors) == (1, "")
    found = json.loads(output)
    assert found["clean"] is False
    assert file in [damaged["file"] for damaged in found["damaged"]]
    assert all(damaged["problems"] for damaged in found["damaged"])
    assert state_of(directory) == before


@pytest.mark.slow
def test_every_byte(capsys: Capture, directory: Path) -> None:
    """A flipped bit is noticed wherever it is."""
    for name in ("notes.json", "__manifest__.json"):
        whole = (directory / name).read_bytes()
        for place in range(0, len(whole), 11):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << place % 8
            (directory / name).write_bytes(damaged)
            assert call(capsys, "verify", directory)[0] == 1, (name, place)
        (directory / name).write_bytes(whole)
    assert call(capsys, "verify", directory)[0] == 0


def test_numbers(capsys: Capture, directory: Path) -> None:
    """Each damaged file has its own numbers of documents."""
    flip(directory / "users.json", b'"text":"')
    (directory / "notes.json").unlink()
    found = json.loads(call(capsys, "verify", directory, "--json")[1])
    numbers = {d["file"]: (d["present"], d["salvageable"], d["lost"]) for d in found["damaged"]}
    assert numbers == {"notes.json": (False, 0, NOTES), "users.json": (True, USERS - 88, 88)}
    assert found["documents"] == USERS - 88


def test_not_closed_is_no_damage(capsys: Capture, tmp_path: Path) -> None:
    """Commits to be replayed and a torn tail are what a crash leaves: said, with exit code 0."""
    directory = make_unclosed_store(tmp_path / "s")
    (journal,) = directory.glob("journal-*")
    journal.write_bytes(journal.read_bytes().rstrip(b" ")[:-5])
    (directory / "users.json.tmp").write_text("half")
    before = state_of(directory)
    code, output, _ = call(capsys, "verify", directory)
    assert code == 0
    assert f"{directory}: clean\n" in output
    assert "3 commits in the journal to be replayed, " in output
    assert "of a commit that was cut off dropped" in output
    assert "removed at the next opening: users.json.tmp" in output
    found = json.loads(call(capsys, "verify", directory, "--json")[1])
    assert (found["clean"], found["closed"], found["commits_to_replay"]) == (True, False, 3)
    assert found["torn_bytes"] > 0
    assert state_of(directory) == before


def test_damaged_journal(capsys: Capture, tmp_path: Path) -> None:
    """Damage in front of valid commits is damage."""
    directory = make_unclosed_store(tmp_path / "s")
    (journal,) = directory.glob("journal-*")
    edit(journal, '"new":1', '"new":7')
    before = state_of(directory)
    code, output, _ = call(capsys, "verify", directory)
    assert code == 1
    assert f"\n  {journal.name}: " in output
    assert "commits behind the damage cannot be replayed" in output
    assert state_of(directory) == before


def test_other_files(capsys: Capture, directory: Path) -> None:
    """Files that are not Grebe's and those set aside earlier are mentioned, and no damage."""
    for name in ("read me.txt", "package.json", "users.json.corrupt-1", "two\nlines"):
        (directory / name).write_text("{}")
    (directory / "subdirectory").mkdir()
    code, output, _ = call(capsys, "verify", directory)
    assert code == 0
    assert "not Grebe's, left alone: package.json, read me.txt, 'two\\nlines'\n" in output
    assert "set aside earlier: users.json.corrupt-1\n" in output


@pytest.mark.parametrize("tool", ["verify", "repair", "stats", "compact"])
def test_no_store(capsys: Capture, tmp_path: Path, tool: str) -> None:
    """Where there is no store, none is made: one line, and exit code 2."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "package.json").write_text("{}")
    for name in ("none", "empty", "other", "other/package.json"):
        for options in ([], ["--json"]):
            code, output, errors = call(capsys, tool, tmp_path / name, *options)
            assert (code, output, errors.count("\n")) == (2, "", 1), name
            assert errors.startswith("grebe: ")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "other", "package.json"]


@pytest.mark.parametrize("tool", ["verify", "repair", "stats", "compact", "export"])
def test_help(capsys: Capture, tool: str) -> None:
    """Help has the exit codes and an example."""
    with pytest.raises(SystemExit) as end:
        main([tool, "--help"])
    assert end.value.code == 0
    output = capsys.readouterr().out
    assert "\nexit codes: 0 " in output
    assert f"\n  grebe {tool} app-data" in output.partition("examples:")[2]


@pytest.mark.parametrize("tool", ["verify", "repair", "stats", "compact"])
def test_interruption(
    capsys: Capture, directory: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while reading ends with 130 and one line; the lock is let go."""

    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(inspection.grebe.FilePersistor, "load_groups", interrupt)
        assert call(capsys, tool, directory) == (130, "", "grebe: interrupted\n")
    grebe.open(directory).close()


@pytest.mark.slow
def test_beside_a_writer(capsys: Capture, tmp_path: Path) -> None:
    """A writer in another process, with commits and checkpoints all the time, is never damage."""
    directory = tmp_path / "s"
    code = (
        "import grebe, sys, itertools\n"
        f"store = grebe.open({str(directory)!r}, commit_interval=3600)\n"
        "for n in itertools.count():\n"
        "    store.collection('c', partition=f'p{n % 3}').doc(str(n % 50)).set(n)\n"
        "    store.commit()\n"
        "    if n % 5 == 4: store.checkpoint()\n"
        "    if n == 20: print('ready', flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            for _ in range(10):
                for tool in ("verify", "stats", "repair"):
                    assert call(capsys, tool, directory)[0] == 0, tool
            code, _, errors = call(capsys, "compact", directory)
            assert (code, errors.count("\n")) == (1, 1)
            assert f"process {writer.pid}" in errors
        finally:
            writer.kill()
    assert call(capsys, "verify", directory)[0] == 0


@pytest.mark.slow
def test_json_without_rich(directory: Path) -> None:
    """The tools work where rich is not installed, and --json prints one object only."""
    for tool in ("verify", "repair", "stats", "compact"):
        code = (
            "import sys; sys.modules['rich'] = None; from grebe.cli import main; "
            f"sys.exit(main([{tool!r}, {str(directory)!r}, '--json']))"
        )
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert json.loads(ended.stdout)["directory"] == str(directory)
