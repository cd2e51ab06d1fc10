"""Running totals of a list of sizes, of which one changes at a time.

Sizes are summed in groups, so that a sum takes those of the groups before and of the sizes in one
group. Both are sums of short lists, which are made in C: for the chunks of ten million rows less
than the few steps that a Fenwick tree takes in Python.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

_GROUP_BITS = 6
_GROUP = 1 << _GROUP_BITS


class PrefixSums:
    """Sizes by position, and the sums of those before a position.

    Each call but `add`, which is O(1), is O(groups and sizes of a group), in C.
    """

    __slots__ = ("_groups", "_sizes")

    def __init__(self, sizes: Iterable[int] = ()) -> None:
        """Start with these sizes. O(n)."""
        self._sizes = sizes = list(sizes)
        self._groups = [sum(sizes[i : i + _GROUP]) for i in range(0, len(sizes), _GROUP)]

    def add(self, position: int, difference: int) -> None:
        """Change the size at a position."""
        self._sizes[position] += difference
        self._groups[position >> _GROUP_BITS] += difference

    def before(self, position: int) -> int:
        """Return the sum of the sizes before a position."""
        group = position >> _GROUP_BITS
        if group:
            first = group << _GROUP_BITS
            return sum(self._groups[:group]) + sum(self._sizes[first:position])
        return sum(self._sizes[:position])

    def find(self, item: int) -> tuple[int, int]:
        """Return the position of the size that holds an item, and the item's place in it.

        Items are numbered through all sizes from 0.

        >>> PrefixSums([3, 0, 2]).find(3)
        (2, 0)
        """
        group, item = _find(self._groups, item)
        first = group << _GROUP_BITS
        position, item = _find(self._sizes[first : first + _GROUP], item)
        return first + position, item


def _find(sizes: list[int], item: int) -> tuple[int, int]:
    ends = list(accumulate(sizes))
    place = bisect_right(ends, item)
    return place, item - ends[place - 1] if place else item
