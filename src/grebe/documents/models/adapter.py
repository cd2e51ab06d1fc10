"""The contract of whoever converts the documents of one model."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, Protocol


class Unread(enum.Enum):
    """Stands for data that nobody has looked at yet (None is never a document)."""

    UNREAD = "unread"

    def __repr__(self) -> str:
        """Show as what it means."""
        return "unread"


UNREAD: Final = Unread.UNREAD


class Adapter(Protocol):
    """Converts the documents of one model. `path` is the document's, for errors.

    References that ask with the same model share one adapter: decoded documents and live queries
    are shared by its identity.
    """

    name: str
    """What the model is called in messages."""

    def encode(self, data: Any, path: str) -> bytes:
        """Return the JSON of `data`; `decode` gives it back. Raises SerializationError."""

    def capture(self, data: Any, path: str) -> tuple[bytes, Any]:
        """Do as `encode`, and return what `decode` gives, or UNREAD where that is not known yet."""

    def decode(self, value: bytes, path: str) -> Any:
        """Return what readers get. Raises DocumentTypeError."""

    def draft(self, value: bytes, path: str) -> Any:
        """Return a copy that the caller may change. Raises DocumentTypeError."""

    def merge(self, value: bytes, fields: Mapping[str, Any], path: str) -> Any:
        """Return the data with top-level fields replaced. Raises TypeError if it has none."""
