"""`grebe import --format loon`: what the Dart package Loon has written, plain and encrypted."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import grebe
from tests.unit.cli.conftest import Run, documents_of

KEY = bytes(range(32))
STORE_KEY = "hex:" + "5" * 64

USERS = {
    "users": {
        "users": {
            "__values": {"1": {"name": "Jöhn"}, "a-b~c": {"name": "Ann"}},
            "1": {"friends": {"__values": {"2": {"name": "Jack"}}}},
            "gone": {"friends": {"__values": {"3": 17}}},
        }
    }
}
DEFAULT = {
    "": {"root": {"__values": {"x": "text", "y": True, "z": None}}},
    "settings": {"settings": {"__values": {"theme": "dark", "sizes": [1, 2.5]}}},
}
SECRETS = {"users": {"users": {"__values": {"7": {"name": "Eve", "pin": 1234}}}}}
DEFAULT_PATHS = ("root/x", "root/y", "settings/theme", "settings/sizes")
PLAIN = {
    "users/1": {"name": "Jöhn"},
    "users/a-b~c": {"name": "Ann"},
    "users/1/friends/2": {"name": "Jack"},
    "users/gone/friends/3": 17,
    "root/x": "text",
    "root/y": True,
    "settings/theme": "dark",
    "settings/sizes": [1, 2.5],
}


def encrypt(text: str, key: bytes = KEY) -> str:
    """Do as Loon does: a fresh IV, then AES-CBC, both in base64, one behind the other."""
    iv = os.urandom(16)
    padder = padding.PKCS7(128).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    sealed = encryptor.update(padded) + encryptor.finalize()
    return (base64.b64encode(iv) + base64.b64encode(sealed)).decode()


def write(directory: Path, **texts: Any) -> Path:
    """Write stores: a text as it is, anything else as JSON."""
    directory.mkdir(exist_ok=True)
    for name, text in texts.items():
        content = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
        (directory / f"{name.replace('__encrypted', '.encrypted')}.json").write_text(
            content, encoding="utf-8"
        )
    return directory


@pytest.fixture
def loon(tmp_path: Path) -> Path:
    directory = write(
        tmp_path / "loon", users=USERS, __store__=DEFAULT, __resolver__={"__refs": {"users": 3}}
    )
    (directory / "users.json.tmp").write_text('{"users": {"users": {"__va')
    (directory / "old.json.corrupt").write_text("garbage")
    return directory


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GREBE_LOON_KEY", "GREBE_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "target"


def import_(run: Run, place: Path, target: Path | str, *more: object, code: int = 0) -> str:
    return run("import", place, "--format", "loon", "--into", target, *more, code=code)


def test_a_directory(run: Run, loon: Path, target: Path) -> None:
    """All collections, each store a partition; what is no store is left out, and said."""
    said = import_(run, loon, target)
    assert said == (
        f"imported 8 documents of 2 stores from {loon} into {target}\n"
        "  left out 1 value that was null: deleted documents\n"
        "  left out old.json.corrupt, users.json.tmp: not finished, or damaged\n"
    )
    assert documents_of(target) == PLAIN
    with grebe.open(target, read_only=True) as store:
        counts = {name: info.documents for name, info in store.partitions().items()}
    assert counts == {"__store__": 4, "users": 4}


def test_into_sqlite(run: Run, loon: Path, tmp_path: Path, target: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    import_(run, loon, url)
    with grebe.open(url) as store:
        assert store.inspect()["documents"] == PLAIN


def database(file: Path, **texts: Any) -> Path:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE store (key TEXT PRIMARY KEY, value TEXT)")
        for name, text in texts.items():
            content = text if isinstance(text, str) else json.dumps(text)
            row = name.replace("__encrypted", ".encrypted"), content
            connection.execute("INSERT INTO store VALUES (?, ?)", row)
    return file


@pytest.mark.parametrize("name", ["loon.db", ""])
def test_a_database(
    run: Run, tmp_path: Path, target: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own name, or that of its directory; it is not touched."""
    directory = tmp_path / "loon"
    directory.mkdir()
    file = database(
        directory / "loon.db",
        users=USERS,
        users__encrypted=encrypt(json.dumps(SECRETS)),
        __store__=DEFAULT,
        __resolver__={},
    )
    before = file.read_bytes()
    monkeypatch.setenv("GREBE_LOON_KEY", base64.b64encode(KEY).decode())
    import_(run, directory / name, target, "--decrypt")
    assert documents_of(target) == PLAIN | {"users/7": {"name": "Eve", "pin": 1234}}
    assert os.listdir(directory) == ["loon.db"]
    assert file.read_bytes() == before


def test_a_database_and_files(run: Run, loon: Path, target: Path) -> None:
    database(loon / "loon.db", users=USERS)
    assert "has both loon.db and JSON files" in import_(run, loon, target, code=2)


@pytest.fixture
def sealed(loon: Path) -> Path:
    return write(loon, users__encrypted=encrypt(json.dumps(SECRETS)))


FORMS = {
    "base64": base64.b64encode(KEY),
    "base64 with a line end": base64.b64encode(KEY) + b"\n",
    "hexadecimal": KEY.hex().encode(),
    "the bytes": KEY,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_key_from_a_file(
    run: Run,
    sealed: Path,
    target: Path,
    tmp_path: Path,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was encrypted is encrypted under the store's own key, beside plain documents."""
    (tmp_path / "key").write_bytes(FORMS[form])
    monkeypatch.setenv("GREBE_KEY", STORE_KEY)
    said = import_(run, sealed, target, "--key-file", tmp_path / "key")
    assert "1 document encrypted there and under the store's key here" in said
    for file in target.iterdir():
        assert b"Eve" not in file.read_bytes(), file.name
    with grebe.open(target) as store:
        assert set(store.inspect()["documents"]) == {*PLAIN, "users/7"}
        assert store.collection("users").doc("7").get().data == {"name": "Eve", "pin": 1234}
        info = store.partitions()["users"]
        assert (info.documents, info.encrypted_documents) == (5, 1)


def test_a_key_from_the_terminal(
    run: Run, sealed: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def typed(prompt: str, **_: object) -> str:
        asked.append(prompt)
        return base64.b64encode(KEY).decode()

    monkeypatch.setattr("getpass.getpass", typed)
    import_(run, sealed, target, "--decrypt")
    assert len(asked) == 1
    assert documents_of(target)["users/7"] == {"name": "Eve", "pin": 1234}


def test_no_key(run: Run, sealed: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither given nor to be asked for; and one for Loon but none for the store."""

    def no_terminal(prompt: str, **_: object) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", no_terminal)
    assert "set GREBE_LOON_KEY or --key-file" in import_(run, sealed, target, code=2)
    assert not target.exists()
    monkeypatch.setenv("GREBE_LOON_KEY", KEY.hex())
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    import_(run, sealed, target, code=1)
    with grebe.open(target) as store:
        assert store.inspect()["documents"] == {}


@pytest.mark.parametrize("key", ["", "short", "~" * 44, base64.b64encode(bytes(16)).decode()])
def test_no_key_of_loons(
    run: Run, sealed: Path, target: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREBE_LOON_KEY", key)
    said = import_(run, sealed, target, code=2)
    assert not key or key not in said


def test_a_wrong_key(run: Run, sealed: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noticed by padding or by what is no JSON; nothing is imported, nothing is shown."""
    for number in range(20):
        monkeypatch.setenv("GREBE_LOON_KEY", bytes([number] * 32).hex())
        said = import_(run, sealed, target, code=1)
        assert said.startswith("grebe: users.encrypted.json ")
        assert "Eve" not in said
    assert not target.exists()


def test_damaged_files(run: Run, loon: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is named, and nothing is imported."""
    monkeypatch.setenv("GREBE_LOON_KEY", KEY.hex())
    good = encrypt(json.dumps(SECRETS))
    damaged = {
        "cut": json.dumps(USERS)[:-5],
        "list": "[1]",
        "no tree": '{"users": 1}',
        "values of no collection": '{"": {"__values": {"a": 1}}}',
        "values of a document": '{"": {"users": {"1": {"__values": {"a": 1}}}}}',
        "values that are none": '{"": {"users": {"__values": [1]}}}',
        "no base64": "~~~~",
        "empty": "",
        "no IV": "AAAA",
        "cut in a block": good[:-4],
        "cut by a block": good[:24] + good[24 : 24 + 64],
    }
    for what, text in damaged.items():
        (loon / "more.json").write_text(text)
        said = import_(run, loon, target, code=1)
        assert said.startswith("grebe: more.json "), what
        assert not target.exists(), what


def test_what_grebe_cannot_store(run: Run, loon: Path, target: Path) -> None:
    """Is found before anything is done."""
    write(loon, more={"": {"big": {"__values": {"1": 2**70}}}})
    assert "more.json: big/1" in import_(run, loon, target, code=1)
    write(loon, more={"": {"big": {"__values": {"": 1}}}})
    assert "more.json: " in import_(run, loon, target, code=1)
    assert not target.exists()


def test_slashes(run: Run, loon: Path, target: Path) -> None:
    """A / in an id is refused, or replaced by what is wanted."""
    write(loon, more={"": {"a/b": {"__values": {"c/d": 1}}}})
    assert "has a / in a name or id" in import_(run, loon, target, code=1)
    import_(run, loon, target, "--slash", "//", code=2)
    import_(run, loon, target, "--slash", "_")
    assert documents_of(target) == PLAIN | {"a_b/c_d": 1}


def test_a_document_in_two_stores(run: Run, loon: Path, target: Path) -> None:
    """Is fine if it is the same, and refused if not."""
    write(loon, more={"": {"users": {"__values": {"1": {"name": "Jöhn"}}}}})
    import_(run, loon, target)
    assert documents_of(target) == PLAIN
    write(loon, more={"": {"users": {"__values": {"1": {"name": "Joan"}}}}})
    said = import_(run, loon, target, "--replace", code=1)
    assert "users/1 is in more.json and, different, in users.json" in said


def test_documents_that_exist(run: Run, loon: Path, target: Path) -> None:
    with grebe.open(target) as store:
        store.doc("users/1").set({"name": "mine"})
        store.doc("other/1").set({"n": 1})
    assert "users/1 exists already" in import_(run, loon, target, code=1)
    assert documents_of(target) == {"users/1": {"name": "mine"}, "other/1": {"n": 1}}
    import_(run, loon, target, "--replace")
    assert documents_of(target) == PLAIN | {"other/1": {"n": 1}}


def test_options_that_make_no_sense(run: Run, loon: Path, target: Path, tmp_path: Path) -> None:
    for option in ("--collection", "--id", "--partition"):
        assert option in import_(run, loon, target, option, "x", code=2)
    import_(run, tmp_path / "nothing", target, code=2)
    (tmp_path / "empty").mkdir()
    assert "holds no store of Loon's" in import_(run, tmp_path / "empty", target, code=2)
    (tmp_path / "a.json").write_text("{}")
    import_(run, tmp_path / "a.json", target, code=1)
    plain = ["import", tmp_path / "a.json", "--into", target]
    assert "--collection is missing" in run(*plain, code=2)
    for option in (["--decrypt"], ["--slash", "_"], ["--key-file", "x"]):
        assert "--format loon only" in run(*plain, "--collection", "c", *option, code=2)


def test_many_collections(run: Run, tmp_path: Path, target: Path) -> None:
    """A collection below each document needs no options of its own."""
    tree: dict[str, Any] = {"__values": {str(n): {} for n in range(1000)}}
    tree |= {str(n): {"friends": {"__values": {"1": {"n": n}}}} for n in range(1000)}
    import_(run, write(tmp_path / "loon", users={"users": {"users": tree}}), target)
    assert len(documents_of(target)) == 2000


def test_a_store_for_a_subcollection(
    run: Run, loon: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents below others, in a store of their own or encrypted, are so here too."""
    monkeypatch.setenv("GREBE_KEY", STORE_KEY)
    monkeypatch.setenv("GREBE_LOON_KEY", KEY.hex())
    pets = {"users__1__pets": {"users": {"1": {"pets": {"__values": {"cat": 1, "dog": 2}}}}}}
    secret = {"": {"users": {"1": {"friends": {"__values": {"9": 3}}, "x": {}}}}}
    write(loon, pets=pets, pets__encrypted=encrypt(json.dumps(secret)))
    import_(run, loon, target)
    with grebe.open(target) as store:
        found = {
            place.path: (place.leaf.home.partition, place.leaf.home.encrypted)
            for place in store._engine.tree.walk()
        }
    assert found == {
        **dict.fromkeys(DEFAULT_PATHS, ("__store__", False)),
        **dict.fromkeys(["users/1", "users/a-b~c", "users/1/friends/2"], ("users", False)),
        "users/gone/friends/3": ("users", False),
        "users/1/pets/cat": ("pets", False),
        "users/1/pets/dog": ("pets", False),
        "users/1/friends/9": ("pets", True),
    }
