"""Output for people, by rich: only here is it imported, and only when it is needed.

Results go to the standard output; progress bars only to a terminal, so pipes and files get plain
text without control codes.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from grebe.cli.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

T = TypeVar("T")


def require(extra: str, *modules: str) -> None:
    """Check that the libraries of an extra are there.

    Raises:
        UsageError: one is not; says how to install them.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} not installed; this command needs the extra {extra!r}: "
            f'pip install "grebe[{extra}]"'
        )


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that prints what it is given, without guessing at colours in it."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False)


def make_table(*columns: str, numbers: Collection[str] = ()) -> Table:
    """Return an empty table, narrow enough for 80 columns; `numbers` are aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    return table


def track_if_seen(items: Iterable[T], what: str, count: int) -> Iterator[T]:
    """Do as `track` where there are rich and a terminal; elsewhere only yield the items."""
    if sys.stderr.isatty() and importlib.util.find_spec("rich") is not None:
        yield from track(items, what, count)
    else:
        yield from items


def track(items: Iterable[T], what: str, count: int) -> Iterator[T]:
    """Yield the items while a bar shows how far the reader is, on the standard error.

    The bar disappears at the end, and there is none where nobody sees it.
    """
    console = make_console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    from rich.progress import track as rich_track

    yield from rich_track(items, what, total=count, console=console, transient=True)
