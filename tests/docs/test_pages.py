"""The Python on each page of docs/ is a program that runs and prints what its comments say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def program(page: Path) -> str:
    """Return the Python of a page as one program; sessions with `>>>` are doctests, not this."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join(block for block in blocks if ">>>" not in block)


PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if program(page)]


def test_there_are_pages() -> None:
    assert "models" in [page.stem for page in PAGES]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs(page: Path, tmp_path: Path) -> None:
    """From top to bottom, with warnings as errors."""
    code = program(page)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert done.stdout.decode().splitlines() == re.findall(r"# prints (.*)", code)
