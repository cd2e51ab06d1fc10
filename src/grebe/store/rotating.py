"""A change of the key: all encrypted documents are sealed anew, in one commit.

Before that commit the old key opens the store, after it the new one. Commits wait meanwhile, so
none is sealed under a key that is not the store's any more; reads and writes in memory go on.
A checkpoint behind it takes the old sealed bytes out of the files.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from grebe.core import path as paths
from grebe.core.operation import Batch, RecordGroup
from grebe.errors import EncryptionError
from grebe.persistence.drivers import as_persistence_error
from grebe.persistence.encryption.envelope import Envelope
from grebe.persistence.encryption.keys import KeySource
from grebe.persistence.encryption.sealing import SealingPersistor, rotation_batch
from grebe.persistence.encryption.system_keyring import OTHER_WAYS
from grebe.store.writing import Writer

Call = Callable[..., Awaitable[Any]]


class Rotation:
    """One change of the key of one store."""

    def __init__(self, writer: Writer, persistor: SealingPersistor, call: Call) -> None:
        self._writer = writer
        self._persistor = persistor
        self._call = call

    def begin(self) -> bool:
        """Hold commits back, if none is under way; tell whether that was done."""
        writer = self._writer
        with writer.lock:
            assert writer.committer is not None
            if writer.committer.committing:
                return False
            writer.committer.open_batches += 1
            return True

    def end(self) -> None:
        """Let commits go on."""
        writer = self._writer
        with writer.lock:
            assert writer.committer is not None
            writer.committer.open_batches -= 1
            writer.batch_ended()

    async def run(self, source: KeySource) -> None:
        """Seal everything anew. Raises PersistenceError, EncryptionError; then nothing changed."""
        writer, persistor = self._writer, self._persistor
        encryption = writer.encryption
        if encryption.locked:
            raise EncryptionError(
                f"the key cannot be changed without the present one; {OTHER_WAYS}"
            )
        new = encryption.prepare(source)
        if new is None:  # nothing is encrypted yet
            return
        groups: list[RecordGroup] = await self._call(persistor.load_encrypted)
        with writer.lock:
            resolver = writer.placement.resolver
            for group in groups:
                resolver.add_names(paths.names(group.collection), group.partition, True)
            metadata = resolver.rekeyed(new.names_address, new.keys.header.as_dict()).encode()
        encryption.next = new
        try:
            await self._call(persistor.inner.commit, self._batch(groups, new, metadata))
        except Exception as error:
            failure = as_persistence_error(error)
            raise failure from failure.__cause__
        finally:
            encryption.next = None
        with writer.lock:
            self._adopt(new, source)

    def _batch(self, groups: list[RecordGroup], new: Envelope, metadata: bytes) -> Batch:
        old = self._writer.encryption.envelope
        assert old is not None
        return rotation_batch(groups, old, new, metadata)

    def _adopt(self, new: Envelope, source: KeySource) -> None:
        """Use the new key, and have what was written meanwhile stored under it."""
        writer = self._writer
        writer.encryption.replace(new, source)
        resolver = writer.placement.resolver
        rekeyed = resolver.rekeyed(new.names_address, new.keys.header.as_dict())
        rekeyed.changed = True
        writer.placement.resolver = rekeyed
        # It replaces metadata of the old key that may be waiting.
        writer.save_resolver()
        assert writer.committer is not None
        writer.committer.wrote()
