"""A store and the processes that are forked beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import grebe

SCRIPT = """
import os, sys
import grebe

store = grebe.open(sys.argv[1], commit_interval=60)
store.doc("users/1").set({"by": "parent"})
child = os.fork()
if child == 0:
    try:
        store.doc("users/1").set({"by": "child"})
    except grebe.StoreClosedError:
        sys.exit(0)  # the exit handlers run, as in any program
    os._exit(1)
assert os.waitpid(child, 0)[1] == 0
assert not [name for name in os.listdir(sys.argv[1]) if "journal" in name]
store.doc("users/2").set({"by": "parent"})
store.commit()
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
def test_a_forked_child_has_no_store(tmp_path: Path) -> None:
    """In the child it is closed, and its exit writes nothing; the parent goes on."""
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], check=True)
    with grebe.open(tmp_path) as store:
        assert store.recovery.clean
        assert store.inspect()["documents"] == {
            "users/1": {"by": "parent"},
            "users/2": {"by": "parent"},
        }


HOLDER = """
import os, sys
import grebe

store = grebe.open(sys.argv[1])
store.doc("users/1").set({})
store.commit()
ready, go = os.pipe(), os.pipe()
if os.fork() == 0:
    os.close(go[1])
    os.read(go[0], 1)  # lives on behind the parent's death, until the parent's end closes this
    print("child goes on", flush=True)
    sys.stdin.read()
    os._exit(0)
os._exit(0)
"""


@needs_fork
def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """The lock ends with the process that took it, though a child of it lives on."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "child goes on\n"
        process.wait(timeout=60)  # the kernel may wake the child before it lets go of the lock
        with grebe.open(tmp_path) as store:
            assert store.doc("users/1").exists()
        process.stdin.close()
        process.stdout.close()
