"""The database file as a file: its name, its directory, its lock. What is in it is SQLite's."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from grebe.persistence.process_lock import FILE_MODE, take_lock

DIRECTORY_MODE = 0o700


class Place:
    """Where a database is.

    Never opens a database that is there: closing it would let go of all locks that SQLite holds on
    it in this process (sqlite.org/howtocorrupt.html, 2.2).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self.name = os.path.basename(self.path)

    def exists(self) -> bool:
        """Tell whether there is a file."""
        return os.path.exists(self.path)

    def has_log(self) -> bool:
        """Tell whether there is a write-ahead log: somebody has it open, or was killed."""
        return os.path.exists(self.path + "-wal")

    def lock(self) -> Callable[[], None]:
        """Take the lock of the one writing store; it is not SQLite's, so readers are let in."""
        return take_lock(self.path + "-lock", self.path)

    def uri(self, mode: str) -> str:
        """Return the name that SQLite understands, for opening `rw`, `ro` or `ro&immutable=1`."""
        return f"{Path(self.path).as_uri()}?mode={mode}"

    def make_directory(self) -> None:
        """Make the directories above the file, durably."""
        above = os.path.dirname(self.path)
        missing = []
        while not os.path.isdir(above):
            missing.append(above)
            above = os.path.dirname(above)
        for directory in reversed(missing):
            with contextlib.suppress(FileExistsError):  # made by somebody else just now
                os.mkdir(directory, DIRECTORY_MODE)
            _sync_directory(os.path.dirname(directory))

    def make_file(self) -> None:
        """Make an empty file that only its owner may read; SQLite's other files follow its mode."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, flags, FILE_MODE))
            _sync_directory(os.path.dirname(self.path))


def _sync_directory(path: str) -> None:
    if sys.platform == "win32":  # pragma: no cover - directories cannot be opened there
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
