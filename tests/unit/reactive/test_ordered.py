"""Rows in order, with immutable views."""

from __future__ import annotations

import random
from typing import Any

import pytest

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
