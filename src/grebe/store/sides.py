"""Which side a document is on: a partition has a plain and an encrypted one, in files of their own.

Side and path are decided here, what is sealed in persistence/encryption. The path of an encrypted
document is in no operation of the plain side: who deletes has to know where something may be.
"""

from __future__ import annotations

import logging
from typing import Any

from grebe.core import path as paths
from grebe.core.entry import Entry
from grebe.core.operation import Delete, OnSealed
from grebe.core.tree import Place
from grebe.errors import EncryptionError
from grebe.persistence.encryption.system_keyring import OTHER_WAYS
from grebe.store.engine import State

log = logging.getLogger("grebe")


class Sides(State):
    """What writing needs to know of the two sides. The store's lock is held."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.changed_sides = False
        """Whether a document has moved between the plain and the encrypted side."""

    def check_key(self, collection: str, persist: bool) -> None:
        """Have a key if the collection is stored encrypted. Raises EncryptionError."""
        resolved = self.options.resolve(collection)
        if resolved.encrypted and resolved.persist and persist and self.committer is not None:
            try:
                self.encryption.begin(self.placement.resolver)
            except EncryptionError as error:
                raise EncryptionError(f"{collection} is encrypted: {error}") from error
        elif resolved.encrypted:
            self.check_readable(collection)

    def may_be_across(self, collection: str, encrypted: bool) -> bool:
        """Tell whether documents that are not loaded may be on the other side."""
        return (
            self.encryption.envelope is not None
            and not self.hydration.knows_all(collection)
            and self.placement.resolver.holds(collection, not encrypted)
        )

    def leave_other_side(
        self, path: str, collection: str, old: Entry | None, encrypted: bool
    ) -> None:
        """Delete a document from the side that it is not put to, if it may be there."""
        if self.committer is None:
            return
        if old is None:
            if not self.may_be_across(collection, encrypted):
                return
        elif old.home.encrypted == encrypted and (
            old.home.saved or not self.may_be_across(collection, encrypted)
        ):
            return
        self.give_deletion(Delete(path, False), plain=encrypted, sealed=not encrypted)
        self.changed_sides = True

    def give_deletion(self, deletion: Delete, *, plain: bool, sealed: bool) -> None:
        """Hand a deletion to the committer, for the sides where there may be something.

        Not for both: the path of an encrypted document is in no operation of the plain side.
        """
        assert self.committer is not None
        if plain:
            self.committer.pending.delete(deletion)
        if sealed:
            self.committer.pending.on_sealed(OnSealed(deletion))

    def sides_of(self, path: str, removed: list[Place[Entry]]) -> tuple[bool, bool]:
        """Tell whether there may be plain, and encrypted, documents at or under a deleted path."""
        if self.encryption.envelope is None:
            return True, False
        plain = any(not place.leaf.home.encrypted for place in removed)
        sealed = any(place.leaf.home.encrypted for place in removed)
        if not self.hydration.knows_all(path):
            resolver = self.placement.resolver
            plain |= bool(resolver.candidates_on(path, False))
            sealed |= bool(resolver.candidates_on(path, True))
        return plain, sealed

    def check_clearable(self) -> None:
        """Raise EncryptionError if there are encrypted documents and no key."""
        if self.encryption.locked:
            raise EncryptionError(
                f"clear() would delete encrypted documents, and there is no key; {OTHER_WAYS}"
            )

    def drop_shadowed(self) -> None:
        """Delete the plain ones of documents that loading found twice; see Hydration."""
        found, self.hydration.shadowed = self.hydration.shadowed, []
        if not found:
            return
        log.warning(
            "%d encrypted documents are there in plain too, written without the key; "
            "the encrypted ones count",
            len(found),
        )
        if self.committer is not None:
            for path in found:
                self.committer.pending.delete(Delete(path, False))
            self.committer.wrote()

    def forget_plain_names(self) -> None:
        """Drop from the resolver the names of collections that have no plain document any more.

        Possible only when all is loaded. O(documents), after documents have changed their side.
        """
        if not self.changed_sides or not self.hydration.knows_all(""):
            return
        self.changed_sides = False
        self.placement.resolver.keep_plain(
            (paths.names(place.collection), place.leaf.partition)
            for place in self.tree.walk()
            if not place.leaf.home.encrypted
        )
        if self.placement.resolver.changed and self.committer is not None:
            self.save_resolver()
            self.committer.wrote()

    def save_resolver(self) -> None:
        """Have the resolver stored with the next commit, if it has changed."""
        resolver = self.placement.resolver
        if resolver.changed and self.committer is not None:
            resolver.changed = False
            self.committer.set_metadata(resolver.encode())
