"""Positions of changes, against lists that are searched."""

from __future__ import annotations

import random
from typing import Any

import pytest

from grebe.reactive import positions
from grebe.reactive.ordered import OrderedRows
from grebe.reactive.positions import Positions

Window = tuple[int, int | None]


def cut(keys: list[int], window: Window) -> list[int]:
    offset, limit = window
    return keys[offset:] if limit is None else keys[offset : offset + limit]


def follow(before: list[int], after: list[int], window: Window, moves: list[Any]) -> None:
    """Apply moves one by one, and compare each position with where a list has it."""
    rows: OrderedRows[Any] = OrderedRows(after, [object() for _ in after])  # type: ignore[misc]
    theirs, now = cut(before, window), cut(after, window)
    gone = [key for key in theirs if key not in set(now)]
    came = [key for key in now if key not in set(theirs)]
    made = Positions(rows, window, gone, came)
    for was, is_ in moves:
        wanted_before = None if was is None else theirs.index(was)
        if was != is_:
            if was is not None:
                theirs.remove(was)
            if is_ is not None:
                theirs = sorted([*theirs, is_])
        wanted_after = None if is_ is None else theirs.index(is_)
        assert made.step(was, is_) == (wanted_before, wanted_after)
    assert theirs == now


def moves_of(rng: random.Random, before: list[int], after: list[int], window: Window) -> list[Any]:
    """Return moves from one window to another, in any order: in, out, and from key to key."""
    theirs, now = cut(before, window), cut(after, window)
    gone = [key for key in theirs if key not in set(now)]
    came = [key for key in now if key not in set(theirs)]
    stayed = [key for key in now if key in set(theirs)]
    rng.shuffle(gone)
    rng.shuffle(came)
    pairs = min(len(gone), len(came)) // 2
    moves: list[Any] = list(zip(gone[:pairs], came[:pairs], strict=True))
    moves += [(key, None) for key in gone[pairs:]]
    moves += [(None, key) for key in came[pairs:]]
    moves += [(key, key) for key in rng.sample(stayed, len(stayed) // 3)]
    rng.shuffle(moves)
    return moves


@pytest.mark.parametrize("window", [(0, None), (0, 5), (3, None), (3, 4), (50, 5), (0, 0)])
@pytest.mark.parametrize("few", [True, False])
def test_positions_are_those_of_a_list(
    window: Window, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any difference between two results, in any order of changes, in any window."""
    monkeypatch.setattr(positions, "_FEW", 1000 if few else 0)
    for seed in range(40):
        rng = random.Random(seed)
        before = sorted(rng.sample(range(60), rng.randrange(30)))
        kept = [key for key in before if rng.random() < 0.7]
        after = sorted({*kept, *rng.sample(range(60), rng.randrange(10))})
        follow(before, after, window, moves_of(rng, before, after, window))


def test_without_differences_positions_are_ranks() -> None:
    """What was only touched is where it is."""
    keys = list(range(0, 2000, 2))
    follow(keys, keys, (0, None), [(0, 0), (1998, 1998), (1000, 1000)])
    follow(keys, keys, (500, 100), [(1000, 1000), (1198, 1198)])
