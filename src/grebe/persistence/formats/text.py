"""What the formats share."""

from __future__ import annotations

import base64

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


def metadata_to_text(metadata: bytes) -> str:
    """Return metadata behind "=" if it is text, otherwise base64, which never begins so."""
    try:
        return "=" + metadata.decode()
    except UnicodeDecodeError:
        return base64.b64encode(metadata).decode()


def metadata_from_text(text: str) -> bytes:
    """Return what `metadata_to_text` made a text of."""
    return text[1:].encode() if text.startswith("=") else base64.b64decode(text)
