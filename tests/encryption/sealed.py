"""Keys, secrets that can be searched for, and the search."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

KEY = bytes(range(32))
OTHER_KEY = bytes(range(32, 64))


class Secrets:
    """Values, ids and collection names that must be in no file."""

    def __init__(self, count: int) -> None:
        self.values = [f"value-{n:04d}-qzxj" for n in range(count)]
        self.ids = [f"ident-{n:04d}-qzxj" for n in range(count)]
        self.names = [f"names-{n:02d}-qzxj" for n in range(10)]

    @property
    def count(self) -> int:
        """Number of documents."""
        return len(self.values)

    def all(self) -> list[str]:
        """Return everything that is looked for."""
        return [*self.values, *self.ids, *self.names]


def files_in(directory: Path) -> Iterator[Path]:
    """Yield all files in and under a directory, hidden ones too."""
    for folder, _, names in os.walk(directory):
        yield from (Path(folder) / name for name in names)


def found_in(directory: Path, wanted: list[str]) -> list[tuple[str, str]]:
    """Return the file and text of each text that is in any byte of any file.

    Also as hexadecimal digits, and as base64 would show it, at each of its three alignments.
    """
    found = []
    # Of the common end of all first: where that is not, none of them is.
    ends = os.path.commonprefix([text[::-1] for text in wanted])  # noqa: RUF071 - no paths
    suffix = ends[::-1]
    for file in files_in(directory):
        try:
            data = file.read_bytes()
        except FileNotFoundError:  # a checkpoint removed it
            continue
        if suffix and not any(form in data for form in _forms(suffix)):
            continue
        for text in wanted:
            if any(form in data for form in _forms(text)):
                found.append((file.name, text))
    return found


def _forms(text: str) -> Iterator[bytes]:
    plain = text.encode()
    yield plain
    yield plain.hex().encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + plain)
        # Without the ends, which depend on the neighbours.
        form = encoded[-(-shift * 8 // 6) : (shift + len(plain)) * 8 // 6]
        if len(form) > 2:
            yield form
