"""Where changes take place in the list that an observer has.

Changes are told one after another, as a list model of a GUI applies them: `prev_index` is the
place a row is taken from once the changes before it were applied, `index` where it is put then.
The list that the observer has need not be kept for that. It is the result as it is now, but for
the documents that differ, whose keys are compared with instead.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Any

from sortedcontainers import SortedList

from grebe.reactive.ordered import OrderedRows

_FEW = 1000
"""Up to so many keys a plain list is the faster sorted list."""


class Positions:
    """Follows an observer's list through the changes it is told. Each step is O(log rows)."""

    __slots__ = ("_limit", "_now", "_offset", "_rows", "_theirs")

    def __init__(
        self,
        rows: OrderedRows[Any],
        window: tuple[int, int | None],
        theirs: Iterable[Any],
        now: Iterable[Any],
    ) -> None:
        """Begin with the list that the observer has. O(differences log differences).

        `theirs` are the keys, in that list, of the rows in which it differs from the window of
        `rows`, an offset and a limit; `now` are the keys of the same rows in the window.
        """
        self._rows = rows
        self._offset, self._limit = window
        self._now = sorted(now)
        theirs = sorted(theirs)
        self._theirs: _FewKeys | Any = (
            _FewKeys(theirs) if len(theirs) + len(self._now) <= _FEW else SortedList(theirs)
        )

    def step(self, before: Any, after: Any) -> tuple[int | None, int | None]:
        """Return previous and present position of a row that goes from one key to another.

        None as a key: it was not in the list, or is not any more.
        """
        previous = None if before is None else self._position(before)
        if before == after:
            return previous, previous
        if before is not None:
            self._theirs.remove(before)
        if after is None:
            return previous, None
        present = self._position(after)
        self._theirs.add(after)
        return previous, present

    def _position(self, key: Any) -> int:
        position = self._rows.rank(key)
        if self._offset or self._limit is not None:
            inside = max(0, len(self._rows) - self._offset)
            if self._limit is not None:
                inside = min(inside, self._limit)
            position = min(max(position - self._offset, 0), inside)
        return position + self._theirs.bisect_left(key) - bisect_left(self._now, key)


class _FewKeys:
    """The part of a SortedList that is used here, for few keys."""

    __slots__ = ("_keys",)

    def __init__(self, keys: list[Any]) -> None:
        self._keys = keys

    def bisect_left(self, key: Any) -> int:
        return bisect_left(self._keys, key)

    def add(self, key: Any) -> None:
        insort(self._keys, key)

    def remove(self, key: Any) -> None:
        del self._keys[bisect_left(self._keys, key)]
