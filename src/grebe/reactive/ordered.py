"""Rows kept in order, with immutable views that share what did not change.

Rows lie in chunks of at most CHUNK_MAX. A view holds the row lists of all chunks; a chunk whose
list a view may hold is copied before it is changed. So a change costs a search and at most one
chunk, and a view one pass over the chunks, whatever the number of rows.

Invariants, tested by `check()`:
1. Keys ascend, within and across chunks; `_last` holds the last key of each chunk.
2. No chunk is empty; keys and rows of a chunk are parallel.
3. A chunk with `epoch` below the current one may be shared with a view.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import Any, Generic, TypeVar

from grebe.documents.results import Results
from grebe.documents.snapshot import Snapshot

Row = TypeVar("Row", bound=Snapshot[Any])
CHUNK_MAX = 512


class _Chunk(Generic[Row]):
    __slots__ = ("epoch", "keys", "rows")

    def __init__(self, keys: list[Any], rows: list[Row], epoch: int) -> None:
        self.keys = keys
        self.rows = rows
        self.epoch = epoch


class OrderedRows(Generic[Row]):
    """Snapshots by unique, comparable keys, in ascending order."""

    __slots__ = ("_chunks", "_epoch", "_last", "_length", "_view")

    def __init__(self, keys: list[Any] | None = None, rows: list[Row] | None = None) -> None:
        """Start empty, or with ascending keys and their rows. O(rows)."""
        keys, rows = keys or [], rows or []
        self._epoch = 0
        half = CHUNK_MAX // 2
        self._chunks = [
            _Chunk(keys[i : i + half], rows[i : i + half], 0) for i in range(0, len(keys), half)
        ]
        self._last = [chunk.keys[-1] for chunk in self._chunks]
        self._length = len(keys)
        self._view: Any = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    def add(self, key: Any, row: Row) -> None:
        """Insert a row; its key must be new. O(chunk)."""
        self._view = None
        if not self._chunks:
            self._chunks = [_Chunk([key], [row], self._epoch)]
            self._last = [key]
            self._length = 1
            return
        index = min(bisect_left(self._last, key), len(self._chunks) - 1)
        chunk = self._own(index)
        position = bisect_left(chunk.keys, key)
        chunk.keys.insert(position, key)
        chunk.rows.insert(position, row)
        self._last[index] = chunk.keys[-1]
        self._length += 1
        if len(chunk.keys) > CHUNK_MAX:
            self._split(index)

    def replace(self, key: Any, row: Row) -> None:
        """Put another row in the place of the one with this key. O(chunk)."""
        self._view = None
        index = bisect_left(self._last, key)
        chunk = self._own(index)
        chunk.rows[bisect_left(chunk.keys, key)] = row

    def remove(self, key: Any) -> None:
        """Take out the row with this key. O(chunk)."""
        self._view = None
        index = bisect_left(self._last, key)
        chunk = self._own(index)
        position = bisect_left(chunk.keys, key)
        del chunk.keys[position], chunk.rows[position]
        self._length -= 1
        if chunk.keys:
            self._last[index] = chunk.keys[-1]
        else:
            del self._chunks[index], self._last[index]

    def view(self) -> Results[Any]:
        """Return the rows as they are now, immutable. O(chunks), not O(rows)."""
        if self._view is None:
            self._view = Results([chunk.rows for chunk in self._chunks], self._length)
            self._epoch += 1
        view: Results[Any] = self._view
        return view

    def _own(self, index: int) -> _Chunk[Row]:
        chunk = self._chunks[index]
        if chunk.epoch < self._epoch:
            chunk.rows = chunk.rows.copy()
            chunk.epoch = self._epoch
        return chunk

    def _split(self, index: int) -> None:
        chunk = self._chunks[index]
        half = len(chunk.keys) // 2
        right = _Chunk(chunk.keys[half:], chunk.rows[half:], self._epoch)
        del chunk.keys[half:], chunk.rows[half:]
        self._chunks.insert(index + 1, right)
        self._last[index : index + 1] = [chunk.keys[-1], right.keys[-1]]

    def check(self) -> None:
        """Raise AssertionError if an invariant of this module does not hold."""
        keys = [key for chunk in self._chunks for key in chunk.keys]
        assert all(a < b for a, b in pairwise(keys)), "keys do not ascend"
        assert self._last == [chunk.keys[-1] for chunk in self._chunks], "wrong last keys"
        assert all(len(chunk.keys) == len(chunk.rows) > 0 for chunk in self._chunks)
        assert self._length == len(keys), "wrong length"
