r"""Partition names as text that JSON can carry: any `str` is a valid name, lone surrogates too.

A backslash is doubled and a lone surrogate written as `\udXXX`; everything else stays as it is.
"""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"\\(\\|u[0-9a-f]{4})")


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
