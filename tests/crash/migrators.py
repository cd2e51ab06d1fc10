"""A process that migrates: `python -m tests.crash.migrators TARGET`, killed by its parent.

It says `opening`, then how many documents are of the new version each time that is durable, and
`done`; then it waits for the end of its standard input.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import grebe

VERSION = 3


def old_document(number: int) -> dict[str, Any]:
    """Return a document of version 1."""
    return {"name": f"First{number} Last{number}", "note": "x" * (number % 100)}


def new_document(number: int) -> dict[str, Any]:
    """Return what version 3 of it has to be."""
    note = {"text": "x" * (number % 100), "length": number % 100}
    return {"first": f"First{number}", "last": f"Last{number}", "note": note}


def split_name(user: dict[str, Any]) -> dict[str, Any]:
    first, last = user["name"].split()
    return {"first": first, "last": last, "note": user["note"]}


def measure_note(user: dict[str, Any]) -> dict[str, Any]:
    return {**user, "note": {"text": user["note"], "length": len(user["note"])}}


def users_of(store: grebe.Store) -> grebe.Collection[Any]:
    """Return the collection with its version; old documents are migrated from then on."""
    return store.collection(
        "users", version=VERSION, migrate={1: split_name, 2: measure_note}, partition="users"
    )


def start(target: str) -> subprocess.Popen[bytes]:
    """Start the process."""
    command = [sys.executable, "-m", "tests.crash.migrators", target]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main() -> None:
    """Open and migrate."""
    say("opening")
    store = grebe.open(sys.argv[1], checkpoint_bytes=200_000)
    users_of(store)
    store.migrate(on_progress=lambda progress: say(progress.current))
    say("done")
    sys.stdin.read()


if __name__ == "__main__":
    main()
