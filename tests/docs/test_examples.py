"""What is shown runs: examples, README, doctests; and every command is documented."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import grebe

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = sorted(module.name for module in pkgutil.walk_packages(grebe.__path__, prefix="grebe."))


def python(*arguments: str, cwd: Path) -> str:
    """Run Python with warnings as errors; return what it printed."""
    command = [sys.executable, "-W", "error", *arguments]
    ended = subprocess.run(command, cwd=cwd, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr.decode()) == (0, "")
    return ended.stdout.decode()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3
    assert all(f"examples/{example.name}" in README for example in EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    """Each example runs from beginning to end, and shows something."""
    assert python(str(example), cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_readme_code_runs(tmp_path: Path) -> None:
    """The README's code runs, prints what its comments say, and leaves the file that it shows."""
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    assert blocks
    code = "\n".join(blocks)
    promised = re.findall(r"# prints (.*)", code)
    assert python("-c", code, cwd=tmp_path).splitlines() == promised
    shown = re.search(r'^"documents":\{\n.*?^\}\}\n', README, flags=re.DOTALL | re.MULTILINE)
    assert shown is not None
    stored = (tmp_path / "app-data" / "users.json").read_text(encoding="utf-8")
    assert stored.endswith(shown[0])


def test_readme_links_lead_somewhere() -> None:
    """Every file that the README links is there."""
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("command", ["demo", "import", "dump"])
def test_command_is_in_the_readme(command: str) -> None:
    assert f"grebe {command} " in README


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str) -> None:
    """The examples in the docstrings of a module show what really happens."""
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_the_format_page_tells_the_truth() -> None:
    """Each example in docs/file_format.md gives what the page says, byte for byte."""
    failed, tried = doctest.testfile(str(ROOT / "docs/file_format.md"), module_relative=False)
    assert tried > 20
    assert failed == 0
