"""Small stores to be damaged, with everything that was ever in them; see test_damage.py."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from grebe.core.operation import Batch, Delete, Move, Operation, Put
from grebe.persistence.contents import Side
from grebe.persistors.file import names
from grebe.persistors.file.manifest import PartitionFile, decode_manifest
from grebe.persistors.file.persistor import FilePersistor
from grebe.testing import SimulatedFileSystem
from tests.crash.oracle import DIRECTORY, EMPTY, State

DOCUMENTS = 300
"""Of each large partition: two blocks, the second of another size."""

ROOM_KEPT = 8

Files = Mapping[str, bytes]
"""A directory's files by name."""


def open_in(fs: SimulatedFileSystem, **options: object) -> FilePersistor:
    """Open the directory; no checkpoint but those that are asked for."""
    persistor = FilePersistor(DIRECTORY, file_system=fs, **{"checkpoint_bytes": 1 << 40, **options})
    persistor.open()
    return persistor


def disk_of(files: Files) -> SimulatedFileSystem:
    """Return a disk that holds these files."""
    image = {f"{DIRECTORY}/{name}": data for name, data in files.items()}
    return SimulatedFileSystem({"/data": None, DIRECTORY: None, **image})


def files_of(fs: SimulatedFileSystem) -> dict[str, bytes]:
    """Return the files of the directory but the lock, which has no data."""
    prefix = f"{DIRECTORY}/"
    return {
        path.removeprefix(prefix): data
        for path, data in fs.view().items()
        if data is not None and path.startswith(prefix) and path != prefix + names.LOCK
    }


def value(number: int, revision: int) -> bytes:
    return b'{"n":%d,"revision":%d,"note":"%b"}' % (number, revision, b"x" * (number % 40))


@dataclass(frozen=True)
class Specimen:
    """A store's files, and what it held at each commit."""

    files: Files
    states: tuple[State, ...]
    """After each commit; the first is that of the manifest."""
    earlier: Files = field(default_factory=dict)
    """Its files after an earlier checkpoint."""

    @property
    def latest(self) -> State:
        return self.states[-1]

    @functools.cached_property
    def values(self) -> dict[tuple[str, str, bool], set[bytes]]:
        """Return the values that each document ever had."""
        found: dict[tuple[str, str, bool], set[bytes]] = {}
        for state in self.states:
            for path, partition, encrypted, data in state.documents:
                found.setdefault((path, partition, encrypted), set()).add(data)
        return found

    @functools.cached_property
    def listed(self) -> dict[str, PartitionFile]:
        """Return what the manifest says of the partition files."""
        return decode_manifest(self.files[names.MANIFEST]).partitions

    def side(self, name: str) -> Side | None:
        """Return the side whose partition file has this name."""
        listed = self.listed.get(name)
        return None if listed is None else (listed.partition, listed.encrypted)

    def tail(self, name: str) -> int:
        """Return where damage of a file may pass for what a crash leaves: a journal's last line."""
        data = self.files[name]
        if names.journal_number(name) is None:
            return len(data)
        return data.rstrip(b" ")[:-1].rfind(b"\n") + 1


class Maker:
    """Makes a specimen."""

    def __init__(self) -> None:
        self.fs = SimulatedFileSystem()
        self.persistor = open_in(self.fs)
        self.states = [EMPTY]

    def commit(self, *operations: Operation) -> None:
        batch = Batch(operations, None)
        self.persistor.commit(batch)
        self.states.append(self.states[-1].after(batch))

    def checkpoint(self) -> Files:
        self.persistor.checkpoint()
        del self.states[:-1]
        return files_of(self.fs)

    def reopen(self) -> None:
        self.persistor.close()
        self.persistor = open_in(self.fs)

    def base(self) -> Files:
        """Fill partitions; return the files of the first checkpoint but one."""
        many = range(DOCUMENTS)
        self.commit(*(Put(f"u/{n}", value(n, 0), "a") for n in many))
        self.commit(*(Put(f"v/{n}", value(n, 0), "b") for n in many[: DOCUMENTS // 2]))
        self.commit(*(Put(f"v/{n}/w/{n}", value(n, 0), "b") for n in many[DOCUMENTS // 2 :]))
        self.commit(*(Put(f"s/{n}", b'"c2VhbA%d"' % n, "b", True) for n in range(20)))
        self.commit(*(Put(f"t/{n}", value(n, 0), "c") for n in range(3)))
        earlier = self.checkpoint()
        self.commit(Put("u/7", value(7, 1), "a"), Put("v/7", value(7, 1), "b"))
        self.commit(Put("s/7", b'"c2VhbB7"', "b", True), Put("t/1", value(1, 1), "c"))
        self.checkpoint()
        return earlier

    def more(self) -> None:
        """Commit some more, a move among it."""
        self.commit(Put("u/3", value(3, 2), "a"), Put("v/3", value(3, 2), "b"))
        self.commit(Move("u/1", "a", "c"), Put("u/2", value(2, 2), "a"))
        self.commit(Delete("t/0"), Put("s/3", b'"c2VhbC3"', "b", True))
        self.commit(Put("u/290", value(290, 3), "a"), Put("x/1", value(1, 3), "new"))
        self.commit(Put("u/3", value(3, 4), "a"), Put("t/4", value(4, 4), "c"))

    def done(self, earlier: Files) -> Specimen:
        self.persistor.close()
        files = {name: shortened(data) for name, data in files_of(self.fs).items()}
        return Specimen(files, tuple(self.states), earlier)


def shortened(data: bytes) -> bytes:
    """Return a file with little of a journal's room, so that most damage is of what counts."""
    text = data.rstrip(b" ")
    return data[: len(text) + ROOM_KEPT]


@functools.cache
def closed() -> Specimen:
    """Return a store that was closed in order."""
    maker = Maker()
    earlier = maker.base()
    return maker.done(earlier)


@functools.cache
def killed() -> Specimen:
    """Return a store with commits in its journal."""
    maker = Maker()
    earlier = maker.base()
    maker.more()
    return maker.done(earlier)


@functools.cache
def killed_twice() -> Specimen:
    """Return a store with two journals; the second has the commits of the first again."""
    maker = Maker()
    earlier = maker.base()
    maker.more()
    maker.reopen()
    maker.commit(Put("u/4", value(4, 5), "a"), Delete("v/9"))
    maker.commit(Put("t/5", value(5, 6), "c"))
    return maker.done(earlier)


SPECIMENS = {"closed": closed, "killed": killed, "killed twice": killed_twice}
