"""The demo's crashes: starts the writer, kills it at a random moment, opens and checks the store.

How it ends: a writer that is killed leaves what a crash leaves. What is found is held against the
acknowledgements that came through the pipe before.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grebe
from grebe.cli import bank
from grebe.cli.console import make_table
from grebe.cli.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

KILL_AFTER_S = (0.02, 0.6)
"""Bounds for the moment of the kill, after the first acknowledgement."""


@dataclass(frozen=True, slots=True)
class Crash:
    """One kill, and what was found after it."""

    number: int
    delay_s: float
    commits_count: int
    """Commits acknowledged since the writer began."""
    acknowledged: int
    """Version that the last of them made durable."""
    found: int
    """Version in the store that was opened again."""
    recovery: grebe.RecoveryReport
    reopen_s: float
    problems: list[str]


def kill_and_check(directory: Path, seed: int, number: int) -> Crash:
    """Have transactions written, kill the writer, open the store and check it.

    Raises:
        CommandError: the writer ended by itself; its standard error says why.
    """
    before = _count_documents(directory)
    delay_s = random.Random(f"{seed}/kill/{number}").uniform(*KILL_AFTER_S)
    acknowledgements = _write_until_killed(directory, seed, delay_s)
    start = time.perf_counter()
    with grebe.open(directory) as store:
        reopen_s = time.perf_counter() - start
        found = bank.versions_in(store)
        problems = _check(store, seed, found, acknowledgements[-1])
        after = sum(partition.documents for partition in store.partitions().values())
    if after != before:
        problems.append(f"{after} documents, but there were {before}")
    return Crash(
        number,
        delay_s,
        len(acknowledgements),
        acknowledgements[-1],
        min(found),
        store.recovery,
        reopen_s,
        [f"kill {number}: {problem}" for problem in problems],
    )


def _write_until_killed(directory: Path, seed: int, delay_s: float) -> list[int]:
    """Return the versions that a writer acknowledged before it was killed, at least one."""
    command = [sys.executable, "-m", "grebe.cli", "crash-writer", str(directory)]
    killed = threading.Event()
    with subprocess.Popen([*command, "--seed", str(seed)], stdout=subprocess.PIPE) as writer:

        def kill() -> None:
            if writer.poll() is None:
                killed.set()
            writer.kill()

        timer = threading.Timer(delay_s, kill)
        try:
            assert writer.stdout is not None
            lines: list[bytes] = []
            for line in writer.stdout:
                if not lines:
                    timer.start()
                lines.append(line)
            writer.wait()
        finally:
            timer.cancel()
            writer.kill()
    if not killed.is_set():
        raise CommandError(
            f"the writer ended by itself with exit code {writer.returncode}; see its error above"
        )
    # A line without its end was not fully said, so nothing was promised by it.
    return [int(line) for line in lines if line.endswith(b"\n")]


def _check(store: grebe.Store, seed: int, found: list[int], acknowledged: int) -> list[str]:
    """Return what contradicts the promises: one whole commit, no older than acknowledged."""
    problems = []
    balances = bank.balances_in(store)
    if len(set(found)) > 1:
        problems.append(f"half a commit: the partitions show the versions {found}")
    if min(found) < acknowledged:
        problems.append(f"version {min(found)} found, but {acknowledged} was acknowledged")
    if sum(balances.values()) != bank.TOTAL:
        problems.append(f"{sum(balances.values())} in all accounts instead of {bank.TOTAL}")
    if balances != bank.balances_after(seed, min(found)):
        problems.append(f"the accounts are not as they were at version {min(found)}")
    if not store.recovery.clean:
        problems.append("damage was found: " + "; ".join(store.recovery.messages))
    return problems


def _count_documents(directory: Path) -> int:
    with grebe.open(directory, read_only=True) as store:
        return sum(partition.documents for partition in store.partitions().values())


def show(console: Console, crashes: list[Crash]) -> None:
    """Print a line for each kill (at least one), and the sums."""
    columns = ("kill", "after", "commits", "promised", "found", "replayed", "torn", "reopen")
    table = make_table(*columns, "check", numbers=columns)
    for crash in crashes:
        table.add_row(
            f"{crash.number}",
            f"{crash.delay_s * 1000:.0f} ms",
            f"{crash.commits_count:,}",
            f"{crash.acknowledged:,}",
            f"{crash.found:,}",
            f"{crash.recovery.journal_records_replayed:,}",
            f"{crash.recovery.torn_bytes_dropped:,} B",
            f"{crash.reopen_s * 1000:.0f} ms",
            "[red]FAILED[/]" if crash.problems else "[green]good[/]",
        )
    console.print(table)
    _show_sums(console, crashes)


def _show_sums(console: Console, crashes: list[Crash]) -> None:
    commits = sum(crash.commits_count for crash in crashes)
    replayed = sum(crash.recovery.journal_records_replayed for crash in crashes)
    torn = sum(crash.recovery.torn_bytes_dropped for crash in crashes)
    slowest = max(crash.reopen_s for crash in crashes)
    console.print(
        f"{commits:,} commits acknowledged, none lost; {replayed:,} records replayed from the "
        f"journal,\n{torn:,} torn bytes dropped; slowest reopening {slowest * 1000:.0f} ms."
        if not any(crash.problems for crash in crashes)
        else f"{commits:,} commits acknowledged; see what failed below."
    )
