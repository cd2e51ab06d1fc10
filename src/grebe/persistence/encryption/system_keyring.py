"""The keyring of the operating system, as the library `keyring` reaches it.

The one module that imports it. A key is kept under the service `grebe` and the store's id.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from grebe.errors import EncryptionError
from grebe.persistence.encryption.cipher import KEY_BYTES, random_bytes

SERVICE = "grebe"
OTHER_WAYS = (
    "give encryption_key= (32 bytes, a passphrase, or a function that returns one), "
    "or set the environment variable GREBE_KEY"
)


def find_key(store_id: str) -> bytes | None:
    """Return the key of a store; None if the keyring has none, or there is no keyring."""
    try:
        return _read(_library(), store_id)
    except EncryptionError:
        return None


def make_key(store_id: str) -> bytes:
    """Make a key for a store, keep it in the keyring and return it.

    Raises:
        EncryptionError: there is no keyring that keeps it.
    """
    library = _library()
    key = random_bytes(KEY_BYTES)
    try:
        library.set_password(SERVICE, store_id, base64.b64encode(key).decode())
    except Exception as error:  # of the backend, whichever it is
        raise _unusable() from error
    if _read(library, store_id) != key:  # there is one that keeps nothing
        raise _unusable()
    return key


def _library() -> Any:
    try:
        import keyring
    except ImportError as error:
        raise _unusable() from error
    return keyring


def _read(library: Any, store_id: str) -> bytes | None:
    try:
        text = library.get_password(SERVICE, store_id)
    except Exception as error:  # of the backend, whichever it is
        raise _unusable() from error
    try:
        key = None if text is None else base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _unusable() from error
    return key if key is None or len(key) == KEY_BYTES else None


def _unusable() -> EncryptionError:
    return EncryptionError(
        f"there is no encryption key, and no system keyring that could keep one; {OTHER_WAYS}"
    )
