"""What a document takes in memory: loaded, looked at, and written, beside a dict of dicts."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import grebe
from measure import DOCUMENT_BYTES, Report, Settings, documents, fresh, scratch

CASES = ("dict_", "loaded", "looked_at", "created", "one_by_one")


def run(settings: Settings) -> Report:
    """Measure each case in a process of its own."""
    count = settings.pick(100_000, 20_000)
    report = Report(
        f"memory: resident bytes a document, {count:,} documents of {DOCUMENT_BYTES} bytes",
        ["", "bytes", "x payload"],
    )
    with scratch() as directory:
        store = os.path.join(directory, "store")
        fresh("memory", "make", settings, directory=store, count=count)
        for case in CASES:
            found = fresh("memory", case, settings, directory=store, count=count)
            report.rows.append([case, found, found / DOCUMENT_BYTES])
    report.notes += [
        "dict_: a dict of dicts, parsed with the encoder of Grebe",
        "loaded: opened; looked_at: and all read; created: create_many and a checkpoint",
        "one_by_one: set each and a checkpoint",
    ]
    return report


def make(directory: str, count: int) -> None:
    """Write the store that is opened."""
    with grebe.open(directory) as store:
        store.collection("users").create_many(documents(count))


def dict_(directory: str, count: int) -> float:
    """A dict of dicts, out of the partition file."""

    def work() -> Any:
        text = Path(directory, "__store__.json").read_bytes()
        return msgspec.json.decode(text)["documents"]

    return _grown(work, count)


def loaded(directory: str, count: int) -> float:
    """Opened, nothing read."""
    return _grown(lambda: grebe.open(directory, read_only=False), count)


def looked_at(directory: str, count: int) -> float:
    """Opened and all read."""

    def work() -> Any:
        store = grebe.open(directory)
        for snapshot in store.collection("users"):
            snapshot.data  # noqa: B018 - decoded now, and kept
        return store

    return _grown(work, count)


def created(directory: str, count: int) -> float:
    """Created in bulk, and in the partition file."""
    data = documents(count)

    def work() -> Any:
        store = grebe.open(directory + ".new")
        store.collection("users").create_many(data)
        store.checkpoint()
        return store

    return _grown(work, count)


def one_by_one(directory: str, count: int) -> float:
    """Written one by one, and in the partition file."""
    data = documents(count)

    def work() -> Any:
        store = grebe.open(directory + ".new", commit_interval=3600)
        users = store.collection("users")
        for key, value in data.items():
            users.doc(key).set(value)
        store.checkpoint()
        return store

    return _grown(work, count)


def _grown(work: Callable[[], Any], count: int) -> float:
    """Return by how many bytes a document this process has grown; what is garbage is given back."""
    gc.collect()
    before = _resident_bytes()
    kept = work()
    gc.collect()
    grown = (_resident_bytes() - before) / count
    if isinstance(kept, grebe.Store):
        kept.close()
    return grown


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
