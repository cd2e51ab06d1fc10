"""How large modules and functions are: the house style. The exceptions may only shrink."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import grebe

SOURCE = Path(grebe.__file__).parent
MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
POSITIONAL_MAX = 5

TOO_LONG: dict[str, int] = {}
"""Functions that are longer, and how long: `module.py:function`."""

TOO_MANY_PARAMETERS: dict[str, int] = {}
"""Functions that take more positional parameters (self apart), and how many."""

MODULES = sorted(path for path in SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield the functions of a module with their qualified names."""

    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}{child.name}", child  # type: ignore[misc]
                yield from visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from visit(child, f"{prefix}{child.name}.")
            else:
                yield from visit(child, prefix)

    yield from visit(ast.parse(path.read_text("utf-8")), "")


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of lines from `def` to the end, without the docstring."""
    assert node.end_lineno is not None
    total = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        assert first.end_lineno is not None
        total -= first.end_lineno - first.lineno + 1
    return total


def positional(node: ast.FunctionDef | ast.AsyncFunctionDef, *, is_method: bool) -> int:
    arguments = [*node.args.posonlyargs, *node.args.args]
    return len(arguments) - bool(is_method and arguments and arguments[0].arg in ("self", "cls"))


def test_there_is_something_to_measure() -> None:
    """The walk finds the package."""
    names = [name_of(path) for path in MODULES]
    assert "core/path.py" in names
    assert len(names) > 30
    assert any(name == "Document.update" for name, _ in functions(SOURCE / "documents/document.py"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_at_most_500_lines(path: Path) -> None:
    """Longer ones are split."""
    assert len(path.read_text("utf-8").splitlines()) <= MODULE_LINES_MAX


def test_a_function_is_at_most_60_lines() -> None:
    """Docstring apart. What is longer is listed above with its length, and no longer than that."""
    found = {
        f"{name_of(path)}:{name}": code_lines(node)
        for path in MODULES
        for name, node in functions(path)
        if code_lines(node) > FUNCTION_LINES_MAX
    }
    assert {k: v for k, v in found.items() if v > TOO_LONG.get(k, 0)} == {}
    assert set(TOO_LONG) <= set(found), "take what was mended off the list"


def test_a_function_takes_at_most_five_positional_parameters() -> None:
    """The rest is given by keyword. What takes more is listed above."""
    found = {}
    for path in MODULES:
        for name, node in functions(path):
            count = positional(node, is_method="." in name)
            if count > POSITIONAL_MAX:
                found[f"{name_of(path)}:{name}"] = count
    assert {k: v for k, v in found.items() if v > TOO_MANY_PARAMETERS.get(k, 0)} == {}
    assert set(TOO_MANY_PARAMETERS) <= set(found), "take what was mended off the list"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_everything_public_has_a_docstring(path: Path) -> None:
    """Modules, classes, functions and methods whose names do not begin with an underscore."""
    tree = ast.parse(path.read_text("utf-8"))
    missing = [] if ast.get_docstring(tree) or not tree.body else ["the module"]

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                dunder = child.name.startswith("__") and child.name.endswith("__")
                if child.name.startswith("_") and not dunder:
                    continue
                is_overload = any(
                    isinstance(d, ast.Name) and d.id == "overload"
                    for d in getattr(child, "decorator_list", [])
                )
                needs_none = child.name == "__init__" or is_overload
                if not needs_none and not ast.get_docstring(child):
                    missing.append(prefix + child.name)
                if isinstance(child, ast.ClassDef):
                    visit(child, f"{prefix}{child.name}.")

    visit(tree, "")
    assert missing == []
