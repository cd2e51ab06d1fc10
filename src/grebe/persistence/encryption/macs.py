"""MACs of what a persistor has stored: HMAC-SHA256 under the authentication key.

Also under the one before a rotation, as long as the key header has it: the files that a rotation
found are replaced by the checkpoint behind it, and until then it is needed to check them.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from grebe.errors import CorruptDataError
from grebe.persistence.encryption import cipher
from grebe.persistence.encryption.cipher import NONCE_BYTES
from grebe.persistence.encryption.envelope import Envelope
from grebe.persistence.encryption.keys import KeyHeader

_PREVIOUS = b"grebe previous authentication key\0"


class Macs:
    """Makes and checks MACs: an Authenticator."""

    def __init__(self, envelope: Envelope, header: KeyHeader) -> None:
        """Take the keys; `header` may have one more, of before a rotation."""
        self._keys = [envelope.keys.authentication]
        if header.previous is not None:
            self._keys.append(open_previous(envelope, header.previous))

    def tag(self, purpose: str, parts: Iterable[bytes]) -> str:
        """See Authenticator."""
        return _mac(self._keys[0], purpose, list(parts))

    def holds(self, purpose: str, parts: Iterable[bytes], tag: str) -> bool:
        """See Authenticator."""
        text = list(parts)
        return any(
            hmac.compare_digest(_mac(key, purpose, text).encode(), tag.encode())
            for key in self._keys
        )

    def __repr__(self) -> str:
        """Show nothing of the keys."""
        return "<Macs>"


def seal_previous(envelope: Envelope, previous: bytes) -> bytes:
    """Return the authentication key of before a rotation, sealed under the new key."""
    nonce = cipher.random_bytes(NONCE_BYTES)
    seal, _ = cipher.sealing(envelope.keys.sealing)
    return nonce + seal(nonce, previous, _PREVIOUS + envelope.keys.header.id)


def open_previous(envelope: Envelope, sealed: bytes) -> bytes:
    """Return what `seal_previous` has sealed. Raises CorruptDataError."""
    _, unseal = cipher.sealing(envelope.keys.sealing)
    nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    found = None
    if len(text) >= cipher.TAG_BYTES:
        found = unseal(nonce, text, _PREVIOUS + envelope.keys.header.id)
    if found is None:
        raise CorruptDataError("the store's key header is not authentic")
    return found


def _mac(key: bytes, purpose: str, parts: Iterable[bytes]) -> str:
    state = hmac.new(key, b"grebe " + purpose.encode() + b"\0", "sha256")
    for part in parts:
        state.update(part)
    return state.hexdigest()
