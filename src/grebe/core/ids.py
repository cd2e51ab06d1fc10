"""Ids of documents: random ones, and those of many at once."""

from __future__ import annotations

import os
import string
from collections.abc import Iterable, Mapping
from typing import Any

from grebe.core import path as paths

LENGTH = 21
ALPHABET = string.ascii_letters + string.digits + "-~"
# 64 characters, so that six bits of a random byte pick one without bias.
_TABLE = bytes(ALPHABET.encode()[byte % 64] for byte in range(256))


def random_id() -> str:
    """Return a new document id: 21 characters, 126 bits from the system's secure source."""
    return os.urandom(LENGTH).translate(_TABLE).decode("ascii")


def ids_and_data(items: Any) -> tuple[list[str], list[Any]]:
    """Return ids and data of what is to be created, parallel.

    Raises:
        InvalidPathError: an id of a mapping is none.
        TypeError: it is no mapping of id to data, nor a list of data.

    >>> ids_and_data({"1": "a", "2": "b"})
    (['1', '2'], ['a', 'b'])
    """
    if isinstance(items, Mapping):
        ids = list(items)
        if "" in items or not _are_alphanumeric(ids):
            ids = [paths.check_segment(key) for key in ids]
        return ids, list(items.values())
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        kind = type(items).__name__
        raise TypeError(f"create_many takes a mapping of id to data or a list of data, not {kind}")
    data = list(items)
    return [random_id() for _ in data], data


def _are_alphanumeric(ids: list[Any]) -> bool:
    """Tell whether all are alphanumeric or empty, see check_segment: all are asked at once."""
    try:
        return "".join(ids).isalnum()
    except TypeError:  # no text
        return False
