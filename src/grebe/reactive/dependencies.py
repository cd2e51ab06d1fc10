"""Which documents are announced again when others change.

Kept both ways: what a document depends on, by path, and who depends on it, by collection and id on
both sides, so that a thousand dependents are found without making a path for each. An edge to a
document that does not exist stays, so that creating it announces its dependents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Ids = dict[str, None]
"""Ids of documents of one collection, in order."""


class Dependencies:
    """A directed graph of document paths; cycles are fine."""

    __slots__ = ("_reverse", "forward")

    def __init__(self) -> None:
        self.forward: dict[str, frozenset[str]] = {}
        """What each document depends on, of those that depend on any."""
        self._reverse: dict[str, dict[str, dict[str, Ids]]] = {}
        """By collection and id of what is depended on: the ids of dependents by collection."""

    def set(self, path: str, wanted: frozenset[str]) -> None:
        """Replace what a document depends on; an empty set forgets it. O(what differs)."""
        before = self.forward.get(path, frozenset())
        if before == wanted:
            return
        collection, _, document_id = path.rpartition("/")
        for gone in before - wanted:
            self._disconnect(gone, collection, document_id)
        for added in wanted - before:
            above, _, target = added.rpartition("/")
            by_collection = self._reverse.setdefault(above, {}).setdefault(target, {})
            by_collection.setdefault(collection, {})[document_id] = None
        if wanted:
            self.forward[path] = wanted
        else:
            del self.forward[path]

    def _disconnect(self, target: str, collection: str, document_id: str) -> None:
        above, _, target_id = target.rpartition("/")
        targets = self._reverse[above]
        by_collection = targets[target_id]
        del by_collection[collection][document_id]
        if not by_collection[collection]:
            del by_collection[collection]
            if not by_collection:
                del targets[target_id]
                if not targets:
                    del self._reverse[above]

    def of(self, path: str) -> frozenset[str]:
        """Return the paths that a document depends on."""
        return self.forward.get(path, frozenset())

    def dependents(self, path: str) -> list[str]:
        """Return the paths of the documents that depend on one, directly."""
        above, _, target = path.rpartition("/")
        by_collection = self._reverse.get(above, {}).get(target, {})
        return [
            f"{name}/{document_id}" for name, ids in by_collection.items() for document_id in ids
        ]

    def affected(self, changed: Mapping[str, Iterable[str]]) -> dict[str, Ids]:
        """Return all that depend on changed documents, at any remove; both by collection.

        O(documents reached and their edges).
        """
        found: dict[str, Ids] = {}
        waiting = list(changed.items())
        while waiting:
            above, targets = waiting.pop()
            reverse = self._reverse.get(above)
            if reverse is None:
                continue
            for target in targets:
                for collection, ids in reverse.get(target, _NONE).items():
                    known = found.setdefault(collection, {})
                    fresh = {i: None for i in ids if i not in known} if known else ids
                    known.update(fresh)
                    waiting.append((collection, fresh))
        return found

    def clear(self) -> None:
        """Forget everything."""
        self.forward.clear()
        self._reverse.clear()

    def as_dict(self) -> dict[str, list[str]]:
        """Return the graph for inspection: paths by dependent path."""
        return {path: sorted(wanted) for path, wanted in self.forward.items()}

    def check(self) -> None:
        """Raise AssertionError if the two directions differ."""
        edges = {(path, wanted) for path, all_ in self.forward.items() for wanted in all_}
        targets = [f"{above}/{target}" for above, ids in self._reverse.items() for target in ids]
        back = {(path, target) for target in targets for path in self.dependents(target)}
        assert edges == back, "forward and reverse dependencies differ"
        kept = [by for ids in self._reverse.values() for by in ids.values()]
        kept_ids = [ids for by in kept for ids in by.values()]
        everything: list[object] = [
            *self.forward.values(),
            *self._reverse.values(),
            *kept,
            *kept_ids,
        ]
        assert all(everything), "an empty set is kept"


_NONE: dict[str, Ids] = {}
