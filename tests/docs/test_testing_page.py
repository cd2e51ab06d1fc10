"""The tests on docs/testing.md pass, and use every fixture that the page names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_pages import ROOT, program

PAGE = ROOT / "docs" / "testing.md"


@pytest.mark.slow
def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    code = program(PAGE)
    (tmp_path / "test_page.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert f"{code.count('def test_')} passed" in done.stdout


def test_the_page_names_every_fixture() -> None:
    from grebe.testing import fixtures

    named = set(re.findall(r"`(grebe_\w+)`", PAGE.read_text(encoding="utf-8")))
    assert named == {name for name in vars(fixtures) if name.startswith("grebe_")}
