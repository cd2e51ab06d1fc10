"""Storing one checked value: where it belongs, what has to move, and who has to hear of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from grebe.core.entry import Entry, Home, home_of, is_same
from grebe.core.options import ResolvedOptions
from grebe.core.tree import CollectionNode
from grebe.documents.document import Document
from grebe.documents.models import UNREAD
from grebe.documents.snapshot import Snapshot, holds
from grebe.reactive.change import LOUD
from grebe.reactive.live import Delivery
from grebe.store.sides import Sides


class Computed(NamedTuple):
    """What the user's functions say of a value to be written."""

    partition: str
    dependencies: frozenset[str] | None
    """None: the collection has no `depends_on`."""


class Storing(Sides):
    """What each write does with its values. The store's lock is held."""

    def compute(
        self, resolved: ResolvedOptions, doc: Document[Any], value: bytes, seen: Any = UNREAD
    ) -> Computed:
        """Ask the user's functions about a value; nothing has been changed yet."""
        snapshot = Snapshot(doc.parent, doc.id, value, doc.parent._adapter(), seen)
        partition = self.placement.compute(resolved, lambda: snapshot, doc.path)
        if resolved.depends_on is None:
            return Computed(partition, None)
        wanted = self.compute_dependencies(resolved.depends_on, snapshot)
        return Computed(partition, wanted)

    def store_value(
        self, doc: Document[Any], value: bytes, persist: bool, seen: Any, plain: Any
    ) -> Entry | None:
        """Put a checked value in its place; None: it is there already. The lock is held.

        `seen`: see Adapter.capture; `plain`: see `holds`.
        """
        collection, document_id = doc.parent.path, doc.id
        resolved = self._resolved.get(collection)
        node = self._nodes.get(collection)
        if (
            node is None
            or resolved is None
            or node.settled is not resolved
            or (home := resolved.home) is None
            or not persist
            or self.encryption.envelope is not None
        ):
            return self.place_value(doc, value, None, persist, seen)
        # Nothing has to be asked or moved.
        old = node.documents.get(document_id)
        if old is None:
            self.order = order = self.order + 1
        elif holds(old, value, plain):
            if old.home.saved and not old.home.encrypted:
                return None
            return self.place_value(doc, value, None, persist, seen)
        else:
            order = old.order
        entry = node.documents[document_id] = Entry(value, order, home)
        if self.committer is not None:
            self.committer.put((doc.path, value, home.partition, False))
        return entry

    def place_value(
        self, doc: Document[Any], value: bytes, computed: Computed | None, persist: bool, seen: Any
    ) -> Entry | None:
        """Do as `store_value`, where the place has to be found out."""
        collection, document_id = doc.parent.path, doc.id
        resolved = self.options.resolve(collection)
        node = self.tree.collections.get(collection)
        old = None if node is None else node.documents.get(document_id)
        persist = persist and resolved.persist
        if resolved.encrypted and (self.encryption.envelope is None or not persist):
            self.check_key(collection, persist)
        is_same_value = old is not None and is_same(old, value)
        moved, wanted_dependencies = False, None
        is_settled = node is not None and node.settled is resolved and resolved.depends_on is None
        if is_same_value or not is_settled:
            partition, wanted_dependencies = computed or self.compute(resolved, doc, value, seen)
            if computed is not None and resolved.partition_above is not None:
                # The document above may have been written since, in the same transaction.
                partition = self.placement.inherited(resolved)
            moved = persist and self._settle(node, resolved, collection, document_id, partition)
        else:
            partition = resolved.partition
        home = home_of(partition, resolved.encrypted, persist)
        if old is not None and is_same_value:
            self._store_same(doc, old, home, moved)
            return None
        if old is not None and not persist:  # what is on disk stays there, to be found later
            home = home_of(old.partition, old.home.encrypted, False)
        if old is None:
            self.order += 1
        entry = Entry(value, self.order if old is None else old.order, home)
        if persist and self.encryption.envelope is not None:
            self.leave_other_side(doc.path, collection, old, resolved.encrypted)
        node = self.tree.ensure(collection)
        node.documents[document_id] = entry
        if persist:
            self.placement.note_settled(node, resolved, partition)
            if self.committer is not None:
                self.committer.put((doc.path, value, partition, resolved.encrypted))
        if wanted_dependencies is not None:
            self.broadcasting.dependencies.set(doc.path, wanted_dependencies)
        return entry

    def _store_same(self, doc: Document[Any], old: Entry, home: Home, moved: bool) -> None:
        """Have a document that is written again unchanged stored, if it is not where it belongs."""
        if home.saved and not (old.home.saved and old.home.encrypted == home.encrypted):
            self.leave_other_side(doc.path, doc.parent.path, old, home.encrypted)
            old.home = home_of(home.partition, home.encrypted, True, old.home.canonical)
            if self.committer is not None:
                self.committer.put((doc.path, old.value, home.partition, home.encrypted))
        elif moved and self.committer is not None:
            self.committer.wrote()

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

    def announce(self, doc: Document[Any], seen: Any, broadcast: bool) -> None:
        """Tell indexes and observers of a value that was stored; `seen`: see Adapter.capture."""
        collection = doc.parent.path
        if collection in self.finder.indexes:
            self.finder.indexes[collection].wrote(doc, seen)
        if self.broadcasting.watched:
            self.broadcasting.mark(collection, doc.id, LOUD if broadcast else 0)

    def announce_alone(
        self, doc: Document[Any], entry: Entry, seen: Any, broadcast: bool
    ) -> Collection[Delivery]:
        """Do as `announce` for a write by itself; return what to deliver now."""
        if not broadcast or not self.broadcasting.watched:
            self.announce(doc, seen, broadcast)
            return ()
        collection = doc.parent.path
        if collection in self.finder.indexes:
            self.finder.indexes[collection].wrote(doc, seen)
        return self.broadcasting.wrote(collection, doc.id, entry)

    def note(self, collection: str, ids: Iterable[str], flags: int) -> None:
        """Note for indexes and observers that documents were written, loaded or removed."""
        if self.finder.indexes:
            indexes = self.finder.indexes.get(collection)
            if indexes is not None:
                indexes.note(ids)
        if self.broadcasting.watched:
            for document_id in ids:
                self.broadcasting.mark(collection, document_id, flags)
