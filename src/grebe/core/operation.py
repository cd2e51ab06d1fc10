"""What a write is, once made: immutable operations, grouped into batches for a persistor.

Named tuples, not dataclasses: they are made for every document of a bulk load, and a frozen
dataclass costs four times as much to make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, repeat
from typing import Any, NamedTuple, cast, overload

DEFAULT_PARTITION = "__store__"
"""The partition of documents for which nobody asked for another."""


def _size(value: bytes) -> str:
    return f"<{len(value)} bytes>"


class Put(NamedTuple):
    """Store a document: `value` is its JSON, or sealed bytes if `encrypted`."""

    path: str
    value: bytes
    partition: str = DEFAULT_PARTITION
    encrypted: bool = False

    def __repr__(self) -> str:
        """Show everything but the data."""
        return f"Put({self.path!r}, {_size(self.value)}, {self.partition!r}, {self.encrypted})"


put_of: Callable[[tuple[str, bytes, str, bool]], Put] = cast("Any", partial(tuple.__new__, Put))
"""Make a Put of all its fields in half the time, where one is made for each write."""


class Delete(NamedTuple):
    """Remove the document at `path` and, if `recursive`, everything under `path`.

    `path` may also name a collection.
    """

    path: str
    recursive: bool = True


class Move(NamedTuple):
    """Move what is at or under `path` from partition `source` to `target`.

    Documents of other partitions, and encrypted ones, stay where they are.
    """

    path: str
    source: str
    target: str


class Clear(NamedTuple):
    """Remove everything."""


Operation = Put | Delete | Move | Clear


class OnSealed(NamedTuple):
    """A deletion or move of encrypted documents, by their paths; those alone are for plain ones.

    Between store and sealing only, which turns it into what persistors know.
    """

    operation: Delete | Move


class Record(NamedTuple):
    """A persisted document, as a persistor's `load` gives it."""

    path: str
    value: bytes
    partition: str = DEFAULT_PARTITION
    encrypted: bool = False

    def __repr__(self) -> str:
        """Show everything but the data."""
        return f"Record({self.path!r}, {_size(self.value)}, {self.partition!r}, {self.encrypted})"


class RecordGroup(NamedTuple):
    """Neighbouring persisted documents of one collection, in order; ids and values are parallel."""

    collection: str
    ids: Sequence[str]
    values: Sequence[bytes]
    partition: str = DEFAULT_PARTITION
    encrypted: bool = False

    def records(self) -> Iterator[Record]:
        """Yield the documents one by one."""
        prefix = self.collection + "/"
        for document_id, value in zip(self.ids, self.values, strict=True):
            yield Record(prefix + document_id, value, self.partition, self.encrypted)

    def __repr__(self) -> str:
        """Show everything but the data."""
        count = len(self.ids)
        return f"RecordGroup({self.collection!r}, <{count} documents>, {self.partition!r})"


class PathsIn(Sequence[str]):
    """The paths of documents of one collection, made when somebody asks."""

    __slots__ = ("collection", "ids")

    def __init__(self, collection: str, ids: Sequence[str]) -> None:
        self.collection = collection
        self.ids = ids

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Return a path, or a list of some."""
        if isinstance(index, slice):
            prefix = self.collection + "/"
            return [prefix + document_id for document_id in self.ids[index]]
        return f"{self.collection}/{self.ids[index]}"

    def __iter__(self) -> Iterator[str]:
        """Yield the paths."""
        prefix = self.collection + "/"
        for document_id in self.ids:
            yield prefix + document_id

    def __eq__(self, other: object) -> bool:
        """Compare with any sequence of paths."""
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


class PutMany(NamedTuple):
    """Many puts of one partition in one: what a bulk write is until somebody wants single puts."""

    paths: Sequence[str]
    values: Sequence[bytes]
    partition: str = DEFAULT_PARTITION
    encrypted: bool = False

    def puts(self) -> Iterator[Put]:
        """Yield the single puts."""
        rest = repeat(self.partition), repeat(self.encrypted)
        return map(Put._make, zip(self.paths, self.values, *rest, strict=False))

    def __repr__(self) -> str:
        """Show everything but the data."""
        return f"PutMany(<{len(self.paths)} documents>, {self.partition!r}, {self.encrypted})"


Part = Operation | PutMany | OnSealed
"""What a batch is made of on its way to the sealing; a persistor gets no OnSealed."""


class Batch:
    """The unit of a commit: applied as a whole, in order, or not at all. Immutable."""

    __slots__ = ("metadata", "parts")

    def __init__(self, operations: Iterable[Part], metadata: bytes | None = None) -> None:
        self.parts = cast("tuple[Operation | PutMany, ...]", tuple(operations))
        """The operations, where many puts may stand as one PutMany."""
        self.metadata = metadata
        """To be stored with it and given back by `load_metadata`; None leaves that as it is."""

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations in order; one put for each document at most. O(documents)."""
        return tuple(single_operations(self.parts))

    def __eq__(self, other: object) -> bool:
        """Compare operations and metadata."""
        if not isinstance(other, Batch):
            return NotImplemented
        return self.operations == other.operations and self.metadata == other.metadata

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show the operations without their data."""
        return f"Batch({list(self.parts)!r})"


def single_operations(parts: Iterable[Part]) -> Iterator[Operation]:
    """Yield operations with each PutMany taken apart."""
    for part in parts:
        if type(part) is PutMany:
            yield from part.puts()
        elif type(part) is OnSealed:
            yield part.operation
        else:
            yield cast("Operation", part)


def grouped(records: Iterable[Record]) -> Iterator[RecordGroup]:
    """Yield records by collection, for persistors that give them one by one."""
    for (collection, partition, encrypted), run in groupby(records, _group_of):
        rows = list(run)
        start = len(collection) + 1
        ids = [record.path[start:] for record in rows]
        values = [record.value for record in rows]
        yield RecordGroup(collection, ids, values, partition, encrypted)


def _group_of(record: Record) -> tuple[str, str, bool]:
    return record.path.rpartition("/")[0], record.partition, record.encrypted


def check_known(parts: Iterable[object]) -> None:
    """Check that all are operations, before the first is applied: none may be left out.

    Raises:
        TypeError: one is something else.
    """
    for part in parts:
        if not isinstance(part, Put | PutMany | Delete | Move | Clear):
            raise TypeError(f"{type(part).__name__} is no operation; nothing was stored")
