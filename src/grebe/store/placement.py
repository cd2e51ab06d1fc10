"""Which partition a document goes to, and what has to move when that changes.

A collection is settled when all documents directly in it are known to be where its options say;
its node then holds the very `ResolvedOptions` object, which changes identity with any option (and
the partition, where that is inherited from a document). So a write to a settled collection costs
a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from grebe.core import path as paths
from grebe.core.entry import Entry, moved
from grebe.core.operation import Delete, Move, OnSealed, Part, Put
from grebe.core.options import Options, ResolvedOptions
from grebe.core.tree import CollectionNode, Place, Tree
from grebe.persistence.resolver import Resolver


class Settled(NamedTuple):
    """What was moved, and the operations that do so on disk."""

    moves: list[Move]
    operations: list[Part]


class Placement:
    """Decides on partitions and keeps entries and resolver in step. The store's lock is held."""

    def __init__(
        self, tree: Tree[Entry], options: Options, knows_all: Callable[[str], bool]
    ) -> None:
        self._tree = tree
        self._options = options
        self._knows_all = knows_all
        self.resolver = Resolver()

    def compute(self, resolved: ResolvedOptions, snapshot: Callable[[], Any], path: str) -> str:
        """Return the partition that a document wants; calls the user's function if there is one.

        Raises:
            TypeError: that function did not return a str.
        """
        if resolved.partition_by is not None:
            wanted = resolved.partition_by(snapshot())
            if not isinstance(wanted, str):
                kind = type(wanted).__name__
                raise TypeError(f"{path}: the partition function returned a {kind}, not a str")
            return wanted
        return self.inherited(resolved)

    def inherited(self, resolved: ResolvedOptions) -> str:
        """Return the partition of a collection without a function of its own."""
        if resolved.partition_above is not None:
            above = self._tree.get(resolved.partition_above)
            if above is not None:
                return above.partition
        return resolved.partition

    def settle(
        self, resolved: ResolvedOptions, collection: str, document_id: str, wanted: str
    ) -> Settled:
        """Move what is in another partition than it should be, and return how.

        Called before a document is put into `wanted`: it alone moves if its partition is computed,
        otherwise its whole collection, in either case with all that inherits.
        """
        node = self._tree.collections.get(collection)
        if resolved.partition_by is not None:
            scope = f"{collection}/{document_id}"
            sources = self._sources_of_document(node, collection, document_id)
        else:
            scope = collection
            sources = set(self.resolver.of(collection))
            if not sources <= {wanted}:
                sources = self._sources_of_collection(node, collection)
        settled = Settled([], [])
        for source in sorted(sources - {wanted}):
            self._move(scope, source, wanted, settled)
        self.resolver.add(collection, wanted, resolved.encrypted)
        return settled

    def is_settled(
        self, node: CollectionNode[Entry] | None, resolved: ResolvedOptions, wanted: str
    ) -> bool:
        """Tell whether a document of the collection can be put into `wanted` without more ado."""
        return node is not None and (node.settled is resolved or node.settled == (resolved, wanted))

    def note_settled(
        self, node: CollectionNode[Entry], resolved: ResolvedOptions, wanted: str
    ) -> None:
        """Remember that a collection is settled, if one partition is for all its documents."""
        if resolved.partition_by is None:
            node.settled = resolved if resolved.partition_above is None else (resolved, wanted)

    def _sources_of_document(
        self, node: CollectionNode[Entry] | None, collection: str, document_id: str
    ) -> set[str]:
        entry = None if node is None else node.documents.get(document_id)
        path = f"{collection}/{document_id}"
        if entry is not None and (entry.home.saved or self._knows_all(path)):
            return {entry.partition}
        if not self._knows_all(path):
            return self.resolver.candidates(path)
        return {place.leaf.partition for place in self._inheriting(path)}

    def _sources_of_collection(
        self, node: CollectionNode[Entry] | None, collection: str
    ) -> set[str]:
        if not self._knows_all(collection):
            return set(self.resolver.of(collection))
        return set() if node is None else {entry.partition for entry in node.documents.values()}

    def _move(self, scope: str, source: str, target: str, settled: Settled) -> None:
        """Move a scope in memory, and note the operations that do the same on disk."""
        moves = [Move(scope, source, target), *self._moves_back(scope, source, target)]
        all_known = self._knows_all(scope)
        plain = not all_known and bool(self.resolver.candidates_on(scope, False))
        unseen = not all_known and bool(self.resolver.candidates_on(scope, True))
        sealed: dict[str, Place[Entry]] = {}
        for move in moves:
            if not all_known:
                self._note_unseen(*move)
            # All that a persistor would take along, inheriting or not: were memory to differ from
            # the disk, a later move would leave a document behind, and it would be there twice.
            for place in list(self._tree.walk(move.path)):
                home = place.leaf.home
                if home.partition == move.source:
                    place.leaf.home = moved(home, move.target)
                    if home.encrypted:
                        sealed[place.path] = place
                        # The value on disk is another one than that in memory.
                        unseen |= not home.saved
                    else:
                        plain = True
                    if not home.encrypted or home.saved:
                        self.resolver.add(place.collection, move.target, home.encrypted)
                    if place.collection != scope:
                        self._tree.collections[place.collection].settled = None
        settled.moves.extend(moves)
        # The path of an encrypted document is in no operation of the plain side.
        if plain:
            settled.operations.extend(moves)
        if unseen:
            settled.operations.extend(map(OnSealed, moves))
        for path, place in sealed.items():
            if place.leaf.home.saved:
                put = Put(path, place.leaf.value, place.leaf.home.partition, True)
                settled.operations.extend([OnSealed(Delete(path, False)), put])

    def _note_unseen(self, scope: str, source: str, target: str) -> None:
        """Note where documents that are not loaded may move to."""
        collection = paths.split(scope)[0] if paths.is_document(scope) else scope
        names = paths.names(collection)
        for known, partitions in self.resolver.as_dict().items():
            if paths.is_under(known, names) and source in partitions:
                self.resolver.add_names(known, target)
        self.resolver.add_hidden(names, source, target)

    def _inheriting(self, scope: str) -> Iterator[Place[Entry]]:
        """Yield the documents of a scope, without those of collections with a partition option."""
        own = [
            path
            for path, options in self._options.by_path.items()
            if options.partition is not None and path != scope and paths.is_under(path, scope)
        ]
        for place in self._tree.walk(scope):
            if not own or not any(paths.is_under(place.collection, path) for path in own):
                yield place

    def _moves_back(self, scope: str, source: str, target: str) -> list[Move]:
        """Return what brings back documents that a move takes along though they do not inherit.

        A persistor moves all that lies in the source partition under the scope; what a
        subcollection with its own option keeps there is known here only.
        """
        back = []
        for path, options in self._options.by_path.items():
            if options.partition is None or path == scope or not paths.is_under(path, scope):
                continue
            if options.partition == source:
                back.append(Move(path, target, source))
            else:
                back += [
                    Move(place.path, target, source)
                    for place in self._tree.walk(path)
                    if place.leaf.partition == source
                ]
        return back
