"""A file system in memory that can lose power: see disk.py for what that leaves.

    fs = SimulatedFileSystem()
    with grebe.open(FilePersistor("/app/data", file_system=fs)) as store: ...
    for image in fs.disk.images("weak", random.Random(1), 100):
        survivor = SimulatedFileSystem(image)      # open it and look

`on_change` is called after every operation that changes the disk, so a test can keep `fs.disk` for
each moment of a run and cut the power there afterwards.
"""

from __future__ import annotations

import errno
import os
import posixpath
import threading
from collections.abc import Callable
from io import BytesIO
from typing import BinaryIO

from grebe.errors import StoreLockedError
from grebe.testing.disk import ROOT, Disk, Entries, Image, Truncate, Write


class SimulatedFile:
    """A file being written; see NewFile."""

    def __init__(self, fs: SimulatedFileSystem, node: int) -> None:
        self._fs = fs
        self._node = node
        self._position = 0
        self._is_open = True

    def write(self, data: bytes) -> None:
        """Add to what can be read; lost with the power until it is synced."""
        assert self._is_open, "written after close"
        self._fs.write(self._node, self._position, data)
        self._position += len(data)

    def reserve(self, size: int) -> None:
        """Fill with spaces; lost with the power until it is synced."""
        assert self._is_open, "reserved after close"
        self._fs.write(self._node, self._position, b" " * size)

    def sync(self) -> None:
        """Make the file's bytes last; not its name."""
        assert self._is_open, "synced after close"
        self._fs.sync_node(self._node)

    def sync_failed(self) -> None:
        """Do what a failed sync does: nothing, and take the bytes for written."""
        self._fs.sync_node_failed(self._node)

    def close(self) -> None:
        """Close the file."""
        self._is_open = False


class SimulatedFileSystem:
    """Files in memory, with what is synced and what is not. Thread-safe."""

    def __init__(
        self,
        image: Image | None = None,
        *,
        disk: Disk | None = None,
        capacity_bytes: int | None = None,
    ) -> None:
        """Begin empty, with an image that is all synced, or with a disk that is not.

        Args:
            image: what is on the disk.
            disk: what is on the disk, and what was written and not synced: the process was killed
                and the system was not.
            capacity_bytes: size of the disk; None: endless.
        """
        self._lock = threading.RLock()
        self._locks: set[str] = set()
        self.on_change: Callable[[], object] | None = None
        self.capacity_bytes = capacity_bytes
        self.disk = disk if disk is not None else _disk_of(image or {})
        seen = self.disk.settled()
        self._files = dict(seen.files)
        self._directories = {node: dict(entries) for node, entries in seen.directories.items()}
        self._next_node = 1 + max([*self._files, *self._directories])

    @property
    def used_bytes(self) -> int:
        """Bytes in all files that have a name."""
        image = self.view()
        return sum(len(data) for data in image.values() if data is not None)

    def view(self) -> Image:
        """Return what programs see."""
        return Disk(self._files, self._directories).image()

    # --- FileSystem

    def is_directory(self, path: str) -> bool:
        """See FileSystem."""
        with self._lock:
            return self._find(path) in self._directories

    def make_directory(self, path: str) -> None:
        """See FileSystem."""
        with self._lock:
            parent, name = self._parent(path)
            if name in self._directories[parent]:
                raise _error(errno.EEXIST, path)
            node = self._new_node()
            self._directories[node] = {}
            self.disk = Disk(
                self.disk.files, {**self.disk.directories, node: {}}, self.disk.changes
            )
            self._set_entries(parent, ((name, node),))

    def list_directory(self, path: str) -> list[str]:
        """See FileSystem."""
        with self._lock:
            return sorted(self._directories[self._directory(path)])

    def sync_directory(self, path: str) -> None:
        """See FileSystem."""
        with self._lock:
            self.sync_node(self._directory(path))

    def read(self, path: str) -> bytes:
        """See FileSystem."""
        with self._lock:
            return self._files[self._file(path)]

    def read_start(self, path: str, size: int) -> bytes:
        """See FileSystem."""
        return self.read(path)[:size]

    def open_to_read(self, path: str) -> BinaryIO:
        """See FileSystem."""
        return BytesIO(self.read(path))

    def size(self, path: str) -> int:
        """See FileSystem."""
        return len(self.read(path))

    def create(self, path: str) -> SimulatedFile:
        """See FileSystem."""
        with self._lock:
            parent, name = self._parent(path)
            node = self._directories[parent].get(name)
            if node in self._directories:
                raise _error(errno.EISDIR, path)
            if node is not None:
                self._files[node] = b""
                self.disk = self.disk.changed(Truncate(node))
                self._changed()
            else:
                node = self._new_node()
                self._files[node] = b""
                self._set_entries(parent, ((name, node),))
            return SimulatedFile(self, node)

    def rename(self, source: str, target: str) -> None:
        """See FileSystem."""
        with self._lock:
            node = self._file(source)
            parent, name = self._parent(source)
            target_parent, target_name = self._parent(target)
            assert parent == target_parent, "renamed into another directory"
            self._set_entries(parent, ((name, None), (target_name, node)))

    def remove(self, path: str) -> None:
        """See FileSystem."""
        with self._lock:
            self._file(path)
            parent, name = self._parent(path)
            self._set_entries(parent, ((name, None),))

    def lock(self, path: str, what: str) -> Callable[[], None]:
        """See FileSystem."""
        with self._lock:
            if path in self._locks:
                raise StoreLockedError(what, os.getpid())
            try:
                self._file(path)
            except FileNotFoundError:
                self.create(path)
            self._locks.add(path)
        return lambda: self._locks.discard(path)

    # --- for SimulatedFile

    def write(self, node: int, offset: int, data: bytes) -> None:
        """Write to a file; as much as there is room for."""
        with self._lock:
            data = bytes(data)
            whole, old = len(data), self._files[node]
            if self.capacity_bytes is not None:
                room = max(0, self.capacity_bytes - self.used_bytes)
                data = data[: max(0, len(old) - offset) + room]
            if data:
                self.disk = self.disk.changed(Write(node, offset, data))
                self._files[node] = old[:offset] + data + old[offset + len(data) :]
                self._changed()
            if len(data) < whole:
                raise _error(errno.ENOSPC, "")

    def sync_node(self, node: int) -> None:
        """Sync a file or directory."""
        with self._lock:
            self.disk = self.disk.synced(node)
            self._changed()

    def sync_node_failed(self, node: int) -> None:
        """Fail to sync a file."""
        with self._lock:
            self.disk = self.disk.sync_failed(node)

    # --- how

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def _new_node(self) -> int:
        self._next_node += 1
        return self._next_node

    def _set_entries(self, directory: int, entries: tuple[tuple[str, int | None], ...]) -> None:
        for name, node in entries:
            if node is None:
                del self._directories[directory][name]
            else:
                self._directories[directory][name] = node
        self.disk = self.disk.changed(Entries(directory, entries))
        self._changed()

    def _find(self, path: str) -> int | None:
        node: int | None = ROOT
        for name in path.strip("/").split("/"):
            if name:
                node = self._directories.get(node if node is not None else -1, {}).get(name)
        return node

    def _parent(self, path: str) -> tuple[int, str]:
        above, name = posixpath.split(path)
        return self._directory(above), name

    def _directory(self, path: str) -> int:
        node = self._find(path)
        if node is None:
            raise _error(errno.ENOENT, path)
        if node not in self._directories:
            raise _error(errno.ENOTDIR, path)
        return node

    def _file(self, path: str) -> int:
        node = self._find(path)
        if node is None:
            raise _error(errno.ENOENT, path)
        if node in self._directories:
            raise _error(errno.EISDIR, path)
        return node


def _disk_of(image: Image) -> Disk:
    files: dict[int, bytes] = {}
    directories: dict[int, dict[str, int]] = {ROOT: {}}
    nodes = {"": ROOT}
    for node, path in enumerate(sorted(image), start=1):
        nodes[path] = node
        data = image[path]
        if data is None:
            directories[node] = {}
        else:
            files[node] = data
        above, name = path.rsplit("/", 1)
        directories[nodes[above]][name] = node
    return Disk(files, directories)


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
