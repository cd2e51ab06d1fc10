"""One writing process: a lock that the kernel holds on a file, so that it is never stale."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from grebe.errors import StoreLockedError

FILE_MODE = 0o600


def take_lock(path: str, what: str) -> Callable[[], None]:
    """Take the lock of a file, which is made if need be, and return what releases it.

    `what` names the store in the message.

    Raises:
        StoreLockedError: somebody else has it, in another process or in this one.
        OSError: the file cannot be made or locked.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), FILE_MODE)
    try:
        _lock(fd)
    except (BlockingIOError, PermissionError) as error:
        holder = _read_pid(fd)
        os.close(fd)
        raise StoreLockedError(what, holder) from error
    except BaseException:  # a file system without locks, for instance
        os.close(fd)
        raise
    # For the message of whoever is refused; the kernel's lock counts, not this. So no full disk
    # stops it.
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
    _locked.add(fd)
    return lambda: _release(fd)


if sys.platform == "win32":  # pragma: no cover - Windows
    import msvcrt

    def _lock(fd: int) -> None:
        # Far behind the pid, which others must be able to read.
        os.lseek(fd, 1 << 30, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        os.lseek(fd, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(fd: int) -> None:
        # flock, not lockf: that one is lost when any descriptor of the file is closed.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


_locked: set[int] = set()
"""Descriptors of the lock files that this process holds."""


def _release(fd: int) -> None:
    if fd in _locked:  # in a forked child it is closed already
        _locked.discard(fd)
        os.close(fd)


def _let_go_in_child() -> None:
    """Close what a fork copied: the lock is the parent's, and must end with the parent."""
    for fd in _locked:
        with contextlib.suppress(OSError):
            os.close(fd)
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def _read_pid(fd: int) -> int | None:
    """Return the process id in a lock file; None while its holder is just writing it."""
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        return int(os.read(fd, 32))
    except (OSError, ValueError):
        return None
