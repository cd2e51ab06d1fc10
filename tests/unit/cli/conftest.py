"""What the tests of the command line share."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe.cli import main

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line, demand its exit code, and return what it printed."""

    def run_command(*arguments: object, code: int = 0) -> str:
        found = main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        assert found == code, output.err
        if code:
            assert output.out == ""
            assert output.err.startswith("grebe: ")
            assert output.err.count("\n") == 1
            return output.err
        return output.out

    return run_command


def iso(name: str) -> Path:
    """Return the path of one of pycountry's own files."""
    path = Path(str(importlib.resources.files("pycountry"))) / "databases" / f"{name}.json"
    assert path.exists()
    return path


def documents_of(directory: Path) -> dict[str, Any]:
    """Return path and data of all documents of a store."""
    with grebe.open(directory, read_only=True) as store:
        documents: dict[str, Any] = store.inspect()["documents"]
    return json.loads(json.dumps(documents))


def bytes_of(directory: Path) -> dict[str, bytes]:
    """Return the content of all files of a store but the lock, which holds its last owner."""
    return {file.name: file.read_bytes() for file in directory.iterdir() if file.name != ".lock"}
