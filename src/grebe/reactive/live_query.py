"""Live results of queries, kept by difference.

`_members` has each document that meets the conditions, `_rows` the same in the query's order; with
a limit or an offset, the result is a window on the rows, and documents outside are no part of it.
What observers were last told is the result itself, save for the documents in `_before`: those that
differ since, because they were written or because another's move pushed them over an edge of the
window, or that were changed silently (broadcast=False), which stay there until they are announced.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from grebe.core.entry import Entry, holds_same
from grebe.documents.query import Query, key_of, name_of
from grebe.documents.snapshot import Snapshot
from grebe.reactive.change import (
    AGAIN,
    FLAG_BITS,
    HYDRATED,
    IS_ADDED,
    IS_HYDRATED,
    IS_MODIFIED,
    IS_REMOVED,
    IS_TOUCHED,
    LOUD,
    ONE_WRITE,
    WRITTEN,
    Change,
    Event,
    event_of,
)
from grebe.reactive.live import LiveEngine, LiveResult, Marks
from grebe.reactive.membership import Look, Member, Membership
from grebe.reactive.observer import Observer
from grebe.reactive.ordered import OrderedRows
from grebe.reactive.positions import Positions
from grebe.reactive.routes import routing_condition

_KEY_OF_MEMBER, _VIEW_OF_MEMBER = operator.itemgetter(0), operator.itemgetter(1)
_POSITION_MAX = 1 << 62

Told = dict[str, Member | None]
"""Documents that differ from what was told, with what that was; None: not in the result."""


class LiveQuery(LiveResult):
    """The live result of a query, shared by the observers of equal queries."""

    __slots__ = (
        "_before",
        "_edges",
        "_limit",
        "_look",
        "_look_routed",
        "_members",
        "_membership",
        "_offset",
        "_quiet",
        "_rows",
        "_window",
        "is_pure",
    )

    def __init__(self, engine: LiveEngine, query: Query[Any]) -> None:
        """Find the documents. O(documents that an index leaves), and sorting."""
        super().__init__(engine, query, key_of(query), name_of(query))
        spec = query.spec
        self._before: Told = {}
        self._quiet: set[str] = set()
        """Documents in `_before` whose last write was silent."""
        self._membership = membership = Membership(query, self.name)
        self.is_pure = membership.is_pure
        # Nearly all of thousands of live queries are never asked, and need no looker.
        self._look: Look = self._first_look
        self._look_routed: Look = self._first_look_routed
        """`_look` for documents that meet the condition of the route."""
        self._offset, self._limit = spec.offset, spec.limit
        self._window = spec.is_windowed
        self._edges: tuple[Any, ...] | None = None
        """See `_find_edges`; None: the rows have moved since."""
        self._members: dict[str, Member] = {}
        self._rows = self._find()

    def _find(self) -> OrderedRows[Snapshot[Any]]:
        documents = self._engine.documents(self.scope)
        members, row_key = self._members, self._membership.row_key
        by_path = self.scope.startswith("/")
        for snapshot in self._engine.matching(self.query):
            document_id = snapshot.path if by_path else snapshot.id
            entry = documents[document_id]
            key = entry.order if row_key is None else row_key(snapshot, entry.order)
            members[document_id] = (key, snapshot, entry)
        ordered = sorted(members.values(), key=_KEY_OF_MEMBER)
        return OrderedRows([m[0] for m in ordered], [m[1] for m in ordered])

    def _first_look(self, document_id: str, entry: Entry) -> Member | None:
        self._look = self._membership.looker()
        return self._look(document_id, entry)

    def _first_look_routed(self, document_id: str, entry: Entry) -> Member | None:
        is_met = self.query.spec.conditions == (routing_condition(self.query),)
        self._look_routed = self._membership.looker(is_met=is_met)
        return self._look_routed(document_id, entry)

    # --- for observers

    def value(self) -> Sequence[Snapshot[Any]]:
        """Return the result now."""
        lock = self._lock
        lock.acquire()  # as Broadcast._collect does
        try:
            if self._engine.marks:
                self._engine.catch_up(self)
            return self._rows.view(self._offset, self._limit)
        finally:
            lock.release()

    def attach(self) -> Observer[Any, Any]:
        """Return a new observer, who was told what is there now. The lock is held."""
        observer: Observer[Any, Any] = Observer(self)
        self._engine.catch_up(self)
        # The others still have to hear of these documents; this one knows their present state.
        told = {document_id: self._visible(document_id) for document_id in self._before}
        observer.told = told or None
        self.observers.append(observer)
        return observer

    def detach(self, observer: Observer[Any, Any]) -> None:
        """See Source."""
        super().detach(observer)
        if not self.observers:  # `_first_look` knows it: a cycle, which would keep all its rows
            self._look = self._look_routed = self._membership.look

    # --- keeping up; the lock is held

    def apply(self, ids: Iterable[str], documents: Mapping[str, Entry]) -> None:
        """Look at documents again and put them in their place. O(ids log rows)."""
        members, before = self._members, self._before
        for document_id in ids:
            was = members.get(document_id)
            entry = documents.get(document_id)
            if was is not None and was[2] is entry and self.is_pure:
                continue
            now = None if entry is None else self._look(document_id, entry)
            if was is None and now is None:
                continue
            if self._window:
                self._move_in_window(document_id, was, now)
            else:
                if document_id not in before:
                    before[document_id] = was
                _move(self._rows, was, now)
            if now is not None:
                members[document_id] = now
            else:
                del members[document_id]
            if self.route is not None:
                self.route.hold(document_id, self, self.holds(document_id))

    def _move_in_window(self, document_id: str, was: Member | None, now: Member | None) -> None:
        """Move a row, and note which others that pushes over the edges of the window."""
        rows = self._rows
        before = self._before
        if document_id not in before:
            before[document_id] = was if was is not None and self._is_inside(was[0]) else None
        if was is not None and now is not None and was[0] == now[0]:
            rows.replace(now[0], now[1])
            return
        self._edges = None
        stop = _POSITION_MAX if self._limit is None else self._offset + self._limit
        if stop == self._offset:  # limit(0)
            _move(rows, was, now)
            return
        if was is not None:
            position = rows.remove(was[0])
            if position < stop:  # those behind it moved up
                self._note(rows.at(stop - 1), entered=True)
                if position < self._offset:
                    self._note(rows.at(self._offset - 1), entered=False)
        if now is not None:
            position = rows.add(now[0], now[1])
            if position < stop:  # those behind it moved down
                self._note(rows.at(stop), entered=False)
                if position < self._offset:
                    self._note(rows.at(self._offset), entered=True)

    def _note(self, row: Snapshot[Any] | None, *, entered: bool) -> None:
        """Note what observers know of a row that was pushed into or out of the window."""
        if row is not None:
            document_id = row.path if self.scope.startswith("/") else row.id
            if document_id not in self._before:
                self._before[document_id] = None if entered else self._members[document_id]

    def _is_inside(self, key: Any) -> bool:
        """Tell whether the row with this key, which is there, is in the window."""
        if self._edges is None:
            self._edges = self._find_edges()
        if not self._edges:
            return False
        first, last = self._edges
        return (first is None or first <= key) and (last is None or key <= last)

    def _find_edges(self) -> tuple[Any, ...]:
        """Return the keys of first and last row of the window, None where it is open; () if empty.

        O(log chunks).
        """
        rows, offset, limit = self._rows, self._offset, self._limit
        if limit == 0 or len(rows) <= offset:
            return ()
        first = rows.key_at(offset) if offset else None
        return first, None if limit is None else rows.key_at(offset + limit - 1)

    def _visible(self, document_id: str) -> Member | None:
        """Return a document's member if it is in the result: in the window, if there is one."""
        member = self._members.get(document_id)
        if member is None or (self._window and not self._is_inside(member[0])):
            return None
        return member

    def members(self) -> Iterator[tuple[str, Member]]:
        """Yield the documents in the result, in no order. O(all that meet the conditions)."""
        for document_id in self._members:
            member = self._visible(document_id)
            if member is not None:
                yield document_id, member

    def take_differences(self) -> list[tuple[str, Member | None]]:
        """Return the documents that came, went or changed since, as they are now; forget that."""
        found = [(document_id, self._visible(document_id)) for document_id in self._before]
        self._before.clear()
        return found

    # --- telling; the lock is held

    def collect_one(
        self, document_id: str, number: int, entry: Entry | None, is_met: bool = False
    ) -> None:
        """Do as `collect` for one document that was written once. O(log rows).

        `number` is that of its mark, `entry` what it is now. `is_met`: it meets the condition by
        which the query is routed.
        """
        if number <= self.seen or self._before or self._window:
            marks = {document_id: number << FLAG_BITS | ONE_WRITE}
            self._collect_again(marks, self._engine.documents(self.scope))
            return
        self.seen = number
        members = self._members
        was = members.get(document_id)
        look = self._look_routed if is_met else self._look
        now = None if entry is None else look(document_id, entry)
        change: Change[Any]
        if now is None:
            if was is None:
                return
            del members[document_id]
            change = Change(IS_REMOVED, was[1], None, self._rows.remove(was[0]), None)
        else:
            members[document_id] = now
            key, view, _ = now
            if was is None:
                change = Change(IS_ADDED, None, view, None, self._rows.add(key, view))
            elif was[0] == key:
                index = self._rows.replace(key, view)
                change = Change(IS_MODIFIED, was[1], view, index, index)
            else:
                change = Change(IS_MODIFIED, was[1], view, *self._rows.move(was[0], key, view))
        if self.route is not None and (was is None or now is None):
            self.route.hold(document_id, self, now is not None)
        changes = [change]
        for observer in self.observers:
            self._deliver((observer, changes))

    def collect(self, marks: Marks, documents: Mapping[str, Entry]) -> None:
        """Have the observers told of the marked documents. O(marks log rows)."""
        values = marks.values()
        if (
            self._before
            or self._window
            or next(iter(values)) >> FLAG_BITS <= self.seen  # the earliest is the first
            or not functools.reduce(operator.and_, values) & LOUD
        ):
            self._collect_again(marks, documents)
            return
        # Loud marks that nobody asked for before: the usual, and the fast way. The rows are what
        # the observers were told, so that positions come with moving a row.
        self.seen = self._engine.sequence
        members, is_pure = self._members, self.is_pure
        changes: list[Change[Any]] = []
        if is_pure and not functools.reduce(operator.or_, values) & WRITTEN:
            changes = self._touched(filter(None, map(members.get, marks)))
            marks = {}
        for document_id, mark in marks.items():
            was = members.get(document_id)
            if mark & WRITTEN or not is_pure:
                entry = documents.get(document_id)
                now = None if entry is None else self._look(document_id, entry)
                if was is not now:
                    change = self._advance(document_id, was, now, mark)
                    if change is not None:
                        changes.append(change)
            elif was is not None:
                changes += self._touched([was])
        if changes:
            for observer in self.observers:
                self._deliver((observer, changes))

    def _touched(self, members: Iterable[Member]) -> list[Change[Any]]:
        """Return the changes of documents that are what they were."""
        members = list(members)
        views = list(map(_VIEW_OF_MEMBER, members))
        places = self._rows.ranks(map(_KEY_OF_MEMBER, members))
        return list(map(Change, itertools.repeat(IS_TOUCHED), views, views, places, places))

    def _collect_again(self, marks: Marks, documents: Mapping[str, Entry]) -> None:
        """Do as `collect` where observers may know some of it, or were not told some earlier."""
        self.apply(marks, documents)  # those seen before once more, which changes nothing
        self.seen = self._engine.sequence
        loud = self._announced(marks)
        if not loud:
            return
        alike = [observer for observer in self.observers if observer.told is None]
        for observer in self.observers if len(alike) < len(self.observers) else ():
            if observer.told is not None:
                self._tell([observer], loud, {**self._before, **observer.told})
                kept = {key: told for key, told in observer.told.items() if key not in loud}
                observer.told = kept or None
        self._tell(alike, loud, self._before)
        for document_id in loud:
            if self._before.pop(document_id, loud) is not loud and self.route is not None:
                self.route.hold(document_id, self, self.holds(document_id))

    def _advance(
        self, document_id: str, was: Member | None, now: Member | None, mark: int
    ) -> Change[Any] | None:
        """Put a document in its place and return the change, if there is one to be told."""
        if was is None or now is None:
            return self._come_or_go(document_id, was, now, mark)
        self._members[document_id] = now
        key, view, entry = now
        if was[0] != key:
            return Change(IS_MODIFIED, was[1], view, *self._rows.move(was[0], key, view))
        position = self._rows.replace(key, view)
        event = IS_MODIFIED
        # A single write that changed nothing would not have been marked.
        if mark & (WRITTEN | AGAIN) != WRITTEN:
            found = event_of(True, True, not holds_same(was[2], entry), mark)
            if found is None:
                return None
            event = found
        return Change(event, was[1], view, position, position)

    def _come_or_go(
        self, document_id: str, was: Member | None, now: Member | None, mark: int
    ) -> Change[Any]:
        members, rows = self._members, self._rows
        if self.route is not None:
            self.route.hold(document_id, self, now is not None)
        if now is None:
            assert was is not None
            del members[document_id]
            return Change(IS_REMOVED, was[1], None, rows.remove(was[0]), None)
        members[document_id] = now
        event = IS_HYDRATED if mark & HYDRATED else IS_ADDED
        return Change(event, None, now[1], None, rows.add(now[0], now[1]))

    def _announced(self, marks: Marks) -> Marks:
        """Return the documents to be announced: the loud ones, and those pushed by others."""
        loud = {key: mark for key, mark in marks.items() if mark & LOUD}
        if self._window:
            self._quiet.update(key for key in marks if key not in loud and key in self._before)
            self._quiet.difference_update(loud)
            if loud:
                for key in self._before:
                    if key not in loud and key not in self._quiet:
                        loud[key] = LOUD
        return loud

    def _tell(self, observers: list[Observer[Any, Any]], loud: Marks, before: Told) -> None:
        if any(observer.wants_changes for observer in observers):
            changes = self._changes(loud, before)
            if changes:
                for observer in observers:
                    self._deliver((observer, changes))
        elif any(self._event(key, mark, before) for key, mark in loud.items()):
            for observer in observers:
                self._deliver((observer, None))

    def _event(self, document_id: str, mark: int, before: Told) -> Event | None:
        now = self._visible(document_id)
        was = before.get(document_id, now)
        return event_of(was is not None, now is not None, _has_changed(was, now), mark)

    def _changes(self, loud: Marks, before: Told) -> list[Change[Any]]:
        found: list[Change[Any]] = []
        positions: Positions | None = None
        visible = self._visible if self._window else self._members.get
        for document_id, mark in loud.items():
            now = visible(document_id)
            was = before.get(document_id, now)
            event = event_of(was is not None, now is not None, _has_changed(was, now), mark)
            if event is None:
                continue
            if positions is None:
                positions = self._positions(before)
            place = positions.step(was and was[0], now and now[0])
            found.append(Change(event, was and was[1], now and now[1], *place))
        return found

    def _positions(self, before: Told) -> Positions:
        theirs, now = [], []
        for document_id, was in before.items():
            member = self._visible(document_id)
            if was is not None and (member is None or member[0] != was[0]):
                theirs.append(was[0])
            if member is not None and (was is None or member[0] != was[0]):
                now.append(member[0])
        return Positions(self._rows, (self._offset, self._limit), theirs, now)

    # --- routing

    def held(self) -> Iterable[str]:
        """Return the documents whose changes concern this result, whatever their data."""
        return [*self._members, *(key for key in self._before if key not in self._members)]

    def holds(self, document_id: str) -> bool:
        """Tell whether changes of a document concern this result, whatever its data."""
        return document_id in self._members or document_id in self._before

    def check(self) -> None:
        """Raise AssertionError if the kept result differs from one made anew."""
        if self._membership.adapter is not self.query.source._adapter():
            return  # another model was given since: a new query would read the documents with it
        value = list(self.value())
        self._rows.check()
        fresh = LiveQuery(self._engine, self.query)
        assert value == list(fresh._rows.view(self._offset, self._limit)), f"{self.name} is old"
        for observer in self.observers:
            told = observer.told or {}
            assert told.keys() <= self._before.keys(), "an observer waits for what nobody will tell"


def _move(rows: OrderedRows[Any], was: Member | None, now: Member | None) -> None:
    if was is not None and now is not None and was[0] == now[0]:
        rows.replace(now[0], now[1])
        return
    if was is not None:
        rows.remove(was[0])
    if now is not None:
        rows.add(now[0], now[1])


def _has_changed(was: Member | None, now: Member | None) -> bool:
    """Tell whether data or place of a document in a result changed."""
    if was is now or was is None or now is None:
        return False
    return was[0] != now[0] or not holds_same(was[2], now[2])
