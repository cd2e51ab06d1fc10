"""What costs what changed must not come to cost what is stored; what is linear must stay so.

Counted, never timed: see counting.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grebe
from grebe import agg, field
from grebe.documents.aggregates import Aggregate
from grebe.persistors.file.persistor import FilePersistor
from tests.performance.counting import Cost, CountingFileSystem, cost_of, exponent

SIZES = (100, 1_000, 10_000)
FLAT_MAX = 0.05
"""Exponent of what must not grow; a step for each doubling of a table is below it."""
LINEAR_MAX = 1.05
SEARCHED_MAX = 0.1
"""Exponent of what searches sorted rows: in one chunk of them, or first for the chunk."""
MEMORY_FLAT_BYTES = 20_000
"""A list of the ten thousand documents takes 80,000."""

numbers = itertools.count(1)


def document(number: int, revision: int = 0) -> dict[str, Any]:
    return {"n": number, "group": number % 10, "revision": revision, "text": "x" * 150}


class Filled:
    """A store that holds some documents."""

    def __init__(self, store: grebe.Store, size: int) -> None:
        self.store = store
        self.size = size
        self.users = store.collection("users", indexes=["n"])
        self.users.create_many({f"{number}": document(number) for number in range(size)})
        self.doc = self.users.doc(f"{size // 2}")

    def set(self) -> None:
        self.doc.set(document(self.size // 2, next(numbers) % 90 + 10))

    def create_and_delete(self) -> None:
        self.users.doc("new").create(document(1))
        self.users.doc("new").delete()

    def transfer(self) -> None:
        with self.store.transaction() as tx:
            for doc in (self.doc, self.users.doc("7")):
                tx.update(doc, revision=next(numbers) % 90 + 10)


def a_value(live: Filled) -> Callable[[], Any]:
    """Observe a query of a tenth of the documents, and read its value after each write."""
    observer = live.users.where(field("group") == live.size // 2 % 10).observe()

    def write_and_look() -> None:
        live.set()
        len(observer.get())

    return write_and_look


def heard(query: Any) -> None:
    """Observe a query or aggregate, as somebody does who looks at what is told."""
    observer = query.observe()
    if isinstance(query, Aggregate):
        observer.subscribe(lambda value: value)
    else:
        observer.subscribe_changes(lambda changes: [change.index for change in changes])


def to_and_fro(live: Filled, query: Any, places: tuple[float, float]) -> Callable[[], Any]:
    """Have a document go from one place in the order to another and back, under a live query."""
    heard(query)

    def move() -> None:
        for place in places:
            live.doc.update(n=place)

    return move


def to_the_front(live: Filled) -> Callable[[], Any]:
    return to_and_fro(live, live.users.order_by("n"), (-1, live.size // 2))


def whole_value(live: Filled) -> Callable[[], Any]:
    """Look at the first rows of the new value after each move, and keep the old ones."""
    observer = live.users.order_by("n").observe()
    kept = []

    def move_and_look() -> None:
        for place in (-1, live.size // 2):
            live.doc.update(n=place)
            kept.append(observer.get())
            assert len(kept[-1][:10]) == 10

    return move_and_look


def entering(live: Filled) -> Callable[[], Any]:
    return to_and_fro(live, live.users.where(field("n") < 5).order_by("n"), (-1, live.size))


def top_ten(live: Filled) -> Callable[[], Any]:
    """The row that is pushed out, and pulled in again, is found without a look at the others."""
    return to_and_fro(live, live.users.order_by("n").limit(10), (-1, live.size // 2))


def behind_an_offset(live: Filled) -> Callable[[], Any]:
    query = live.users.order_by("n").offset(live.size // 4).limit(10)
    return to_and_fro(live, query, (-1, live.size // 2))


def totals(live: Filled) -> Callable[[], Any]:
    parts = {"n": agg.count(), "sum": agg.sum("n"), "avg": agg.avg("n")}
    heard(live.users.group_by("group").aggregate(**parts))
    return to_and_fro(live, live.users.aggregate(**parts), (-1, live.size // 2))


def least(live: Filled) -> Callable[[], Any]:
    query = live.users.aggregate(min=agg.min("n"), max=agg.max("n"))
    return to_and_fro(live, query, (-1, live.size // 2))


def beside_others(live: Filled) -> Callable[[], Any]:
    """Live queries of the same collection for each tenth document."""
    for number in range(0, live.size, 10):
        live.users.where(field("n") == number, field("group") >= 0).observe()
    return to_and_fro(live, live.users.where(field("n") == -1), (-1, live.size // 2))


def dependents(live: Filled) -> Callable[[], Any]:
    """A document on which ten others depend, among all those that depend on none."""
    posts = live.store.collection("posts", depends_on=lambda post: [live.doc][: post.data["by"]])
    posts.create_many({f"{n}": {"by": int(n < 10), "n": -n} for n in range(live.size)})
    heard(posts.order_by("n"))
    return live.set


def indexed(live: Filled) -> Callable[[], Any]:
    """Write the indexed field, and ask for a range, a prefix of the order and some values."""
    few = live.users.where(field("n") >= 5, field("n") < 10)
    some = live.users.where(field("n").in_([1, 2, 3]), field("group") == 2)
    last = live.users.order_by("n", desc=True).limit(3)

    def write_and_ask() -> None:
        for place in (7.5, live.size // 2):
            live.doc.update(n=place)
            assert (len(few.get()), len(some.get()), len(last.get())) == (5 + (place == 7.5), 1, 3)
            assert few.explain().examined == few.count()

    return write_and_ask


FLAT: dict[str, Callable[[Filled], Callable[[], Any]]] = {
    "read": lambda live: lambda: live.doc.get().data["n"],  # type: ignore[union-attr]
    "set": lambda live: live.set,
    "update": lambda live: lambda: live.doc.update(revision=next(numbers) % 90 + 10),
    "set of equal data": lambda live: lambda: live.doc.set(live.doc.get().data),  # type: ignore[union-attr]
    "create and delete": lambda live: live.create_and_delete,
    "transaction": lambda live: live.transfer,
    "len": lambda live: lambda: len(live.users),
    "found by an index": lambda live: lambda: live.users.where(field("n") == 5).get(),
    "set while a query is observed": a_value,
    "written and asked for by an index": indexed,
    "into and out of a filtered live query": entering,
    "in live totals and groups": totals,
    "in live min and max": least,
    "beside live queries of others": beside_others,
    "of which ten others depend": dependents,
}
SEARCHED: dict[str, Callable[[Filled], Callable[[], Any]]] = {
    "moved in an ordered live query": to_the_front,
    "moved in the whole value": whole_value,
    "into and out of the first ten": top_ten,
    "across an offset": behind_an_offset,
}


def growth(make: Callable[[Filled], Callable[[], Any]]) -> dict[int, Cost]:
    costs = {}
    for size in SIZES:
        with grebe.open() as store:
            costs[size] = cost_of(make(Filled(store, size)))
    return costs


def assert_flat(what: str, costs: dict[int, Cost], exponent_max: float = FLAT_MAX) -> None:
    found = exponent({size: cost.steps for size, cost in costs.items()})
    assert found <= exponent_max, f"{what}: instructions grow with exponent {found:.2f}: {costs}"
    more = costs[SIZES[-1]].memory - costs[SIZES[0]].memory
    assert more <= MEMORY_FLAT_BYTES, f"{what}: takes {more} bytes more: {costs}"


def assert_linear(what: str, costs: dict[int, Cost]) -> None:
    for unit in ("steps", "memory", "written"):
        found = exponent({size: getattr(cost, unit) for size, cost in costs.items()})
        assert found <= LINEAR_MAX, f"{what}: {unit} grow with exponent {found:.2f}: {costs}"


@pytest.mark.slow
@pytest.mark.parametrize("what", FLAT)
def test_costs_what_changed(what: str):
    """Reads, writes and what observers are told do not depend on how much is stored."""
    assert_flat(what, growth(FLAT[what]))


@pytest.mark.slow
@pytest.mark.parametrize("what", SEARCHED)
def test_costs_a_search(what: str):
    """A place in an ordered result is found without looking at the other rows."""
    assert_flat(what, growth(SEARCHED[what]), SEARCHED_MAX)


@pytest.mark.slow
def test_idle_observers_cost_nothing():
    """A write is told to who watches it; the others are not looked at."""
    costs = {}
    for size in SIZES:
        with grebe.open() as store:
            live = Filled(store, 10)
            live.doc.observe().subscribe(lambda _: None)
            for number in range(size):
                store.collection(f"other{number % 100}").doc(f"{number}").observe()
            costs[size] = cost_of(live.set)
            live.users.observe().subscribe(lambda _: None)
    assert_flat("set beside idle observers", costs)


@pytest.mark.slow
def test_a_durable_update_costs_what_changed(tmp_path: Path):
    """One sync, one record, and no more work in a large store than in a small one."""
    costs = {}
    for size in SIZES:
        fs = CountingFileSystem()
        persistor = FilePersistor(tmp_path / f"{size}", file_system=fs, checkpoint_bytes=1 << 40)
        with grebe.open(persistor, commit_interval=3600) as store:
            live = Filled(store, size)
            store.checkpoint()

            def update(live: Filled = live, store: grebe.Store = store) -> None:
                live.set()
                store.commit()

            costs[size] = cost_of(update, fs)
    assert_flat("durable update", costs)
    assert {cost.syncs for cost in costs.values()} == {1}
    least, most = (edge(cost.written for cost in costs.values()) for edge in (min, max))
    assert most - least <= 8, f"the record is longer in a larger store: {costs}"


@pytest.mark.slow
def test_bulk_opening_and_checkpoint_are_linear(tmp_path: Path):
    """Ten times as many documents cost ten times as much to store, to fold and to open."""
    bulk, folded, opened = {}, {}, {}
    for size in SIZES:
        fs = CountingFileSystem()
        directory = tmp_path / f"{size}"
        data = {f"{number}": document(number) for number in range(size)}
        # No checkpoint by itself, on its own thread, at a moment of its own.
        persistor = FilePersistor(directory, file_system=fs, checkpoint_bytes=1 << 40)
        store = grebe.open(persistor, commit_interval=3600)

        def fill(store: grebe.Store = store, data: Any = data) -> None:
            store.collection(f"c{next(numbers)}").create_many(data)
            store.commit()

        bulk[size] = cost_of(fill, fs, warm_ups=0)
        folded[size] = cost_of(store.checkpoint, fs, warm_ups=0)
        store.close()
        opened[size] = cost_of(lambda d=directory: grebe.open(d).close(), warm_ups=1)
    for what, costs in [("bulk", bulk), ("checkpoint", folded), ("opening", opened)]:
        assert_linear(what, costs)


def test_growth_is_noticed():
    """The check can fail: a scan in Python, a copy by a single call, an order made anew."""

    def scan(live: Filled) -> Callable[[], Any]:
        documents = live.store._engine.tree.collections["users"].documents
        return lambda: any(entry is None for entry in documents.values())

    def copy(live: Filled) -> Callable[[], Any]:
        documents = live.store._engine.tree.collections["users"].documents
        return lambda: len(list(documents))

    def sort_again(live: Filled) -> Callable[[], Any]:
        live.users.observe().subscribe(lambda _: live.users.order_by("revision").first())
        return live.set

    for make in (scan, copy, sort_again):
        with pytest.raises(AssertionError, match=r"takes|grow"):
            assert_flat(make.__name__, growth(make), SEARCHED_MAX)
