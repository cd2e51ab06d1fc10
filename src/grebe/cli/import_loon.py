"""`grebe import --format loon`: the data of the Dart package Loon, all or none."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import grebe
from grebe.cli.asking import ask
from grebe.cli.console import require, track_if_seen
from grebe.cli.errors import CommandError, UsageError
from grebe.cli.inspection import counted
from grebe.cli.loon import DEFAULT_STORE, Found, Value, find, parse_key, read_values
from grebe.cli.store_target import open_store

KEY_VARIABLE = "GREBE_LOON_KEY"


class Document(NamedTuple):
    """One document to be, at its path."""

    value: Value
    collection: str
    id: str

    @property
    def path(self) -> str:
        """Its path."""
        return f"{self.collection}/{self.id}"

    @property
    def partition(self) -> str:
        """The partition that has the name of its store."""
        return "__store__" if self.value.store == DEFAULT_STORE else self.value.store


def run(arguments: argparse.Namespace) -> int:
    """Import everything, durably, and return the exit code.

    Raises:
        UsageError: an option makes no sense, there is nothing of Loon's, or no key.
        CommandError: something cannot be imported; nothing was.
        GrebeError: the store cannot be opened or written.
    """
    _check_options(arguments)
    found = find(Path(arguments.file))
    documents, nulls = _read(found, arguments)
    _try_out(documents)
    with open_store(arguments.into) as store:
        if not arguments.replace:
            _check_new(store, documents)
        _write(store, documents, encrypted=not arguments.decrypt)
        store.commit()
    _report(arguments, documents, found, nulls)
    return 0


def _check_options(arguments: argparse.Namespace) -> None:
    for name in ("collection", "id", "partition"):
        if getattr(arguments, name) is not None:
            raise UsageError(f"--{name} is not for --format loon, whose data has all of that")
    if arguments.slash is not None and "/" in arguments.slash:
        raise UsageError("--slash is what replaces /, so it cannot hold one")


def _read(found: Found, arguments: argparse.Namespace) -> tuple[list[Document], int]:
    """Return the documents, each path once, and the number of values that are null."""
    key = None
    if found.needs_key:
        require("encryption", "cryptography")
        key = _key(arguments.key_file)
    documents: dict[str, Document] = {}
    nulls = 0
    for text in track_if_seen(found.texts, "Reading", len(found.texts)):
        for value in read_values(text, key):
            if value.data is None:  # Loon takes it for a document that was deleted
                nulls += 1
                continue
            document = _document(value, arguments.slash)
            other = documents.setdefault(document.path, document)
            if other is not document and other.value.data != value.data:
                raise CommandError(
                    f"{document.path} is in {other.value.place} and, different, in {value.place}; "
                    "remove one there, nothing was imported"
                )
    return list(documents.values()), nulls


def _key(file: str | None) -> bytes:
    """Return the key: from the file, the environment or the terminal, never from an argument."""
    if file is not None:
        try:
            return parse_key(Path(file).read_bytes())
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    text = os.environ.get(KEY_VARIABLE)
    if text is None:
        text = ask("Key of Loon's encrypted files (base64): ", f"set {KEY_VARIABLE} or --key-file")
    return parse_key(text.encode("utf-8", "surrogateescape"))


def _document(value: Value, slash: str | None) -> Document:
    segments = value.segments
    if slash is not None:
        segments = tuple(segment.replace("/", slash) for segment in segments)
    elif any("/" in segment for segment in segments):
        raise CommandError(
            f"{value.place}: {'__'.join(segments)!r} has a / in a name or id, which Grebe cannot "
            "have; say with --slash what to write instead; nothing was imported"
        )
    return Document(value, "/".join(segments[:-1]), segments[-1])


def _try_out(documents: Iterable[Document]) -> None:
    """Write everything to a store in memory: what Grebe refuses is found before anything is done.

    Raises:
        CommandError: a path or value cannot be stored.
    """
    store = grebe.open()
    for document in documents:
        try:
            store.doc(document.path).create(document.value.data)
        except (grebe.SerializationError, grebe.InvalidPathError) as error:
            raise CommandError(f"{document.value.place}: {error}; nothing was imported") from error


def _check_new(store: grebe.Store, documents: Iterable[Document]) -> None:
    for document in documents:
        if store.doc(document.path).exists():
            raise CommandError(
                f"{document.path} exists already; nothing was imported, use --replace to overwrite "
                "such documents"
            )


def _write(store: grebe.Store, documents: list[Document], *, encrypted: bool) -> None:
    """Write all as one commit: the encrypted ones first, as only they can fail, for want of a key.

    A collection of both kinds has its option changed in between.
    """
    partitions = {document.path: document.partition for document in documents}
    sealed = [document for document in documents if encrypted and document.value.encrypted]
    plain = [document for document in documents if not (encrypted and document.value.encrypted)]
    shown = iter(track_if_seen(range(len(documents)), "Writing", len(documents)))

    def partition_of(snapshot: grebe.Snapshot[Any]) -> str:
        return partitions.get(snapshot.path, "__store__")

    own: set[str] = set()
    with store.batch():
        for some, is_sealed in ((sealed, True), (plain, False)):
            own |= _with_options(some, partitions)  # those of before would inherit no more
            known: dict[str, grebe.Collection[Any]] = {}
            for document in some:
                collection = known.get(document.collection)
                if collection is None:
                    options: dict[str, Any] = {}
                    if document.collection in own:
                        options = {"partition": partition_of, "encrypted": is_sealed}
                    collection = store.collection(document.collection, **options)
                    known[document.collection] = collection
                collection.doc(document.id).set(document.value.data)
                next(shown, None)


def _with_options(documents: list[Document], partitions: dict[str, str]) -> set[str]:
    """Return the collections that do not inherit what they need from the document above them."""
    written = {document.path for document in documents}
    own = set()
    for document in documents:
        above = document.collection.rpartition("/")[0]
        if above not in written or partitions[above] != document.partition:
            own.add(document.collection)
    return own


def _report(
    arguments: argparse.Namespace, documents: list[Document], found: Found, nulls: int
) -> None:
    sealed = sum(document.value.encrypted for document in documents)
    how = "and stored as plain ones" if arguments.decrypt else "and under the store's key here"
    what = f"{counted(len(documents), 'document')} of {counted(len(found.texts), 'store')}"
    lines = [f"imported {what} from {arguments.file} into {arguments.into}"]
    if sealed:
        lines.append(f"  {counted(sealed, 'document')} encrypted there {how}")
    if nulls:
        were = "was" if nulls == 1 else "were"
        lines.append(f"  left out {counted(nulls, 'value')} that {were} null: deleted documents")
    if found.ignored:
        lines.append(f"  left out {', '.join(found.ignored)}: not finished, or damaged")
    sys.stdout.write("\n".join(lines) + "\n")
