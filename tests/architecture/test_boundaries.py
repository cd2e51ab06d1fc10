"""Who may touch files, the clock and chance: few modules, so that faults can be injected."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import grebe

SOURCE = Path(grebe.__file__).parent
MODULES = sorted(path for path in SOURCE.rglob("*.py"))

FILES_ALLOWED = (
    *("persistors/file/filesystem.py", "persistors/sqlite/place.py"),
    *("persistence/process_lock.py", "cli/", "testing/"),
)
# pace.py rests between the parts of a long checkpoint; the file persistor names stores.
CLOCK_ALLOWED = ("persistors/file/pace.py", "cli/", "testing/")
# ordering.py sorts UUIDs and makes none.
CHANCE_ALLOWED = (
    *("core/ids.py", "core/ordering.py", "persistence/encryption/cipher.py"),
    *("persistors/file/", "cli/", "testing/"),
)

FILE_CALLS = {
    *("open", "os.open", "io.open", "os.write", "os.fsync", "os.fdatasync", "os.rename"),
    *("os.replace", "os.remove", "os.unlink", "os.mkdir", "os.makedirs", "os.listdir"),
    *("os.scandir", "os.ftruncate", "os.truncate", "os.stat", "os.rmdir", "os.pread", "os.read"),
    *("os.path.exists", "os.path.isdir", "os.path.isfile", "os.path.getsize", "os.link"),
    *("shutil.rmtree", "shutil.copy", "shutil.move", "tempfile.mkstemp"),
}
CLOCK_CALLS = {
    *("time.time", "time.monotonic", "time.perf_counter", "time.sleep", "time.time_ns"),
    *("datetime.now", "datetime.datetime.now", "datetime.datetime.utcnow", "date.today"),
}
CHANCE_MODULES = {"random", "secrets", "uuid"}
CHANCE_CALLS = {"os.urandom"}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def calls(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that are called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            try:
                yield ast.unparse(node.func)
            except RecursionError:  # pragma: no cover - no such expression
                continue


def own_names(tree: ast.Module) -> set[str]:
    """Return the functions that a module defines or imports from the package: `open` is one."""
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("grebe"):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_file_system_touches_files(path: Path) -> None:
    """Everything else asks it, so that the tests can cut the power at any call."""
    if name_of(path).startswith(FILES_ALLOWED):
        return
    tree = parse(path)
    assert {c for c in calls(tree) if c in FILE_CALLS} - own_names(tree) == set()
    assert "shutil" not in set(imported(tree))
    assert "tempfile" not in set(imported(tree))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nobody_asks_the_clock(path: Path) -> None:
    """Waiting is done by events with a timeout; nothing depends on the time of day."""
    if name_of(path).startswith(CLOCK_ALLOWED):
        return
    tree = parse(path)
    assert {c for c in calls(tree) if c in CLOCK_CALLS} == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_chance_is_in_one_place(path: Path) -> None:
    """Ids come from the system's secure source, by core/ids.py."""
    if name_of(path).startswith(CHANCE_ALLOWED):
        return
    tree = parse(path)
    assert set(imported(tree)) & CHANCE_MODULES == set()
    assert {c for c in calls(tree) if c in CHANCE_CALLS} == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_error_is_swallowed(path: Path) -> None:
    """No bare `except:`, and no `except ...: pass` without a comment's worth of code."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
            is_broad = isinstance(node.type, ast.Name) and node.type.id in (
                "Exception",
                "BaseException",
            )
            only_pass = all(isinstance(statement, ast.Pass) for statement in node.body)
            assert not (is_broad and only_pass), f"swallowed in line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_there_is_little_magic(path: Path) -> None:
    """No metaclass, no `__getattr__`, no print outside the command line."""
    tree = parse(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            assert [k for k in node.keywords if k.arg == "metaclass"] == []
        if isinstance(node, ast.FunctionDef):
            assert node.name not in ("__getattr__", "__getattribute__")
    if not name_of(path).startswith("cli/"):
        assert "print" not in set(calls(tree))
