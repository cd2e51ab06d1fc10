"""What the formats share."""

from __future__ import annotations

from grebe.core import encoding
from grebe.errors import PersistenceError


def check_format(found: object, known: int, file: str) -> None:
    """Raise PersistenceError if a file is of another format: it is not damaged, only not ours."""
    if found != known:
        raise PersistenceError(
            f"{file}: written in format {found}; this version of Grebe reads format {known}, "
            "update Grebe to open it"
        )


def one_line(value: bytes) -> bytes:
    """Return a document's JSON without line ends: Grebe writes none, but others may."""
    return encoding.encode(encoding.decode(value)) if b"\n" in value else value
