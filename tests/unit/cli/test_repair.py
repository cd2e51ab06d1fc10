"""`grebe repair`: says what it would do, does exactly that, and loses nothing that it can save."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import grebe
from tests.unit.cli.conftest import bytes_of, documents_of
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
LOSING = {kind for kind, (_, _, lost) in DAMAGES.items() if lost} | {"stale"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return make_store(tmp_path / "s")


def assert_clean(directory: Path) -> None:
    with grebe.open(directory) as store:
        assert store.recovery == grebe.RecoveryReport()


@pytest.mark.parametrize("kind", DAMAGES)
def test_dry_run(capsys: Capture, directory: Path, kind: str) -> None:
    """Without --apply nothing changes; the exit code tells whether anything would be lost."""
    damage, file, lost = DAMAGES[kind]
    damage(directory)
    before = state_of(directory)
    code, output, errors = call(capsys, "repair", directory)
    assert (code, errors) == (1 if kind in LOSING else 3, "")
    assert "this is a dry run, nothing was changed" in output
    assert f"\n  {file}: " in output
    assert ("would lose: " in output) == (kind in LOSING)
    found = json.loads(call(capsys, "repair", directory, "--json")[1])
    assert (found["applied"], found["clean"], found["lost"]) == (False, False, lost)
    assert state_of(directory) == before


@pytest.mark.parametrize("kind", DAMAGES)
def test_apply(capsys: Capture, directory: Path, kind: str) -> None:
    """What the dry run said is done; what was found is kept; a plain open is clean then."""
    damage, _, lost = DAMAGES[kind]
    damage(directory)
    before = bytes_of(directory)
    planned = json.loads(call(capsys, "repair", directory, "--json")[1])
    code, output, errors = call(capsys, "repair", directory, "--apply", "--json")
    assert (code, errors) == (1 if kind in LOSING else 0, "")
    done = json.loads(output)
    assert done == {**planned, "applied": True, "clean": True}
    after = bytes_of(directory)
    for item in done["damaged"]:
        assert item["present"] == (item["file"] in before)
        if item["present"]:
            assert after[item["kept_as"]] == before[item["file"]]
    assert call(capsys, "verify", directory)[0] == 0
    assert len(documents_of(directory)) == USERS + NOTES - lost
    assert_clean(directory)


def test_nothing_to_do(capsys: Capture, tmp_path: Path) -> None:
    """A store that was not closed needs no repair, and is left as it is."""
    directory = make_unclosed_store(tmp_path / "s")
    before = state_of(directory)
    for options in ([], ["--apply"], ["--apply", "--json"]):
        code, output, errors = call(capsys, "repair", directory, *options)
        assert (code, errors) == (0, "")
    assert json.loads(output)["damaged"] == []
    assert state_of(directory) == before


def test_mended_by_hand(capsys: Capture, directory: Path) -> None:
    """A value changed with an editor, a line removed and one added: taken as they are."""
    edit(directory / "users.json", '"users/7":{"n":7,', '"users/7":{"n": "seven",  ')
    edit(directory / "notes.json", '"notes/1":"note 1",\n', '"notes/new": ["ä"],\n')
    edited = bytes_of(directory)
    code, output, _ = call(capsys, "repair", directory)
    assert code == 3
    assert f"would seal it anew with its {USERS} documents" in output
    assert "add --no-mend" in output
    code, output, _ = call(capsys, "repair", directory, "--apply")
    assert code == 0
    assert f"sealed it anew with its {USERS} documents" in output
    found = documents_of(directory)
    assert found["users/7"]["n"] == "seven"
    assert found["notes/new"] == ["ä"]
    assert "notes/1" not in found
    assert len(found) == USERS + NOTES
    assert bytes_of(directory)["users.json.corrupt-1"] == edited["users.json"]
    assert_clean(directory)


def test_reformatted_by_hand(capsys: Capture, directory: Path) -> None:
    """An editor that formats the whole file does no harm."""
    before = documents_of(directory)
    for name in ("users.json", "notes.json"):
        value = json.loads((directory / name).read_text())
        (directory / name).write_text(json.dumps(value, indent=4))
    assert call(capsys, "repair", directory, "--apply")[0] == 0
    assert documents_of(directory) == before
    assert_clean(directory)


def test_no_mend(capsys: Capture, directory: Path) -> None:
    """With --no-mend only what checksums cover is kept."""
    edit(directory / "users.json", '"users/7":{"n":7,', '"users/7":{"n":8,')
    before = state_of(directory)
    code, output, _ = call(capsys, "repair", directory, "--no-mend")
    assert code == 1
    assert f"would salvage {USERS - 256} documents\n    would lose: 256 documents\n" in output
    assert output.endswith(" --no-mend --apply\n")
    assert state_of(directory) == before
    code, output, _ = call(capsys, "repair", directory, "--no-mend", "--apply")
    assert code == 1
    assert f"salvaged {USERS - 256} documents\n    lost: 256 documents\n" in output
    assert len(documents_of(directory)) == USERS + NOTES - 256


def test_edit_that_is_no_json(capsys: Capture, directory: Path) -> None:
    """A comma too few: the other blocks are salvaged, and the edited file is kept to be mended."""
    edit(directory / "users.json", '"users/7":{"n":7,', '"users/7":{"n":8')
    assert call(capsys, "repair", directory)[0] == 1
    assert call(capsys, "repair", directory, "--apply")[0] == 1
    assert "users/7" not in documents_of(directory)
    # Mended and put back, it is taken whole; as it is older than the store, that is said.
    kept = directory / "users.json.corrupt-1"
    edit(kept, '"users/7":{"n":8', '"users/7":{"n":8,')
    (directory / "users.json").write_bytes(kept.read_bytes())
    code, output, _ = call(capsys, "repair", directory, "--apply")
    assert code == 1
    assert "lost: what was committed after this version of the file" in output
    assert documents_of(directory)["users/7"]["n"] == 8
    assert len(documents_of(directory)) == USERS + NOTES
    assert_clean(directory)


def test_damaged_journal(capsys: Capture, tmp_path: Path) -> None:
    """Commits behind the damage are lost, and that is told by the exit code."""
    directory = make_unclosed_store(tmp_path / "s")
    (journal,) = directory.glob("journal-*")
    edit(journal, '"new":1', '"new":7')
    assert call(capsys, "repair", directory)[0] == 1
    code, output, _ = call(capsys, "repair", directory, "--apply")
    assert code == 1
    assert "lost: the commits behind the damage" in output
    found = documents_of(directory)
    assert [path for path in found if "new" in path] == ["users/new0"]
    assert_clean(directory)


def test_names_that_are_taken(capsys: Capture, directory: Path) -> None:
    """The next free number is taken, and no second copy is made of what is kept already."""
    for content in (b"1", b"2"):
        (directory / f"users.json.corrupt-{content.decode()}").write_bytes(content)
    flip(directory / "users.json", b'"text":"')
    damaged = (directory / "users.json").read_bytes()
    assert "as users.json.corrupt-3\n" in call(capsys, "repair", directory)[1]
    (directory / "users.json.corrupt-7").write_bytes(damaged)
    assert "as users.json.corrupt-7\n" in call(capsys, "repair", directory)[1]
    assert "as users.json.corrupt-7\n" in call(capsys, "repair", directory, "--apply")[1]
    kept = {name: data for name, data in bytes_of(directory).items() if "corrupt" in name}
    assert sorted(kept) == [f"users.json.corrupt-{n}" for n in (1, 2, 7)]
    assert kept["users.json.corrupt-7"] == damaged


def test_foreign_files_stay(capsys: Capture, directory: Path) -> None:
    """Other files are no business of ours; a copy of a partition file is moved out of the way."""
    (directory / "package.json").write_text("{}")
    (directory / "my users.json").write_bytes((directory / "users.json").read_bytes())
    copy = (directory / "users.json").read_bytes()
    code, output, _ = call(capsys, "repair", directory)
    assert code == 3
    assert "\n  my users.json: is a partition file that the manifest does not list\n" in output
    assert call(capsys, "repair", directory, "--apply")[0] == 0
    assert (directory / "package.json").read_text() == "{}"
    assert (directory / "my users.json.corrupt-1").read_bytes() == copy
    assert len(documents_of(directory)) == USERS + NOTES


def test_unlisted_files_of_a_lost_manifest(capsys: Capture, directory: Path) -> None:
    """Without a manifest nobody knows whether a file that does not fit was part of the store."""
    (directory / "__manifest__.json").unlink()
    (directory / "users.json").rename(directory / "people.json")
    code, output, _ = call(capsys, "repair", directory)
    assert code == 1
    assert "would lose: its documents, if it is of this store" in output


def test_locked(capsys: Capture, directory: Path) -> None:
    """Beside a writer the dry run works, and --apply is refused in one line."""
    with grebe.open(directory):
        flip(directory / "users.json", b'"text":"')
        assert call(capsys, "repair", directory)[0] == 1
        before = state_of(directory)
        code, output, errors = call(capsys, "repair", directory, "--apply")
        assert (code, output, errors.count("\n")) == (1, "", 1)
        assert "is open for writing in process" in errors
        assert state_of(directory) == before
