"""`grebe demo`: loads real lists, watches a live query, and has a writer killed again and again.

The acts are in their own modules: `demo_data` loads, `demo_live` watches, `demo_crash` kills.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grebe
from grebe.cli import bank, demo_crash, demo_data, demo_live
from grebe.cli.console import make_console, make_table, require, track
from grebe.cli.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

MARKER = "root/grebe-demo"
"""A document that says: this store is of a demo, and may be cleared by the next."""


def run(arguments: argparse.Namespace) -> int:
    """Run the demo and return 0, or 1 if any of its checks failed.

    Raises:
        CommandError: the directory holds something else.
        UsageError: rich or pycountry is not installed.
    """
    require("demo", "rich", "pycountry")
    seed = arguments.seed
    if seed is None:
        seed = random.SystemRandom().randrange(1_000_000)
    if arguments.directory is not None:
        _make_room(Path(arguments.directory))
        return _play(Path(arguments.directory), arguments.kills, seed, kept=True)
    with tempfile.TemporaryDirectory(prefix="grebe-demo-") as directory:
        return _play(Path(directory), arguments.kills, seed, kept=False)


def _make_room(directory: Path) -> None:
    """Clear what an earlier demo left; refuse to touch anything else."""
    try:
        if not directory.exists() or not any(directory.iterdir()):
            return
    except NotADirectoryError as error:
        raise CommandError(f"{directory} is a file; give a new directory") from error
    refusal = f"{directory} is not empty and holds no demo; give a new directory"
    try:
        with grebe.open(directory, read_only=True, hydrate=[MARKER]) as store:
            is_demo = store.doc(MARKER).exists()
    except grebe.PersistenceError as error:
        raise CommandError(refusal) from error
    if not is_demo:
        raise CommandError(refusal)
    with grebe.open(directory, hydrate=False) as store:
        store.clear()


def _play(directory: Path, kills: int, seed: int, *, kept: bool) -> int:
    console = make_console()
    console.print("[bold]Grebe[/]: documents in memory, watched, and safe on disk")
    # Not by the console: a path is neither to be wrapped nor searched for markup.
    console.out(f"store: {directory}{'' if kept else ' (removed at the end)'}", f"seed: {seed}")
    problems = _load_and_watch(console, directory)
    problems += _crash(console, directory, kills, seed)
    problems += _look_at_files(console, directory)
    _conclude(console, problems, kills)
    return 1 if problems else 0


def _load_and_watch(console: Console, directory: Path) -> list[str]:
    _title(console, "1. Load: the ISO countries, their subdivisions and languages")
    start = time.perf_counter()
    with grebe.open(directory) as store:
        with store.batch():
            counts = demo_data.load(store, track)
            store.doc(MARKER).set({"made_by": "grebe demo"})
            bank.open_accounts(store)
        written = time.perf_counter()
        store.commit()
        done = time.perf_counter()
        demo_data.show(console, store, counts)
        console.print(
            f"{sum(counts.values()):,} records in {done - start:.2f} s and one commit, "
            f"{(done - written) * 1000:.0f} ms of it for the disk."
        )
        _title(console, "2. Watch: a live query hears of what concerns it, and of nothing else")
        return demo_live.watch(console, store)


def _crash(console: Console, directory: Path, kills: int, seed: int) -> list[str]:
    _title(console, "3. Crash: a writer is killed (SIGKILL) at random moments")
    console.print(
        f"A child process moves money between {len(bank.CITIES)} banks, each a partition with its "
        "own file. Every transaction changes all of them. When commit() has returned, the child "
        "tells the number of its last transaction. What is found after the kill must be one whole "
        "commit, no older than that: the same number in every partition, and each account exactly "
        "as it was then."
    )
    rounds = []
    for number in track(range(1, kills + 1), "Killing the writer", kills):
        rounds.append(demo_crash.kill_and_check(directory, seed, number))
    if rounds:
        demo_crash.show(console, rounds)
    return [problem for found in rounds for problem in found.problems]


def _look_at_files(console: Console, directory: Path) -> list[str]:
    _title(console, "4. Read: what is left is plain JSON")
    table = make_table("file", "bytes", "documents", "json.load", numbers=("bytes", "documents"))
    problems = []
    for file in sorted(directory.iterdir()):
        verdict, count = "good", ""
        try:
            value = json.loads(file.read_bytes())
        except ValueError:
            verdict = "FAILED"
            problems.append(f"{file.name} is no JSON")
        else:
            if isinstance(value, dict) and "documents" in value:
                count = f"{len(value['documents']):,}"
        table.add_row(file.name, f"{file.stat().st_size:,}", count, verdict)
    console.print(table)
    return problems


def _conclude(console: Console, problems: list[str], kills: int) -> None:
    console.print()
    for problem in problems:
        console.out(f"FAILED: {problem}", style="bold red")
    if not problems:
        crashes = f"{kills} crashes, " if kills else ""
        console.print(f"[bold green]All good:[/] {crashes}no half commit, nothing lost.")


def _title(console: Console, text: str) -> None:
    console.print(f"\n[bold cyan]{text}[/]")
