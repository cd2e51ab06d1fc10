"""Running totals of sizes, of which one changes at a time."""

from __future__ import annotations

import random

import pytest

from grebe.core.prefix_sums import PrefixSums


def assert_sums(made: PrefixSums, sizes: list[int]) -> None:
    """Compare all that can be asked with what adding up gives."""
    assert [made.before(i) for i in range(len(sizes) + 1)] == [
        sum(sizes[:i]) for i in range(len(sizes) + 1)
    ]
    items = [(position, place) for position, size in enumerate(sizes) for place in range(size)]
    assert [made.find(item) for item in range(len(items))] == items


@pytest.mark.parametrize("count", [0, 1, 2, 3, 63, 64, 65, 127, 128, 129, 300])
def test_it_starts_with_any_number_of_sizes(count: int) -> None:
    """Also with none, and on both sides of a full group."""
    sizes = [(i * 7) % 5 for i in range(count)]
    assert_sums(PrefixSums(sizes), sizes)


@pytest.mark.parametrize("seed", range(3))
def test_any_changes_are_as_adding_up_anew(seed: int) -> None:
    """Sizes grow and shrink, to zero and back."""
    rng = random.Random(seed)
    sizes = [rng.randrange(4) for _ in range(rng.randrange(1, 200))]
    made = PrefixSums(sizes)
    for _ in range(60):
        position = rng.randrange(len(sizes))
        difference = rng.randrange(-sizes[position], 5)
        sizes[position] += difference
        made.add(position, difference)
    assert_sums(made, sizes)


def test_empty_sizes_hold_nothing() -> None:
    """An item is found behind them."""
    assert PrefixSums([0, 0, 1, 0, 2]).find(0) == (2, 0)
    assert PrefixSums([0, 0, 1, 0, 2]).find(1) == (4, 0)
