"""The only module that opens, writes, syncs, renames and removes files of a directory store.

All else goes through the `FileSystem` interface, so tests can inject a fault or a power failure at
any operation. Names are whole paths.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from io import BytesIO
from typing import BinaryIO, Protocol

from grebe.errors import GrebeError, PersistenceError
from grebe.persistence.process_lock import FILE_MODE, take_lock

SYNC_EVERY_BYTES = 1 << 18
"""A large file is synced in pieces: a commit that comes meanwhile waits for one of them only.
Smaller ones cost more syncs than they save; measured by benchmarks/checkpoint_pauses.py."""
BEGIN_AFTER_BYTES = 1 << 21
"""The system is asked to begin with what was written each time there is that much of it: while the
rest is made, the disk works, and the sync at the end has little left to wait for."""
DIRECTORY_MODE = 0o700


class NewFile(Protocol):
    """A file being written, from its beginning."""

    def write(self, data: bytes) -> None:
        """Write all of `data` behind what was written; how much is when it raises is unknown."""

    def reserve(self, size: int) -> None:
        """Fill that many bytes with spaces, which the next writes replace.

        When it raises, fewer may be filled; writing goes on at the same place all the same.
        """

    def sync(self) -> None:
        """Return when all that was written is on the disk."""

    def close(self) -> None:
        """Close the file. Closing twice is fine."""


class FileSystem(Protocol):
    """What the file persistor asks of the system. Everything raises OSError."""

    def is_directory(self, path: str) -> bool:
        """Tell whether there is a directory of this name."""

    def make_directory(self, path: str) -> None:
        """Make one directory in another."""

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory."""

    def sync_directory(self, path: str) -> None:
        """Return when the names in a directory are on the disk."""

    def read(self, path: str) -> bytes:
        """Return the bytes of a file."""

    def read_start(self, path: str, size: int) -> bytes:
        """Return at most the first `size` bytes of a file."""

    def open_to_read(self, path: str) -> BinaryIO:
        """Return a file to be read in pieces, and closed."""

    def size(self, path: str) -> int:
        """Return the size of a file in bytes."""

    def create(self, path: str) -> NewFile:
        """Make a file, empty also if it was there."""

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, replacing a file that has it."""

    def remove(self, path: str) -> None:
        """Remove a file."""

    def lock(self, path: str, what: str) -> Callable[[], None]:
        """Take the lock of a file and return what releases it.

        Raises:
            StoreLockedError: somebody else has it.
        """


class OsNewFile:
    """A file of the operating system."""

    __slots__ = ("_fd", "_unsynced")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._unsynced = 0

    def write(self, data: bytes) -> None:
        """See NewFile."""
        written = os.write(self._fd, data)
        if written < len(data):
            view = memoryview(data)
            while written < len(data):
                written += os.write(self._fd, view[written:])
        self._unsynced += written
        if self._unsynced >= BEGIN_AFTER_BYTES:
            _begin_writing(self._fd, self._unsynced)
            self._unsynced = 0

    def reserve(self, size: int) -> None:
        """See NewFile."""
        position = os.lseek(self._fd, 0, os.SEEK_CUR)
        try:
            self.write(b" " * size)
        finally:
            os.lseek(self._fd, position, os.SEEK_SET)

    def sync(self) -> None:
        """See NewFile."""
        self._unsynced = 0
        _sync_data(self._fd)

    def close(self) -> None:
        """See NewFile."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


if sys.platform == "darwin":  # pragma: no cover - macOS
    import fcntl

    def _sync_data(fd: int) -> None:
        # fsync there leaves the data in the drive's cache.
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)

elif sys.platform == "win32":  # pragma: no cover - Windows

    def _sync_data(fd: int) -> None:
        os.fsync(fd)

else:

    def _sync_data(fd: int) -> None:
        os.fdatasync(fd)


def _begin_writing(fd: int, size: int) -> None:
    """Have the system begin to write that many bytes before the position. Nothing depends on it.

    On Linux that is what comes of saying that it need not be kept in memory. An error of the disk
    is reported by the next sync, as if that had written.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            start = os.lseek(fd, 0, os.SEEK_CUR) - size
            os.posix_fadvise(fd, start, size, os.POSIX_FADV_DONTNEED)


class OsFileSystem:
    """The real file system."""

    def is_directory(self, path: str) -> bool:
        """See FileSystem."""
        return os.path.isdir(path)

    def make_directory(self, path: str) -> None:
        """See FileSystem."""
        os.mkdir(path, DIRECTORY_MODE)

    def list_directory(self, path: str) -> list[str]:
        """See FileSystem."""
        return sorted(os.listdir(path))

    def sync_directory(self, path: str) -> None:
        """See FileSystem."""
        if sys.platform == "win32":  # pragma: no cover - directories cannot be opened there
            return
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def read(self, path: str) -> bytes:
        """See FileSystem."""
        with open(path, "rb") as file:
            return file.read()

    def read_start(self, path: str, size: int) -> bytes:
        """See FileSystem."""
        with open(path, "rb") as file:
            return file.read(size)

    def open_to_read(self, path: str) -> BinaryIO:
        """See FileSystem."""
        if sys.platform == "win32":  # pragma: no cover - a file that is open there stays in place
            return BytesIO(self.read(path))
        return open(path, "rb")

    def size(self, path: str) -> int:
        """See FileSystem."""
        return os.stat(path).st_size

    def create(self, path: str) -> NewFile:
        """See FileSystem."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        return OsNewFile(os.open(path, flags, FILE_MODE))

    def rename(self, source: str, target: str) -> None:
        """See FileSystem."""
        os.replace(source, target)

    def remove(self, path: str) -> None:
        """See FileSystem."""
        os.remove(path)

    def lock(self, path: str, what: str) -> Callable[[], None]:
        """See FileSystem."""
        return take_lock(path, what)


class as_persistence_error:  # noqa: N801 - used like a function
    """Turn the system's errors into PersistenceError, with the cause, in a `with` block.

    A class, for it is entered at each commit: one made of a generator takes a microsecond more.
    """

    __slots__ = ("_path", "_what")

    def __init__(self, path: str, what: str) -> None:
        self._path = path
        self._what = what

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise the error that a user sees in place of the system's."""
        if not isinstance(error, OSError) or isinstance(error, GrebeError):
            return
        found = PersistenceError(
            f"{self._path} could not be {self._what}: {error.strerror or error}; "
            "what is stored there stays as it was"
        )
        found.errno, found.strerror = error.errno, error.strerror
        found.filename = error.filename
        raise found from error


def make_directories(fs: FileSystem, path: str) -> None:
    """Make a directory and those above it, durably; one that is there is fine.

    Each is in its parent durably before another is made in it. So of those that are there only the
    last can have been left undurable, by somebody who died: its entry is synced each time.
    """
    missing = []
    above = path
    while not fs.is_directory(above):
        missing.append(above)
        above = os.path.dirname(above)
    # A directory that we may not read we have not made anything in.
    with contextlib.suppress(PermissionError):
        fs.sync_directory(os.path.dirname(above))
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):  # made by somebody else just now
            fs.make_directory(directory)
        fs.sync_directory(os.path.dirname(directory))


def write_file(fs: FileSystem, directory: str, name: str, parts: list[bytes]) -> None:
    """Replace a file so that it is the old or the new one after any crash.

    Durable only when the directory is synced; so several files can share that sync.
    """
    temporary = os.path.join(directory, name + ".tmp")
    file = fs.create(temporary)
    try:
        unsynced = 0
        for part in parts:
            file.write(part)
            unsynced += len(part)
            if unsynced >= SYNC_EVERY_BYTES:
                file.sync()
                unsynced = 0
        file.sync()
        file.close()
    except BaseException:
        with contextlib.suppress(OSError):
            file.close()
        # Not left for the next open: on a full disk its room is needed.
        with contextlib.suppress(OSError):
            fs.remove(temporary)
        raise
    fs.rename(temporary, os.path.join(directory, name))
