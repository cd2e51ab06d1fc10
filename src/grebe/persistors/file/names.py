"""File names: injective from partition names, the same on every system.

Kept as they are: lower-case ASCII letters, digits, `-` and `_`. Everything else is
percent-encoded byte by byte: upper case (case twins would be one file on Windows and macOS), dots
(extensions), separators, and all that some system forbids. A first character is encoded too where
the plain name would be reserved or one of our own. Over-long names end in a hash, after `%-`, which
no other name contains.
"""

from __future__ import annotations

import hashlib
import re

SUFFIX = ".json"
ENCRYPTED_SUFFIX = ".encrypted.json"
JOURNAL_SUFFIX = ".jsonl"
TEMPORARY_SUFFIX = ".tmp"
MANIFEST = "__manifest__.json"
LOCK = ".lock"
STEM_LENGTH_MAX = 160
"""Room is left for the longest suffixes within the 255 bytes that file systems allow."""

_KEPT = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_RESERVED = re.compile(r"(con|prn|aux|nul|conin|conout|com[0-9]|lpt[0-9]|__manifest__)$")
_TEMPORARY = re.compile(r".*\.jsonl?(\.corrupt-[0-9]+)?\.tmp$", re.DOTALL)
_JOURNAL = re.compile(r"journal-([0-9]{8,})\.jsonl$")


def partition_file(partition: str, encrypted: bool = False) -> str:
    """Return the file name of a partition.

    >>> partition_file("users"), partition_file("Köln/1"), partition_file("con")
    ('users.json', '%4b%c3%b6ln%2f1.json', '%63on.json')
    """
    encoded = "".join(
        chr(byte) if byte in _KEPT else f"%{byte:02x}"
        for byte in partition.encode("utf-8", "surrogatepass")
    )
    if not encoded:
        encoded = "%"
    elif _RESERVED.match(encoded):
        encoded = f"%{ord(encoded[0]):02x}{encoded[1:]}"
    if len(encoded) > STEM_LENGTH_MAX:
        digest = hashlib.sha256(encoded.encode()).hexdigest()[:40]
        encoded = f"{encoded[: STEM_LENGTH_MAX - 42]}%-{digest}"
    return encoded + (ENCRYPTED_SUFFIX if encrypted else SUFFIX)


def journal_file(number: int) -> str:
    """Return the file name of a journal.

    >>> journal_file(42)
    'journal-00000042.jsonl'
    """
    return f"journal-{number:08d}.jsonl"


def is_temporary(name: str) -> bool:
    """Tell whether a file is one that we were writing; others' temporary files are not ours.

    >>> is_temporary("users.json.tmp"), is_temporary("letter.tmp")
    (True, False)
    """
    return _TEMPORARY.match(name) is not None


def journal_number(name: str) -> int | None:
    """Return the number of a journal's file name, or None if it is not one."""
    match = _JOURNAL.match(name)
    return int(match.group(1)) if match else None
