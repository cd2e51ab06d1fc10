"""Live values of aggregates: kept by adding and taking away what single documents contribute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from grebe.core.entry import Entry
from grebe.documents.aggregates import Aggregate, Contribution, Totals, contribution_of
from grebe.documents.query import key_of, name_of
from grebe.reactive.change import LOUD
from grebe.reactive.live import Deliver, LiveEngine, LiveResult, Marks
from grebe.reactive.live_query import LiveQuery, Member
from grebe.reactive.observer import Observer, log


class LiveAggregate(LiveResult):
    """The live value of an aggregate, shared by the observers of equal ones."""

    __slots__ = ("_contribution", "_contributions", "_early", "_live", "_totals", "aggregate")

    def __init__(self, engine: LiveEngine, aggregate: Aggregate[Any]) -> None:
        query = aggregate.query
        name = f"aggregate of {name_of(query)}"
        super().__init__(engine, query, key_of_aggregate(aggregate), name)
        self.aggregate = aggregate
        self._live = LiveQuery(engine, query, keeps_rows=False)
        self._contribution = contribution_of(aggregate)
        self._contributions: dict[str, tuple[Contribution, int]] = {}
        self._early: set[str] = set()
        """Documents that were looked at, but whose announcement is still to come."""
        self._totals = Totals(aggregate)
        for document_id, member in self._live.members():
            self._add(document_id, member)

    def value(self) -> dict[Any, Any]:
        """Return the aggregated value now."""
        with self._engine.guard():
            self._engine.catch_up(self)
            return self._totals.value()

    def attach(self) -> Observer[Any, Any]:
        """Return a new observer, who was told what is there now. The lock is held."""
        observer: Observer[Any, Any] = Observer(self, has_changes=False)
        observer.told = self.value()
        self.observers.append(observer)
        return observer

    def apply(self, ids: Iterable[str], documents: Mapping[str, Entry]) -> None:
        """Look at documents again. O(ids log documents). The lock is held."""
        ids = list(ids)
        self._early.update(ids)
        self._live.apply(ids, documents)
        for document_id, member in self._live.take_differences():
            told = self._contributions.pop(document_id, None)
            if told is not None:
                self._totals.remove(*told)
            if member is not None:
                try:
                    self._add(document_id, member)
                except Exception:
                    path = member[1].path
                    log.exception("%s failed on %s, which is left out", self.name, path)
        self._hold(ids)

    def _hold(self, ids: Iterable[str]) -> None:
        if self.route is not None:
            for document_id in ids:
                self.route.hold(document_id, self)

    def _add(self, document_id: str, member: Member) -> None:
        contribution = self._contribution(member[1])
        order = member[2].order
        self._totals.add(contribution, order)
        self._contributions[document_id] = contribution, order

    def held(self) -> Iterable[str]:
        """Return the documents whose changes concern this value, whatever their data."""
        return {*self._live.held(), *self._early}

    def holds(self, document_id: str) -> bool:
        """Tell whether changes of a document concern this value, whatever its data."""
        return document_id in self._early or self._live.holds(document_id)

    def collect(self, marks: Marks, documents: Mapping[str, Entry], deliver: Deliver) -> None:
        """Have the observers told the value, if it is another."""
        self.apply(marks, documents)
        self.seen = self._engine.sequence
        loud = [document_id for document_id, mark in marks.items() if mark & LOUD]
        if not loud:
            return
        self._early.difference_update(loud)
        self._hold(loud)
        value = self._totals.value()
        for observer in self.observers:
            if observer.told is not value and observer.told != value:
                observer.told = value
                deliver((observer, None))

    def check(self) -> None:
        """Raise AssertionError if the kept value differs from one computed anew."""
        assert self.value() == self.aggregate.get(), f"{self.name} is out of date"


def key_of_aggregate(aggregate: Aggregate[Any]) -> Any:
    """Return what two aggregates share if one maintained value serves both."""
    parts: Any = tuple(aggregate.parts.items())
    try:
        hash(parts)
    except TypeError:  # a function that is an instance with __eq__
        parts = tuple((name, *part[:2], id(part.fn)) for name, part in parts)
    return (key_of(aggregate.query), parts, aggregate.by)
