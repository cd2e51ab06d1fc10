"""`grebe rotate-key`: the new key opens the store, and no key is echoed or an argument."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import grebe
from tests.unit.cli.conftest import Run, bytes_of

KEY = bytes(range(32))
NEW_KEY = bytes(range(32, 64))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a store with two encrypted documents."""
    with grebe.open(tmp_path / "s", encryption_key=KEY) as store:
        store.collection("secrets", encrypted=True).create_many({"1": 1, "2": 2})
        store.doc("users/1").set(1)
    return tmp_path / "s"


def opens(directory: Path, key: bytes | str) -> bool:
    try:
        with grebe.open(directory, encryption_key=key) as store:
            return len(store.collection("secrets")) == 2
    except grebe.EncryptionError:
        return False


def test_from_the_environment(run: Run, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREBE_KEY", "hex:" + KEY.hex())
    monkeypatch.setenv("GREBE_NEW_KEY", "hex:" + NEW_KEY.hex())
    output = run("rotate-key", directory)
    assert output == f"{directory}: 2 encrypted documents sealed under the new key\n"
    assert opens(directory, NEW_KEY)
    assert not opens(directory, KEY)


def test_wrong_key(run: Run, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that does not show it, and nothing is changed."""
    before = bytes_of(directory)
    monkeypatch.setenv("GREBE_KEY", "some wrong passphrase")
    monkeypatch.setenv("GREBE_NEW_KEY", "another passphrase")
    errors = run("rotate-key", directory, code=1)
    assert "wrong" in errors
    assert "passphrase" not in errors.replace("not a passphrase", "")
    assert bytes_of(directory) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("agree", [True, False])
def test_at_a_terminal(directory: Path, agree: bool) -> None:
    """The passphrases are asked for, the new one twice, and nothing is echoed."""
    new = "typed at a terminal"
    with grebe.open(directory, encryption_key=KEY) as store:
        store.rotate_key("present one")
    answers = ["present one", new, new if agree else "something else"]
    output, code = at_a_terminal(["rotate-key", str(directory)], answers)
    assert code == (0 if agree else 2), output
    assert output.count("passphrase") >= 3
    assert not any(answer in output for answer in answers)
    assert opens(directory, new if agree else "present one")


def at_a_terminal(arguments: list[str], answers: list[str]) -> tuple[str, int]:
    """Run the command in a terminal, answer its questions; return all that was shown."""
    import pty

    command = [sys.executable, "-m", "grebe.cli", *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GREBE_")}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, environment)
    shown = ""
    waiting = list(answers)
    asked = 0
    read: Callable[[], bytes] = lambda: os.read(terminal, 4096)  # noqa: E731
    while True:
        try:
            data = read()
        except OSError:  # the other end is closed
            break
        if not data:
            break
        shown += data.decode()
        # getpass turns the echo off before it asks.
        while waiting and shown.count(": ", asked) and shown.endswith(": "):
            os.write(terminal, waiting.pop(0).encode() + b"\n")
            asked = len(shown)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return shown, os.waitstatus_to_exitcode(status)
