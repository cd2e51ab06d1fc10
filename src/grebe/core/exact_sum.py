"""Sums that do not depend on the order of adding, so that they can be kept by difference.

Taking a float away again from a float sum leaves an error behind. Here each kind of number has an
exact total: ints as they are, floats as multiples of the smallest float, others as fractions. The
result is rounded once, when somebody asks, and is what `math.fsum` would give.
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

_SCALE_BITS = 1074
"""All finite floats are multiples of 2**-1074."""
_SCALE = 1 << _SCALE_BITS
_CONTEXT = Context()
"""Rounds a Decimal result, to the 28 digits that Python gives if nobody asks for others."""


class ExactSum:
    """An exact sum of numbers, and how many they are. Adding and removing cost O(1)."""

    __slots__ = ("_decimals", "_floats", "_integers", "_others", "_rest", "_scaled", "count")

    def __init__(self) -> None:
        self.count = 0
        self._integers = 0
        self._floats = 0
        """How many of the numbers are floats: one makes the result a float."""
        self._scaled = 0
        """Sum of the floats, in units of 2**-1074."""
        self._others = 0
        """How many are neither int nor float."""
        self._decimals = 0
        self._rest = Fraction(0)
        """Sum of what is neither int nor float: Decimals and fractions."""

    def add(self, number: Any) -> None:
        """Add a number: an int, a Decimal, a Fraction or a float, all finite."""
        self._put(number, 1)

    def remove(self, number: Any) -> None:
        """Take away a number that was added."""
        self._put(number, -1)

    def shift(self, difference: int) -> None:
        """Take an int away and add another, given by how much it is larger."""
        self._integers += difference

    def _put(self, number: Any, sign: int) -> None:
        self.count += sign
        if isinstance(number, int):
            self._integers += sign * number
        elif isinstance(number, float):
            self._floats += sign
            numerator, denominator = number.as_integer_ratio()
            self._scaled += sign * numerator * (_SCALE // denominator)
        else:
            self._others += sign
            self._decimals += sign * isinstance(number, Decimal)
            self._rest += sign * Fraction(number)

    def total(self) -> Any:
        """Return the sum: an int of ints, a float if one is there, else a Decimal if one is."""
        return self._result(1) if self._floats or self._others else self._integers

    def mean(self) -> Any:
        """Return the sum by the number of numbers, a float of ints; None if there are none."""
        if not self.count:
            return None
        mean = self._result(self.count)
        return float(mean) if isinstance(mean, int) else mean

    def _result(self, divisor: int) -> Any:
        if not self._others:  # only ints and floats
            if not self._floats:
                return self._integers if divisor == 1 else _quotient(self._integers, divisor)
            return _quotient((self._integers << _SCALE_BITS) + self._scaled, divisor * _SCALE)
        exact = (self._rest + self._integers) / divisor
        if self._floats:
            exact += Fraction(self._scaled, divisor * _SCALE)
            return _quotient(exact.numerator, exact.denominator)
        if self._decimals:
            return _CONTEXT.divide(Decimal(exact.numerator), Decimal(exact.denominator))
        return exact


def _quotient(numerator: int, denominator: int) -> float:
    """Return the nearest float; infinity where the sum is larger than any."""
    try:
        return numerator / denominator
    except OverflowError:
        return float("inf") if numerator > 0 else float("-inf")
