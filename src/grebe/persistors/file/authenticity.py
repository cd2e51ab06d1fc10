"""MACs of journals, partition files and manifest, in a store with encrypted documents.

What they are of: a journal record's line, a partition file's first line (which has the digest of
the rest), the manifest as a whole, and what it says of encrypted documents. That last MAC is kept
by whoever writes the manifest without the key: the plain part can be used without it, and then
nothing encrypted changes. Format: docs/security.md, "What is authenticated".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from grebe.core.operation import Clear, Put, PutMany
from grebe.persistence.formats.journal import JournalRecord, encode_text, split_mac, with_mac
from grebe.persistence.formats.partition import PartitionHeader
from grebe.persistence.persistor import Authenticator, FindAuthenticator
from grebe.persistence.resolver import readable_resolver
from grebe.persistors.file.manifest import Manifest, PartitionFile, encode_around, sealed_text

PARTITION = "partition"
RECORD = "record"
MANIFEST = "manifest"
SEALED = "manifest, encrypted part"


class Authentication:
    """Which key a directory is authenticated with at the moment."""

    def __init__(self, find: FindAuthenticator | None = None) -> None:
        self.find = find
        self.by: Authenticator | None = None
        """None: no encrypted documents, or no key."""
        self.locked = False
        """Whether there are encrypted documents and no key: then those must stay as they are."""
        self.encryption: dict[str, Any] | None = None
        """The key header."""

    def follow(self, metadata: bytes | None) -> None:
        """Use the key that new metadata asks for."""
        resolver = readable_resolver(metadata)
        self.encryption = None if resolver is None else resolver.encryption
        if self.encryption is None:
            self.by = None
        elif self.find is not None:
            self.by = self.find(metadata)
        self.locked = self.encryption is not None and self.by is None

    def encryption_to_keep(self) -> dict[str, Any] | None:
        """Return the key header for partition files: without what is dropped soon."""
        header = self.encryption
        return None if header is None else {k: header[k] for k in header if k != "previous"}

    def may_checkpoint(
        self, commits: Iterable[JournalRecord], sides: Iterable[tuple[str, bool]]
    ) -> bool:
        """Tell whether a checkpoint of these commits and damaged sides needs no key.

        A file of encrypted documents that was written without it would count as forged.
        """
        if not self.locked:
            return True
        return not any(commit.text is not None for commit in commits) and not any(
            encrypted for _, encrypted in sides
        )


def signed(record: JournalRecord, store: str, by: Authenticator | None) -> JournalRecord:
    """Return a record with its MAC, if there is a key for it and it has none yet."""
    if by is None or record.text is not None or record.plain_only:
        return record
    parts = list(encode_text(record))
    return with_mac(record, parts, by.tag(RECORD, [store.encode(), b"\0", *parts]))


def partition_tag(by: Authenticator | None) -> Callable[[bytes], str] | None:
    """Return what gives a partition file's MAC."""
    return None if by is None else lambda text: by.tag(PARTITION, [text])


def signed_manifest(manifest: Manifest, by: Authenticator | None) -> Manifest:
    """Return a manifest with its MACs; without the key it keeps that of its encrypted part."""
    if by is None:
        return replace(manifest, mac=None)
    sealed = replace(manifest, sealed=by.tag(SEALED, [sealed_text(manifest)]), mac=None)
    return replace(sealed, mac=by.tag(MANIFEST, encode_around(sealed)))


def check_record(
    record: JournalRecord, store: str, by: Authenticator, encrypted: bool
) -> JournalRecord | None:
    """Return a record as it counts; None if it is not authentic.

    One without a MAC is from before there were encrypted documents (`encrypted`: whether there are
    any), or was written without the key: then it cannot concern those.
    """
    split = split_mac(record)
    if split is not None:
        text, mac = split
        return record if by.holds(RECORD, [store.encode(), b"\0", text], mac) else None
    if not encrypted:
        return record
    for operation in record.operations:
        if isinstance(operation, Clear) or (
            isinstance(operation, Put | PutMany) and operation.encrypted
        ):
            return None
    return record._replace(plain_only=True)


def is_forged(
    header: PartitionHeader, listed: PartitionFile | None, manifest: Manifest, by: Authenticator
) -> bool:
    """Tell whether a partition file was not written with the store's key though it should be.

    `listed` is what an authentic manifest says of it; None if that does not say anything. A file of
    plain documents may be older than the key, or written without it.
    """
    if listed is not None and header.lsn <= manifest.lsn:
        return header.mac != listed.mac or (header.encrypted and header.mac is None)
    if header.mac is None:
        return header.encrypted
    return not by.holds(PARTITION, [header.text], header.mac)


def what_is_wrong(manifest: Manifest, by: Authenticator, encrypted: bool) -> str | None:
    """Return why a manifest is not authentic; None if it is.

    `encrypted`: whether its metadata says that there are encrypted documents.
    """
    if manifest.sealed is None:
        if encrypted or any(listed.encrypted for listed in manifest.partitions.values()):
            return "what it says of encrypted documents is not authenticated"
    elif not by.holds(SEALED, [sealed_text(manifest)], manifest.sealed):
        return "what it says of encrypted documents is not authentic"
    if manifest.mac is not None and not by.holds(MANIFEST, [manifest.text], manifest.mac):
        return "it is not authentic"
    return None
