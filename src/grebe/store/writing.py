"""Writes: checked first, then applied to memory, handed to the committer and marked for observers.

Order within a write: everything that can fail (encoding, the user's functions) comes before the
first change, so a write that raises has changed nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from itertools import count, islice, repeat
from typing import Any

from grebe.core import encoding
from grebe.core import path as paths
from grebe.core.bulk import garbage_collection_paused
from grebe.core.entry import Entry
from grebe.core.ids import ids_and_data
from grebe.core.many_values import encode_plain_many
from grebe.core.operation import Clear, Delete, PathsIn, PutMany
from grebe.core.tree import Place
from grebe.core.values import FLAT, ReadOnlyDict, encode_and_plain, plainness_of
from grebe.documents.collection import Collection
from grebe.documents.document import Document
from grebe.documents.engine import ANY, MISSING, PRESENT, Existence
from grebe.documents.models import PLAIN, UNREAD
from grebe.documents.results import LazySnapshots
from grebe.documents.snapshot import Snapshot, snapshot_of
from grebe.documents.transaction import Transaction
from grebe.errors import ConflictError, DocumentExistsError, DocumentNotFoundError, ReadOnlyError
from grebe.reactive.change import LOUD
from grebe.store.storing import Computed, Storing

_NOBODY: frozenset[str] = frozenset()


class Writer(Storing):
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
        path = collection.path
        if collection._own_adapter is None:
            adapter = self.adapters.get(path, PLAIN) if self.adapters else PLAIN
        else:
            adapter = collection._adapter() if self.schemas else collection._own_adapter
        seen: Any = UNREAD
        if adapter is not PLAIN:
            value, seen = adapter.capture(data, doc.path)
            data = UNREAD
        else:
            heeded = path in self._results or path in self._indexes
            if heeded and type(data) is dict:
                data = ReadOnlyDict(data)  # what readers get, made now, while it is all at hand
            try:
                plainness = plainness_of(data)
                value = encoding.encode(data) if plainness else b""
            except (UnicodeEncodeError, RecursionError):
                value = b""
            if not value:
                value, data = encode_and_plain(data, doc.path)
            elif heeded and plainness == FLAT:
                seen = data
        deliveries: Sized = ()
        self.lock.acquire()  # not `with`, which takes twice as long
        try:
            if self.closed or self.read_only is not None:
                self.check_writable()
            if existence is not ANY:
                self._check_existence(doc, existence)
            if self.schemas:
                self.check_versions(path, (doc.id,))
            entry = self.store_value(doc, value, persist, seen, data)
            snapshot: Snapshot[Any]
            if entry is None:
                stored = self.tree.collections[path].documents[doc.id]
                snapshot = snapshot_of(doc, stored, adapter, seen)
            else:
                # Made now, so that live queries find it.
                snapshot = entry.view = Snapshot(collection, doc.id, value, adapter, seen)
                if path in self._indexes:  # as `announce_alone` does
                    self._indexes[path].wrote(doc, seen)
                if self.broadcasting.watched:
                    if broadcast:
                        deliveries = self.broadcasting.wrote(path, doc.id, entry)
                    else:
                        self.broadcasting.mark(path, doc.id, 0)
        finally:
            self.lock.release()
        if deliveries:
            self.broadcasting.deliver()
        elif self.broadcasting.marks and not self._batches:
            self.broadcasting.request()
        return snapshot

    def _check_existence(self, doc: Document[Any], existence: Existence) -> None:
        self.check_readable(doc.parent.path)
        node = self.tree.collections.get(doc.parent.path)
        exists = node is not None and doc.id in node.documents
        if exists and existence is MISSING:
            raise DocumentExistsError(doc.path)
        if not exists and existence is PRESENT:
            raise DocumentNotFoundError(doc.path)

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
            written = self.store_value(doc, value, persist, seen, UNREAD)
            snapshot = snapshot_of(doc, written or entry, adapter, seen)  # live queries find it
            deliveries: Sized = ()
            if written is not None:
                deliveries = self.announce_alone(doc, written, seen, broadcast)
        if deliveries:
            self.broadcasting.deliver()
        else:
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
                values = [adapter.encode(*one) for one in zip(data, written, strict=False)]
            if len(values) != len(ids):
                raise RuntimeError(f"what {collection.path} should get changed while it was read")
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
            computed = [self.compute(resolved, d, v) for d, v in zip(docs, values, strict=True)]
            for doc, value, found in zip(docs, values, computed, strict=True):
                self._write(doc, value, found, broadcast, persist)
            return [self.tree.collections[collection.path].documents[i] for i in ids]
        # The first document settles the collection; the others need not ask any more.
        self._write(Document(collection, ids[0]), values[0], None, broadcast, persist)
        path = collection.path
        documents = self.tree.collections[path].documents
        entries = [documents[ids[0]]]
        home = entries[0].home
        entries += map(Entry, islice(values, 1, None), count(self.order + 1), repeat(home))
        self.order += len(ids) - 1
        documents.update(zip(ids, entries, strict=True))
        if self.committer is not None and home.saved:
            pending, written = self.committer.pending, PathsIn(path, ids)
            pending.forget(written[0])  # it goes with the others
            pending.put_many(PutMany(written, values, home.partition, home.encrypted))
            self.committer.wrote()
        if self.finder.indexes or self.broadcasting.watched:
            self.note(path, ids[1:], LOUD if broadcast else 0)
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
            computed = [self.compute(resolved, d, values[d.id]) for d in docs]
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
                self._write(doc, values[doc.id], found, broadcast, persist)
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
                path: self.compute(self.options.resolve(doc.parent.path), doc, value)
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
                    self._write(doc, value, computed[path], True, True)
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

    def _write(
        self,
        doc: Document[Any],
        value: bytes,
        computed: Computed | None,
        broadcast: bool,
        persist: bool,
    ) -> None:
        if self.place_value(doc, value, computed, persist, UNREAD) is not None:
            self.announce(doc, UNREAD, broadcast)

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
