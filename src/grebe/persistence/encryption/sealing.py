"""Between store and persistor: what is encrypted is sealed on the way down, unsealed on the way up.

So a persistor gets sealed bytes and keyed addresses only.

States of `Encryption`: unused (the store never had an encrypted document), open (there are keys),
locked (it had some, and there is no key).
- unlock: at opening, to whichever it is
- begin: unused -> open, at the first encrypted write
- replace: open -> open, by a rotation

A deletion or move in the store's log concerns the plain side; `OnSealed` is one on the other side.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Any, cast

from grebe.core import path as paths
from grebe.core.operation import (
    Batch,
    Delete,
    Move,
    OnSealed,
    Operation,
    Part,
    Put,
    PutMany,
    Record,
    RecordGroup,
    grouped,
    single_operations,
)
from grebe.errors import CorruptDataError, EncryptionError
from grebe.persistence.encryption.envelope import Envelope
from grebe.persistence.encryption.keys import (
    KeyHeader,
    KeySource,
    make_keys,
    new_id,
    open_keys,
)
from grebe.persistence.encryption.macs import Macs, seal_previous
from grebe.persistence.encryption.system_keyring import OTHER_WAYS
from grebe.persistence.persistor import Authenticator, Persistor
from grebe.persistence.report import RecoveryReport
from grebe.persistence.resolver import Resolver, readable_resolver

log = logging.getLogger("grebe")


class Encryption:
    """Whether a store has encrypted documents, and its keys."""

    def __init__(
        self, source: KeySource, *, require_key: bool = False, strict: bool = False
    ) -> None:
        self._source = source
        self._require_key = require_key
        self.strict = strict
        """Whether a sealed document that is not authentic is an error at loading."""
        self.envelope: Envelope | None = None
        self.next: Envelope | None = None
        """What a rotation under way will use."""
        self.header: KeyHeader | None = None
        """None: the store never had an encrypted document."""
        self.refused: set[tuple[str, str]] = set()
        """Partition and address of records that are not what this store has sealed."""

    @property
    def locked(self) -> bool:
        """Whether there are encrypted documents and no key for them."""
        return self.header is not None and self.envelope is None

    def unlock(self, header: dict[str, Any] | None) -> None:
        """Get the keys of a store by its stored key header.

        Raises:
            EncryptionError: the key is a wrong one; or there is none, and it is required.
        """
        if header is None:
            if self._require_key:
                self._source.check_there_is_one()
            return
        found = KeyHeader.from_dict(header)
        if self.header == found:
            return
        secret = self._source.find(found.id.hex())
        if secret is not None:
            self.envelope = Envelope(open_keys(secret, found))
        elif self._require_key:
            raise EncryptionError(f"the store has encrypted documents; {OTHER_WAYS}")
        self.header = found

    def begin(self, resolver: Resolver) -> None:
        """Get keys for the first encrypted document, and have their header stored.

        Raises:
            EncryptionError: there is no key, or no library for it.
        """
        if self.envelope is not None:
            return
        if self.header is not None:
            raise EncryptionError(f"no key for encrypted documents; {OTHER_WAYS}")
        store_id = new_id()
        self._adopt(Envelope(make_keys(self._source.find_or_make(store_id.hex()), store_id)))
        self.connect(resolver)
        resolver.changed = True

    def begin_if_unused(self, resolver: Resolver) -> None:
        """Do as `begin`, but let a store without its key be. Raises EncryptionError."""
        if self.header is None:
            self.begin(resolver)

    def authenticator(self, metadata: bytes | None) -> Authenticator | None:
        """Return what checks what is stored with this metadata: a FindAuthenticator.

        Raises:
            EncryptionError: the key is a wrong one, or there is none, and it is required.
        """
        resolver = readable_resolver(metadata)
        if resolver is None or resolver.encryption is None:
            return None
        found = KeyHeader.from_dict(resolver.encryption)
        for envelope in (self.next, self.envelope):
            if envelope is not None and envelope.keys.header.id == found.id:
                return Macs(envelope, found)
        self.unlock(resolver.encryption)
        return None if self.envelope is None else Macs(self.envelope, found)

    def connect(self, resolver: Resolver) -> None:
        """Have a resolver hide the names of encrypted collections."""
        if self.header is not None:
            resolver.encryption = self.header.as_dict()
        if self.envelope is not None:
            resolver.hide = self.envelope.names_address

    def prepare(self, source: KeySource) -> Envelope | None:
        """Return what a rotation to another key will use; None if nothing is encrypted yet.

        Raises:
            EncryptionError: there is no new key.
        """
        if self.envelope is None:
            self._source = source
            return None
        store_id = new_id()
        keys = make_keys(source.find_or_make(store_id.hex()), store_id)
        new = Envelope(keys)
        previous = seal_previous(new, self.envelope.keys.authentication)
        keys.header = replace(keys.header, previous=previous)
        return new

    def replace(self, envelope: Envelope, source: KeySource) -> None:
        """Use other keys from now on."""
        self._source = source
        self._adopt(envelope)

    def forget_previous(self, resolver: Resolver) -> bool:
        """Drop the key of before a rotation, when nothing needs it; tell whether there was one."""
        if self.envelope is None or self.header is None or self.header.previous is None:
            return False
        self.envelope.keys.header = replace(self.header, previous=None)
        self._adopt(self.envelope)
        self.connect(resolver)
        resolver.changed = True
        return True

    def _adopt(self, envelope: Envelope) -> None:
        self.envelope, self.header = envelope, envelope.keys.header

    def __repr__(self) -> str:
        """Show the state, nothing of the keys."""
        state = "unused" if self.header is None else "locked" if self.locked else "open"
        return f"<Encryption: {state}>"


class SealingPersistor:
    """A persistor that seals for another one. Methods wait exactly if the other's do."""

    def __init__(self, inner: Persistor, encryption: Encryption) -> None:
        self.inner = inner
        self._encryption = encryption
        self.remembers = False
        """Whether addresses are remembered, to know what others delete."""
        self._paths: dict[str, str] = {}
        """Paths of documents and collections by address, if they are remembered."""

    def open(self) -> Awaitable[None] | None:
        """See Persistor."""
        authenticate_with = getattr(self.inner, "authenticate_with", None)
        if authenticate_with is not None:
            authenticate_with(self._encryption.authenticator)
        return self.inner.open()

    def commit(self, batch: Batch) -> Awaitable[None] | None:
        """See Persistor; encrypted documents are given as they are."""
        envelope = self._encryption.envelope
        if envelope is None:
            return self.inner.commit(batch)
        if any(_is_sealed_move(part) for part in batch.parts):
            return self._commit_moves(batch, envelope)
        return self.inner.commit(Batch(_sealed(batch.parts, envelope), batch.metadata))

    def load(self, wanted: Sequence[str] | None) -> Any:
        """See Persistor."""
        return _then(self.load_groups(wanted), _records)

    def load_groups(self, wanted: Sequence[str] | None) -> Any:
        """See Persistor."""
        envelope = self._encryption.envelope
        if wanted is not None and envelope is not None:
            wanted = [*wanted, *map(envelope.address, wanted)]
        return _then(self._load_sealed(wanted), self._unsealed)

    def load_encrypted(self) -> Any:
        """Return all encrypted documents that are stored, as a list of groups."""
        envelope = self._encryption.envelope
        assert envelope is not None
        return _then(
            self._load_sealed(None), lambda groups: list(self._only_sealed(groups, envelope))
        )

    def load_metadata(self) -> Any:
        """See Persistor."""
        return self.inner.load_metadata()

    def checkpoint(self) -> Any:
        """See Persistor."""
        checkpoint = getattr(self.inner, "checkpoint", None)
        return None if checkpoint is None else checkpoint()

    def close(self) -> Awaitable[None] | None:
        """See Persistor."""
        return self.inner.close()

    @property
    def recovery(self) -> RecoveryReport:
        """What the other one found, and the sealed documents that are not authentic."""
        found = getattr(self.inner, "recovery", None)
        report = found if isinstance(found, RecoveryReport) else RecoveryReport()
        refused = self._encryption.refused
        if not refused:
            return report
        partitions = ", ".join(sorted({partition for partition, _ in refused}))
        message = (
            f"{len(refused)} encrypted documents are not what this store has sealed: damaged, "
            f"moved or put there by somebody else (partitions {partitions}); they are left out"
        )
        return replace(
            report,
            clean=False,
            lost=report.lost + len(refused),
            messages=(*report.messages, message),
        )

    def unsealed_batch(self, batch: Batch) -> Batch:
        """Return a commit that somebody else made as it was before it was sealed.

        Raises:
            EncryptionError: it is sealed under another key.
        """
        encryption = self._encryption
        resolver = readable_resolver(batch.metadata)
        if resolver is not None:
            encryption.unlock(resolver.encryption)
        if encryption.header is None:
            return batch
        parts: list[Part] = []
        for part in batch.parts:
            if isinstance(part, Delete):
                parts.append(part._replace(path=self._paths.get(part.path, part.path)))
            elif isinstance(part, Put | PutMany) and part.encrypted:
                if encryption.envelope is not None:
                    puts = [part] if isinstance(part, Put) else part.puts()
                    groups = grouped(Record(*put) for put in puts)
                    parts += self._opened_puts(groups, encryption.envelope)
            else:
                parts.append(part)
        return Batch(parts, batch.metadata)

    def _opened_puts(
        self, groups: Iterable[RecordGroup], envelope: Envelope
    ) -> Iterator[Operation | PutMany]:
        for record in _records(self._only_sealed(groups, envelope)):
            yield Put(*record)

    def _load_sealed(self, wanted: Sequence[str] | None) -> Any:
        load_groups = getattr(self.inner, "load_groups", None)
        if load_groups is not None:
            return load_groups(wanted)
        return _then(self.inner.load(wanted), grouped)

    def _unsealed(self, groups: Iterable[RecordGroup]) -> Iterator[RecordGroup]:
        """Yield the documents in groups, the encrypted ones first.

        A document that is there twice was written in plain without the key. Its encrypted one
        counts, and is merged first.
        """
        encryption = self._encryption
        if encryption.header is None:
            yield from self._plain(groups)
            return
        plain = []
        for group in groups:
            if not group.encrypted:
                plain.append(group)
            elif encryption.envelope is not None:
                yield from self._opened(group, encryption.envelope)
        yield from plain

    def _opened(self, group: RecordGroup, envelope: Envelope) -> list[RecordGroup]:
        """Return the documents of a sealed group."""
        found, refused = envelope.unseal(group)
        if refused:
            self._refuse(group.partition, refused)
        if self.remembers:
            for record in _records(found):
                above = paths.ancestors(record.path)
                self._paths.update(zip(map(envelope.address, above), above, strict=True))
        return found

    def _plain(self, groups: Iterable[RecordGroup]) -> Iterator[RecordGroup]:
        for group in groups:
            if group.encrypted:
                # Without the header no key fits: somebody took it away.
                self._refuse(group.partition, [f"{group.collection}/{key}" for key in group.ids])
            else:
                yield group

    def _refuse(self, partition: str, addresses: list[str]) -> None:
        if self._encryption.strict:
            raise CorruptDataError(
                f"{self.inner}: an encrypted document in partition {partition} is not what this "
                "store has sealed; see docs/security.md"
            )
        log.warning(
            "%s: %d encrypted documents in partition %s are not authentic, and left out",
            self.inner,
            len(addresses),
            partition,
        )
        self._encryption.refused.update((partition, address) for address in addresses)

    async def _commit_moves(self, batch: Batch, envelope: Envelope) -> None:
        """Commit a batch in which documents that are not loaded change their partition.

        A sealed document is bound to its partition, so those are sealed anew. What they are is
        read here: commits come one at a time, so the persistor has the state before this one.
        """
        sources = [
            cast("Move", part.operation)
            for part in cast("tuple[Part, ...]", batch.parts)
            if isinstance(part, OnSealed) and _is_sealed_move(part)
        ]
        wanted = [envelope.address(move.path) for move in sources]
        found = self._load_sealed(wanted)
        groups = await found if inspect.isawaitable(found) else found
        stored = _StoredMoves(_records(self._only_sealed(groups, envelope)))
        parts = _sealed(stored.resolve(batch.parts), envelope)
        done = self.inner.commit(Batch(parts, batch.metadata))
        if inspect.isawaitable(done):
            await done

    def _only_sealed(
        self, groups: Iterable[RecordGroup], envelope: Envelope
    ) -> Iterator[RecordGroup]:
        for group in groups:
            if group.encrypted:
                yield from self._opened(group, envelope)

    def __str__(self) -> str:
        """Return the other one's name."""
        return str(self.inner)

    def __repr__(self) -> str:
        """Show the other one."""
        return f"<SealingPersistor of {self.inner!r}>"


class _StoredMoves:
    """Turns moves of encrypted documents into deletions and puts, in the order of a batch."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._there = {(record.path, record.partition): record.value for record in records}

    def resolve(self, parts: Iterable[Part]) -> Iterator[Part]:
        """Yield the parts of a batch without such moves."""
        for part in parts:
            if isinstance(part, OnSealed):
                inner = part.operation
                if isinstance(inner, Move):
                    yield from self._move(inner)
                    continue
                self._delete(inner)
            elif isinstance(part, Put | PutMany) and part.encrypted:
                for put in single_operations([part]):
                    assert isinstance(put, Put)
                    self._there[put.path, put.partition] = put.value
            yield part

    def _move(self, move: Move) -> Iterator[Part]:
        moved = [
            path
            for path, partition in self._there
            if partition == move.source and paths.is_under(path, move.path)
        ]
        for path in moved:
            value = self._there.pop((path, move.source))
            self._there[path, move.target] = value
            yield OnSealed(Delete(path, False))
            yield Put(path, value, move.target, True)

    def _delete(self, deletion: Delete) -> None:
        gone = [
            key
            for key in self._there
            if (paths.is_under(key[0], deletion.path) and deletion.recursive)
            or key[0] == deletion.path
        ]
        for key in gone:
            del self._there[key]


def _sealed(parts: Iterable[Part], envelope: Envelope) -> Iterator[Operation | PutMany]:
    """Yield what a persistor gets for the parts of a batch."""
    for kind, run in groupby(parts, _kind):
        if kind is None:
            yield from cast("Iterator[Operation | PutMany]", run)
        elif isinstance(kind, str):
            puts = list(cast("Iterator[Put]", run))
            documents, values = [put.path for put in puts], [put.value for put in puts]
            yield envelope.seal(documents, values, kind)
        else:
            for part in run:
                if isinstance(part, PutMany):
                    yield envelope.seal(part.paths, part.values, part.partition)
                else:
                    deletion = cast("OnSealed", part).operation
                    assert isinstance(deletion, Delete)
                    yield deletion._replace(path=envelope.address(deletion.path))


def rotation_batch(
    groups: Sequence[RecordGroup], old: Envelope, new: Envelope, metadata: bytes
) -> Batch:
    """Return the commit that replaces all sealed documents by the same under another key."""
    roots = dict.fromkeys(group.collection.partition("/")[0] for group in groups)
    parts: list[Operation | PutMany] = [Delete(old.address(root)) for root in roots]
    for partition, run in groupby(groups, attrgetter("partition")):
        records = list(_records(run))
        documents, values = [record.path for record in records], [r.value for r in records]
        parts.append(new.seal(documents, values, partition))
    return Batch(parts, metadata)


def _kind(part: Part) -> str | bool | None:
    """Return the partition of an encrypted put, True for what else is to be sealed, or None."""
    if type(part) is Put:
        return part.partition if part.encrypted else None
    return True if type(part) is OnSealed or (type(part) is PutMany and part.encrypted) else None


def _is_sealed_move(part: Part) -> bool:
    return type(part) is OnSealed and type(part.operation) is Move


def _records(groups: Iterable[RecordGroup]) -> Iterator[Record]:
    for group in groups:
        yield from group.records()


def _then(found: Any, change: Callable[[Any], Any]) -> Any:
    """Return what `change` makes of a result, now or when it is there."""
    if not inspect.isawaitable(found):
        return change(found)

    async def later() -> Any:
        return change(await found)

    return later()
