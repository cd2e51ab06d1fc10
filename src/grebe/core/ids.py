"""Ids of documents: random ones, and those of many at once."""

from __future__ import annotations

import os
import string
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from grebe.core import path as paths

LENGTH = 21
ALPHABET = string.ascii_letters + string.digits + "-~"
# 64 characters, so that six bits of a random byte pick one without bias.
_TABLE = bytes(ALPHABET.encode()[byte % 64] for byte in range(256))


def random_id() -> str:
    """Return a new document id: 21 characters, 126 bits from the system's secure source."""
    return os.urandom(LENGTH).translate(_TABLE).decode("ascii")


def ids_and_data(items: Any) -> tuple[list[str], Collection[Any]]:
    """Return ids and data of what is to be created, parallel.

    Raises:
        InvalidPathError: an id of a mapping is none.
        TypeError: it is no mapping of id to data, nor a list of data.

    >>> ids_and_data({"1": "a", "2": "b"})
    (['1', '2'], dict_values(['a', 'b']))
    """
    if isinstance(items, Mapping):
        ids = list(items)
        if "" in items or not _are_usual(ids):
            ids = [paths.check_segment(key) for key in ids]
        return ids, items.values()
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        kind = type(items).__name__
        raise TypeError(f"create_many takes a mapping of id to data or a list of data, not {kind}")
    data = list(items)
    return [random_id() for _ in data], data


def _are_usual(ids: list[Any]) -> bool:
    """Tell whether none needs a look of its own: see check_segment. All are asked at once."""
    try:
        text = "".join(ids)
    except TypeError:  # no text
        return False
    # The second holds for other alphabets too, but looks at each character.
    return (text.isascii() and "/" not in text and "\0" not in text) or text.isalnum()
