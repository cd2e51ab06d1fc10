"""Plain JSON values: documents without a model, or with one of the JSON types as model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from grebe.core import encoding
from grebe.core.values import decode_plain, encode_plain
from grebe.documents.models.adapter import UNREAD
from grebe.documents.models.misfit import Mismatch, misfit
from grebe.errors import SerializationError

PLAIN_TYPES: tuple[type[Any], ...] = (dict, list, str, int, float, bool)


class PlainAdapter:
    """Plain JSON values: no model."""

    name = "plain data"

    # Itself, not a method around it: it is called for every plain document that is written.
    encode = staticmethod(encode_plain)

    def capture(self, data: Any, path: str) -> tuple[bytes, Any]:
        """See Adapter."""
        return encode_plain(data, path), UNREAD

    def decode(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        return decode_plain(value)

    def draft(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        return encoding.decode(value)

    def merge(self, value: bytes, fields: Mapping[str, Any], path: str) -> Any:
        """See Adapter."""
        data = encoding.decode(value)
        if type(data) is not dict:
            kind = type(data).__name__
            raise TypeError(f"{path} holds a {kind}, which has no fields to update; use set()")
        data.update(fields)
        return data


PLAIN = PlainAdapter()


class _PlainOf(PlainAdapter):
    """Plain values of one JSON type, for `model=dict` and the like."""

    def __init__(self, kind: type[Any]) -> None:
        self.name = kind.__name__
        self._kind = kind

    def encode(self, data: Any, path: str) -> bytes:
        """See Adapter."""
        if not self._fits(data):
            kind = type(data).__name__
            raise SerializationError(f"{path}: a {self.name} is wanted, not a {kind}", path)
        return encode_plain(data, path)

    def capture(self, data: Any, path: str) -> tuple[bytes, Any]:
        """See Adapter."""
        return self.encode(data, path), UNREAD

    def decode(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        data = decode_plain(value)
        if not self._fits(data):
            found = Mismatch("$", type(encoding.decode(value)).__name__, self.name)
            raise misfit(value, self.name, path, found)
        return data

    def _fits(self, data: Any) -> bool:
        if isinstance(data, bool):
            return self._kind is bool
        return isinstance(data, self._kind)


@lru_cache
def plain_of(kind: Any) -> PlainAdapter:
    """Return the adapter for one of PLAIN_TYPES."""
    return _PlainOf(kind)
