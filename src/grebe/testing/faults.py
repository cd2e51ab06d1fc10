"""Faults on purpose: a file system around another one, real or simulated, whose Nth call fails.

    fs = FaultyFileSystem(OsFileSystem(), Fault(call=7, errno=errno.ENOSPC))

Calls are counted from 1, in the order in which they come; `calls` has them all, so a test can first
count them and then fail each one.
"""

from __future__ import annotations

import contextlib
import errno as errno_codes
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from grebe.persistors.file.filesystem import FileSystem, NewFile

R = TypeVar("R")

CHANGING = frozenset(
    {
        *("make_directory", "create", "write", "reserve", "sync", "close"),
        *("rename", "remove", "sync_directory"),
    }
)
"""Kinds of calls that change something."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Which call fails, and how."""

    call: int
    """Number of the call among those of the `kinds`, from 1."""
    errno: int = errno_codes.EIO
    lasting: bool = False
    """Whether all later calls of these kinds fail too, until `heal`."""
    when: str = "before"
    """`before`: the call does nothing. `after`: it does its work and fails all the same. `short`: a
    write does half of its work, anything else nothing."""
    kinds: frozenset[str] | None = None
    """Kinds of calls that count and fail; None: all."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call."""

    kind: str
    path: str
    failed: bool


class FaultyFileSystem:
    """Passes everything on, counts, and fails where it was told to. Thread-safe."""

    def __init__(self, inner: FileSystem, fault: Fault | None = None) -> None:
        self.inner = inner
        self.fault = fault
        self.calls: list[Call] = []
        self.failed = 0
        """Number of calls that failed."""
        self._counted = 0
        self._lock = threading.Lock()

    def heal(self) -> None:
        """Let everything succeed from now on."""
        self.fault = None

    def begin(self, kind: str, path: str) -> Fault | None:
        """Count a call; return how it fails, if it does."""
        with self._lock:
            fault = self.fault
            fails = False
            if fault is not None and (fault.kinds is None or kind in fault.kinds):
                self._counted += 1
                fails = self._counted == fault.call or (
                    fault.lasting and self._counted > fault.call
                )
            self.calls.append(Call(kind, path, fails))
            self.failed += fails
            return fault if fails else None

    # --- FileSystem

    def is_directory(self, path: str) -> bool:
        """See FileSystem. Does not count: it raises nothing."""
        return self.inner.is_directory(path)

    def make_directory(self, path: str) -> None:
        """See FileSystem."""
        return self._do("make_directory", path, lambda: self.inner.make_directory(path))

    def list_directory(self, path: str) -> list[str]:
        """See FileSystem."""
        return self._do("list_directory", path, lambda: self.inner.list_directory(path))

    def sync_directory(self, path: str) -> None:
        """See FileSystem."""
        return self._do("sync_directory", path, lambda: self.inner.sync_directory(path))

    def read(self, path: str) -> bytes:
        """See FileSystem."""
        return self._do("read", path, lambda: self.inner.read(path))

    def read_start(self, path: str, size: int) -> bytes:
        """See FileSystem."""
        return self._do("read_start", path, lambda: self.inner.read_start(path, size))

    def open_to_read(self, path: str) -> BinaryIO:
        """See FileSystem. Counts as a `read`, as one of a whole file."""
        return self._do("read", path, lambda: self.inner.open_to_read(path))

    def size(self, path: str) -> int:
        """See FileSystem."""
        return self._do("size", path, lambda: self.inner.size(path))

    def create(self, path: str) -> NewFile:
        """See FileSystem."""
        return FaultyFile(self, self._do("create", path, lambda: self.inner.create(path)), path)

    def rename(self, source: str, target: str) -> None:
        """See FileSystem."""
        return self._do("rename", target, lambda: self.inner.rename(source, target))

    def remove(self, path: str) -> None:
        """See FileSystem."""
        return self._do("remove", path, lambda: self.inner.remove(path))

    def lock(self, path: str, what: str) -> Callable[[], None]:
        """See FileSystem."""
        return self._do("lock", path, lambda: self.inner.lock(path, what))

    def _do(self, kind: str, path: str, work: Callable[[], R]) -> R:
        fault = self.begin(kind, path)
        if fault is None:
            return work()
        if fault.when == "after":
            with contextlib.suppress(OSError):
                undo = work()
                if kind == "lock" and callable(undo):
                    undo()
        raise error_of(fault, path)


class FaultyFile:
    """A file being written; see NewFile."""

    def __init__(self, fs: FaultyFileSystem, inner: NewFile, path: str) -> None:
        self._fs = fs
        self._inner = inner
        self._path = path

    def write(self, data: bytes) -> None:
        """See NewFile."""
        self._write("write", self._inner.write, data, data[: len(data) // 2])

    def reserve(self, size: int) -> None:
        """See NewFile."""
        self._write("reserve", self._inner.reserve, size, size // 2)

    def _write(self, kind: str, write: Callable[[R], None], whole: R, half: R) -> None:
        fault = self._fs.begin(kind, self._path)
        if fault is None:
            write(whole)
            return
        if fault.when != "before":
            with contextlib.suppress(OSError):
                write(whole if fault.when == "after" else half)
        raise error_of(fault, self._path)

    def sync(self) -> None:
        """See NewFile. After a failure a simulated disk takes the bytes for written."""
        fault = self._fs.begin("sync", self._path)
        if fault is None:
            self._inner.sync()
            return
        if fault.when == "after":
            self._inner.sync()
        elif (sync_failed := getattr(self._inner, "sync_failed", None)) is not None:
            sync_failed()
        raise error_of(fault, self._path)

    def close(self) -> None:
        """See NewFile. Always closes."""
        fault = self._fs.begin("close", self._path)
        self._inner.close()
        if fault is not None:
            raise error_of(fault, self._path)


def error_of(fault: Fault, path: str) -> OSError:
    """Return the error that a fault raises."""
    return OSError(fault.errno, os.strerror(fault.errno), path)
