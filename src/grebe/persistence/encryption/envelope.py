r"""Sealed documents: bytes from path and value, and back. Format: docs/security.md, "Envelope".

```
01                       version
nonce                    12 bytes, random for each sealing
encrypted text           of PATH 00 VALUE, as long as that
tag                      16 bytes
```
Associated data: `grebe sealed document` 00, the version, the store's id (16 bytes), the length of
the partition's name (4 bytes, big-endian), that name in UTF-8, the address in ASCII. The address,
under which a persistor keeps it, has for each segment of the path 32 hexadecimal digits:
HMAC-SHA256 under the path key, the first half, of `d` 00 PATH for a document id (of the path up to
there) and of `c` 00 NAMES for the name of a collection (of the collection names up to there).
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from grebe.core import path as paths
from grebe.core.operation import PutMany, RecordGroup
from grebe.persistence.encryption import cipher
from grebe.persistence.encryption.cipher import NONCE_BYTES, TAG_BYTES
from grebe.persistence.encryption.keys import StoreKeys

VERSION = b"\x01"
SEGMENT_LENGTH = 32
SEALED_LENGTH_MIN = 1 + NONCE_BYTES + TAG_BYTES
_PURPOSE = b"grebe sealed document\0"
_CACHED_MAX = 10_000


class Envelope:
    """Seals and unseals the documents of one store under one key."""

    def __init__(self, keys: StoreKeys) -> None:
        self.keys = keys
        self._seal, self._unseal = cipher.sealing(keys.sealing)
        self._hash = hmac.new(keys.paths, digestmod="sha256")
        self._collections: dict[str, str] = {}

    # --- addresses

    def address(self, path: str) -> str:
        """Return the address of a document or collection."""
        if not paths.is_document(path):
            return self.collection_address(path)
        collection, _ = paths.split(path)
        return f"{self.collection_address(collection)}/{self._digest(b'd', path)}"

    def collection_address(self, path: str) -> str:
        """Return the address of a collection."""
        found = self._collections.get(path)
        if found is None:
            name = self._digest(b"c", paths.names(path))
            document = paths.parent_document(path)
            found = name if document is None else f"{self.address(document)}/{name}"
            if len(self._collections) >= _CACHED_MAX:
                self._collections.clear()
            self._collections[path] = found
        return found

    def names_address(self, names: str) -> str:
        """Return what `core.path.names` makes of the address of a collection of these names."""
        found, above = [], ""
        for name in names.split("/"):
            above = f"{above}/{name}" if above else name
            found.append(self._digest(b"c", above))
        return "/".join(found)

    def _digest(self, kind: bytes, text: str) -> str:
        state = self._hash.copy()
        state.update(b"%b\0%b" % (kind, text.encode()))
        return state.hexdigest()[:SEGMENT_LENGTH]

    # --- sealing

    def seal(self, documents: Sequence[str], values: Sequence[bytes], partition: str) -> PutMany:
        """Return the puts of sealed documents: what a persistor gets of these."""
        seal, digest, associated = self._seal, self._digest, self._associated(partition)
        nonces = cipher.random_bytes(NONCE_BYTES * len(documents))
        addresses, sealed = [], []
        at = 0
        for path, value in zip(documents, values, strict=True):
            collection = self.collection_address(path.rpartition("/")[0])
            address = f"{collection}/{digest(b'd', path)}"
            nonce = nonces[at : at + NONCE_BYTES]
            at += NONCE_BYTES
            text = b"%b\0%b" % (path.encode(), value)
            sealed.append(VERSION + nonce + seal(nonce, text, associated + address.encode()))
            addresses.append(address)
        return PutMany(addresses, sealed, partition, True)

    def unseal(self, group: RecordGroup) -> tuple[list[RecordGroup], list[str]]:
        """Return the documents in sealed records, and the addresses of those not authentic."""
        unseal, partition = self._unseal, group.partition
        associated = self._associated(partition) + group.collection.encode() + b"/"
        found: dict[str, tuple[list[str], list[bytes]]] = {}
        refused: list[str] = []
        ids: list[str] = []
        values: list[bytes] = []
        collection = None
        for key, sealed in zip(group.ids, group.values, strict=True):
            text = None
            if len(sealed) >= SEALED_LENGTH_MIN and sealed[:1] == VERSION:
                nonce = sealed[1 : 1 + NONCE_BYTES]
                text = unseal(nonce, sealed[1 + NONCE_BYTES :], associated + key.encode())
            if text is None:
                refused.append(f"{group.collection}/{key}")
                continue
            path, _, value = text.partition(b"\0")
            own, _, document_id = path.decode().rpartition("/")
            if own != collection:
                collection = own
                ids, values = found.setdefault(own, ([], []))
            ids.append(document_id)
            values.append(value)
        groups = [RecordGroup(name, *rows, partition, True) for name, rows in found.items()]
        return groups, refused

    def _associated(self, partition: str) -> bytes:
        name = partition.encode("utf-8", "surrogatepass")
        start = _PURPOSE + VERSION + self.keys.header.id
        return start + len(name).to_bytes(4, "big") + name

    def __repr__(self) -> str:
        """Show nothing of the keys."""
        return "<Envelope>"
