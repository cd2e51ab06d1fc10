"""The command line as such: help, version, exit codes, missing extras, interruption."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from grebe.cli import dump, main
from tests.unit.cli.conftest import Run


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"grebe {importlib.metadata.version('grebe')}\n"


@pytest.mark.parametrize("arguments", [[], ["demo"], ["import"], ["dump"]])
def test_help_has_examples(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help shows how it is done, and not the command that only the demo calls."""
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0
    output = capsys.readouterr().out
    assert f"\n  {' '.join(['grebe', *arguments])}" in output.partition("examples:")[2]
    assert "crash-writer" not in output


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["dump"], ["import", "a.json"], ["demo", "--kills", "-1"]],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: grebe" in capsys.readouterr().err


def test_missing_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without rich, and for the demo without pycountry, the extra to install is named."""
    find = importlib.util.find_spec
    missing = {"rich", "pycountry"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in missing else find(name)
    )
    found = run("import", "a.json", "--into", tmp_path, "--collection", "c", code=2)
    assert 'pip install "grebe[cli]"' in found
    found = run("demo", code=2)
    assert found.startswith("grebe: rich and pycountry not installed")
    assert 'pip install "grebe[demo]"' in found


def test_interruption_is_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(dump, "run", interrupt)
    assert run("dump", "x", code=130) == "grebe: interrupted\n"


@pytest.mark.slow
def test_as_module_and_without_rich(tmp_path: Path) -> None:
    """`python -m grebe.cli` is the command, and what needs no rich does not import it."""
    code = (
        "import runpy, sys; sys.modules['rich'] = None;"
        f"sys.argv = ['grebe', 'dump', {str(tmp_path / 'none')!r}];"
        "runpy.run_module('grebe.cli', run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("grebe: ")
    assert "does not exist" in ended.stderr
