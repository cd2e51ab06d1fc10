"""Writes: checked first, then applied to memory, handed to the committer and marked for observers.

Order within a write: everything that can fail (encoding, the user's functions) comes before the
first change, so a write that raises has changed nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, repeat
from typing import Any, NamedTuple

from grebe.core import path as paths
from grebe.core.bulk import garbage_collection_paused
from grebe.core.entry import Entry, Home, home_of, is_same
from grebe.core.ids import ids_and_data
from grebe.core.many_values import encode_plain_many
from grebe.core.operation import Clear, Delete, PathsIn, PutMany
from grebe.core.options import ResolvedOptions
from grebe.core.tree import CollectionNode, Place
from grebe.core.values import capture_plain, encode_and_plain
from grebe.documents.collection import Collection
from grebe.documents.document import Document
from grebe.documents.engine import Existence
from grebe.documents.models import PLAIN, UNREAD
from grebe.documents.results import LazySnapshots
from grebe.documents.snapshot import Snapshot, holds, snapshot_of
from grebe.documents.transaction import Transaction
from grebe.errors import ConflictError, DocumentExistsError, DocumentNotFoundError, ReadOnlyError
from grebe.reactive.change import LOUD
from grebe.store.sides import Sides

_NOBODY: frozenset[str] = frozenset()


class Computed(NamedTuple):
    """What the user's functions say of a value to be written."""

    partition: str
    dependencies: frozenset[str] | None
    """None: the collection has no `depends_on`."""


class Writer(Sides):
    """The writing half of the engine."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._batches: list[tuple[int, object]] = []
        """Thread and task of each open batch."""

    # --- one document

    def put(
        self, doc: Document[Any], data: Any, existence: Existence, broadcast: bool, persist: bool
    ) -> Snapshot[Any]:
        """See Engine."""
        collection = doc.parent
        if collection._own_adapter is None:
            adapter = self.adapters.get(collection.path, PLAIN)
        else:
            adapter = collection._adapter() if self.schemas else collection._own_adapter
        seen: Any = UNREAD
        if adapter is not PLAIN:
            value, seen = adapter.capture(data, doc.path)
            data = UNREAD
        elif collection.path in self.broadcasting.results or collection.path in self.finder.indexes:
            value, captured = capture_plain(data, doc.path)  # somebody will look at it
            data = seen = UNREAD if captured is None else captured
        else:
            value, data = encode_and_plain(data, doc.path)
        self.lock.acquire()  # not `with`, which takes twice as long
        try:
            if self.closed or self.read_only is not None:
                self.check_writable()
            if existence is not Existence.ANY:
                self.check_readable(collection.path)
                node = self.tree.collections.get(collection.path)
                exists = node is not None and doc.id in node.documents
                if exists and existence is Existence.MISSING:
                    raise DocumentExistsError(doc.path)
                if not exists and existence is Existence.PRESENT:
                    raise DocumentNotFoundError(doc.path)
            if self.schemas:
                self.check_versions(collection.path, (doc.id,))
            entry = self._store(doc, value, None, broadcast, persist, seen=seen, plain=data)
            snapshot: Snapshot[Any]  # now, so that live queries find it made
            if entry.view is None:
                snapshot = entry.view = Snapshot(doc.parent, doc.id, value, adapter, seen)
            else:
                snapshot = snapshot_of(doc, entry, adapter, seen)
        finally:
            self.lock.release()
        if self.broadcasting.marks and not self._batches:
            self.broadcasting.request()
        return snapshot

    def rewrite(
        self, doc: Document[Any], change: Callable[[Entry], Any], broadcast: bool, persist: bool
    ) -> Snapshot[Any]:
        """See Engine."""
        adapter = doc.parent._adapter()
        with self.lock:
            self.check_writable()
            entry = self.tree.get(doc.path)
            if entry is None:
                self.check_readable(doc.parent.path)
                raise DocumentNotFoundError(doc.path)
            if self.schemas:
                self.check_versions(doc.parent.path, (doc.id,))
            value, seen = adapter.capture(change(entry), doc.path)
            if self.tree.get(doc.path) is None:
                raise DocumentNotFoundError(doc.path)
            entry = self._store(doc, value, None, broadcast, persist, seen=seen)
            snapshot = snapshot_of(doc, entry, adapter, seen)
        self.written()
        return snapshot

    def touch(self, doc: Document[Any]) -> None:
        """See Engine."""
        with self.lock:
            self.check_open()
            if self.broadcasting.watched and self.tree.get(doc.path) is not None:
                self.broadcasting.touch(doc.parent.path, [doc.id])
        self.written()

    # --- many documents

    def create_many(
        self, collection: Collection[Any], items: Any, broadcast: bool, persist: bool
    ) -> Sequence[Snapshot[Any]]:
        """See Engine."""
        adapter = collection._adapter()
        with garbage_collection_paused():
            ids, data = ids_and_data(items)
            written = PathsIn(collection.path, ids)
            if adapter is PLAIN:
                values = encode_plain_many(data, written)
            else:
                values = [adapter.encode(*one) for one in zip(data, written, strict=True)]
            with self.lock:
                self.check_writable()
                node = self.tree.collections.get(collection.path)
                if node is not None and not node.documents.keys().isdisjoint(ids):
                    taken = next(i for i in ids if i in node.documents)
                    raise DocumentExistsError(f"{collection.path}/{taken}")
                entries = self._create_all(collection, ids, values, broadcast, persist)
        self.written()

        def make(index: int) -> Snapshot[Any]:
            doc = Document(collection, ids[index])
            return snapshot_of(doc, entries[index], collection._adapter())

        return LazySnapshots(ids, make)

    def _create_all(
        self,
        collection: Collection[Any],
        ids: list[str],
        values: list[bytes],
        broadcast: bool,
        persist: bool,
    ) -> list[Entry]:
        """Store documents of which none exists. Plain collections take a short way."""
        if not ids:
            return []
        resolved = self.options.resolve(collection.path)
        if (
            resolved.partition_by is not None
            or resolved.depends_on is not None
            or self.may_be_across(collection.path, resolved.encrypted)
        ):
            docs = [Document(collection, document_id) for document_id in ids]
            computed = [self._compute(resolved, d, v) for d, v in zip(docs, values, strict=True)]
            return [
                self._store(d, v, c, broadcast, persist)
                for d, v, c in zip(docs, values, computed, strict=True)
            ]
        # The first document settles the collection; the others need not ask any more.
        entries = [self._store(Document(collection, ids[0]), values[0], None, broadcast, persist)]
        rest, path, home = ids[1:], collection.path, entries[0].home
        entries += map(Entry, values[1:], count(self.order + 1), repeat(home))
        self.order += len(rest)
        self.tree.collections[path].documents.update(zip(rest, entries[1:], strict=True))
        if self.committer is not None and home.saved:
            pending, written = self.committer.pending, PathsIn(path, ids)
            pending.forget(written[0])  # it goes with the others
            pending.put_many(PutMany(written, values, home.partition, home.encrypted))
            self.committer.wrote()
        self.note(path, rest, LOUD if broadcast else 0)
        return entries

    def replace_all(
        self,
        collection: Collection[Any],
        data: Mapping[str, Any] | Iterable[Snapshot[Any]],
        broadcast: bool,
        persist: bool,
    ) -> None:
        """See Engine."""
        encode = collection._adapter().encode
        prefix = collection.path + "/"
        if isinstance(data, Mapping):
            items = ((paths.check_segment(key), value) for key, value in data.items())
        else:
            items = ((snapshot.id, snapshot.data) for snapshot in data)
        values = {document_id: encode(item, prefix + document_id) for document_id, item in items}
        if not self.hydration.is_loaded(collection.path):
            self.load_for_writing(collection.path)
        with self.lock:
            self.check_writable()
            self.check_key(collection.path, persist)
            resolved = self.options.resolve(collection.path)
            docs = [Document(collection, document_id) for document_id in values]
            computed = [self._compute(resolved, d, values[d.id]) for d in docs]
            node = self.tree.collections.get(collection.path)
            present = [prefix + i for i in node.documents] if node is not None else []
            hidden = self.hydration.hidden_in(collection.path)
            if self.schemas and node is not None:
                self.check_versions(collection.path, node.documents)
            kept = {doc.path for doc in docs}
            for path in [*present, *hidden]:
                if path not in kept:
                    self._remove(path, broadcast, persist)
            for doc, found in zip(docs, computed, strict=True):
                self._store(doc, values[doc.id], found, broadcast, persist)
        self.written()

    def load_for_writing(self, path: str) -> None:
        """Load a subtree that a write has to know; the store overrides this."""

    def delete(self, path: str, broadcast: bool, persist: bool) -> None:
        """See Engine."""
        with self.lock:
            self.check_writable()
            self.check_readable(paths.split(path)[0] if paths.is_document(path) else path)
            self._remove(path, broadcast, persist)
        self.written()

    def clear(self, broadcast: bool) -> None:
        """Delete everything, in memory and on disk. Raises EncryptionError without the key."""
        with self.lock:
            self.check_writable()
            self.check_clearable()
            for place in self.tree.walk():
                self.note(place.collection, (place.id,), LOUD if broadcast else 0)
            self.tree.clear()
            self.broadcasting.dependencies.clear()
            self.hydration.note(Clear())
            self.hydration.mark_loaded(None)
            if self.committer is not None:
                self.committer.pending.clear()
                self.placement.resolver.clear()
                self.save_resolver()
                self.committer.wrote()
        self.written()

    # --- transactions and batches

    def apply(self, transaction: Transaction) -> None:
        """Apply a transaction's writes as one unit. Raises ConflictError."""
        with self.lock:
            self.check_writable()
            for path, seen in transaction.seen.items():
                if self.tree.get(path) is not seen:
                    raise ConflictError(path)
            for doc, _ in transaction.writes.values():
                self.check_key(doc.parent.path, True)
            computed = {
                path: self._compute(self.options.resolve(doc.parent.path), doc, value)
                for path, (doc, value) in transaction.writes.items()
            }
            if self.schemas:
                for doc, _ in transaction.writes.values():
                    self.check_versions(doc.parent.path, (doc.id,))
            for path, is_deletion in transaction.order:
                if is_deletion:
                    self._remove(path, True, True)
                else:
                    doc, value = transaction.writes[path]
                    self._store(doc, value, computed[path], True, True)
        self.written()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Hold back broadcasts and commits until the block ends, also by an exception."""
        me = (threading.get_ident(), _current_task())
        with self.lock:
            self.check_open()
            self._batches.append(me)
            self.broadcasting.open_batches += 1
            if self.committer is not None:
                self.committer.open_batches += 1
        try:
            yield
        finally:
            with self.lock:
                self._batches.remove(me)
                self.broadcasting.open_batches -= 1
                if self.committer is not None:
                    self.committer.open_batches -= 1
                self.batch_ended()
            self.written()

    def batch_ended(self) -> None:
        """Let those go on who wait for the end of a batch; the store overrides this."""

    def check_outside_batch(self, what: str, *, blocking: bool) -> None:
        """Raise RuntimeError if the caller would wait for the end of its own batch."""
        if not self._batches:  # no lock needed: one's own would be seen
            return
        thread, task = threading.get_ident(), _current_task()
        with self.lock:
            for batch_thread, batch_task in self._batches:
                own = batch_task is task if task is not None else batch_thread == thread
                if own or (blocking and batch_thread == thread):
                    raise RuntimeError(f"{what} inside a batch would split it; call it behind")

    # --- how

    def check_writable(self) -> None:
        """Raise if the store is closed or read-only."""
        self.check_open()
        if self.read_only is not None:
            raise ReadOnlyError(self.read_only)

    def written(self) -> None:
        """Have marks delivered, unless a batch is open. Called without the lock."""
        if self.broadcasting.marks and not self._batches:
            self.broadcasting.request()

    def note(self, collection: str, ids: Iterable[str], flags: int) -> None:
        """Note for indexes and observers that documents were written, loaded or removed."""
        if self.finder.indexes:
            indexes = self.finder.indexes.get(collection)
            if indexes is not None:
                indexes.note(ids)
        if self.broadcasting.watched:
            for document_id in ids:
                self.broadcasting.mark(collection, document_id, flags)

    def _compute(
        self, resolved: ResolvedOptions, doc: Document[Any], value: bytes, seen: Any = UNREAD
    ) -> Computed:
        """Ask the user's functions about a value; nothing has been changed yet."""
        snapshot = Snapshot(doc.parent, doc.id, value, doc.parent._adapter(), seen)
        partition = self.placement.compute(resolved, lambda: snapshot, doc.path)
        if resolved.depends_on is None:
            return Computed(partition, None)
        wanted = self.compute_dependencies(resolved.depends_on, snapshot)
        return Computed(partition, wanted)

    def _store(
        self,
        doc: Document[Any],
        value: bytes,
        computed: Computed | None,
        broadcast: bool,
        persist: bool,
        *,
        seen: Any = UNREAD,
        plain: Any = UNREAD,
    ) -> Entry:
        """Put a checked value in its place. The lock is held.

        `seen`: see Adapter.capture; `plain`: see `holds`.
        """
        collection, document_id = doc.parent.path, doc.id
        resolved = self.options.resolved.get(collection) or self.options.resolve(collection)
        node = self.tree.collections.get(collection)
        old = None if node is None else node.documents.get(document_id)
        persist = persist and resolved.persist
        if resolved.encrypted and (self.encryption.envelope is None or not persist):
            self.check_key(collection, persist)
        wanted_dependencies: frozenset[str] | None = None
        is_settled = node is not None and node.settled is resolved and resolved.depends_on is None
        if is_settled and (old is None or not holds(old, value, plain)):
            partition = resolved.partition
        else:
            found = computed or self._compute(resolved, doc, value, seen)
            partition, wanted_dependencies = found
            if computed is not None and resolved.partition_above is not None:
                # The document above may have been written since, in the same transaction.
                partition = self.placement.inherited(resolved)
            moved = persist and self._settle(node, resolved, collection, document_id, partition)
            if old is not None and is_same(old, value):
                return self._store_same(
                    doc, old, home_of(partition, resolved.encrypted, persist), moved
                )
        if node is None or not node.documents:
            node = self.tree.ensure(collection)
        if old is None or persist:
            home = home_of(partition, resolved.encrypted, persist)
        else:  # what is on disk stays there, and has to be found later
            home = home_of(old.partition, old.home.encrypted, False)
        if old is None:
            self.order += 1
        entry = Entry(value, self.order if old is None else old.order, home)
        if persist and self.encryption.envelope is not None:
            self.leave_other_side(doc.path, collection, old, resolved.encrypted)
        node.documents[document_id] = entry
        if persist:
            if resolved.partition_by is None and node.settled is not resolved:
                self.placement.note_settled(node, resolved, partition)
            if self.committer is not None:
                self.committer.put((doc.path, value, partition, resolved.encrypted))
        if wanted_dependencies is not None:
            self.broadcasting.dependencies.set(doc.path, wanted_dependencies)
        if collection in self.finder.indexes:
            self.finder.indexes[collection].wrote(doc, seen)
        if self.broadcasting.watched:
            self.broadcasting.mark(collection, document_id, LOUD if broadcast else 0)
        return entry

    def _store_same(self, doc: Document[Any], old: Entry, home: Home, moved: bool) -> Entry:
        """Have a document that is written again unchanged stored, if it is not where it belongs."""
        if home.saved and not (old.home.saved and old.home.encrypted == home.encrypted):
            self.leave_other_side(doc.path, doc.parent.path, old, home.encrypted)
            old.home = home_of(home.partition, home.encrypted, True, old.home.canonical)
            if self.committer is not None:
                self.committer.put((doc.path, old.value, home.partition, home.encrypted))
        elif moved and self.committer is not None:
            self.committer.wrote()
        return old

    def _settle(
        self,
        node: CollectionNode[Entry] | None,
        resolved: ResolvedOptions,
        collection: str,
        document_id: str,
        partition: str,
    ) -> bool:
        """Move what is elsewhere than it should be; tell whether anything was."""
        if self.placement.is_settled(node, resolved, partition):
            return False
        settled = self.placement.settle(resolved, collection, document_id, partition)
        if node is not None:
            self.placement.note_settled(node, resolved, partition)
        if self.committer is not None:
            for move in settled.moves:
                self.hydration.note(move)
            self.committer.pending.extend(settled.operations)
            self.save_resolver()
        return bool(settled.moves)

    def _remove(self, path: str, broadcast: bool, persist: bool) -> None:
        """Delete a document or collection with all below it. The lock is held."""
        is_document = paths.is_document(path)
        has_subtree = not is_document or self.tree.has_subtree(*paths.split(path))
        removed = self.tree.remove(path)
        self._forget(removed, broadcast, persist)
        collection = paths.split(path)[0] if is_document else path
        loaded = self.hydration.is_loaded(path)
        if not self.options.resolve(collection).persist and loaded:
            persist = persist and any(place.leaf.home.saved for place in removed)
        if not removed and loaded and not self.hydration.hides_anything:
            return
        recursive = has_subtree or not loaded or self.hydration.hides_anything
        operation = Delete(path, recursive)
        self.hydration.note(operation, in_memory_only=not persist)
        if persist and self.committer is not None:
            plain, sealed = self.sides_of(path, removed)
            self.give_deletion(operation, plain=plain, sealed=sealed)
            self.committer.wrote()

    def _forget(self, removed: list[Place[Entry]], broadcast: bool, persist: bool) -> None:
        """Drop what waits for or depends on removed documents, and mark them for observers."""
        dependencies = self.broadcasting.dependencies
        for place in removed:
            if self.committer is not None and persist:
                self.committer.pending.forget(place.path)
            if dependencies:
                dependencies.set(place.path, _NOBODY)
            self.note(place.collection, (place.id,), LOUD if broadcast else 0)


def _current_task() -> object:
    """Return the asyncio task that runs on this thread, or None."""
    if asyncio.events._get_running_loop() is None:
        return None
    return asyncio.current_task()
