"""Opening a store of 100,000 documents and reading one: Grebe against orjson on the same bytes."""

from __future__ import annotations

import json
import os
from typing import Any

import measure
from measure import Bar, Report, Settings, Watch, documents, fresh, median, peak_mb, scratch

COLLECTION = "users"


def run(settings: Settings) -> Report:
    """Make the store once, then read it in new processes, the cases in turn."""
    count, runs = settings.pick(100_000, 20_000), settings.pick(9, 3)
    cases = ["grebe_store", "orjson_file", "orjson_file_without_gc", "json_file"]
    cases = cases[:1] if settings.profile else cases
    found: dict[str, list[Any]] = {case: [] for case in cases}
    with scratch() as directory:
        store = os.path.join(directory, "store")
        fresh("opening", "make", Settings(settings.quick), directory=store, count=count)
        size = os.path.getsize(_file(store))
        for _ in range(1 if settings.profile else runs):
            for case in cases:
                found[case].append(fresh("opening", case, settings, directory=store, count=count))
    report = Report(
        f"opening: a partition of {count:,} documents ({size / 1e6:.1f} MB, in the page cache), "
        f"and one document read; median of {runs} fresh processes",
        ["", "seconds", "fastest", "peak MB", "above import MB"],
    )
    for case, results in found.items():
        report.rows.append(
            [
                case,
                median([r["seconds"] for r in results]),
                min(r["seconds"] for r in results),
                median([r["peak"] for r in results]),
                median([r["peak"] - r["peak_before"] for r in results]),
            ]
        )
    if not settings.profile:
        for what, key in [("seconds", "seconds"), ("peak memory", "peak")]:
            pairs = zip(found["grebe_store"], found["orjson_file"], strict=True)
            ratio = median([ours[key] / theirs[key] for ours, theirs in pairs])
            report.bars.append(Bar(f"Grebe / orjson, {what}, run by run", ratio, 1.0))
    return report


def make(directory: str, count: int) -> None:
    """Write the store."""
    import grebe

    with grebe.open(directory, partition=COLLECTION) as store:
        store.collection(COLLECTION).create_many(documents(count))


def grebe_store(directory: str, count: int) -> dict[str, float]:
    """Open, look at one document."""
    import grebe

    before = peak_mb()
    with Watch() as watch:
        store = grebe.open(directory)
        snapshot = store.doc(_wanted(count)).get()
        assert snapshot is not None
        data = snapshot.data
    peak = peak_mb()
    assert data == measure.document(count // 2)
    store.close()
    return {"seconds": watch.seconds, "peak_before": before, "peak": peak}


def orjson_file(directory: str, count: int) -> dict[str, float]:
    """The bytes of the file through orjson."""
    import orjson

    return _parsed(orjson.loads, directory, count)


def orjson_file_without_gc(directory: str, count: int) -> dict[str, float]:
    """The same, with the garbage collector off."""
    import gc

    gc.disable()
    return orjson_file(directory, count)


def json_file(directory: str, count: int) -> dict[str, float]:
    """The same with the standard library."""
    return _parsed(json.loads, directory, count)


def _parsed(loads: Any, directory: str, count: int) -> dict[str, float]:
    before = peak_mb()
    with Watch() as watch, open(_file(directory), "rb") as file:
        data = loads(file.read())["documents"][_wanted(count)]
    peak = peak_mb()
    assert data == measure.document(count // 2)
    return {"seconds": watch.seconds, "peak_before": before, "peak": peak}


def _file(directory: str) -> str:
    return os.path.join(directory, f"{COLLECTION}.json")


def _wanted(count: int) -> str:
    return f"{COLLECTION}/{count // 2:06d}"
