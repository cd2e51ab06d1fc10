"""The data of the Dart package Loon, read into documents. Knows nothing of the store.

A directory has a file for each store (`users.json`, its encrypted half `users.encrypted.json`); the
SQLite file `loon.db` has the same texts in a table `store(key, value)`. A text is JSON,
`{resolver path: tree}`: a tree nests the segments of paths, and `__values` of a node maps ids to
values. An encrypted text is base64 of a 16-byte IV, 24 characters, and base64 of that JSON under
AES-CBC with PKCS7 padding. It has no checksum: a wrong key, or damage, is noticed only if what
comes out is no JSON.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grebe.cli.errors import CommandError, UsageError

DATABASE = "loon.db"
DEFAULT_STORE = "__store__"
RESOLVER = "__resolver__"
VALUES = "__values"
SEALED_SUFFIX = ".encrypted"
IV_CHARACTERS = 24
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Text:
    """The text of one store."""

    place: str
    """Where it was found, for messages: `users.json`."""
    store: str
    """The store's name, without what marks its encrypted half."""
    encrypted: bool
    text: str


@dataclass(frozen=True, slots=True)
class Value:
    """One document to be."""

    place: str
    segments: tuple[str, ...]
    data: Any
    store: str
    encrypted: bool


@dataclass(slots=True)
class Found:
    """What is in a directory or database."""

    texts: list[Text] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Names of files that hold no data: temporary or set aside as corrupt."""

    @property
    def needs_key(self) -> bool:
        """Whether a text is encrypted."""
        return any(not _is_json(text.text) for text in self.texts)


def find(place: Path) -> Found:
    """Return the texts in a directory or in a database file.

    Raises:
        UsageError: there is nothing of Loon's.
        CommandError: a file cannot be read.
    """
    if not place.exists():
        raise UsageError(f"{place} does not exist; give a directory or {DATABASE}")
    if place.is_file():
        return _in_database(place)
    found = Found()
    for file in sorted(place.iterdir()):
        if file.name.endswith((".json.tmp", ".corrupt")):
            found.ignored.append(file.name)
        elif file.suffix == ".json" and file.stem != RESOLVER and file.is_file():
            found.texts.append(_text(file.name, file.stem, _read(file)))
    database = place / DATABASE
    if database.is_file():
        if found.texts:
            raise UsageError(
                f"{place} has both {DATABASE} and JSON files; give {database}, or move it away"
            )
        return _in_database(database)
    if not found.texts:
        raise UsageError(f"{place} holds no store of Loon's, neither JSON files nor {DATABASE}")
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise CommandError(f"{file.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file.name} is not UTF-8; it is no store of Loon's") from error


def _in_database(file: Path) -> Found:
    try:
        # Without a log nobody has it open, and reading makes no files beside it.
        has_log = file.with_name(file.name + "-wal").exists()
        uri = f"{file.absolute().as_uri()}?mode=ro{'' if has_log else '&immutable=1'}"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            rows = connection.execute("SELECT key, value FROM store ORDER BY key").fetchall()
    except sqlite3.Error as error:
        raise CommandError(f"{file} is no database of Loon's: {error}") from error
    found = Found()
    for key, value in rows:
        name = str(key).removesuffix(".json")
        if name != RESOLVER:
            text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
            found.texts.append(_text(f"{file.name}: {key}", name, text))
    return found


def _text(place: str, name: str, text: str) -> Text:
    store = name.removesuffix(SEALED_SUFFIX)
    return Text(place, store, store != name or not _is_json(text), text)


def _is_json(text: str) -> bool:
    return text.lstrip()[:1] == "{"


def parse_key(data: bytes) -> bytes:
    """Return the key that a text, or a file with the key itself, stands for.

    As Loon keeps it: base64 of 32 bytes. Also 64 hexadecimal digits, or the 32 bytes.

    Raises:
        UsageError: it is none of these.
    """
    text = data.strip()
    if re.fullmatch(rb"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text.decode())
    if re.fullmatch(rb"[A-Za-z0-9+/_-]{43}=?", text):
        return base64.urlsafe_b64decode(
            text.rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_") + b"="
        )
    if len(data) == KEY_BYTES:
        return data
    raise UsageError(
        "the key is no key of Loon's; give base64 of its 32 bytes (as its keystore has it), or 64 "
        "hexadecimal digits"
    )


def read_values(text: Text, key: bytes | None) -> Iterator[Value]:
    """Yield the documents of one store. O(text).

    Raises:
        CommandError: it is no store, or the key does not fit.
    """
    content = text.text
    if not _is_json(content):
        assert key is not None
        content = decrypt(content, key, text.place)
    try:
        trees = json.loads(content)
    except (ValueError, RecursionError) as error:
        wrong = "" if content is text.text else ", so the key may be a wrong one"
        raise CommandError(f"{text.place} is no JSON{wrong}; nothing was imported") from error
    if not isinstance(trees, dict):
        raise CommandError(f"{text.place} is no store of Loon's; nothing was imported")
    for tree in trees.values():
        yield from _walk(text, tree)


def _walk(text: Text, tree: Any) -> Iterator[Value]:
    """Yield the values of a tree, those above others first."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    while waiting:
        segments, node = waiting.pop()
        if not isinstance(node, dict):
            raise _no_tree(text)
        values = node.get(VALUES, {})
        if not isinstance(values, dict) or (values and len(segments) % 2 == 0):
            raise _no_tree(text)
        for document_id, data in values.items():
            yield Value(text.place, (*segments, document_id), data, text.store, text.encrypted)
        below = [((*segments, name), inner) for name, inner in node.items() if name != VALUES]
        waiting.extend(reversed(below))


def _no_tree(text: Text) -> CommandError:
    return CommandError(
        f"{text.place} is JSON but no store of Loon's: its values are not where they should be; "
        "nothing was imported"
    )


def decrypt(text: str, key: bytes, place: str) -> str:
    """Return what an encrypted text holds; `cryptography` must be there.

    Raises:
        CommandError: it is no such text, or the key does not fit.
    """
    from cryptography.hazmat.primitives import padding
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    text = text.strip()
    try:
        iv = base64.b64decode(text[:IV_CHARACTERS], validate=True)
        sealed = base64.b64decode(text[IV_CHARACTERS:], validate=True)
        decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    except (binascii.Error, ValueError) as error:
        raise CommandError(f"{place} is neither JSON nor what Loon encrypted") from error
    try:
        padded = decryptor.update(sealed) + decryptor.finalize()
        unpadder = padding.PKCS7(128).unpadder()
        return (unpadder.update(padded) + unpadder.finalize()).decode("utf-8")
    except ValueError as error:  # of a padding, a block or a character that is none
        raise CommandError(
            f"{place} cannot be decrypted: the key is a wrong one, or the file is damaged; "
            "nothing was imported"
        ) from error
