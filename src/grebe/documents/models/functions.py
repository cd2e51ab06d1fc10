"""Any type, through the user's own pair of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from grebe.core import encoding
from grebe.core.values import encode_plain
from grebe.documents.models.adapter import UNREAD
from grebe.documents.models.misfit import Mismatch, misfit
from grebe.documents.models.plain import PLAIN


class FunctionAdapter:
    """Converts with `from_json` and `to_json`; what `to_json` gives is checked as plain data."""

    def __init__(self, from_json: Callable[[Any], Any], to_json: Callable[[Any], Any]) -> None:
        self.name = getattr(from_json, "__qualname__", "from_json")
        self._from_json = from_json
        self._to_json = to_json

    def encode(self, data: Any, path: str) -> bytes:
        """See Adapter."""
        return encode_plain(self._to_json(data), path)

    def capture(self, data: Any, path: str) -> tuple[bytes, Any]:
        """See Adapter."""
        return self.encode(data, path), UNREAD

    def decode(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        data = encoding.decode(value)
        stored = type(data).__name__
        try:
            return self._from_json(data)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            # Not the error's text: it may show data.
            found = Mismatch("$", stored, self.name, type(error).__name__)
            raise misfit(value, self.name, path, found) from error

    draft = decode

    def merge(self, value: bytes, fields: Mapping[str, Any], path: str) -> Any:
        """See Adapter."""
        return self._from_json(PLAIN.merge(value, fields, path))
