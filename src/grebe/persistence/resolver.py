"""Which partitions may hold the documents of a collection, for reading only those.

Kept by the names in a collection's path without the ids (`users/friends` for `users/1/friends`),
so it stays as small as the schema, also with a partition for each document. It may name a
partition too many, never one too few: partitions are added before anything is stored in them
and leave only when everything is cleared.
"""

from __future__ import annotations

from grebe.core import encoding
from grebe.core import path as paths
from grebe.core.text import from_text, to_text
from grebe.errors import CorruptDataError


class Resolver:
    """Partitions by collection names. `changed` tells whether it differs from what was saved."""

    __slots__ = ("_partitions", "changed")

    def __init__(self) -> None:
        self._partitions: dict[str, list[str]] = {}
        self.changed = False

    def add(self, collection: str, partition: str) -> None:
        """Note that a collection may have documents in a partition. O(its partitions)."""
        self.add_names(paths.names(collection), partition)

    def add_names(self, names: str, partition: str) -> None:
        """Do as `add`, for collection names without ids."""
        known = self._partitions.setdefault(names, [])
        if partition not in known:
            known.append(partition)
            self.changed = True

    def of(self, collection: str) -> list[str]:
        """Return the partitions that may hold documents directly in a collection."""
        return self._partitions.get(paths.names(collection), [])

    def candidates(self, path: str) -> set[str]:
        """Return the partitions that may hold something at or under a path; all for ""."""
        if not path:
            return {name for all_ in self._partitions.values() for name in all_}
        is_document = paths.is_document(path)
        names = paths.names(paths.split(path)[0] if is_document else path)
        return {
            partition
            for known, partitions in self._partitions.items()
            if paths.is_under(known, names)
            for partition in partitions
        }

    def clear(self) -> None:
        """Forget everything."""
        if self._partitions:
            self._partitions = {}
            self.changed = True

    def as_dict(self) -> dict[str, list[str]]:
        """Return the partitions by collection names."""
        return {names: list(partitions) for names, partitions in self._partitions.items()}

    def encode(self) -> bytes:
        """Return the metadata that `decode` understands."""
        partitions = {
            names: [to_text(partition) for partition in known]
            for names, known in self._partitions.items()
        }
        return encoding.encode({"resolver": partitions})

    @classmethod
    def decode(cls, metadata: bytes | None) -> Resolver:
        """Return the resolver in a persistor's metadata; an empty one for None.

        Raises:
            CorruptDataError: the metadata is not Grebe's.
        """
        resolver = cls()
        if metadata is None:
            return resolver
        try:
            partitions = encoding.decode(metadata)["resolver"]
            for names, known in partitions.items():
                resolver._partitions[names] = [from_text(partition) for partition in known]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptDataError("the store's metadata cannot be read") from error
        return resolver


def readable_resolver(metadata: bytes | None) -> Resolver | None:
    """Return the resolver in the metadata; None if there is none that can be read.

    Then any partition may hold anything: a persistor can be used without a store of Grebe's.
    """
    try:
        return None if metadata is None else Resolver.decode(metadata)
    except CorruptDataError:
        return None
