"""Commits that somebody else made, applied to memory as ordinary changes.

For a reader beside a writing process (`store.refresh()`), and for persistors whose data others
change too (`follow`). Only what is loaded is changed: the rest comes when it is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from grebe.core import path as paths
from grebe.core.encoding import same_json
from grebe.core.entry import Entry, home_of, moved
from grebe.core.operation import Batch, Clear, Delete, Move, Operation, Put, single_operations
from grebe.core.tree import Place
from grebe.documents.models.versioned import version_of
from grebe.documents.snapshot import respell
from grebe.errors import DocumentTypeError
from grebe.persistence.resolver import readable_resolver
from grebe.reactive.change import AGAIN, LOUD
from grebe.store.writing import Writer

log = logging.getLogger("grebe")


def apply_followed(writer: Writer, batch: Batch) -> None:
    """Apply a batch that is on disk already, and have observers told. O(batch)."""
    with writer.lock:
        writer.check_open()
        for operation in single_operations(batch.parts):
            _apply(writer, operation)
        resolver = readable_resolver(batch.metadata)
        if resolver is not None:
            writer.encryption.connect(resolver)
            writer.placement.resolver = resolver
    writer.written()


def _apply(writer: Writer, operation: Operation) -> None:
    match operation:
        case Put():
            _put(writer, operation)
        case Delete(path, recursive):
            if recursive:
                _forget(writer, writer.tree.remove(path))
            elif paths.is_document(path):
                leaf = writer.tree.discard(path)
                if leaf is not None:
                    _forget(writer, [Place(*paths.split(path), leaf)])
        case Move(path, source, target):
            for place in writer.tree.walk(path):
                home = place.leaf.home
                if home.partition == source and not home.encrypted:
                    place.leaf.home = moved(home, target)
        case Clear():
            removed = list(writer.tree.walk())
            writer.tree.clear()
            _forget(writer, removed)


def _put(writer: Writer, put: Put) -> None:
    if not writer.hydration.is_loaded(put.path):
        return
    collection, document_id = paths.split(put.path)
    node = writer.tree.ensure(collection)
    home = home_of(put.partition, put.encrypted, True, False)
    old = node.documents.get(document_id)
    if old is not None and old.value == put.value:
        old.home = home
        return
    if old is not None and _is_migrated(writer, collection, old.value, put):
        respell(old, put.value, home, writer.adapter(collection))
        return
    if old is None:
        writer.order += 1
    order = writer.order if old is None else old.order
    node.documents[document_id] = Entry(put.value, order, home)
    if writer.options.resolve(collection).depends_on is not None:
        try:
            writer.rebuild_dependencies(writer.reference(put.path))
        except Exception:
            log.exception("depends_on of %s failed; it depends on nothing new", put.path)
    # Somebody else may have written the same value in other words.
    writer.note(collection, (document_id,), LOUD | AGAIN)


def _is_migrated(writer: Writer, collection: str, old: bytes, put: Put) -> bool:
    """Tell whether a put is an old document in its new version, which readers have seen already."""
    schema = writer.schemas.get(collection)
    if schema is None:
        return False
    try:
        return version_of(old) != version_of(put.value) and same_json(
            schema.current(old, put.path), schema.current(put.value, put.path)
        )
    except DocumentTypeError:  # it cannot be read by this program, before or now
        return False


def _forget(writer: Writer, removed: Iterable[Place[Entry]]) -> None:
    for place in removed:
        writer.broadcasting.dependencies.set(place.path, frozenset())
        writer.note(place.collection, (place.id,), LOUD)
