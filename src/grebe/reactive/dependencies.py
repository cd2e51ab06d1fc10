"""Which documents are announced again when others change.

Kept both ways, by path: what a document depends on, and who depends on it. An edge to a document
that does not exist stays, so that creating it announces its dependents.
"""

from __future__ import annotations

from collections.abc import Iterable


class Dependencies:
    """A directed graph of document paths; cycles are fine."""

    __slots__ = ("_reverse", "forward")

    def __init__(self) -> None:
        self.forward: dict[str, frozenset[str]] = {}
        """What each document depends on, of those that depend on any."""
        self._reverse: dict[str, dict[str, None]] = {}

    def set(self, path: str, wanted: frozenset[str]) -> None:
        """Replace what a document depends on; an empty set forgets it. O(what differs)."""
        before = self.forward.get(path, frozenset())
        if before == wanted:
            return
        for gone in before - wanted:
            dependents = self._reverse[gone]
            del dependents[path]
            if not dependents:
                del self._reverse[gone]
        for added in wanted - before:
            self._reverse.setdefault(added, {})[path] = None
        if wanted:
            self.forward[path] = wanted
        else:
            del self.forward[path]

    def of(self, path: str) -> frozenset[str]:
        """Return the paths that a document depends on."""
        return self.forward.get(path, frozenset())

    def dependents(self, path: str) -> list[str]:
        """Return the paths of the documents that depend on one, directly."""
        return list(self._reverse.get(path, ()))

    def affected(self, changed: Iterable[str]) -> list[str]:
        """Return all that depend on changed documents, at any remove; each once.

        O(documents reached and their edges).
        """
        reverse = self._reverse
        found: dict[str, None] = {}
        waiting = list(changed)
        while waiting:
            dependents = reverse.get(waiting.pop())
            if dependents is not None:
                fresh = [path for path in dependents if path not in found]
                found.update(dict.fromkeys(fresh))
                waiting += fresh
        return list(found)

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
        back = {(path, wanted) for wanted, all_ in self._reverse.items() for path in all_}
        assert edges == back, "forward and reverse dependencies differ"
        kept = [*self.forward.values(), *self._reverse.values()]
        assert all(kept), "an empty set is kept"
