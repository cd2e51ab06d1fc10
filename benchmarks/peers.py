"""Grebe beside the stores that a user might pick instead, each case in a process of its own.

For each store and size: documents in at once, one durable update, opening, reading, writing without
waiting, and disk use. The stores take turns; a ratio is taken between neighbours in time, the
figures are medians. How a cost grows with the number of documents is an exponent: 0 does not grow,
1 is linear.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from measure import (
    DOCUMENT_BYTES,
    Bar,
    Report,
    Settings,
    Watch,
    document,
    fresh,
    median,
    peak_mb,
    percentile,
    scratch,
)
from stores import PEERS, Peer

SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 10_000)
CHUNK = 100_000
"""Documents that are made and stored at once."""
SECONDS_MAX = 3.0
UPDATES = 300
READS = 20_000
ROUNDS = 10
ROUND_BATCH = 1_000
SPACE_PEERS = ("grebe", "sqlite", "lmdb", "rocksdict", "zodb")
FLAT_MAX = 0.1
"""Exponent up to which a cost is said not to grow: a disk varies as much within a run."""
LINEAR_MAX = 1.15

Found = dict[str, float]


@dataclass(slots=True)
class Results:
    """What was found, by store, size and case: one entry for each run."""

    runs: dict[tuple[str, int, str], list[Found]] = field(default_factory=dict)

    def add(self, peer: str, count: int, case: str, found: Found) -> None:
        """Keep a run."""
        self.runs.setdefault((peer, count, case), []).append(found)

    def median(self, peer: str, count: int, case: str, key: str) -> float | None:
        """Return the median of a figure, or None if there is none."""
        found = self.runs.get((peer, count, case))
        return None if not found else median([one[key] for one in found])

    def ratio(self, peer: str, count: int, case: str, key: str) -> float | None:
        """Return the median, run by run, of Grebe's figure as a multiple of a peer's."""
        ours, theirs = (self.runs.get((name, count, case), []) for name in ("grebe", peer))
        pairs = [(a[key], b[key]) for a, b in zip(ours, theirs, strict=False)]
        return median([a / b for a, b in pairs if b]) if pairs else None

    def exponent(self, peer: str, case: str, key: str, sizes: list[int]) -> float | None:
        """Return how a figure grows with the number of documents, from the smallest size on."""
        points = [(n, self.median(peer, n, case, key)) for n in sizes]
        logs = [(math.log(n), math.log(value)) for n, value in points if value]
        if len(logs) < 2:
            return None
        x_mean, y_mean = (sum(axis) / len(logs) for axis in zip(*logs, strict=True))
        above = sum((x - x_mean) * (y - y_mean) for x, y in logs)
        return above / sum((x - x_mean) ** 2 for x, _ in logs)


def run(settings: Settings) -> list[Report]:
    """Run everything; the stores take turns."""
    sizes = list(QUICK_SIZES if settings.quick else SIZES)
    results = Results()
    for count in sizes:
        names = [name for name, peer in PEERS.items() if count <= peer.size_max]
        for _ in range(settings.pick(3 if count <= CHUNK else 1, 1)):
            for name in names:
                _run_store(results, settings, name, count)
    for name in SPACE_PEERS:
        found = fresh("peers", "space", settings, peer=name, count=settings.pick(100_000, 20_000))
        results.add(name, 0, "space", found)
    base = CHUNK if CHUNK in sizes else sizes[-1]
    return [
        _figures(results, base),
        _ratios(results, base),
        _update_by_size(results, sizes),
        _growth(results, sizes),
    ]


def _run_store(results: Results, settings: Settings, name: str, count: int) -> None:
    """Fill a store once and run all cases on it."""
    with scratch() as directory:
        given: dict[str, Any] = {"peer": name, "directory": directory, "count": count}
        results.add(name, count, "fill", fresh("peers", "fill", settings, **given))
        for case in ("open_one", "open_all", "reads_and_puts", "updates"):
            results.add(name, count, case, fresh("peers", case, settings, **given))


# --- cases, each in a process of its own


def fill(peer: str, directory: str, count: int) -> Found:
    """Store documents in as few calls as fit; returns seconds and memory."""
    store = PEERS[peer](directory)
    seconds = above = 0.0
    for data in _chunks(count):
        before = peak_mb()
        with Watch() as watch:
            store.fill(data)
        seconds += watch.seconds
        above = max(above, peak_mb() - before)
    store.close()
    return {"seconds": seconds, "above_mb": above, "disk": disk_bytes(directory)}


def open_one(peer: str, directory: str, count: int) -> Found:
    """Open and read one document."""
    return _opened(peer, directory, lambda store: store.read(_key(count // 2)))


def open_all(peer: str, directory: str, count: int) -> Found:
    """Open and read all documents as Python values."""

    def look(store: Peer) -> None:
        assert len(list(store.read_all())) == count

    return _opened(peer, directory, look)


def _opened(peer: str, directory: str, look: Callable[[Peer], Any]) -> Found:
    with scratch() as empty:  # for the imports; what was just written is in the page cache
        PEERS[peer](empty).close()
    before = peak_mb()
    with Watch() as watch:
        store = PEERS[peer](directory)
        look(store)
    found = {"seconds": watch.seconds, "peak_mb": peak_mb(), "above_mb": peak_mb() - before}
    store.close()
    return found


def reads_and_puts(peer: str, directory: str, count: int) -> Found:
    """Read documents that were read before, and replace some without waiting."""
    store = PEERS[peer](directory)
    rng = random.Random(count)
    keys = [_key(rng.randrange(count)) for _ in range(READS)]
    reads = _timed(lambda key: store.read(key), [keys, keys])
    puts = [(_key(n), document(n, 1)) for n in rng.sample(range(count), min(count, READS // 4))]
    put = _timed(lambda item: store.put(*item), [puts])
    store.close()
    return {"read_us": reads, "put_us": put}


def _timed(work: Callable[[Any], Any], passes: list[list[Any]]) -> float:
    """Return the microseconds of one call, from the last pass; cut short after some seconds."""
    blocks: list[float] = []
    for items in passes:
        blocks = []
        with Watch() as whole:
            for at in range(0, len(items), 50):
                block = items[at : at + (50 if blocks and blocks[-1] < 1e3 else 1)]
                with Watch() as watch:
                    for item in block:
                        work(item)
                blocks.append(watch.us / len(block))
                whole.__exit__()
                if whole.seconds > SECONDS_MAX:
                    break
    return median(blocks)


def updates(peer: str, directory: str, count: int) -> Found:
    """Replace documents durably, beside an append + fdatasync of as many bytes; they take turns."""
    store = PEERS[peer](directory)
    rng = random.Random(count)
    line = b"x" * (DOCUMENT_BYTES + 100) + b"\n"
    fd = os.open(os.path.join(directory, "raw"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ours: list[float] = []
    raw: list[float] = []
    for number in range(UPDATES):
        which = rng.randrange(count)
        value = document(which, number + 2)
        with Watch() as watch:
            os.write(fd, line)
            os.fdatasync(fd)
        raw.append(watch.us)
        with Watch() as watch:
            store.update(_key(which), value)
        ours.append(watch.us)
        if sum(ours) > SECONDS_MAX * 1e6 and number > 5:
            break
    os.close(fd)
    store.close()
    ours, raw = ours[5:], raw[5:]
    return {
        "us": median(ours),
        "x_append": median(ours) / median(raw),
        "slow_x_append": percentile(ours, 0.99) / median(raw),
    }


def space(peer: str, count: int) -> Found:
    """Replace all documents ten times, in durable batches; returns disk use and bytes written."""
    with scratch() as directory:
        store = PEERS[peer](directory)
        store.fill({_key(n): document(n) for n in range(count)})
        before, largest = written_bytes(), 0
        for revision in range(1, ROUNDS + 1):
            for start in range(0, count, ROUND_BATCH):
                some = range(start, min(start + ROUND_BATCH, count))
                store.overwrite({_key(n): document(n, revision) for n in some})
                largest = max(largest, disk_bytes(directory))
        written = written_bytes() - before
        store.close()
        payload = count * DOCUMENT_BYTES
        return {
            "largest": largest / payload,
            "at_end": disk_bytes(directory) / payload,
            "written": written / (payload * ROUNDS),
        }


def _key(number: int) -> str:
    return f"{number:07d}"


def _chunks(count: int) -> Iterator[dict[str, Any]]:
    for start in range(0, count, CHUNK):
        yield {_key(n): document(n) for n in range(start, min(start + CHUNK, count))}


def disk_bytes(directory: str) -> int:
    """Return what the files under a directory take on the disk."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                found = os.stat(os.path.join(folder, name))
            except FileNotFoundError:  # by the store's own thread, just now
                continue
            total += found.st_size
    return total


def written_bytes() -> int:
    """Return the bytes that this process has given to write calls; mapped writes are not in it."""
    with open("/proc/self/io", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("wchar")).split()[1])


# --- tables

COLUMNS: Mapping[str, tuple[str, str, float]] = {
    "in at once, s": ("fill", "seconds", 1),
    "update, x append": ("updates", "x_append", 1),
    "99 %": ("updates", "slow_x_append", 1),
    "put, us": ("reads_and_puts", "put_us", 1),
    "read, us": ("reads_and_puts", "read_us", 1),
    "open + 1, ms": ("open_one", "seconds", 1000),
    "open + all, ms": ("open_all", "seconds", 1000),
    "peak, MB": ("open_all", "peak_mb", 1),
}


def _figures(results: Results, base: int) -> Report:
    names = [*COLUMNS, "disk, x", "largest", "written"]
    report = Report(f"peers: {base:,} documents of {DOCUMENT_BYTES} bytes", ["", *names])
    for peer in _present(results, base):
        row: list[Any] = [peer]
        for case, key, scale in COLUMNS.values():
            value = results.median(peer, base, case, key)
            row.append("" if value is None else value * scale)
        disk = results.median(peer, base, "fill", "disk")
        row.append("" if disk is None else disk / base / DOCUMENT_BYTES)
        for key in ("largest", "written"):
            value = results.median(peer, 0, "space", key)
            row.append("" if value is None else value)
        report.rows.append(row)
    report.notes += [f"{name}: {peer.note}" for name, peer in PEERS.items() if peer.note]
    report.notes.append(
        "disk: beside the payload, after filling and closing; largest and written: while all are "
        f"overwritten {ROUNDS} times in durable batches of {ROUND_BATCH:,}"
    )
    return report


def _ratios(results: Results, base: int) -> Report:
    title = f"Grebe as a multiple of each, {base:,} documents: above 1 it loses"
    report = Report(title, ["", *COLUMNS])
    for peer in _present(results, base)[1:]:
        row: list[Any] = [peer]
        for case, key, _ in COLUMNS.values():
            ratio = results.ratio(peer, base, case, key)
            row.append("" if ratio is None else ratio)
        report.rows.append(row)
    wanted = [
        ("update / append + fdatasync", results.median("grebe", base, "updates", "x_append"), 1.2),
        ("update / SQLite", results.ratio("sqlite", base, "updates", "x_append"), 0.7),
        ("in at once / SQLite", results.ratio("sqlite", base, "fill", "seconds"), 0.5),
        ("in at once / rocksdict", results.ratio("rocksdict", base, "fill", "seconds"), 1.5),
        ("open and read one / SQLite reading all", _open_one(results, base), 0.25),
        ("open and read all / SQLite", results.ratio("sqlite", base, "open_all", "seconds"), 1.0),
        ("its peak memory / SQLite", results.ratio("sqlite", base, "open_all", "peak_mb"), 1.2),
        ("read / LMDB", results.ratio("lmdb", base, "reads_and_puts", "read_us"), 0.5),
        ("put, us", results.median("grebe", base, "reads_and_puts", "put_us"), 3.0),
        ("largest disk use / payload", results.median("grebe", 0, "space", "largest"), 2.5),
    ]
    report.bars += [Bar(what, value, limit) for what, value, limit in wanted if value is not None]
    return report


def _open_one(results: Results, base: int) -> float | None:
    ours = results.median("grebe", base, "open_one", "seconds")
    theirs = results.median("sqlite", base, "open_all", "seconds")
    return None if ours is None or theirs is None else ours / theirs


def _update_by_size(results: Results, sizes: list[int]) -> Report:
    report = Report(
        "durable update, as a multiple of append + fdatasync, by documents in the store",
        ["", *(f"{size:,}" for size in sizes)],
    )
    for peer in PEERS:
        row = [results.median(peer, size, "updates", "x_append") for size in sizes]
        report.rows.append([peer, *("" if value is None else value for value in row)])
    return report


def _growth(results: Results, sizes: list[int]) -> Report:
    title = f"growth with the number of documents, {sizes[0]:,} to {sizes[-1]:,}: exponents"
    names = ["in at once", "update", "put", "read", "open + one", "open + all"]
    keys = [
        ("fill", "seconds"),
        ("updates", "x_append"),
        ("reads_and_puts", "put_us"),
        ("reads_and_puts", "read_us"),
        ("open_one", "seconds"),
        ("open_all", "seconds"),
    ]
    report = Report(title, ["", *names])
    for peer in _present(results, sizes[0]):
        row = [results.exponent(peer, case, key, sizes) for case, key in keys]
        report.rows.append([peer, *("" if value is None else value for value in row)])
    ours = dict(zip(names, report.rows[0][1:], strict=True))
    limits = {"update": FLAT_MAX} | dict.fromkeys(["in at once", "open + all"], LINEAR_MAX)
    for name, limit in limits.items():
        if ours[name] != "":
            report.bars.append(Bar(f"exponent of {name}", ours[name], limit))
    report.notes.append("reads and puts grow with the caches of the processor, for a dict too")
    return report


def _present(results: Results, count: int) -> list[str]:
    there = {peer for peer, size, _ in results.runs if size == count}
    return list(itertools.compress(PEERS, [peer in there for peer in PEERS]))
