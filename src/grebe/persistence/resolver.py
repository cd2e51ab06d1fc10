"""Which partitions may hold the documents of a collection, for reading only those.

Kept by the names in a collection's path without the ids (`users/friends` for `users/1/friends`),
so it stays as small as the schema, also with a partition for each document. It may name a
partition too many, never one too few: partitions are added before anything is stored in them
and leave only when everything is cleared, or when all that is stored is known.

The names of encrypted collections are kept as keyed hashes: those of the documents' addresses, so
that a persistor, which knows addresses only, can use the resolver too. The metadata also holds
what is needed to get from the key to the keys (keys.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from grebe.core import encoding
from grebe.core import path as paths
from grebe.core.operation import RecordGroup
from grebe.core.text import from_text, to_text
from grebe.errors import CorruptDataError, PersistenceError

COPY = "copy"
"""Name in the metadata of a store while it is copied to; see copying.py."""


class Resolver:
    """Partitions by collection names. `changed` tells whether it differs from what was saved."""

    __slots__ = ("_hidden", "_partitions", "_sealed", "changed", "encryption", "hide")

    def __init__(self) -> None:
        self._partitions: dict[str, list[str]] = {}
        self._hidden: dict[str, list[str]] = {}
        """Of encrypted documents, by hashed names."""
        self._sealed: dict[str, list[str]] = {}
        """The same by names, as far as they are known."""
        self.changed = False
        self.encryption: dict[str, Any] | None = None
        """The key header; None: the store never had an encrypted document."""
        self.hide: Callable[[str], str] | None = None
        """Gives the hashes of collection names; None: there is no key."""

    def add(self, collection: str, partition: str, encrypted: bool = False) -> None:
        """Note that a collection may have documents in a partition. O(its partitions)."""
        self.add_names(paths.names(collection), partition, encrypted)

    def add_names(self, names: str, partition: str, encrypted: bool = False) -> None:
        """Do as `add`, for collection names without ids."""
        if encrypted:
            known = self._sealed.setdefault(names, [])
            if partition not in known:
                assert self.hide is not None, "no key"
                known.append(partition)
                self.changed |= _note(self._hidden, self.hide(names), partition)
        elif _note(self._partitions, names, partition):
            self.changed = True

    def add_hidden(self, names: str, source: str, target: str) -> None:
        """Note that encrypted documents at or under these names may go to another partition."""
        if self.hide is None:
            return
        above = self.hide(names)
        for hidden, partitions in self._hidden.items():
            if source in partitions and paths.is_under(hidden, above):
                self.changed |= _note(self._hidden, hidden, target)

    def of(self, collection: str) -> list[str]:
        """Return the partitions that may hold documents directly in a collection."""
        names = paths.names(collection)
        found = self._partitions.get(names, [])
        if self._hidden and self.hide is not None:
            hidden = self._hidden.get(self.hide(names), [])
            found = [*found, *(partition for partition in hidden if partition not in found)]
        return found

    def holds(self, collection: str, encrypted: bool) -> bool:
        """Tell whether encrypted, or plain, documents may be directly in a collection."""
        names = paths.names(collection)
        if not encrypted:
            return names in self._partitions
        return self.hide is not None and self.hide(names) in self._hidden

    def candidates(self, path: str) -> set[str]:
        """Return the partitions that may hold something at or under a path; all for "".

        The path may be an address.
        """
        return self.candidates_on(path, False) | self.candidates_on(path, True)

    def candidates_on(self, path: str, encrypted: bool) -> set[str]:
        """Do as `candidates`, for encrypted or for plain documents alone."""
        known = self._hidden if encrypted else self._partitions
        if not path:
            return {name for all_ in known.values() for name in all_}
        is_document = paths.is_document(path)
        names = paths.names(paths.split(path)[0] if is_document else path)
        asked = [names]
        if encrypted and known and self.hide is not None:
            asked.append(self.hide(names))
        return {
            partition
            for held, partitions in known.items()
            if any(paths.is_under(held, one) for one in asked)
            for partition in partitions
        }

    def clear(self) -> None:
        """Forget everything but the key header."""
        if self._partitions or self._hidden:
            self._partitions, self._hidden, self._sealed = {}, {}, {}
            self.changed = True

    def keep_plain(self, held: Iterable[tuple[str, str]]) -> None:
        """Forget all plain collection names but these, with their partitions."""
        kept: dict[str, list[str]] = {}
        for names, partition in held:
            _note(kept, names, partition)
        if kept.keys() != self._partitions.keys():
            self._partitions = {
                names: known for names, known in self._partitions.items() if names in kept
            }
            self.changed = True

    def as_dict(self) -> dict[str, list[str]]:
        """Return the partitions by collection names, those of encrypted ones apart."""
        return {names: list(partitions) for names, partitions in self._partitions.items()}

    def rekeyed(self, hide: Callable[[str], str], encryption: dict[str, Any]) -> Resolver:
        """Return it with the names of encrypted collections hashed under another key.

        All of them must be known by name.
        """
        found = Resolver()
        found.hide, found.encryption = hide, encryption
        found._partitions = {names: list(known) for names, known in self._partitions.items()}
        for names, known in self._sealed.items():
            for partition in known:
                found.add_names(names, partition, True)
        return found

    def encode(self) -> bytes:
        """Return the metadata that `decode` understands."""
        found: dict[str, Any] = {"resolver": _to_json(self._partitions)}
        if self._hidden:
            found["sealed"] = _to_json(self._hidden)
        if self.encryption is not None:
            found["encryption"] = self.encryption
        return encoding.encode(found)

    @classmethod
    def decode(cls, metadata: bytes | None, *, unfinished: bool = False) -> Resolver:
        """Return the resolver in a persistor's metadata; an empty one for None.

        `unfinished`: whether the store may be a copy that is not whole yet.

        Raises:
            CorruptDataError: the metadata is not Grebe's.
            PersistenceError: the store is a copy that was not finished.
        """
        resolver = cls()
        if metadata is None:
            return resolver
        try:
            found = encoding.decode(metadata)
            if COPY in found and not unfinished:
                raise PersistenceError(
                    "the store is a copy that was interrupted; run `grebe copy` again to finish it"
                )
            resolver._partitions = _from_json(found["resolver"])
            resolver._hidden = _from_json(found.get("sealed", {}))
            resolver.encryption = found.get("encryption")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptDataError("the store's metadata cannot be read") from error
        return resolver

    @classmethod
    def of_stored(
        cls, groups: Iterable[RecordGroup], encryption: dict[str, Any] | None
    ) -> Resolver:
        """Return the resolver for what a persistor has; encrypted documents by their addresses."""
        resolver = cls()
        resolver.encryption = encryption
        for group in groups:
            known = resolver._hidden if group.encrypted else resolver._partitions
            _note(known, paths.names(group.collection), group.partition)
        return resolver


def readable_resolver(metadata: bytes | None) -> Resolver | None:
    """Return the resolver in the metadata; None if there is none that can be read.

    Then any partition may hold anything: a persistor can be used without a store of Grebe's.
    """
    try:
        return None if metadata is None else Resolver.decode(metadata, unfinished=True)
    except CorruptDataError:
        return None


def _note(known: dict[str, list[str]], names: str, partition: str) -> bool:
    """Add a partition; tell whether it is new."""
    partitions = known.setdefault(names, [])
    if partition in partitions:
        return False
    partitions.append(partition)
    return True


def _to_json(known: dict[str, list[str]]) -> dict[str, list[str]]:
    return {names: [to_text(partition) for partition in all_] for names, all_ in known.items()}


def _from_json(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {names: [from_text(partition) for partition in all_] for names, all_ in found.items()}
