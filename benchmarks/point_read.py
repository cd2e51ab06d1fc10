"""Reading one of 100,000 documents by id, beside a dict."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

import grebe
from measure import Report, Settings, Watch, documents, encode, fresh, median

READS = 2_000
"""Reads in a block; the cases take turns block by block."""


def run(settings: Settings) -> Report:
    """Measure in some processes."""
    count, runs = settings.pick(100_000, 20_000), settings.pick(5, 2)
    found = [
        fresh("point_read", "read", settings, count=count, blocks=settings.pick(60, 20))
        for _ in range(1 if settings.profile else runs)
    ]
    report = Report(
        f"point read: one of {count:,} documents, microseconds; median of {runs} processes",
        ["", "microseconds", "x dict"],
    )
    for name in found[0]:
        report.rows.append(
            [name, median([f[name] for f in found]), median([f[name] / f["dict"] for f in found])]
        )
    return report


def read(count: int, blocks: int) -> Mapping[str, float]:
    """Return the median time of a read for each case."""
    data = documents(count)
    store = grebe.open()
    users = store.collection("users")
    users.create_many(data)
    plain = {f"users/{key}": value for key, value in data.items()}
    encoded = {path: encode(value) for path, value in plain.items()}
    decode = msgspec.json.Decoder().decode
    cases: dict[str, Callable[[str], Any]] = {
        "dict": lambda key: plain["users/" + key]["age"],
        "dict of bytes, decoded": lambda key: decode(encoded["users/" + key])["age"],
        "store.doc(path).get().data": lambda key: store.doc("users/" + key).get().data["age"],
        "users.doc(id).get().data": lambda key: users.doc(key).get().data["age"],
    }
    keys = list(data)
    random.Random(2).shuffle(keys)
    first = keys[: count // 2]
    times: dict[str, list[float]] = {name: [] for name in cases}
    times["users.doc(id).get().data, first look"] = []
    fresh_keys = iter(keys[count // 2 :])
    rng = random.Random(3)
    for key in first:
        users.doc(key).get().data  # noqa: B018 - decoded now, and kept
    for _ in range(blocks):
        for name, case in cases.items():
            times[name].append(_block(case, rng.choices(first, k=READS)))
        unread = [key for _, key in zip(range(READS // 10), fresh_keys, strict=False)]
        if unread:
            times["users.doc(id).get().data, first look"].append(
                _block(cases["users.doc(id).get().data"], unread)
            )
    return {name: median(found) for name, found in times.items()}


def _block(case: Callable[[str], Any], keys: list[str]) -> float:
    with Watch() as watch:
        for key in keys:
            case(key)
    return watch.us / len(keys)
