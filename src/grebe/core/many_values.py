"""Many plain values at once: what `core.values` does to one, for bulk writes.

Documents that are written together are nearly always of one shape. Then each field is a column,
and a column is checked by a few calls into C instead of some bytecode for each value.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from math import isfinite
from operator import itemgetter
from typing import Any

from grebe.core import encoding
from grebe.core.values import INT_MAX, INT_MIN, NO_NUMBERS, encode_plain, is_plain

TOGETHER = 1000
"""Values that are checked and then encoded: as many as stay in the processor's cache."""


def encode_plain_many(values: Sequence[object], paths: Sequence[str]) -> list[bytes]:
    """Return the JSON of plain values; `paths` names their documents in errors. O(size).

    Raises:
        SerializationError: as `encode_plain`, for the first value that JSON cannot carry.

    >>> encode_plain_many([{"n": 1}, {"n": 2}], ["a/1", "a/2"])
    [b'{"n":1}', b'{"n":2}']
    """
    found: list[bytes] = []
    for start in range(0, len(values), TOGETHER):
        some = values[start : start + TOGETHER]
        texts = _encode_alike(some)
        if texts is None:
            names = paths[start : start + TOGETHER]
            texts = [encode_plain(value, path) for value, path in zip(some, names, strict=True)]
        found += texts
    return found


def _encode_alike(values: Sequence[Any]) -> list[bytes] | None:
    """Return the JSON of dicts with the same keys, or None: then each is to be looked at alone."""
    try:
        if not _are_plain(values):
            return None
        texts = encoding.encode_lines(values).split(b"\n")
    except (ValueError, TypeError, LookupError, RecursionError):
        return None  # who looks at each can say where it is
    texts.pop()  # behind the last line end
    return texts if len(texts) == len(values) else None


def _are_plain(values: Sequence[Any]) -> bool:
    """Tell whether all are dicts with the same keys and need no second look."""
    first = values[0]
    if set(map(type, values)) != {dict} or set(map(len, values)) != {len(first)}:
        return False
    return all(
        type(key) is str and _is_plain_column(list(map(itemgetter(key), values))) for key in first
    )


def _is_plain_column(column: list[Any]) -> bool:
    kinds = set(map(type, column))
    if kinds <= NO_NUMBERS:
        return True
    if kinds == {int}:
        return bool(min(column) >= INT_MIN and max(column) <= INT_MAX)
    if kinds == {float}:
        return isfinite(sum(column))  # no sum with infinities or NaN in it is finite
    if kinds == {list} and NO_NUMBERS.issuperset(map(type, chain.from_iterable(column))):
        return True
    return all(item is None or is_plain(item) for item in column)
