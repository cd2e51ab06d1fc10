"""Many plain values at once: what `core.values` does to one, for bulk writes and reads.

Documents that are written together are nearly always of one shape. Then each field is a column,
and a column is checked by a few calls into C instead of some bytecode for each value. Documents
that are read together are decoded by one call, and share the texts that repeat in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from math import isfinite
from operator import itemgetter
from typing import Any, NamedTuple

from grebe.core import encoding
from grebe.core.values import (
    INT_MAX,
    INT_MIN,
    NO_NUMBERS,
    ReadOnlyDict,
    ReadOnlyList,
    encode_plain,
    is_plain,
    read_only,
)

TOGETHER = 1000
"""Values that are checked and then encoded: as many as stay in the processor's cache."""
DECODED_TOGETHER = 128
COLUMNS_EVERY = 32 * DECODED_TOGETHER
"""Values after which their shape is looked at anew."""
SHARED_MAX = 1024
"""Texts that are remembered. They are few where they repeat, and forgotten where they do not."""
REPEATED_MIN = 1 / 16
"""Share of a field's texts that others repeat, among documents that are decoded together."""
SHARED_BYTES_MAX = 1024
"""Size of documents up to which their texts are looked up: long ones hardly repeat."""

Share = Callable[[str, str], str]


def encode_plain_many(values: Iterable[object], paths: Sequence[str]) -> list[bytes]:
    """Return the JSON of plain values; `paths` names their documents in errors. O(size).

    Raises:
        SerializationError: as `encode_plain`, for the first value that JSON cannot carry.

    >>> encode_plain_many([{"n": 1}, {"n": 2}], ["a/1", "a/2"])
    [b'{"n":1}', b'{"n":2}']
    """
    found: list[bytes] = []
    rest = iter(values)
    while some := list(islice(rest, TOGETHER)):
        texts = _encode_alike(some)
        if texts is None:
            names = paths[len(found) : len(found) + TOGETHER]
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
    if _kinds(values) != {dict} or list(map(len, values)).count(len(first)) != len(values):
        return False
    return all(
        type(key) is str and _is_plain_column(list(map(itemgetter(key), values))) for key in first
    )


def _is_plain_column(column: list[Any]) -> bool:
    kinds = _kinds(column)
    if kinds <= NO_NUMBERS:
        return True
    if kinds == {int}:
        return bool(min(column) >= INT_MIN and max(column) <= INT_MAX)
    if kinds == {float}:
        return isfinite(sum(column))  # no sum with infinities or NaN in it is finite
    if kinds == {list} and _kinds(chain.from_iterable(column)) <= NO_NUMBERS:
        return True
    return all(item is None or is_plain(item) for item in column)


def _kinds(column: Iterable[Any]) -> set[type]:
    """Return the types in a column, in half the time if they are all the same."""
    kinds = list(map(type, column))
    return {kinds[0]} if kinds and kinds.count(kinds[0]) == len(kinds) else set(kinds)


class _Columns(NamedTuple):
    """Keys of dicts of one shape."""

    texts: list[str]
    """Of texts that repeat."""
    lists: list[str]
    dicts: list[tuple[str, _Columns]]


class _Known(dict[Any, Any]):
    """Texts, and what was in lists of texts, by themselves; others are given back as they are.

    Looking up is faster than a call. True, 1 and 1.0 must not be taken for each other.
    """

    def __missing__(self, value: Any) -> Any:
        """Remember a text, or a tuple of texts."""
        if type(value) is tuple and _kinds(value) == {str}:
            value = tuple([self[text] for text in value])
        elif type(value) is not str:
            return value
        self[value] = value
        return value


def decode_plain_many(values: Sequence[bytes]) -> list[Any]:
    """Return the read-only values of documents' JSON, as `decode_plain` does. O(size).

    A text that several of them hold (a city, a state, a name) is one object for all: half of the
    memory of usual documents.

    Raises:
        ValueError: one of them is no JSON.
        RecursionError: one of them is nested too deeply.

    >>> decode_plain_many([b'{"n":1}', b"[2]"])
    [{'n': 1}, [2]]
    """
    found: list[Any] = []
    shared = _Known()
    columns: _Columns | None = None
    for start in range(0, len(values), DECODED_TOGETHER):
        some = values[start : start + DECODED_TOGETHER]
        text = b",".join(some)
        rows = encoding.decode(b"[%b]" % text)
        if len(rows) != len(some):
            raise ValueError("not each of the texts is one JSON value")
        if len(text) > SHARED_BYTES_MAX * len(rows):
            found += map(read_only, rows)
            continue
        if start % COLUMNS_EVERY == 0:
            columns = _columns(rows)
        if columns is not None:
            nested = _freeze_columns(rows, columns, shared)
            if text.count(b"[") + text.count(b"{") != nested:
                columns = None  # something else is nested, or brackets are in texts
        if columns is None:
            _freeze_items(rows, shared.setdefault)
            found += rows
        else:
            found += _closed(rows, columns)
        if len(shared) > SHARED_MAX:
            shared.clear()
    return found


def _columns(rows: list[Any]) -> _Columns | None:
    """Return where dicts have what is to be looked at; None if they are not of one shape."""
    if _kinds(rows) != {dict}:
        return None
    found = _Columns([], [], [])
    for key in rows[0]:
        column = [row.get(key) for row in rows]
        kinds = _kinds(column)
        if dict in kinds:
            inner = _columns(column)
            if inner is None:
                return None
            found.dicts.append((key, inner))
        elif list in kinds:
            found.lists.append(key)
        elif str in kinds and len(column) - len(set(column)) >= REPEATED_MIN * len(column):
            found.texts.append(key)
    return found


def _freeze_columns(rows: list[Any], columns: _Columns, known: _Known) -> int:
    """Make lists in dicts read-only, and share texts, in these columns.

    Returns how many dicts and lists there are; that there are no others is seen by the brackets in
    their JSON, in less time than a look at each value takes. Less than there are, -1 for example,
    if these rows are of another shape.
    """
    if _kinds(rows) != {dict}:
        return -1
    nested = len(rows)
    try:
        for key in columns.texts:
            for row in rows:
                row[key] = known[row[key]]
        for key in columns.lists:
            for row in rows:
                inner = row[key]
                if type(inner) is list:
                    # Not the list itself, as two copies of documents would have one list then.
                    row[key] = ReadOnlyList(known[tuple(inner)])
                    nested += 1
        for key, below in columns.dicts:
            nested += _freeze_columns([row[key] for row in rows], below, known)
    except (KeyError, TypeError):  # a field is missing; something that is nested has no hash
        return -1
    return nested


def _closed(rows: list[Any], columns: _Columns) -> Iterable[ReadOnlyDict]:
    """Return dicts, all else of which is read-only, as read-only ones."""
    for key, below in columns.dicts:
        for row, inner in zip(rows, _closed([row[key] for row in rows], below), strict=True):
            row[key] = inner
    return map(ReadOnlyDict, rows)


def _freeze_items(items: list[Any], share: Share) -> None:
    """Make what is in a list read-only, all the way down, with texts from those that are known.

    One function, with a loop for lists of texts in dicts: calls would be a tenth of the time.
    """
    for place, item in enumerate(items):
        kind = type(item)
        if kind is dict:
            for key, inner in item.items():
                kind = type(inner)
                if kind is str:
                    item[key] = share(inner, inner)
                elif kind is list:
                    for at, text in enumerate(inner):
                        if type(text) is not str:
                            _freeze_items(inner, share)
                            break
                        inner[at] = share(text, text)
                    item[key] = ReadOnlyList(inner)
                elif kind is dict:
                    alone = [inner]
                    _freeze_items(alone, share)
                    item[key] = alone[0]
            items[place] = ReadOnlyDict(item)
        elif kind is str:
            items[place] = share(item, item)
        elif kind is list:
            _freeze_items(item, share)
            items[place] = ReadOnlyList(item)
