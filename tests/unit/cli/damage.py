"""Stores to be damaged, and ways to damage them, for the tests of the tools."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import grebe
from grebe.cli import main

USERS = 600
"""Three blocks, the last of 88."""
NOTES = 5


def make_store(directory: Path) -> Path:
    """Make a store of two partitions that was closed."""
    with grebe.open(directory) as store:
        users = store.collection("users", partition="users")
        users.create_many({str(n): {"n": n, "text": "x" * 20} for n in range(USERS)})
        notes = store.collection("notes", partition="notes")
        notes.create_many({str(n): f"note {n}" for n in range(NOTES)})
    return directory


def make_unclosed_store(directory: Path) -> Path:
    """Make the same store with four commits in its journal, as a crash would leave it."""
    original = make_store(directory.with_name("original"))
    with grebe.open(original, commit_interval=3600) as store:
        for n in range(4):
            store.collection("users", partition="users").doc(f"new{n}").set({"new": n})
            store.commit()
        shutil.copytree(original, directory)
    return directory


def state_of(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and time of change of every file, and of the directory."""
    state = {f.name: (f.read_bytes(), f.stat().st_mtime_ns) for f in directory.iterdir()}
    return {**state, ".": (b"", directory.stat().st_mtime_ns)}


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command line; return its exit code, output and errors."""
    code = main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return code, output.out, output.err


def flip(file: Path, before: bytes) -> None:
    """Damage the last byte in front of which these bytes are, so that it is no UTF-8."""
    data = bytearray(file.read_bytes())
    data[data.rindex(before) + len(before)] ^= 0x80
    file.write_bytes(data)


def edit(file: Path, old: str, new: str) -> None:
    """Replace a text as editors do: a new file takes the old one's place."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    beside = file.with_name(file.name + "~")
    beside.write_text(text.replace(old, new), encoding="utf-8")
    os.replace(beside, file)


def swap(directory: Path) -> None:
    users, notes, between = (directory / n for n in ("users.json", "notes.json", "between"))
    users.rename(between)
    notes.rename(users)
    between.rename(notes)


def make_stale(directory: Path) -> None:
    """Put back a partition file as it was one checkpoint ago."""
    old = (directory / "notes.json").read_bytes()
    with grebe.open(directory) as store:
        store.collection("notes", partition="notes").doc("later").set("later")
    (directory / "notes.json").write_bytes(old)


def truncate(directory: Path) -> None:
    os.truncate(directory / "users.json", 20_000)


DAMAGES: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "block": (lambda d: flip(d / "users.json", b'"text":"'), "users.json", 88),
    "header": (lambda d: flip(d / "users.json", b'"users"'), "users.json", USERS),
    "checksum": (lambda d: edit(d / "notes.json", '"crc32":"', '"crc32":"0'), "notes.json", 0),
    "manifest": (lambda d: flip(d / "__manifest__.json", b'"lsn"'), "__manifest__.json", 0),
    "no manifest": (lambda d: (d / "__manifest__.json").unlink(), "__manifest__.json", 0),
    "truncated": (truncate, "users.json", 600 - 256),
    "emptied": (lambda d: os.truncate(d / "notes.json", 0), "notes.json", NOTES),
    "removed": (lambda d: (d / "notes.json").unlink(), "notes.json", NOTES),
    "swapped": (swap, "users.json", USERS + NOTES),
    "stale": (make_stale, "notes.json", 0),
}
"""What is done to a closed store, a file that is damaged then, and how many documents are lost."""
