"""Keys: where they come from, how they are told to be the right ones, and what is derived.

Key -> (scrypt, for a passphrase) -> master key -> (HKDF) -> one key for each purpose. What must be
stored for that, the `KeyHeader`, holds nothing secret. Format: docs/security.md, "Key header".
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grebe.errors import CorruptDataError, EncryptionError
from grebe.persistence.encryption import cipher, system_keyring

VARIABLE = "GREBE_KEY"
HEADER_VERSION = 1
ID_BYTES = 16
CHECK_BYTES = 16
SCRYPT_COST = 2**17
SCRYPT_BLOCK_SIZE = 8
SCRYPT_PARALLEL = 1
"""https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html"""
SCRYPT_MEMORY_MAX = 2**32
"""Bytes. A header that asks for more was not written by Grebe."""

_HEX_KEY = re.compile(r"hex:([0-9a-fA-F]{64})")


class Secret:
    """A key or a passphrase that no repr shows."""

    __slots__ = ("value",)

    def __init__(self, value: bytes | str) -> None:
        self.value = value

    @property
    def is_passphrase(self) -> bool:
        """Whether it has to be stretched."""
        return isinstance(self.value, str)

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "<Secret>"


class KeySource:
    """Where a store's key comes from: an argument, the environment, or the system's keyring."""

    __slots__ = ("_given",)

    def __init__(self, given: bytes | str | Callable[[], Any] | KeySource | None = None) -> None:
        """Check what was given; a function is not called yet.

        Raises:
            EncryptionError: bytes of another length than 32, or an empty passphrase.
            TypeError: something else.
        """
        self._given: Secret | Callable[[], Any] | None
        if isinstance(given, KeySource):
            self._given = given._given
        elif given is None or (callable(given) and not isinstance(given, bytes | str)):
            self._given = given
        else:
            self._given = _secret(given)

    @property
    def is_given(self) -> bool:
        """Whether there was an argument."""
        return self._given is not None

    def check_there_is_one(self) -> None:
        """Raise EncryptionError if neither an argument nor the environment gives a key."""
        if self._given_or_environment() is None:
            raise EncryptionError(f"there is no encryption key; {system_keyring.OTHER_WAYS}")

    def find(self, store_id: str) -> Secret | None:
        """Return the key of a store that has encrypted documents; None if there is none here.

        Raises:
            EncryptionError: the function given, or the environment, has something else than a key.
        """
        found = self._given_or_environment()
        if found is None:
            key = system_keyring.find_key(store_id)
            found = None if key is None else Secret(key)
        return found

    def find_or_make(self, store_id: str) -> Secret:
        """Return the key for a store that has no encrypted documents yet.

        Raises:
            EncryptionError: there is none, and no keyring to make one in.
        """
        found = self._given_or_environment()
        return Secret(system_keyring.make_key(store_id)) if found is None else found

    def _given_or_environment(self) -> Secret | None:
        given = self._given
        if isinstance(given, Secret):
            return given
        if given is not None:
            answer = given()
            return None if answer is None else _secret(answer)
        text = os.environ.get(VARIABLE)
        if not text:
            return None
        match = _HEX_KEY.fullmatch(text)
        return Secret(bytes.fromhex(match[1]) if match else text)

    def __repr__(self) -> str:
        """Show nothing of the key."""
        return "<KeySource>"


def new_key(given: Any) -> KeySource:
    """Return a key to change to; neither the environment nor the keyring stands in for it.

    Raises:
        EncryptionError: bytes of another length than 32, or an empty passphrase.
        TypeError: something else, or None.
    """
    if given is None:
        raise TypeError("the new encryption key is 32 bytes, a passphrase, or a function, not None")
    return KeySource(given)


def _secret(given: Any) -> Secret:
    if isinstance(given, bytes | bytearray | memoryview):
        if len(given) != cipher.KEY_BYTES:
            raise EncryptionError(
                f"an encryption key has {cipher.KEY_BYTES} bytes, not {len(given)}; "
                "give a passphrase as a str"
            )
        return Secret(bytes(given))
    if isinstance(given, str):
        if not given:
            raise EncryptionError("the passphrase is empty; leave encryption_key= out to have none")
        return Secret(given)
    kind = type(given).__name__
    raise TypeError(
        f"an encryption key is 32 bytes, a passphrase (str), or a function of either, not {kind}"
    )


@dataclass(frozen=True, slots=True)
class KeyHeader:
    """What is stored to get from a key to the derived ones, and to tell that it is the right one.

    Not secret; kept in the store's metadata.
    """

    id: bytes
    """The store's id where sealing is concerned; also the salt. Another one after a rotation."""
    check: bytes
    """Tells the right key from a wrong one."""
    scrypt: tuple[int, int, int] | None
    """Cost, block size and parallelism for a passphrase; None: the key is used as it is."""
    previous: bytes | None = None
    """The authentication key before a rotation, sealed, until nothing on disk needs it."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        found: dict[str, Any] = {"version": HEADER_VERSION, "id": self.id.hex()}
        if self.scrypt is not None:
            found["scrypt"] = list(self.scrypt)
        found["check"] = self.check.hex()
        if self.previous is not None:
            found["previous"] = self.previous.hex()
        return found

    @classmethod
    def from_dict(cls, found: Any) -> KeyHeader:
        """Return the header that JSON holds.

        Raises:
            EncryptionError: it is of a newer version.
            CorruptDataError: it is none.
        """
        try:
            version = found["version"]
            if version != HEADER_VERSION:
                raise EncryptionError(
                    f"the store is encrypted in version {version}; this version of Grebe knows "
                    f"version {HEADER_VERSION}, update Grebe to open it"
                )
            scrypt, previous = found.get("scrypt"), found.get("previous")
            header = cls(
                bytes.fromhex(found["id"]),
                bytes.fromhex(found["check"]),
                None if scrypt is None else (int(scrypt[0]), int(scrypt[1]), int(scrypt[2])),
                None if previous is None else bytes.fromhex(previous),
            )
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise CorruptDataError("the store's key header cannot be read") from error
        if len(header.id) != ID_BYTES or len(header.check) != CHECK_BYTES:
            raise CorruptDataError("the store's key header cannot be read")
        if header.scrypt is not None:
            cost, block_size, parallel = header.scrypt
            if not 0 < 128 * cost * block_size * parallel <= SCRYPT_MEMORY_MAX:
                raise CorruptDataError("the store's key header asks for too much memory")
        return header


class StoreKeys:
    """The derived keys of a store, each for one purpose."""

    __slots__ = ("authentication", "header", "paths", "sealing")

    def __init__(self, master: bytes, header: KeyHeader) -> None:
        self.header = header
        self.sealing = cipher.derive(master, header.id, b"grebe 1 sealing")
        self.paths = cipher.derive(master, header.id, b"grebe 1 paths")
        self.authentication = cipher.derive(master, header.id, b"grebe 1 authentication")

    def __repr__(self) -> str:
        """Show nothing of them."""
        return "<StoreKeys>"


def make_keys(secret: Secret, store_id: bytes) -> StoreKeys:
    """Return the keys for a store that gets its first encrypted document, or a new key."""
    scrypt = (SCRYPT_COST, SCRYPT_BLOCK_SIZE, SCRYPT_PARALLEL) if secret.is_passphrase else None
    master = _master(secret, store_id, scrypt)
    return StoreKeys(master, KeyHeader(store_id, _check(master, store_id), scrypt))


def open_keys(secret: Secret, header: KeyHeader) -> StoreKeys:
    """Return the keys of a store.

    Raises:
        EncryptionError: the key is a wrong one.
    """
    if secret.is_passphrase != (header.scrypt is not None):
        wanted = "a key of 32 bytes" if secret.is_passphrase else "a passphrase"
        raise EncryptionError(f"the encryption key is wrong: the store was encrypted with {wanted}")
    found = _try_keys(secret, header)
    if found is None:
        raise EncryptionError(
            "the encryption key is wrong; nothing was changed, open the store with the right one"
        )
    return found


def new_id() -> bytes:
    """Return a random id."""
    return cipher.random_bytes(ID_BYTES)


def _try_keys(secret: Secret, header: KeyHeader) -> StoreKeys | None:
    # Apart, so that no frame of a traceback holds the master key.
    master = _master(secret, header.id, header.scrypt)
    if not hmac.compare_digest(_check(master, header.id), header.check):
        return None
    return StoreKeys(master, header)


def _master(secret: Secret, salt: bytes, scrypt: tuple[int, int, int] | None) -> bytes:
    value = secret.value
    if isinstance(value, bytes):
        return value
    assert scrypt is not None
    return cipher.stretch(value, salt, *scrypt)


def _check(master: bytes, store_id: bytes) -> bytes:
    return cipher.derive(master, store_id, b"grebe 1 check")[:CHECK_BYTES]
