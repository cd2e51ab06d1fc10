"""An installation without the extra: everything plain works, `encrypted=True` says what to install.

In processes in which neither library can be imported.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import grebe
from tests.encryption.sealed import KEY

pytestmark = pytest.mark.usefixtures("no_ambient_key")

BLOCK = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("cryptography", "keyring"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Missing())
import grebe
directory = sys.argv[1]
"""
PLAIN = """
with grebe.open(directory) as store:
    store.collection("users", partition="users").doc("1").set({"age": 28})
    store.commit()
with grebe.open(directory, encryption_key=b"k" * 32) as store:
    assert store.doc("users/1").get().data == {"age": 28}
    for use in (
        lambda: store.collection("secrets", encrypted=True),
        lambda: grebe.open(encrypted=True),
        lambda: grebe.open(directory + "-2", encrypted=True),
    ):
        try:
            use()
        except grebe.EncryptionError as error:
            assert "pip install 'grebe[encryption]'" in str(error), error
        else:
            raise AssertionError("not refused")
    assert store.collection("secrets", encrypted=False).count() == 0
print("fine")
"""
ENCRYPTED = """
with grebe.open(directory) as store:
    assert store.doc("users/1").get().data == 1
    store.doc("users/2").set(2)
try:
    grebe.open(directory, encryption_key=bytes(range(32)))
except grebe.EncryptionError as error:
    assert "grebe[encryption]" in str(error), error
else:
    raise AssertionError("not refused")
print("fine")
"""


def run(code: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + code, str(directory)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plain(directory: Path) -> None:
    """Everything plain works, and what does not says why."""
    assert run(PLAIN, directory) == "fine\n"


def test_a_store_with_encrypted_documents(directory: Path) -> None:
    """Its plain part opens; with a key it says what is missing."""
    with grebe.open(directory, encryption_key=KEY) as store:
        store.doc("users/1").set(1)
        store.collection("secrets", encrypted=True).doc("1").set(1)
    assert run(ENCRYPTED, directory) == "fine\n"
    with grebe.open(directory, encryption_key=KEY) as store:
        assert store.doc("secrets/1").get() is not None
        assert store.doc("users/2").get() is not None
