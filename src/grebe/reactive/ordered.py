"""Rows kept in order, with their positions, and immutable views that share what did not change.

Rows lie in chunks of at most CHUNK_MAX, each two lists: keys, and the rows of the same places. A
view holds the row lists of all chunks; a list that a view may hold is copied before it is changed.
So a change costs a search and at most one chunk, and a view a copy of the list of chunks, whatever
the number of rows.

Invariants, tested by `check()`:
1. Keys ascend, within and across chunks; `_last` holds the last key of each chunk.
2. No chunk is empty; keys and rows of a chunk are parallel.
3. The rows of a chunk whose epoch is not the present one may be shared with a view.
4. `_sizes` has the sizes of the chunks, `_groups` the number of rows in each GROUP of chunks, if
   there is more than one group.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Any, Generic, TypeVar

from grebe.documents.results import Results
from grebe.documents.snapshot import Snapshot

Row = TypeVar("Row", bound=Snapshot[Any])
CHUNK_MAX = 512
_MERGE_MAX = CHUNK_MAX // 8
"""A chunk of fewer rows is merged with its neighbour if there is room."""
_GROUP_BITS = 6
GROUP = 1 << _GROUP_BITS
"""Chunks whose rows are counted together. The rows before a chunk are those of the groups before
and of less than a group of chunks: two short sums, made in C."""


class OrderedRows(Generic[Row]):
    """Snapshots by unique, comparable keys, in ascending order."""

    __slots__ = (
        "_epoch",
        "_epochs",
        "_groups",
        "_keys",
        "_last",
        "_length",
        "_rows",
        "_sizes",
        "_view",
    )

    def __init__(self, keys: list[Any] | None = None, rows: list[Row] | None = None) -> None:
        """Start empty, or with ascending keys and their rows. O(rows)."""
        keys, rows = keys or [], rows or []
        self._epoch = 0
        half = CHUNK_MAX // 2
        self._keys = [keys[i : i + half] for i in range(0, len(keys), half)]
        self._rows = [rows[i : i + half] for i in range(0, len(keys), half)]
        self._last = [chunk[-1] for chunk in self._keys]
        self._epochs = [0] * len(self._keys)
        self._length = len(keys)
        self._view: Any = None
        self._count()

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    def add(self, key: Any, row: Row) -> int:
        """Insert a row, whose key must be new, and return its position. O(chunk)."""
        self._view = None
        last = self._last
        if not last:
            self._keys, self._rows, self._epochs = [[key]], [[row]], [self._epoch]
            self._last = [key]
            self._length = 1
            self._sizes = [1]
            return 0
        index = bisect_left(last, key)
        if index == len(last):
            index -= 1
        keys = self._keys[index]
        rows = self._rows[index] if self._epochs[index] == self._epoch else self._own(index)
        position = bisect_left(keys, key)
        keys.insert(position, key)
        rows.insert(position, row)
        last[index] = keys[-1]
        self._length += 1
        if index:
            position += self._before(index)
        self._sizes[index] += 1
        if self._groups:
            self._groups[index >> _GROUP_BITS] += 1
        if len(keys) > CHUNK_MAX:
            self._split(index)
        return position

    def replace(self, key: Any, row: Row) -> int:
        """Put another row in the place of the one with this key; return the position. O(chunk)."""
        self._view = None
        index = bisect_left(self._last, key)
        position = bisect_left(self._keys[index], key)
        rows = self._rows[index] if self._epochs[index] == self._epoch else self._own(index)
        rows[position] = row
        return position + self._before(index) if index else position

    def remove(self, key: Any) -> int:
        """Take out the row with this key, and return its position. O(chunk)."""
        self._view = None
        index = bisect_left(self._last, key)
        keys = self._keys[index]
        rows = self._rows[index] if self._epochs[index] == self._epoch else self._own(index)
        position = bisect_left(keys, key)
        del keys[position], rows[position]
        self._length -= 1
        if index:
            position += self._before(index)
        self._sizes[index] -= 1
        if self._groups:
            self._groups[index >> _GROUP_BITS] -= 1
        if not keys:
            self._drop(index)
        else:
            self._last[index] = keys[-1]
            if len(keys) < _MERGE_MAX and len(self._last) > 1:
                self._merge(index)
        return position

    def move(self, before: Any, key: Any, row: Row) -> tuple[int, int]:
        """Do as `remove` and `add`, and return both positions. O(chunk)."""
        last, keys = self._last, self._keys[0]
        if len(last) > 1 or len(keys) < 2:
            return self.remove(before), self.add(key, row)
        self._view = None
        rows = self._rows[0] if self._epochs[0] == self._epoch else self._own(0)
        gone = bisect_left(keys, before)
        del keys[gone], rows[gone]
        position = bisect_left(keys, key)
        keys.insert(position, key)
        rows.insert(position, row)
        last[0] = keys[-1]
        return gone, position

    def rank(self, key: Any) -> int:
        """Return the number of rows whose key is less. O(log rows)."""
        last = self._last
        index = bisect_left(last, key)
        if index == len(last):
            return self._length
        return self._before(index) + bisect_left(self._keys[index], key)

    def ranks(self, keys: Iterable[Any]) -> list[int]:
        """Return the positions of the rows with these keys; fast for neighbours."""
        found: list[int] = []
        chunk: list[Any] | None = None
        before, first, last = 0, None, None  # the rows before the chunk; its keys at both ends
        for key in keys:
            if chunk is None or not first <= key <= last:
                index = bisect_left(self._last, key)
                chunk = self._keys[index]
                before = self._before(index)
                first, last = chunk[0], chunk[-1]
            found.append(before + bisect_left(chunk, key))
        return found

    def at(self, position: int) -> Row | None:
        """Return the row at a position, or None behind the last. O(log chunks)."""
        if not 0 <= position < self._length:
            return None
        if position < len(self._rows[0]):
            return self._rows[0][position]
        index, position = self._find(position)
        return self._rows[index][position]

    def key_at(self, position: int) -> Any:
        """Return the key of the row at a position, or None behind the last. O(log chunks)."""
        if position >= self._length:
            return None
        if position < len(self._keys[0]):
            return self._keys[0][position]
        index, position = self._find(position)
        return self._keys[index][position]

    def view(self, offset: int = 0, limit: int | None = None) -> Results[Any]:
        """Return the rows as they are now, or a part of them, immutable.

        O(chunks), not O(rows); copied at C speed.
        """
        if self._view is None:
            if offset or limit is not None:
                self._view = self._part(offset, limit)
            else:
                self._view = Results(self._rows.copy(), self._length)
                self._epoch += 1
        view: Results[Any] = self._view
        return view

    def _part(self, offset: int, limit: int | None) -> Results[Any]:
        stop = self._length if limit is None else min(self._length, offset + limit)
        if offset >= stop:
            return Results()
        first, begin = self._find(offset)
        last, end = self._find(stop - 1)
        if first == last:
            return Results([self._rows[first][begin : end + 1]], stop - offset)
        between = self._rows[first + 1 : last]
        if between:
            self._epoch += 1
        parts = [self._rows[first][begin:], *between, self._rows[last][: end + 1]]
        return Results(parts, stop - offset)

    def _own(self, index: int) -> list[Row]:
        """Return the rows of a chunk, which no view has."""
        if self._epochs[index] != self._epoch:
            self._rows[index] = self._rows[index].copy()
            self._epochs[index] = self._epoch
        return self._rows[index]

    def _split(self, index: int) -> None:
        keys, rows = self._keys[index], self._rows[index]
        half = len(keys) // 2
        self._keys[index : index + 1] = [keys[:half], keys[half:]]
        self._rows[index : index + 1] = [rows[:half], rows[half:]]
        self._epochs.insert(index, self._epoch)
        self._last.insert(index, keys[half - 1])
        self._count()

    def _drop(self, index: int) -> None:
        del self._keys[index], self._rows[index], self._epochs[index], self._last[index]
        self._count()

    def _merge(self, index: int) -> None:
        """Give a small chunk's rows to the one before it, or take those of the one behind it."""
        left = max(index - 1, 0)
        if len(self._keys[left]) + len(self._keys[left + 1]) > CHUNK_MAX // 2:
            return
        self._keys[left] += self._keys[left + 1]
        self._rows[left] = self._rows[left] + self._rows[left + 1]
        self._epochs[left] = self._epoch
        self._last[left] = self._last[left + 1]
        self._drop(left + 1)

    # --- how many

    def _count(self) -> None:
        """Count the rows of each chunk and group anew. O(chunks)."""
        self._sizes = sizes = list(map(len, self._keys))
        starts = range(0, len(sizes), GROUP) if len(sizes) > GROUP else ()
        self._groups = [sum(sizes[start : start + GROUP]) for start in starts]

    def _before(self, index: int) -> int:
        """Return the number of rows before a chunk. O(groups and chunks of a group), in C."""
        groups = self._groups
        if not groups:
            return sum(self._sizes[:index])
        group = index >> _GROUP_BITS
        return sum(groups[:group]) + sum(self._sizes[group << _GROUP_BITS : index])

    def _find(self, position: int) -> tuple[int, int]:
        """Return the chunk of a row that is there, and its place in it; costs as `_before`."""
        group, place = _find(self._groups or [self._length], position)
        first = group << _GROUP_BITS
        index, place = _find(self._sizes[first : first + GROUP], place)
        return first + index, place

    def check(self) -> None:
        """Raise AssertionError if an invariant of this module does not hold."""
        keys = [key for chunk in self._keys for key in chunk]
        assert all(a < b for a, b in pairwise(keys)), "keys do not ascend"
        assert self._last == [chunk[-1] for chunk in self._keys], "wrong last keys"
        assert list(map(len, self._keys)) == list(map(len, self._rows)), "not parallel"
        assert len(self._keys) == len(self._epochs)
        assert self._length == len(keys), "wrong length"
        sizes = self._sizes
        assert sizes == list(map(len, self._keys)), "wrong sizes"
        for index, chunk in enumerate(self._keys):
            wanted = sum(sizes[:index])
            assert self._before(index) == wanted, "wrong sums"
            assert self._find(wanted) == (index, 0)
            assert self._find(wanted + len(chunk) - 1) == (index, len(chunk) - 1)


def _find(sizes: Iterable[int], position: int) -> tuple[int, int]:
    """Return which of some sizes holds a position in all, and the place in it.

    >>> _find([3, 2], 3)
    (1, 0)
    """
    ends = list(accumulate(sizes))
    index = bisect_right(ends, position)
    return index, position - ends[index - 1] if index else position
