"""Sums that numbers can be taken away from again, to the last bit."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from grebe.core.exact_sum import ExactSum


def sum_of(*numbers: Any) -> ExactSum:
    made = ExactSum()
    for number in numbers:
        made.add(number)
    return made


@pytest.mark.parametrize(
    ("numbers", "total", "mean"),
    [
        ((), 0, None),
        ((1, 2, 4), 7, 7 / 3),
        ((2, 4), 6, 3.0),
        ((2**70, 1), 2**70 + 1, float(2**69)),
        ((0.1, 0.2, 0.3), 0.6, 0.2),
        ((1, 0.5), 1.5, 0.75),
        ((2.0,), 2.0, 2.0),
        ((1e308, 1e308, -1e308), 1e308, 1e308 / 3),
        ((5e-324, 5e-324), 1e-323, 5e-324),
        ((1e16, 1.0, -1e16), 1.0, 1 / 3),
        ((Decimal("0.1"), Decimal("0.2")), Decimal("0.3"), Decimal("0.15")),
        ((Decimal("0.1"), 1), Decimal("1.1"), Decimal("0.55")),
        ((Decimal("0.1"), 0.5), 0.6, 0.3),
        ((Fraction(1, 3), Fraction(1, 6)), Fraction(1, 2), Fraction(1, 4)),
        ((Fraction(1, 2), Decimal("0.5")), Decimal(1), Decimal("0.5")),
        ((Fraction(1, 4), 0.5), 0.75, 0.375),
    ],
)
def test_the_total_is_rounded_once(numbers: tuple[Any, ...], total: Any, mean: Any) -> None:
    """An int of ints, a float if there is one, else a Decimal if there is one; exact inside."""
    made = sum_of(*numbers)
    assert (made.total(), made.mean(), made.count) == (total, mean, len(numbers))
    assert type(made.total()) is type(total)
    assert type(made.mean()) is type(mean)


@pytest.mark.parametrize("sign", [1, -1])
def test_what_no_float_can_hold_is_infinite(sign: int) -> None:
    """Each number is finite, but their sum is larger than any float; the mean is not."""
    made = sum_of(sign * 1.7e308, sign * 1.7e308)
    assert made.total() == sign * math.inf
    assert made.mean() == sign * 1.7e308


def test_the_mean_of_ints_larger_than_any_float() -> None:
    """It is infinite, not an error."""
    assert sum_of(10**400, 10**400).mean() == math.inf


@pytest.mark.parametrize("seed", range(5))
def test_order_and_removals_leave_no_trace(seed: int) -> None:
    """After any adds and removals, the total is that of the numbers which are left."""
    rng = random.Random(seed)
    kinds = [
        lambda: rng.randrange(-100, 100),
        lambda: rng.uniform(-1, 1) * 10.0 ** rng.randrange(-300, 300),
        lambda: Decimal(rng.randrange(10**6)) / 1000,
    ]
    made, inside = ExactSum(), []
    for _ in range(400):
        if inside and rng.random() < 0.45:
            made.remove(inside.pop(rng.randrange(len(inside))))
        else:
            inside.append(rng.choice(kinds[: seed % 3 + 1])())
            made.add(inside[-1])
        shuffled = rng.sample(inside, len(inside))
        assert made.total() == sum_of(*shuffled).total()
        assert made.count == len(inside)
        if seed % 3 == 1:
            assert made.total() == math.fsum(inside)
    while inside:
        made.remove(inside.pop())
    assert (made.total(), type(made.total()), made.mean()) == (0, int, None)


def test_the_kind_follows_what_is_left() -> None:
    """Without its last float a sum is an int again, without its last Decimal too."""
    made = sum_of(1, 0.5, Decimal("0.25"))
    assert type(made.total()) is float
    made.remove(0.5)
    assert made.total() == Decimal("1.25")
    made.remove(Decimal("0.25"))
    assert (made.total(), type(made.total())) == (1, int)


def test_shift_replaces_an_int() -> None:
    """One int goes and another comes: the count stays."""
    made = sum_of(3, 4)
    made.shift(10)
    assert (made.total(), made.count) == (17, 2)
