"""Live values of aggregates: kept by adding and taking away what single documents contribute."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from grebe.core.entry import Entry
from grebe.documents.aggregates import Aggregate, Contribution, Totals, contribution_of
from grebe.documents.query import key_of, name_of
from grebe.reactive.change import FLAG_BITS, LOUD, ONE_WRITE
from grebe.reactive.live import LiveEngine, LiveResult, Marks
from grebe.reactive.live_query import LiveQuery
from grebe.reactive.membership import Member, Membership
from grebe.reactive.observer import Observer, log


class LiveAggregate(LiveResult):
    """The live value of an aggregate, shared by the observers of equal ones."""

    __slots__ = (
        "_contribution",
        "_contributions",
        "_early",
        "_look",
        "_totals",
        "_windowed",
        "aggregate",
        "is_pure",
    )

    def __init__(self, engine: LiveEngine, aggregate: Aggregate[Any]) -> None:
        query = aggregate.query
        name = f"aggregate of {name_of(query)}"
        super().__init__(engine, query, key_of_aggregate(aggregate), name)
        self.aggregate = aggregate
        self._windowed = LiveQuery(engine, query) if query.spec.is_windowed else None
        """Who knows which documents a limit or an offset leaves in; None: there is no such."""
        # Without a window the order does not matter.
        membership = Membership(query._with(orders=()), name)
        self._look = membership.looker()
        self.is_pure = membership.is_pure and not any(one.fn for one in aggregate.parts.values())
        self._contribution = contribution_of(aggregate)
        self._contributions: dict[str, tuple[Contribution, Entry]] = {}
        """What each document contributes, and the entry of which that was computed."""
        self._early: set[str] = set()
        """Documents that were looked at, but whose announcement is still to come."""
        self._totals = Totals(aggregate)
        for document_id, member in self._found():
            self._count(document_id, None, member)

    def _found(self) -> list[tuple[str, Member | None]]:
        if self._windowed is not None:
            return list(self._windowed.members())
        documents = self._engine.documents(self.scope)
        by_path = self.scope.startswith("/")
        found: list[tuple[str, Member | None]] = []
        for snapshot in self._engine.matching(self.query):
            document_id = snapshot.path if by_path else snapshot.id
            found.append((document_id, (None, snapshot, documents[document_id])))
        return found

    def value(self) -> dict[Any, Any]:
        """Return the aggregated value now."""
        engine, totals = self._engine, self._totals
        if not engine.marks and not totals.changed:  # no lock is needed to read what stays
            return totals.last  # type: ignore[no-any-return]
        with self._lock:
            engine.catch_up(self)
            return totals.value()

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
        self._apply(ids, documents)
        self._hold(ids)

    def _apply(self, ids: Iterable[str], documents: Mapping[str, Entry]) -> None:
        contributions = self._contributions
        if self._windowed is not None:
            self._windowed.apply(ids, documents)
            for document_id, member in self._windowed.take_differences():
                self._count(document_id, contributions.get(document_id), member)
            return
        for document_id in ids:
            entry = documents.get(document_id)
            told = contributions.get(document_id)
            if told is None or told[1] is not entry or not self.is_pure:
                member = None if entry is None else self._look(document_id, entry)
                self._count(document_id, told, member)

    def _count(
        self, document_id: str, told: tuple[Contribution, Entry] | None, member: Member | None
    ) -> None:
        """Have a document contribute what it is now. One whose function fails is left out."""
        if member is not None:
            _, snapshot, entry = member
            try:
                now = self._contribution(snapshot)
            except Exception:
                if not self.observers:
                    raise  # to who begins to observe, as get() does
                log.exception("%s failed on %s, which is left out", self.name, snapshot.path)
            else:
                number = entry.order
                if told is not None and told[1].order == number:
                    self._totals.replace(told[0], now, number)
                else:
                    if told is not None:
                        self._totals.remove(told[0], told[1].order)
                    self._totals.add(now, number)
                self._contributions[document_id] = now, entry
                return
        if told is not None:
            self._totals.remove(told[0], told[1].order)
            del self._contributions[document_id]

    def _hold(self, ids: Iterable[str]) -> None:
        if self.route is not None:
            for document_id in ids:
                self.route.hold(document_id, self, self.holds(document_id))

    def held(self) -> Iterable[str]:
        """Return the documents whose changes concern this value, whatever their data."""
        inside = self._contributions if self._windowed is None else self._windowed.held()
        return {*inside, *self._early}

    def holds(self, document_id: str) -> bool:
        """Tell whether changes of a document concern this value, whatever its data."""
        if document_id in self._early or document_id in self._contributions:
            return True
        return self._windowed is not None and self._windowed.holds(document_id)

    def collect_one(
        self, document_id: str, number: int, entry: Entry | None, is_met: bool = False
    ) -> None:
        """Do as `collect` for one document that was written once; see LiveQuery."""
        if self._early or self._windowed is not None:
            marks = {document_id: number << FLAG_BITS | ONE_WRITE}
            self.collect(marks, self._engine.documents(self.scope))
            return
        self.seen = number
        told = self._contributions.get(document_id)
        if told is not None and told[1] is entry and self.is_pure:
            return
        member = None if entry is None else self._look(document_id, entry)
        if told is None and member is None:
            return
        before = self._totals.last
        self._count(document_id, told, member)
        if self.route is not None and (told is None or member is None):
            self.route.hold(document_id, self, document_id in self._contributions)
        self._tell(before)

    def collect(self, marks: Marks, documents: Mapping[str, Entry]) -> None:
        """Have the observers told the value, if it is another."""
        before = self._totals.last
        self._apply(marks, documents)
        self.seen = self._engine.sequence
        loud: Collection[str] = marks
        for mark in marks.values():
            if not mark & LOUD:
                loud = {document_id for document_id, mark in marks.items() if mark & LOUD}
                break
        if self._early or len(loud) < len(marks):
            self._early.update(marks)
            self._early.difference_update(loud)
        if self.route is not None:
            self._hold(marks)
        if loud:
            self._tell(before)

    def _tell(self, before: Any) -> None:
        """Have the observers told the value, if it is not what they were told: usually `before`."""
        value = self._totals.value()
        for observer in self.observers:
            # Another object than the last is another value; older ones may be equal again.
            told = observer.told
            if told is not value and (told is before or told != value):
                observer.told = value
                self._deliver((observer, None))

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
