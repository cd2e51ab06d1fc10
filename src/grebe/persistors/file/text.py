r"""What the formats share: their version, and partition names as text that JSON can carry.

Any `str` is a valid name, also with lone surrogates.

A backslash is doubled and a lone surrogate written as `\udXXX`; everything else stays as it is.
"""

from __future__ import annotations

import re

from grebe.core import encoding
from grebe.errors import PersistenceError

_ESCAPED = re.compile(r"\\(\\|u[0-9a-f]{4})")


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


def to_text(name: str) -> str:
    r"""Return the escaped name.

    >>> to_text("users"), to_text("a\\b")
    ('users', 'a\\\\b')
    """
    if name.isascii() and "\\" not in name:
        return name
    return name.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode()


def from_text(text: str) -> str:
    """Return the name that `to_text` escaped."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda m: "\\" if m[1] == "\\" else chr(int(m[1][1:], 16)), text)
