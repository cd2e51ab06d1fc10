"""The demo's live query: writes, and what an observer of some of the documents hears of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grebe
from grebe.cli.console import make_table

if TYPE_CHECKING:
    from rich.console import Console

Step = tuple[str, Callable[[], object], tuple[str, ...]]
"""What is written, the write, and the events that it should cause."""


def is_constructed(language: grebe.Snapshot[Any]) -> bool:
    """Tell whether somebody invented this language, as Esperanto or Klingon."""
    return bool(language.data["type"] == "C")


def watch(console: Console, store: grebe.Store) -> list[str]:
    """Observe the constructed languages while writing; return what went wrong.

    The languages are as before in the end.
    """
    languages = store.collection("languages")
    heard: list[list[grebe.Change[Any]]] = []
    problems = []
    table = make_table("write", "heard", "after", "result", numbers=("after", "result"))
    query = languages.where(is_constructed)
    with query.observe() as live, live.subscribe_changes(heard.append):
        console.print(f"languages.where(is_constructed).observe(): {len(live.get())} documents")
        for text, write, expected in _steps(store, languages):
            heard.clear()
            start = time.perf_counter()
            write()
            micros = (time.perf_counter() - start) * 1_000_000
            changes = [change for together in heard for change in together]
            events = "\n".join(f"{change.event.name} {change.id}" for change in changes)
            table.add_row(text, events or "nothing", f"{micros:.0f} µs", f"{len(live.get())}")
            if tuple(change.event.name for change in changes) != expected or len(heard) > 1:
                problems.append(f"live query: {text}: heard {events or 'nothing'}")
    console.print(table)
    return problems


def _steps(store: grebe.Store, languages: grebe.Collection[Any]) -> list[Step]:
    diver, loon, french = languages.doc("qdi"), languages.doc("qlo"), languages.doc("fra")
    invented = {"scope": "I", "type": "C"}
    before = french.get()
    assert before is not None

    def two_at_once() -> None:
        with store.transaction() as tx:
            tx.update(diver, name="Great Crested Diverish")
            tx.create(loon, {"alpha_3": "qlo", "name": "Loonish", **invented})

    def both_away() -> None:
        with store.batch():
            diver.delete()
            loon.delete()

    return [
        (
            "create qdi, constructed",
            lambda: diver.create({"alpha_3": "qdi", "name": "Diverish", **invented}),
            ("ADDED",),
        ),
        ("update fra, grown over time", lambda: french.update(note="c'est la vie"), ()),
        ("one transaction: update qdi, create qlo", two_at_once, ("MODIFIED", "ADDED")),
        ("qdi is found to be living", lambda: diver.update(type="L"), ("REMOVED",)),
        ("one batch: delete qdi and qlo", both_away, ("REMOVED",)),
        ("fra as it was", lambda: french.set(before.data), ()),
    ]
