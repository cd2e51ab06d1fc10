"""Damage that is found after opening, files that others put there, and files mended by hand."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.core.operation import Batch, Delete, Put
from grebe.errors import CorruptDataError
from grebe.persistors.file.persistor import FilePersistor
from grebe.testing import SimulatedFileSystem
from tests.crash.oracle import DIRECTORY, State, state_of
from tests.crash.specimens import DOCUMENTS, closed, disk_of, files_of, killed, open_in, value

FIRST_BLOCK = 256


def replace_file(fs: SimulatedFileSystem, name: str, data: bytes | None) -> None:
    """Change a file behind the store's back."""
    if data is None:
        fs.remove(f"{DIRECTORY}/{name}")
        return
    file = fs.create(f"{DIRECTORY}/{name}")
    file.write(data)
    file.sync()


def damage_document(fs: SimulatedFileSystem, name: str, path: str) -> bytes:
    """Flip a bit in the value of one document; return what the file is now."""
    data = bytearray(fs.read(f"{DIRECTORY}/{name}"))
    data[data.index(b'"%b":' % path.encode()) + len(path) + 8] ^= 4
    replace_file(fs, name, bytes(data))
    return bytes(data)


def paths_of(records: Any) -> set[str]:
    return {record.path for record in records}


class TestFoundLate:
    def check_after(self, fs: SimulatedFileSystem, persistor: FilePersistor, data: bytes) -> None:
        """Of `a`, the first block is lost, the second served; all else is there; so again later."""
        expected = {d for d in closed().latest.documents if d[1] != "a"}
        state = state_of(persistor)
        assert {d for d in state.documents if d[1] != "a"} >= expected
        served = {d[0] for d in state.documents if d[1] == "a"}
        assert {f"u/{n}" for n in range(FIRST_BLOCK, DOCUMENTS)} <= served
        recovery = persistor.recovery
        assert not recovery.clean
        assert recovery.quarantined == ("a.json.corrupt-1",)
        assert recovery.salvaged + recovery.lost == DOCUMENTS
        assert any("a.json" in message for message in recovery.messages)
        assert fs.read(f"{DIRECTORY}/a.json.corrupt-1") == data
        persistor.close()
        again = open_in(fs)
        assert again.recovery.clean
        assert state_of(again) == state
        again.close()

    def test_by_a_load(self):
        """A load that meets a damaged block gives the other blocks, and reports it."""
        fs = disk_of(closed().files)
        persistor = open_in(fs)
        data = damage_document(fs, "a.json", "u/9")
        assert paths_of(persistor.load(["v"])) == {f"v/{n}" for n in range(DOCUMENTS // 2)} | {
            f"v/{n}/w/{n}" for n in range(DOCUMENTS // 2, DOCUMENTS)
        }
        served = paths_of(persistor.load(["u"]))
        assert served == {f"u/{n}" for n in range(FIRST_BLOCK, DOCUMENTS)}
        self.check_after(fs, persistor, data)

    def test_by_a_checkpoint(self):
        """A checkpoint that meets a damaged block keeps a copy before it replaces the file."""
        fs = disk_of(closed().files)
        persistor = open_in(fs)
        data = damage_document(fs, "a.json", "u/9")
        persistor.commit(Batch((Put("u/10", value(10, 9), "a"), Put("u/301", b"1", "a"))))
        persistor.checkpoint()
        assert {"u/10", "u/301"} <= paths_of(persistor.load(["u"]))
        self.check_after(fs, persistor, data)

    def test_a_file_that_disappears(self):
        """A partition file that is gone when it is needed is reported; the rest goes on."""
        fs = disk_of(closed().files)
        persistor = open_in(fs)
        replace_file(fs, "c.json", None)
        persistor.commit(Batch((Put("t/1", value(1, 9), "c"),)))
        persistor.checkpoint()
        assert paths_of(persistor.load(["t"])) == {"t/1"}
        assert not persistor.recovery.clean
        assert persistor.recovery.lost == 3
        persistor.close()

    def test_refused(self):
        """With on_corruption="raise" late damage raises and changes nothing; commits go on."""
        fs = disk_of(closed().files)
        persistor = open_in(fs, on_corruption="raise")
        damage_document(fs, "a.json", "u/9")
        before = files_of(fs)
        with pytest.raises(CorruptDataError, match=r"a\.json") as caught:
            list(persistor.load(["u"]))
        assert caught.value.file == "a.json"
        assert files_of(fs) == before
        persistor.commit(Batch((Put("u/10", value(10, 9), "a"), Put("v/1", value(1, 9), "b"))))
        with pytest.raises(CorruptDataError):
            persistor.checkpoint()
        for name, data in before.items():
            assert files_of(fs)[name] == data
        persistor.commit(Batch((Put("v/2", value(2, 9), "b"),)))
        persistor.close()
        again = open_in(fs)
        documents = {d[0]: d[3] for d in state_of(again).documents}
        assert documents["u/10"] == value(10, 9)
        assert documents["v/2"] == value(2, 9)
        again.close()

    def test_by_a_store_that_hydrates(self, directory: Path, open_store: Callable[..., Any]):
        """store.hydrate() of a damaged partition loads what is whole; store.recovery says so."""
        with grebe.open(directory) as store:
            for name in ("users", "teams"):
                data = {str(n): {"n": n} for n in range(DOCUMENTS)}
                store.collection(name, partition=name).create_many(data)
        file = directory / "users.json"
        file.write_bytes(file.read_bytes().replace(b'"users/9":{"n":9}', b'"users/9":{"n":8}'))
        store = open_store(directory, hydrate=False)
        store.hydrate("teams")
        assert store.recovery.clean
        store.hydrate("users")
        assert len(store.collection("teams")) == DOCUMENTS
        assert len(store.collection("users")) == DOCUMENTS - FIRST_BLOCK
        assert not store.recovery.clean
        assert store.recovery.quarantined == ("users.json.corrupt-1",)


def test_damage_is_logged(caplog: pytest.LogCaptureFixture):
    """A warning says what is damaged and where it is kept."""
    fs = disk_of(closed().files)
    damage_document(fs, "a.json", "u/9")
    with caplog.at_level(logging.WARNING, "grebe"):
        persistor = open_in(fs)
        list(persistor.load(None))
        persistor.close()
    assert "checksum" in caplog.text
    assert "a.json is kept as a.json.corrupt-1" in caplog.text


STRAYS = {
    "config.json": b'{"theme": "dark"}\n',
    "notes.txt": b"milk\n",
    "letter.tmp": b"Dear",
    "a.json.bak": b"{}",
    "journal-old.jsonl": b"{}\n",
    "list.json": b"[1, 2]",
    "empty.json": b"",
    "a.json.corrupt-3": b"what a user kept",
}


class TestStrays:
    def test_files_of_others_are_left_alone(self):
        """Nobody's file is served, changed, renamed or removed; the store is clean."""
        fs = disk_of({**closed().files, **STRAYS})
        for _ in range(2):
            persistor = open_in(fs)
            assert persistor.recovery.clean, persistor.recovery
            persistor.commit(Batch((Put("u/7", value(7, 1), "a"),)))
            assert state_of(persistor).documents == closed().latest.documents
            persistor.checkpoint()
            persistor.close()
        after = files_of(fs)
        assert {name: after.get(name) for name in STRAYS} == STRAYS

    def test_a_partition_of_the_same_name(self):
        """A file that is in the way of a new partition is kept under another name."""
        fs = disk_of({**closed().files, **STRAYS})
        persistor = open_in(fs)
        persistor.commit(Batch((Put("u/7", b"7", "config"), Put("u/8", b"8", "list"))))
        persistor.checkpoint()
        persistor.close()
        after = files_of(fs)
        assert set(STRAYS.values()) <= set(after.values())
        persistor = open_in(fs)
        assert persistor.recovery.clean, persistor.recovery
        found = {d for d in state_of(persistor).documents if d[1] in ("config", "list")}
        assert found == {("u/7", "config", False, b"7"), ("u/8", "list", False, b"8")}
        persistor.close()

    def test_a_partition_of_the_same_name_that_becomes_empty_at_once(self):
        """A partition that was never written does not take another's file along."""
        fs = disk_of({**closed().files, **STRAYS})
        persistor = open_in(fs)
        persistor.commit(Batch((Put("x/7", b"7", "config"),)))
        persistor.commit(Batch((Delete("x"),)))
        persistor.checkpoint()
        persistor.close()
        assert files_of(fs)["config.json"] == STRAYS["config.json"]

    def test_directories(self, directory: Path):
        """Directories, also of a partition's name, are left alone or moved out of the way."""
        with grebe.open(directory) as store:
            store.doc("users/1").set({"n": 1})
        for name in ("sub", "x.json", "journal-00000099.jsonl", "left.json.tmp"):
            (directory / name).mkdir()
            (directory / name / "inside.txt").write_text(name)
        with grebe.open(directory) as store:
            assert store.recovery.clean
            assert store.doc("users/1").get().data == {"n": 1}
            store.collection("things", partition="x").doc("1").set({"n": 2})
        with grebe.open(directory) as store:
            assert store.recovery.clean
            assert store.doc("things/1").get().data == {"n": 2}
        inside = sorted(path.read_text() for path in directory.glob("*/inside.txt"))
        assert inside == ["journal-00000099.jsonl", "left.json.tmp", "sub", "x.json"]


class TestMendedByHand:
    def edit(self, files: dict[str, bytes], **json_options: Any) -> bytes:
        """Change one document, add one, remove one, as a person does."""
        content = json.loads(files["a.json"])
        content["documents"]["u/9"] = {"n": 9, "by": "hand"}
        content["documents"]["u/new"] = {"by": "hand"}
        del content["documents"]["u/11"]
        return json.dumps(content, **json_options).encode()

    @pytest.mark.parametrize("options", [{}, {"indent": 2}, {"sort_keys": True}])
    def test_taken(self, options: dict[str, Any]):
        """With mend=True an edited file is taken as it is, and sealed again."""
        files = dict(closed().files)
        files["a.json"] = self.edit(files, **options)
        fs = disk_of(files)
        persistor = open_in(fs, mend=True)
        state = state_of(persistor)
        persistor.close()
        assert self.plain(state) == json.loads(files["a.json"])["documents"]
        others = {d for d in closed().latest.documents if d[1] != "a"}
        assert {d for d in state.documents if d[1] != "a"} == others
        again = open_in(fs)
        assert again.recovery.clean
        assert state_of(again) == state
        again.close()

    def test_commits_behind_it_still_count(self):
        """What the journal has is newer than what was edited."""
        files = dict(killed().files)
        files["a.json"] = self.edit(files)
        persistor = open_in(disk_of(files), mend=True)
        found = self.plain(state_of(persistor))
        assert found["u/9"] == {"n": 9, "by": "hand"}
        assert found["u/3"] == json.loads(value(3, 4))
        assert "u/1" not in found
        persistor.close()

    def test_noticed_without(self):
        """Without mend=True an edited file is damage: nothing of what was edited is served."""
        files = dict(closed().files)
        files["a.json"] = self.edit(files)
        persistor = open_in(disk_of(files))
        assert state_of(persistor).documents <= closed().latest.documents
        assert not persistor.recovery.clean
        persistor.close()

    def test_not_mended_enough(self):
        """A file that is no JSON is salvaged by blocks, mend=True or not."""
        files = dict(closed().files)
        files["a.json"] = files["a.json"].replace(b'"u/9":{', b'"u/9":{{')
        persistor = open_in(disk_of(files), mend=True)
        state = state_of(persistor)
        assert state.documents <= closed().latest.documents
        assert len([d for d in state.documents if d[1] == "a"]) == DOCUMENTS - FIRST_BLOCK
        persistor.close()

    def plain(self, state: State) -> dict[str, Any]:
        inside = [d for d in state.documents if d[1] == "a"]
        return {path: json.loads(data) for path, _, _, data in inside}
