"""What encryption costs: sealing a document, and opening a store of 100,000 encrypted ones.

Times of the same work without encryption are taken in turn with those with it.
"""

from __future__ import annotations

import os
from typing import Any

import measure
from measure import Bar, Report, Settings, Watch, documents, fresh, median, scratch

COLLECTION = "users"
KEY = bytes(range(32))


def run(settings: Settings) -> Report:
    """Measure sealing in one process, opening in new ones."""
    count, runs = settings.pick(100_000, 20_000), settings.pick(7, 3)
    report = Report(
        f"encryption: {count:,} documents of {measure.DOCUMENT_BYTES} bytes; "
        f"median of {runs} fresh processes",
        ["", "plain", "encrypted", "ratio"],
    )
    with scratch() as directory:
        stores = {kind: os.path.join(directory, kind) for kind in ("plain", "encrypted")}
        found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in stores}
        for kind, store in stores.items():
            make = {"directory": store, "count": count, "encrypted": kind == "encrypted"}
            fresh("encryption", "make", Settings(settings.quick), **make)
        for _ in range(1 if settings.profile else runs):
            for kind, store in stores.items():
                opened = fresh("encryption", "open_store", settings, directory=store)
                again = os.path.join(directory, "again")
                made = fresh(
                    "encryption",
                    "commit",
                    settings,
                    directory=again,
                    count=count // 5,
                    encrypted=kind == "encrypted",
                )
                found[kind].append({**opened, **made})
    for what in ("open s", "commit us a document", "checkpoint us a document"):
        plain, encrypted = ([row[what] for row in found[kind]] for kind in stores)
        ratios = [b / a for a, b in zip(plain, encrypted, strict=True)]
        report.rows.append([what, median(plain), median(encrypted), median(ratios)])
        if what == "open s":
            report.bars.append(Bar("opening, encrypted / plain, run by run", median(ratios), 6.0))
    sealed = [fresh("encryption", "seal", settings, count=count // 5) for _ in range(runs)]
    cost = median([row["seal"] for row in sealed])
    report.rows.append(["seal us a document", 0.0, cost, 0.0])
    report.rows.append(["unseal us a document", 0.0, median([r["unseal"] for r in sealed]), 0.0])
    report.bars.append(Bar("sealing, microseconds a document", cost, 12.0))
    extra = found["encrypted"], found["plain"]
    added = median(
        [b["commit us a document"] - a["commit us a document"] for b, a in zip(*extra, strict=True)]
    )
    report.notes.append(f"added to a commit, with base64 and MAC: {added:.1f} us a document")
    return report


def make(directory: str, count: int, encrypted: bool) -> None:
    """Write a store."""
    import grebe

    with grebe.open(directory, partition=COLLECTION, encryption_key=KEY) as store:
        store.collection(COLLECTION, encrypted=encrypted).create_many(documents(count))


def open_store(directory: str) -> dict[str, float]:
    """Open, look at one document."""
    import grebe

    with Watch() as watch:
        store = grebe.open(directory, encryption_key=KEY)
        assert store.doc(f"{COLLECTION}/000100").get() is not None
    store.close()
    return {"open s": watch.seconds}


def commit(directory: str, count: int, encrypted: bool) -> dict[str, float]:
    """Commit documents in batches of 100, then a checkpoint."""
    import shutil

    import grebe

    data = documents(count)
    with grebe.open(
        directory, encryption_key=KEY, commit_interval=3600, checkpoint_bytes=1 << 40
    ) as store:
        users = store.collection(COLLECTION, encrypted=encrypted)
        users.doc("first").set({})
        store.commit()
        keys = list(data)
        with Watch() as committing:
            for start in range(0, count, 100):
                for key in keys[start : start + 100]:
                    users.doc(key).set(data[key])
                store.commit()
        with Watch() as folding:
            store.checkpoint()
    shutil.rmtree(directory)
    return {
        "commit us a document": committing.us / count,
        "checkpoint us a document": folding.us / count,
    }


def seal(count: int) -> dict[str, float]:
    """Seal and unseal documents, without any disk."""
    from grebe.core.operation import RecordGroup
    from grebe.persistence.encryption.envelope import Envelope
    from grebe.persistence.encryption.keys import Secret, make_keys

    envelope = Envelope(make_keys(Secret(KEY), bytes(16)))
    paths = [f"{COLLECTION}/{n:06d}" for n in range(count)]
    values = [measure.encode(document) for document in documents(count).values()]
    with Watch() as sealing:
        put = envelope.seal(paths, values, COLLECTION)
    address = put.paths[0].rpartition("/")[0]
    ids = [path.rpartition("/")[2] for path in put.paths]
    group = RecordGroup(address, ids, put.values, COLLECTION, True)
    with Watch() as unsealing:
        found, refused = envelope.unseal(group)
    assert not refused
    assert len(found[0].ids) == count
    return {"seal": sealing.us / count, "unseal": unsealing.us / count}
