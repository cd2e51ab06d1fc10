"""What is shown is typed: mypy and pyright accept it, and find errors that are planted.

pyright is run as basedpyright, which is the same checker in a package with a Node of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_pages import PAGES, ROOT, program

PLANTED = """
from dataclasses import dataclass

import grebe


@dataclass
class User:
    name: str
    age: int = 0


store = grebe.open()
users = store.collection("users", model=User)
found = users.doc("1").get()
users.doc("1").set({"name": "John"})  # planted: a dict is no User
print(found.data)  # planted: it may be None
with users.where(lambda user: user.data.age > 17).observe() as live:
    live.subscribe(lambda snaps: print([snap.data.nme for snap in snaps]))  # planted: no such field
    live.subscribe_changes(lambda changes: print([c.data + 1 for c in changes]))  # planted
store.collection("users", model=User, version="3")  # planted: a version is a number
"""
WANTED = [n for n, line in enumerate(PLANTED.splitlines(), 1) if "# planted" in line]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the Python of the pages, the README and the examples, and errors."""
    directory = tmp_path_factory.mktemp("programs")
    shown = {page.stem: program(page) for page in [*PAGES, ROOT / "README.md"]}
    for example in sorted((ROOT / "examples").glob("*.py")):
        shown[example.stem] = example.read_text(encoding="utf-8")
    contract = ROOT / "tests" / "typing" / "contract.py"
    shown["contract"] = contract.read_text(encoding="utf-8")
    shown["errors"] = PLANTED
    for name, text in shown.items():
        (directory / f"shown_{name}.py").write_text(text, encoding="utf-8")
    config = {"typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (directory / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    return directory


def run(*command: str) -> str:
    """Run a Python module in the repository; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr  # it found errors, those planted
    return done.stdout


def split(found: set[tuple[str, int]]) -> tuple[list[int], set[tuple[str, int]]]:
    """Return the lines of errors in the planted program, and the errors in others."""
    planted = sorted(line for name, line in found if name == "shown_errors.py")
    return planted, {error for error in found if error[0] != "shown_errors.py"}


@pytest.mark.slow
def test_mypy(programs: Path) -> None:
    """With --strict: the five planted errors and no other."""
    output = run("mypy", "--strict", *sorted(map(str, programs.glob("*.py"))))
    errors = re.findall(r"([^/\\\n]+\.py):(\d+): error:", output)
    planted, others = split({(name, int(line)) for name, line in errors})
    assert others == set(), output
    assert planted == WANTED, output


@pytest.mark.slow
def test_pyright(programs: Path) -> None:
    """In its strict mode: the same."""
    config = str(programs / "pyrightconfig.json")
    output = run("basedpyright", "-p", config, "--pythonpath", sys.executable, "--outputjson")
    found = json.loads(output)
    assert found["summary"]["filesAnalyzed"] == len(list(programs.glob("*.py")))
    errors = [
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1)
        for one in found["generalDiagnostics"]
    ]
    planted, others = split(set(errors))
    assert others == set(), output
    assert planted == WANTED, output


def test_five_are_planted() -> None:
    """So that an empty program would not pass."""
    assert len(WANTED) == 5
