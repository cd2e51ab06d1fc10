"""What a store must hold: a model without the library's code, and the check of an image."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from grebe.core.operation import Batch, Clear, Delete, Move, Operation, Put
from grebe.errors import GrebeError
from grebe.persistors.file import persistor as module
from grebe.persistors.file.persistor import FilePersistor
from grebe.persistors.sqlite.persistor import SqlitePersistor
from grebe.testing import Image, SimulatedFileSystem

DIRECTORY = "/data/app"

Documents = frozenset[tuple[str, str, bool, bytes]]


@dataclass(frozen=True, slots=True)
class State:
    """All documents (path, partition, encrypted, value), and the metadata."""

    documents: Documents = frozenset()
    metadata: bytes | None = None

    def after(self, batch: Batch) -> State:
        found = {(p, q, e): v for p, q, e, v in self.documents}
        for operation in batch.operations:
            found = _apply(found, operation)
        documents = frozenset((*key, value) for key, value in found.items())
        return State(documents, self.metadata if batch.metadata is None else batch.metadata)

    def __repr__(self) -> str:
        rows = ", ".join(
            f"{p}@{q}{'!' if e else ''}={v[:12]!r}" for p, q, e, v in sorted(self.documents)
        )
        return f"State({rows}; {self.metadata!r})"


EMPTY = State()

Found = dict[tuple[str, str, bool], bytes]


def _apply(found: Found, operation: Operation) -> Found:
    if isinstance(operation, Put):
        return {
            **found,
            (operation.path, operation.partition, operation.encrypted): operation.value,
        }
    if isinstance(operation, Clear):
        return {}
    if isinstance(operation, Delete):
        return {key: v for key, v in found.items() if not _deletes(operation, key[0])}
    assert isinstance(operation, Move)
    moved = dict(found)
    for (path, partition, encrypted), value in found.items():
        inside = not operation.path or (path + "/").startswith(operation.path + "/")
        if inside and partition == operation.source and not encrypted:
            moved.pop((path, partition, False))
            moved[path, operation.target, False] = value
    return moved


def _deletes(operation: Delete, path: str) -> bool:
    if operation.recursive:
        return (path + "/").startswith(operation.path + "/")
    return operation.path in (path, path.rpartition("/")[0])


def state_of(persistor: FilePersistor | SqlitePersistor) -> State:
    records = list(persistor.load(None))
    documents = frozenset((r.path, r.partition, r.encrypted, bytes(r.value)) for r in records)
    assert len(documents) == len(records), "a document came twice"
    return State(documents, persistor.load_metadata())


class OneStore:
    """Gives every store the same id, so that states can be told apart and runs repeated."""

    @staticmethod
    def token_hex(size: int) -> str:
        return "5" * 2 * size


def open_on(fs: Any, **options: Any) -> FilePersistor:
    # No checkpoint but those that the workload asks for; the store's id always the same.
    options.setdefault("checkpoint_bytes", 1 << 40)
    options.setdefault("on_corruption", "raise")  # a crash is no damage
    persistor = FilePersistor(DIRECTORY, file_system=fs, **options)
    with mock.patch.object(module, "secrets", OneStore):
        persistor.open()
    return persistor


EXTRA = Batch(
    (Put("extra/1", b'{"n":1}', "extra"), Put("extra/1", b"2", "a"), Delete("u/1")), b"extra"
)


@dataclass(slots=True)
class Verdict:
    """What was wrong with an image; nothing if `problem` is empty."""

    problem: str = ""
    state: State = field(default_factory=State)


def verify_image(image: Image, acceptable: Iterable[State], thorough: int = 0) -> str:
    """Open an image as a process would after a crash; return what is wrong, or nothing.

    It must open on one of the states, do so again, take another commit (and, depending on
    `thorough`, checkpoints), and have that after the next open.
    """
    fs = SimulatedFileSystem(image)
    try:
        return _verify(fs, tuple(acceptable), thorough)
    except (GrebeError, OSError, AssertionError, ValueError, KeyError, TypeError) as error:
        return f"raised {type(error).__name__}: {error}"


def _verify(fs: SimulatedFileSystem, acceptable: tuple[State, ...], thorough: int) -> str:
    persistor = open_on(fs)
    state = state_of(persistor)
    if state not in acceptable:
        return f"holds {state}, acceptable {acceptable}"
    left = [name for name in fs.list_directory(DIRECTORY) if name.endswith(".tmp")]
    if left:
        return f"{left} left after opening"
    if thorough & 1:
        persistor.checkpoint()
    persistor.close()
    persistor = open_on(fs)
    again = state_of(persistor)
    if again != state:
        return f"the second open holds {again}, the first {state}"
    persistor.commit(EXTRA)
    expected = state.after(EXTRA)
    if thorough & 2:
        persistor.checkpoint()
    if state_of(persistor) != expected:
        return f"holds {state_of(persistor)} after one more commit, expected {expected}"
    persistor.close()
    persistor = open_on(fs)
    found = state_of(persistor)
    persistor.checkpoint()
    persistor.close()
    if found != expected:
        return f"holds {found} after one more commit and an open, expected {expected}"
    return check_clean(fs)


def check_clean(fs: SimulatedFileSystem) -> str:
    """Return what is wrong with a directory after a checkpoint and close."""
    for name in fs.list_directory(DIRECTORY):
        if name == ".lock":
            continue
        if not name.endswith(".json"):
            return f"{name} left after closing"
        json.loads(fs.read(f"{DIRECTORY}/{name}"))
    return ""
