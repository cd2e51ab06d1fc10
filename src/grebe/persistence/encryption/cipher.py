"""The cryptography: AES-256-GCM, HKDF-SHA256 and scrypt, as the library `cryptography` has them.

The one module that imports it, and only when something is to be encrypted.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from grebe.errors import EncryptionError

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16

Seal = Callable[[bytes, bytes, bytes], bytes]
"""From nonce, text and associated data to the encrypted text with its tag behind it."""

Unseal = Callable[[bytes, bytes, bytes], bytes | None]
"""From nonce, encrypted text with tag, and associated data to the text; None: not authentic."""


def check_available() -> None:
    """Raise EncryptionError if the library is not installed."""
    try:
        import cryptography  # noqa: F401 - the rest of it takes long to import
    except ImportError as error:
        raise EncryptionError(
            "encryption needs the extra `encryption`, which is not installed; "
            "pip install 'grebe[encryption]'"
        ) from error


def random_bytes(size: int) -> bytes:
    """Return bytes from the system's secure source, for keys, salts and nonces."""
    return os.urandom(size)


def sealing(key: bytes) -> tuple[Seal, Unseal]:
    """Return the two directions of AES-256-GCM under a key."""
    check_available()
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AESGCM(key)
    decrypt = cipher.decrypt

    def unseal(nonce: bytes, sealed: bytes, associated: bytes) -> bytes | None:
        try:
            return decrypt(nonce, sealed, associated)
        except InvalidTag:
            return None

    return cipher.encrypt, unseal


def derive(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    """Return a key for one purpose: HKDF-SHA256 (https://www.rfc-editor.org/rfc/rfc5869)."""
    check_available()
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), KEY_BYTES, salt, purpose).derive(key)


def stretch(passphrase: str, salt: bytes, cost: int, block_size: int, parallel: int) -> bytes:
    """Return the key of a passphrase: scrypt (https://www.rfc-editor.org/rfc/rfc7914)."""
    check_available()
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    kdf = Scrypt(salt=salt, length=KEY_BYTES, n=cost, r=block_size, p=parallel)
    return kdf.derive(passphrase.encode("utf-8", "surrogatepass"))
