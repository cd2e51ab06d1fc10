"""Random document ids."""

from __future__ import annotations

import os
import string

LENGTH = 21
ALPHABET = string.ascii_letters + string.digits + "-~"
# 64 characters, so that six bits of a random byte pick one without bias.
_TABLE = bytes(ALPHABET.encode()[byte % 64] for byte in range(256))


def random_id() -> str:
    """Return a new document id: 21 characters, 126 bits from the system's secure source."""
    return os.urandom(LENGTH).translate(_TABLE).decode("ascii")
