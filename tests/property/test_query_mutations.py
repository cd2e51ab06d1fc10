"""The random walks can fail: a bug planted in each operator, order, window, aggregate, index and
kind of upkeep is noticed by one of a few walks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from grebe.core.ordering import MISSING
from grebe.documents import (
    aggregates,
    bounds,
    conditions,
    index,
    indexes,
    orders,
    planning,
    scanning,
)
from grebe.reactive import (
    broadcast,
    live_aggregate,
    live_query,
    membership,
    ordered,
    positions,
    routes,
)
from grebe.store import finding
from tests.property.test_queries import Walk

Patch = pytest.MonkeyPatch
WALKS_MAX = 120
STEPS = 100


# --- conditions


def with_test(patch: Patch, kind: type[Any], change: Callable[[Any], Any]) -> None:
    """Have the test of a kind of condition replaced by `change(condition)`."""
    patch.setattr(kind, "_made_test", change)


def equal_mixes_bool_with_numbers(patch: Patch) -> None:
    patch.setattr(conditions, "same_value", lambda left, right: left == right)


def unequal_demands_the_field(patch: Patch) -> None:
    made = conditions._comparison

    def comparison(get: Any, symbol: str, constant: Any) -> Any:
        test = made(get, symbol, constant)
        if symbol != "!=":
            return test
        return lambda data: get(data) is not MISSING and test(data)

    patch.setattr(conditions, "_comparison", comparison)


def swapped(symbol: str, other: str) -> Callable[[Patch], None]:
    def mutate(patch: Patch) -> None:
        patch.setitem(conditions._ORDERED, symbol, conditions._ORDERED[other])

    mutate.__name__ = f"operator {symbol} is {other}"
    return mutate


def loop_wrong(kind: type[Any]) -> Callable[[Patch], None]:
    def mutate(patch: Patch) -> None:
        write = scanning._WRITERS[kind]
        patch.setitem(scanning._WRITERS, kind, lambda *given: f"not ({write(*given)})")

    mutate.__name__ = f"loop for {kind.__name__} is the opposite"
    return mutate


def named_otherwise(name: str, value: Any) -> Callable[[Patch], None]:
    def mutate(patch: Patch) -> None:
        patch.setitem(scanning._NAMES, name, value)
        patch.setattr(scanning, "_compiled", scanning._compiled.__wrapped__)

    mutate.__name__ = f"{name} of loops is {value}"
    return mutate


def loop_takes_bools_for_numbers(patch: Patch) -> None:
    patch.setattr(scanning, "_is_clear_number", lambda constant: type(constant) in (int, float))


def one_of_forgets_the_last(patch: Patch) -> None:
    def test(self: Any) -> Any:
        keys = set(map(conditions.ascending, self.constants[:-1]))
        return lambda data: conditions.ascending(self.get(data)) in keys

    with_test(patch, conditions.OneOf, test)


def contains_looks_at_the_first(patch: Patch) -> None:
    made = conditions.Contains._made_test

    def test(self: Any) -> Any:
        right = made(self)
        get = self.get

        def first(data: Any) -> bool:
            found = get(data)
            return bool(right(data)) and (not isinstance(found, list) or found[0] == self.constant)

        return first

    with_test(patch, conditions.Contains, test)


def starts_with_is_contains(patch: Patch) -> None:
    def test(self: Any) -> Any:
        return lambda data: isinstance(x := self.get(data), str) and self.prefix in x

    with_test(patch, conditions.StartsWith, test)


def matches_at_the_start_only(patch: Patch) -> None:
    def test(self: Any) -> Any:
        return lambda data: isinstance(x := self.get(data), str) and bool(self.pattern.match(x))

    with_test(patch, conditions.Matches, test)


def exists_not_if_none(patch: Patch) -> None:
    def test(self: Any) -> Any:
        return lambda data: self.get(data) not in (None, MISSING)

    with_test(patch, conditions.Exists, test)


def all_is_any(patch: Patch) -> None:
    def test(self: Any) -> Any:
        return lambda data: any(one.test(data) for one in self.inner)

    with_test(patch, conditions.All, test)


def any_is_all(patch: Patch) -> None:
    def test(self: Any) -> Any:
        return lambda data: all(one.test(data) for one in self.inner)

    with_test(patch, conditions.AnyOf, test)


def not_needs_the_field(patch: Patch) -> None:
    def test(self: Any) -> Any:
        inner = self.inner
        get = getattr(inner, "get", lambda _: None)
        return lambda data: get(data) is not MISSING and not inner.test(data)

    with_test(patch, conditions.Not, test)


# --- orders and windows


def missing_sorts_last(patch: Patch) -> None:
    key = orders.ascending
    patch.setattr(orders, "ascending", lambda x: (99, 0) if x is MISSING else key(x))


def descending_prefers_prefixes(patch: Patch) -> None:
    from grebe.core import ordering

    invert = ordering._INVERTED
    patch.setattr(ordering, "_INVERTED", bytes(range(256)))
    assert invert != ordering._INVERTED


def descending_turns_equals_around(patch: Patch) -> None:
    pick = orders._pick

    def unstable(found: Any, keys: Any, desc: bool, stop: Any) -> None:
        if desc:
            found.reverse()
            keys = keys[::-1]
        pick(found, keys, desc, stop)

    patch.setattr(orders, "_pick", unstable)


def second_order_ignored(patch: Patch) -> None:
    row_key_of = orders.row_key_of
    patch.setattr(membership, "row_key_of", lambda given: row_key_of(given[:1]))


def nobody_moves_into_the_window(patch: Patch) -> None:
    note = live_query.LiveQuery._note

    def silent(self: Any, row: Any, *, entered: bool) -> None:
        if not entered:
            note(self, row, entered=entered)

    patch.setattr(live_query.LiveQuery, "_note", silent)


def nobody_is_pushed_out_of_the_window(patch: Patch) -> None:
    note = live_query.LiveQuery._note

    def silent(self: Any, row: Any, *, entered: bool) -> None:
        if entered:
            note(self, row, entered=entered)

    patch.setattr(live_query.LiveQuery, "_note", silent)


def offset_counts_for_no_count(patch: Patch) -> None:
    count = finding.Finder.count
    patch.setattr(finding.Finder, "count", lambda self, q: count(self, q._with(offset=0)))


def offset_is_one_less(patch: Patch) -> None:
    view = ordered.OrderedRows.view
    patch.setattr(
        ordered.OrderedRows,
        "view",
        lambda self, offset=0, limit=None: view(self, max(0, offset - 1), limit),
    )


# --- aggregates


def removal_forgotten(name: str) -> Callable[[Patch], None]:
    def mutate(patch: Patch) -> None:
        patch.setattr(getattr(aggregates, name), "remove", lambda self, value, number: None)

    mutate.__name__ = f"removal forgotten by {name}"
    return mutate


def mean_counts_everything(patch: Patch) -> None:
    def add(self: Any, value: Any, number: int) -> None:
        self._sum.add(value if aggregates.is_number(value) else 0)

    patch.setattr(aggregates._Mean, "add", add)


def sum_takes_bool(patch: Patch) -> None:
    patch.setattr(aggregates, "is_number", lambda value: isinstance(value, int | float))


def empty_groups_stay(patch: Patch) -> None:
    group = aggregates.Totals._group

    def kept(self: Any, key: Any) -> Any:
        found = group(self, key)
        found.size = max(found.size, 1)
        return found

    patch.setattr(aggregates.Totals, "_group", kept)


def group_of_missing_is_left_out(patch: Patch) -> None:
    hashable = aggregates._hashable
    patch.setattr(aggregates, "_hashable", lambda x: "" if x is MISSING else hashable(x))


def aggregate_told_late(patch: Patch) -> None:
    for name in ("collect", "collect_one"):
        patch.setattr(live_aggregate.LiveAggregate, name, lambda self, *_: None)


def written_alone_and_forgotten(patch: Patch) -> None:
    patch.setattr(broadcast.Broadcast, "wrote", lambda self, *_: False)


# --- groups of collections


def group_not_told(patch: Patch) -> None:
    mark = broadcast.Broadcast.mark

    def mark_alone(self: Any, *given: Any) -> None:
        self._groups = ()
        mark(self, *given)

    patch.setattr(broadcast.Broadcast, "mark", mark_alone)


def group_in_order_of_collections(patch: Patch) -> None:
    patch.setattr(finding, "sorted", lambda rows, **_: rows, raising=False)


# --- indexes


def writes_not_indexed(patch: Patch) -> None:
    patch.setattr(indexes.Indexes, "note", lambda self, ids: None)


def deletions_not_indexed(patch: Patch) -> None:
    patch.setattr(index.Index, "remove", lambda self, ids: None)


def old_values_stay_indexed(patch: Patch) -> None:
    take = index.Index._take

    def kept(self: Any, token: Any, document_id: str) -> None:
        if token.__class__ is not str:
            take(self, token, document_id)

    patch.setattr(index.Index, "_take", kept)


def equals_as_they_came(patch: Patch) -> None:
    join = index.Index._join

    def unsorted(self: Any, *given: Any) -> None:
        join(self, *given)
        self._unsorted.clear()

    patch.setattr(index.Index, "_join", unsorted)


def equal_values_one_after_the_other(patch: Patch) -> None:
    def entries_of(self: Any, tokens: Any, stop: int | None = None) -> list[Any]:
        found = [self.entries_of_one(token, None) for token in tokens]
        return list(chain.from_iterable(found))

    patch.setattr(index.Index, "entries_of", entries_of)
    patch.setattr(planning, "_OF", entries_of)


def queries_keep_old_indexes(patch: Patch) -> None:
    set_indexes = finding.Finder.set_indexes

    def kept(self: Any, collection: str, fields: Any) -> None:
        before = self.indexes.get(collection)
        behind = before is not None and before.behind
        set_indexes(self, collection, fields)
        if before is not None:
            before.behind = behind

    patch.setattr(finding.Finder, "set_indexes", kept)


def old_documents_in_groups(patch: Patch) -> None:
    def stays(group: Any, document_id: str, entry: Any) -> bool:
        return bool(group[document_id].order == entry.order)

    patch.setattr(index, "_stays", stays)


def only_what_is_at_hand_is_taken_in(patch: Patch) -> None:
    let_go = indexes.Indexes._let_go

    def forgetful(self: Any, takes_in: bool) -> None:
        let_go(self, takes_in)
        self._waiting.clear()

    patch.setattr(indexes.Indexes, "_let_go", forgetful)


def new_values_without_a_place(patch: Patch) -> None:
    change = index._change
    patch.setattr(
        index, "_change", lambda ladder, come, gone: change(ladder, come[1:] or come, gone)
    )


def range_includes_its_end(patch: Patch) -> None:
    bounds_of = planning.bounds_of

    def wide(condition: Any) -> Any:
        if getattr(condition, "symbol", "") == ">":
            condition = conditions.Comparison(condition.path, ">=", condition.constant)
        return bounds_of(condition)

    patch.setattr(planning, "bounds_of", wide)


def prefix_ends_too_early(patch: Patch) -> None:
    patch.setattr(bounds, "prefix_end", lambda prefix: prefix + "b")


def only_one_bound_counts(patch: Patch) -> None:
    patch.setattr(planning, "intersection", lambda left, right: left)


def index_walked_backwards(patch: Patch) -> None:
    walk = index.Index.walk
    patch.setattr(
        index.Index,
        "walk",
        lambda self, within, desc: (
            reversed(list(walk(self, within, False))) if desc else walk(self, within, desc)
        ),
    )


def other_conditions_forgotten(patch: Patch) -> None:
    make = planning.Plan

    def without(index: Any, within: Any, _: Any, *rest: Any) -> Any:
        return make(index, within, (), *rest)

    patch.setattr(planning, "Plan", without)


# --- upkeep


def positions_ignore_other_differences(patch: Patch) -> None:
    begin = positions.Positions.__init__

    def blind(self: Any, rows: Any, window: Any, theirs: Any, now: Any) -> None:
        begin(self, rows, window, theirs, [])

    patch.setattr(positions.Positions, "__init__", blind)


def position_in_the_chunk_only(patch: Patch) -> None:
    add = ordered.OrderedRows.add

    def wrong(self: Any, key: Any, row: Any) -> int:
        position = add(self, key, row)
        return position if position < 3 else position - 1

    patch.setattr(ordered.OrderedRows, "add", wrong)


def views_share_what_changes(patch: Patch) -> None:
    patch.setattr(ordered.OrderedRows, "_own", lambda self, index: self._rows[index])


def routes_by_the_value_alone(patch: Patch) -> None:
    patch.setattr(routes.Route, "hold", lambda self, document_id, live, holds: None)


def holders_are_not_tested(patch: Patch) -> None:
    collect_one = live_query.LiveQuery.collect_one

    def untested(self: Any, document_id: str, mark: int, *_: Any) -> None:
        entry = self._engine.documents(self.scope).get(document_id)
        collect_one(self, document_id, mark, entry, True)

    patch.setattr(live_query.LiveQuery, "collect_one", untested)


def touched_neighbours_share_a_place(patch: Patch) -> None:
    ranks = ordered.OrderedRows.ranks

    def alike(self: Any, keys: Any) -> list[int]:
        found = ranks(self, keys)
        return found[:1] * len(found)

    patch.setattr(ordered.OrderedRows, "ranks", alike)


def silent_writes_announced(patch: Patch) -> None:
    patch.setattr(live_query, "LOUD", 7)
    patch.setattr(live_query.LiveQuery, "_announced", lambda self, marks: marks)


MUTATIONS: list[Callable[[Patch], None]] = [
    equal_mixes_bool_with_numbers,
    unequal_demands_the_field,
    *(swapped(*pair) for pair in (("<", "<="), ("<=", "<"), (">", ">="), (">=", ">"))),
    *map(loop_wrong, scanning._WRITERS),
    named_otherwise("BOOL", type(None)),
    named_otherwise("NUMBERS", (int, float, bool)),
    named_otherwise("LIST", type(None)),
    named_otherwise("HOLDERS", frozenset((str,))),
    loop_takes_bools_for_numbers,
    one_of_forgets_the_last,
    contains_looks_at_the_first,
    starts_with_is_contains,
    matches_at_the_start_only,
    exists_not_if_none,
    all_is_any,
    any_is_all,
    not_needs_the_field,
    missing_sorts_last,
    descending_prefers_prefixes,
    descending_turns_equals_around,
    second_order_ignored,
    nobody_moves_into_the_window,
    nobody_is_pushed_out_of_the_window,
    offset_counts_for_no_count,
    offset_is_one_less,
    *map(removal_forgotten, ("_Count", "_Sum", "_First")),
    mean_counts_everything,
    sum_takes_bool,
    empty_groups_stay,
    group_of_missing_is_left_out,
    aggregate_told_late,
    written_alone_and_forgotten,
    group_not_told,
    group_in_order_of_collections,
    writes_not_indexed,
    deletions_not_indexed,
    old_values_stay_indexed,
    equals_as_they_came,
    equal_values_one_after_the_other,
    queries_keep_old_indexes,
    old_documents_in_groups,
    only_what_is_at_hand_is_taken_in,
    new_values_without_a_place,
    range_includes_its_end,
    prefix_ends_too_early,
    only_one_bound_counts,
    index_walked_backwards,
    other_conditions_forgotten,
    positions_ignore_other_differences,
    position_in_the_chunk_only,
    views_share_what_changes,
    routes_by_the_value_alone,
    holders_are_not_tested,
    touched_neighbours_share_a_place,
    silent_writes_announced,
]


@pytest.mark.slow
@pytest.mark.parametrize("mutate", MUTATIONS, ids=[mutate.__name__ for mutate in MUTATIONS])
def test_planted_bug_is_found(mutate: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """A planted bug makes one of the walks fail."""
    mutate(monkeypatch)
    for seed in range(WALKS_MAX):
        try:
            Walk(seed).run(STEPS)
        except (AssertionError, KeyError, IndexError, ValueError):
            return
    pytest.fail(f"{WALKS_MAX} walks did not notice")
