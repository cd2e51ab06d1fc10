"""Running totals of a list of sizes, of which one changes at a time (a Fenwick tree)."""

from __future__ import annotations

from collections.abc import Iterable


class PrefixSums:
    """Sizes by position, and the sums of those before a position. Each call is O(log n)."""

    __slots__ = ("_highest", "_tree")

    def __init__(self, sizes: Iterable[int] = ()) -> None:
        """Start with these sizes. O(n)."""
        tree = [0, *sizes]
        for place in range(1, len(tree)):
            above = place + (place & -place)
            if above < len(tree):
                tree[above] += tree[place]
        self._tree = tree
        self._highest = 1 << (len(tree) - 1).bit_length() >> 1

    def add(self, position: int, difference: int) -> None:
        """Change the size at a position."""
        tree = self._tree
        place, count = position + 1, len(tree)
        while place < count:
            tree[place] += difference
            place += place & -place

    def before(self, position: int) -> int:
        """Return the sum of the sizes before a position."""
        tree = self._tree
        total = 0
        while position:
            total += tree[position]
            position &= position - 1
        return total

    def find(self, item: int) -> tuple[int, int]:
        """Return the position of the size that holds an item, and the item's place in it.

        Items are numbered through all sizes from 0.

        >>> PrefixSums([3, 0, 2]).find(3)
        (2, 0)
        """
        tree, step, place = self._tree, self._highest, 0
        while step:
            above = place + step
            if above < len(tree) and tree[above] <= item:
                place = above
                item -= tree[above]
            step >>= 1
        return place, item
