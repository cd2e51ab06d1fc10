"""All that one persistor has into another one, whole: sealed documents too, as they are.

The target's metadata says whether it is whole. While it is copied to, that is the source's and
`COPY`, with which no store opens; the last commit gives it the source's alone. So a copy that was
interrupted can be told from a store, and is gone on with: what is there must be how the copy
begins, otherwise it is cleared. Then everything is read again and compared.

A persistor that authenticates what it stores needs the key for it, so it gets the metadata, which
says that there are encrypted documents, before those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from grebe.core import encoding
from grebe.core.operation import Batch, Clear, PutMany, RecordGroup, grouped
from grebe.errors import CorruptDataError, EncryptionError, PersistenceError
from grebe.persistence.blocking import BlockingCalls
from grebe.persistence.encryption.sealing import Encryption
from grebe.persistence.encryption.system_keyring import OTHER_WAYS
from grebe.persistence.persistor import Persistor
from grebe.persistence.resolver import COPY, Resolver, readable_resolver

BATCH_DOCUMENTS = 2_000
BATCH_BYTES = 4 << 20

Key = tuple[str, str, bool]
"""Collection, partition, and whether the documents are encrypted."""
Contents = dict[Key, tuple[list[str], list[bytes]]]
"""Ids and values, in order."""
Track = Callable[[Iterable[Batch], int], Iterable[Batch]]
"""Yields the same batches and shows progress: (batches, how many there are)."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied."""

    documents: int
    encrypted_documents: int
    size_bytes: int
    """Size of their values."""
    present: int
    """Documents that were there already, of a copy that was interrupted or finished."""


def copy_all(source: Persistor, target: Persistor, track: Track, encryption: Encryption) -> Copied:
    """Copy everything into an empty place, or go on with that; compare it afterwards. O(documents).

    Neither persistor may be open. The source is not written to if it is one for reading.
    `encryption` finds the key, if there are encrypted documents and the target needs it.

    Raises:
        EncryptionError: the target needs the key, and there is none or a wrong one.
        PersistenceError: the target holds something else, or one of the two fails.
        CorruptDataError: what can be read from the target is not what the source has.
    """
    calls = BlockingCalls()
    try:
        with _opened(calls, source, encryption):
            contents, metadata = _read(calls, source)
        if metadata is None:
            metadata = Resolver.of_stored(_groups(contents), None).encode()
        elif _is_unfinished(metadata):
            raise PersistenceError(f"{source} is an unfinished copy itself; finish it first")
        _check_key(target, metadata, encryption)
        with _opened(calls, target, encryption):
            present = _write(calls, target, contents, metadata, track)
        with _opened(calls, target, encryption):
            _compare(target, _read(calls, target), (contents, metadata))
    finally:
        calls.close()
    sizes = {key: sum(map(len, values)) for key, (_, values) in contents.items()}
    return Copied(
        documents=_count(contents),
        encrypted_documents=sum(len(ids) for key, (ids, _) in contents.items() if key[2]),
        size_bytes=sum(sizes.values()),
        present=present,
    )


def _write(
    calls: BlockingCalls, target: Persistor, contents: Contents, metadata: bytes, track: Track
) -> int:
    """Make the target hold this; return how many documents it had of it."""
    there, known = _read(calls, target)
    present, unfinished = _count(there), _unfinished(metadata)
    if present and not _is_unfinished(known):
        if (there, known) == (contents, metadata):
            return present
        raise PersistenceError(
            f"{target} holds {present} documents already, and other ones than {_count(contents)} "
            "documents to be copied; nothing was changed, name a place that is empty"
        )
    if present and not (known == unfinished and _is_beginning(there, contents)):
        calls.call(target.commit, Batch([Clear()], unfinished))
        there, present = {}, 0
    elif known != unfinished:
        calls.call(target.commit, Batch([], unfinished))
    batches = list(_batches(contents, there))
    for batch in track(batches, len(batches)):
        calls.call(target.commit, batch)
    calls.call(target.commit, Batch([], metadata))
    checkpoint = getattr(target, "checkpoint", None)
    if checkpoint is not None:
        calls.call(checkpoint)
    return present


def _is_beginning(there: Contents, contents: Contents) -> bool:
    """Tell whether each collection is there as far as it is, in the right order."""
    for key, (ids, values) in there.items():
        wanted_ids, wanted_values = contents.get(key, ([], []))
        if ids != wanted_ids[: len(ids)] or values != wanted_values[: len(ids)]:
            return False
    return True


def _batches(contents: Contents, there: Contents) -> Iterator[Batch]:
    """Yield what is missing, in order."""
    parts: list[PutMany] = []
    documents = size = 0
    for key, (ids, values) in contents.items():
        collection, partition, encrypted = key
        at = len(there[key][0]) if key in there else 0
        while at < len(ids):
            end = at
            while end < len(ids) and documents < BATCH_DOCUMENTS and size < BATCH_BYTES:
                size += len(values[end])
                documents += 1
                end += 1
            paths = [f"{collection}/{document_id}" for document_id in ids[at:end]]
            parts.append(PutMany(paths, values[at:end], partition, encrypted))
            at = end
            if documents >= BATCH_DOCUMENTS or size >= BATCH_BYTES:
                yield Batch(parts)
                parts, documents, size = [], 0, 0
    if parts:
        yield Batch(parts)


def _compare(
    target: Persistor, found: tuple[Contents, bytes | None], wanted: tuple[Contents, bytes]
) -> None:
    contents, there = wanted[0], found[0]
    for key in contents.keys() | there.keys():
        if contents.get(key) != there.get(key):
            missing = len(contents.get(key, ([],))[0]) - len(there.get(key, ([],))[0])
            raise CorruptDataError(
                f"{target}: the copy is not what was copied, in partition {key[1]!r} "
                f"({missing} documents fewer); remove it and copy again"
            )
    if found[1] != wanted[1]:
        raise CorruptDataError(f"{target}: the copy's metadata is not what was copied")


def _read(calls: BlockingCalls, persistor: Persistor) -> tuple[Contents, bytes | None]:
    load_groups = getattr(persistor, "load_groups", None)
    if load_groups is not None:
        groups: Iterable[RecordGroup] = calls.call(load_groups, None)
    else:
        groups = grouped(calls.call(persistor.load, None))
    contents: Contents = {}
    for collection, ids, values, partition, encrypted in groups:
        known = contents.setdefault((collection, partition, encrypted), ([], []))
        known[0].extend(ids)
        known[1].extend(values)
    metadata: Any = calls.call(persistor.load_metadata)
    return contents, metadata


def _groups(contents: Contents) -> Iterator[RecordGroup]:
    for (collection, partition, encrypted), (ids, values) in contents.items():
        yield RecordGroup(collection, ids, values, partition, encrypted)


def _count(contents: Contents) -> int:
    return sum(len(ids) for ids, _ in contents.values())


def _unfinished(metadata: bytes) -> bytes:
    """Return the metadata with the mark that it is a copy's, which is not whole yet."""
    found = encoding.decode(metadata) if readable_resolver(metadata) is not None else {}
    return encoding.encode({COPY: "unfinished", "resolver": {}, **found})


def _is_unfinished(metadata: bytes | None) -> bool:
    readable = metadata is not None and readable_resolver(metadata) is not None
    return readable and COPY in encoding.decode(metadata or b"")


def _check_key(target: Persistor, metadata: bytes, encryption: Encryption) -> None:
    """Check that there is the key if the target needs it."""
    if not hasattr(target, "authenticate_with"):
        return
    resolver = readable_resolver(metadata)
    sealed = resolver is not None and resolver.encryption is not None
    if sealed and encryption.authenticator(metadata) is None:
        raise EncryptionError(
            f"{target} authenticates what it stores beside encrypted documents, which needs "
            f"their key; {OTHER_WAYS}"
        )


@contextmanager
def _opened(calls: BlockingCalls, persistor: Persistor, encryption: Encryption) -> Iterator[None]:
    authenticate_with = getattr(persistor, "authenticate_with", None)
    if authenticate_with is not None:
        authenticate_with(encryption.authenticator)
    calls.call(persistor.open)
    try:
        yield
    finally:
        calls.call(persistor.close)
