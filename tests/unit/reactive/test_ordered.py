"""Rows in order, with immutable views."""

from __future__ import annotations

import random
from bisect import bisect_left
from typing import Any

import pytest

from grebe.reactive import ordered
from grebe.reactive.ordered import CHUNK_MAX, OrderedRows


class Row:
    """Stands for a snapshot that was looked at: OrderedRows never looks at it."""

    def __init__(self, name: object) -> None:
        self.name = name
        self._data = name


def names(view: Any) -> list[object]:
    return [row.name for row in view]


@pytest.mark.parametrize("seed", range(4))
def test_it_is_a_sorted_dict_and_views_stay(seed: int) -> None:
    """Any adds, replacements and removals give what sorting a dict gives; no view changes."""
    rng = random.Random(seed)
    model: dict[int, Row] = {k: Row(k) for k in range(0, rng.choice([0, 10, 3000]), 2)}
    rows: OrderedRows[Any] = OrderedRows(sorted(model), [model[k] for k in sorted(model)])
    kept: list[tuple[Any, list[object]]] = []
    for step in range(1500):
        key = rng.randrange(4000)
        if key not in model:
            model[key] = Row((key, step))
            rows.add(key, model[key])
        elif rng.random() < 0.5:
            model[key] = Row((key, step))
            rows.replace(key, model[key])
        else:
            del model[key]
            rows.remove(key)
        if step % 250 == 0:
            view = rows.view()
            kept.append((view, names(view)))
            assert names(view) == [model[k].name for k in sorted(model)]
    rows.check()
    assert len(rows) == len(model)
    assert names(rows.view()) == [model[k].name for k in sorted(model)]
    assert all(names(view) == before for view, before in kept)


def test_positions_where_there_are_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows before a chunk are counted by groups of chunks then, and groups come and go."""
    monkeypatch.setattr(ordered, "CHUNK_MAX", 8)
    monkeypatch.setattr(ordered, "_MERGE_MAX", 2)
    rng = random.Random(7)
    keys = list(range(0, 4 * ordered.GROUP * 8, 2))
    rows: OrderedRows[Any] = OrderedRows(keys.copy(), [Row(key) for key in keys])
    assert len(rows._groups) == 4
    for is_growing in (True, False):
        for _ in range(900):
            key = rng.randrange(4 * ordered.GROUP * 8)
            place = bisect_left(keys, key)
            is_there = keys[place : place + 1] == [key]
            assert rows.rank(key) == place
            if is_growing and not is_there:
                assert rows.add(key, Row(key)) == place
                keys.insert(place, key)
            elif is_there:
                assert rows.replace(key, Row(key)) == place
                assert rows.key_at(place) == key
                if not is_growing:
                    assert rows.remove(key) == place
                    del keys[place]
        rows.check()
    for key in rng.sample(keys, len(keys)):
        assert rows.remove(key) == bisect_left(keys, key)
        keys.remove(key)
    rows.check()
    assert not rows._groups


def test_it_can_be_emptied_and_filled() -> None:
    """Removing the last row of a chunk removes the chunk."""
    count = CHUNK_MAX * 3
    rows: OrderedRows[Any] = OrderedRows()
    for key in reversed(range(count)):
        rows.add(key, Row(key))
    rows.check()
    for key in range(count):
        rows.remove(key)
    rows.check()
    assert names(rows.view()) == []
    rows.add(1, Row(1))
    assert names(rows.view()) == [1]


def test_the_view_is_made_once_per_change() -> None:
    """Asking again without a change gives the same object."""
    rows: OrderedRows[Any] = OrderedRows([1], [Row(1)])
    view = rows.view()
    assert rows.view() is view
    rows.replace(1, Row(2))
    assert rows.view() is not view
