"""What the benchmarks share: documents, clocks, fresh processes, tables and results.

A benchmark is a module with `run(settings) -> Report`. What it measures is in functions called
cases: `fresh("bulk", "grebe", ...)` runs the case `grebe` of bulk.py in a new process.
"""

from __future__ import annotations

import cProfile
import importlib
import json
import math
import os
import platform
import pstats
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCUMENT_BYTES = 200
PROFILE_LINES = 25

encode = msgspec.json.Encoder().encode
"""The encoder of Grebe, for the baselines too: what is compared is the store, not the encoder."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for on the command line."""

    quick: bool = False
    profile: bool = False

    def pick(self, usual: int, quick: int) -> int:
        """Return a number of repetitions or documents."""
        return quick if self.quick else usual


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure that has to be at most `limit`."""

    what: str
    value: float
    limit: float

    def __str__(self) -> str:
        """Show the figure beside its limit."""
        verdict = "meets" if self.value <= self.limit else "MISSES"
        return f"{verdict:>6}  {self.what}: {self.value:.2f} (at most {self.limit:g})"


@dataclass(slots=True)
class Report:
    """What a benchmark found: one table and its bars."""

    title: str
    columns: Sequence[str]
    rows: list[list[Any]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# --- documents


def document(number: int, revision: int = 0) -> dict[str, Any]:
    """Return a document whose JSON has 200 bytes, whatever the numbers (below a million)."""
    rng = random.Random(number)
    data: dict[str, Any] = {
        "name": f"{rng.choice(_NAMES)} {rng.choice(_NAMES)}",
        "email": f"user{number:06d}@example.org",
        "age": rng.randrange(18, 98),
        "city": rng.choice(_CITIES),
        "score": rng.randrange(100_000, 999_999) / 100,
        "active": number % 2 == 0,
        "tags": rng.sample(_TAGS, 2),
        "revision": f"{revision:06d}",
        "note": "",
    }
    data["note"] = "x" * (DOCUMENT_BYTES - len(encode(data)))
    return data


_NAMES = ["Ada", "Brenda", "Chen", "Dmitri", "Elena", "Farid", "Grace", "Hugo", "Ines", "John"]
_CITIES = ["Berlin", "Dakar", "Lima", "Osaka", "Paris", "Quito", "Rome", "Turin"]
_TAGS = ["admin", "beta", "guest", "paid", "staff", "trial"]


def documents(count: int) -> dict[str, dict[str, Any]]:
    """Return that many documents by id."""
    return {f"{number:06d}": document(number) for number in range(count)}


# --- clocks


_profiler: cProfile.Profile | None = None


class Watch:
    """A clock for a `with` block; it profiles the block if `--profile` was given."""

    seconds: float = 0.0

    def __enter__(self) -> Watch:
        if _profiler is not None:
            _profiler.enable()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        if _profiler is not None:
            _profiler.disable()

    @property
    def us(self) -> float:
        """Microseconds."""
        return self.seconds * 1e6


def peak_mb() -> float:
    """Return the largest resident size of this process so far, in MB."""
    try:
        # Not getrusage: its figure of a new process begins with that of its parent.
        with open("/proc/self/status") as file:
            line = next(line for line in file if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1000
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return k of the line cost = c * size ** k that fits best: 0 is no growth, 1 is linear."""
    logs = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    return statistics.linear_regression(*logs).slope


# --- processes


def fresh(module: str, case: str, settings: Settings, **arguments: Any) -> Any:
    """Return what a case returns, run in a new process."""
    call = json.dumps({"module": module, "case": case, "arguments": arguments})
    command = [sys.executable, str(HERE / "run.py"), "--case", call]
    if settings.profile:
        command.append("--profile")
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_case(call: str, profile: bool) -> None:
    """Do what `fresh` asks for, in the new process."""
    global _profiler
    wanted = json.loads(call)
    if profile:
        _profiler = cProfile.Profile()
    case = getattr(importlib.import_module(wanted["module"]), wanted["case"])
    print(json.dumps(case(**wanted["arguments"])))
    if _profiler is not None:
        _print_profile(f"{wanted['module']}.{wanted['case']} {wanted['arguments']}", _profiler)


def _print_profile(title: str, profiler: cProfile.Profile) -> None:
    print(f"\n=== profile of {title} (a function call costs more than without)", file=sys.stderr)
    stats = pstats.Stats(profiler, stream=sys.stderr)
    if stats.total_calls:  # type: ignore[attr-defined]
        stats.strip_dirs().sort_stats("tottime").print_stats(PROFILE_LINES)


@contextmanager
def scratch() -> Iterator[str]:
    """Give a directory on the disk of this check-out (/tmp is in memory on many systems)."""
    RESULTS.mkdir(exist_ok=True)
    directory = tempfile.mkdtemp(dir=RESULTS)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


# --- SQLite, the store that everybody has


def sqlite(path: str) -> sqlite3.Connection:
    """Return a SQLite database with the same promise as Grebe: a commit is on the disk."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS documents (path TEXT PRIMARY KEY, value TEXT)")
    return connection


def sqlite_fill(connection: sqlite3.Connection, data: dict[str, dict[str, Any]]) -> None:
    """Insert documents in one transaction, encoding them."""
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO documents VALUES (?, ?)",
        (("users/" + key, encode(value).decode()) for key, value in data.items()),
    )
    connection.execute("COMMIT")


# --- output


def machine() -> str:
    """Return what the figures were measured on, in one line."""
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, msgspec {msgspec.__version__}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


def show(report: Report) -> None:
    """Print a report."""
    cells = [[_cell(value) for value in row] for row in report.rows]
    columns = list(zip(report.columns, *cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    print(f"\n{report.title}")
    for row in [list(report.columns), *cells]:
        first, *others = row
        right = "".join(
            f"  {cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)
        )
        print(f"  {first:<{widths[0]}}{right}")
    for bar in report.bars:
        print(f"  {bar}")
    for note in report.notes:
        print(f"  {note}")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def save(name: str, report: Report, settings: Settings) -> None:
    """Write a report as JSON."""
    RESULTS.mkdir(exist_ok=True)
    found = {
        "name": name,
        "title": report.title,
        "machine": machine(),
        "quick": settings.quick,
        "columns": list(report.columns),
        "rows": report.rows,
        "bars": [{"what": b.what, "value": b.value, "limit": b.limit} for b in report.bars],
        "notes": report.notes,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
