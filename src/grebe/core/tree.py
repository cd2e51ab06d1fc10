"""The tree of collections and documents, by path.

A flat dict of collections by path, each with a dict of its documents by id: a point look-up is two
dict look-ups. Each collection also knows the subcollections under each of its ids, so that walking
or removing a subtree costs its size.

Invariants, tested by `check()`:
1. A collection is in `collections` if and only if it holds a document or a subcollection.
2. A subcollection is in its parent's `children`, under the id of the document above it.
3. The order of `documents` is insertion order.
4. `_by_name` has the same collections, by the last segment of their path.
5. The `documents` of a collection that was dropped are empty, for good. So who kept that dict finds
   nothing wrong in it, only less than there may be now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

from grebe.core import path as paths

Leaf = TypeVar("Leaf")


class CollectionNode(Generic[Leaf]):
    """A collection that holds something: documents by id, subcollections by id and name."""

    __slots__ = ("children", "documents", "path", "settled")

    def __init__(self, path: str) -> None:
        self.path = path
        self.documents: dict[str, Leaf] = {}
        self.children: dict[str, dict[str, CollectionNode[Leaf]]] = {}
        # What placement has found out about this collection; see store/placement.py.
        self.settled: object = None


class Place(NamedTuple, Generic[Leaf]):
    """A document that was found in the tree."""

    collection: str
    id: str
    leaf: Leaf

    @property
    def path(self) -> str:
        """Path of the document."""
        return f"{self.collection}/{self.id}"


class Tree(Generic[Leaf]):
    """Leaves by document path, with subtrees that can be listed, walked and removed."""

    __slots__ = ("_by_name", "collections", "roots")

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str, CollectionNode[Leaf]]] = {}
        self.collections: dict[str, CollectionNode[Leaf]] = {}
        self.roots: dict[str, CollectionNode[Leaf]] = {}

    def get(self, path: str) -> Leaf | None:
        """Return what is at a document path."""
        collection, document_id = paths.split(path)
        node = self.collections.get(collection)
        return None if node is None else node.documents.get(document_id)

    def put(self, path: str, leaf: Leaf) -> None:
        """Add or replace what is at a document path; a replaced one keeps its place in order."""
        collection, document_id = paths.split(path)
        self.ensure(collection).documents[document_id] = leaf

    def ensure(self, collection: str) -> CollectionNode[Leaf]:
        """Return the node of a collection, made if need be; the caller puts a document in it."""
        node = self.collections.get(collection)
        if node is None:
            node = self.collections[collection] = CollectionNode(collection)
            own_name = collection.rpartition("/")[2]
            self._by_name.setdefault(own_name, {})[collection] = node
            document = paths.parent_document(collection)
            if document is None:
                self.roots[collection] = node
            else:
                above, document_id = paths.split(document)
                name = collection[len(document) + 1 :]
                self.ensure(above).children.setdefault(document_id, {})[name] = node
        return node

    def discard(self, path: str) -> Leaf | None:
        """Remove one document, not what is under it, and return it."""
        collection, document_id = paths.split(path)
        node = self.collections.get(collection)
        if node is None:
            return None
        leaf = node.documents.pop(document_id, None)
        self._prune(node)
        return leaf

    def remove(self, path: str) -> list[Place[Leaf]]:
        """Remove a document or collection with all that is under it. O(what is removed)."""
        removed = list(self.walk(path))
        if not paths.is_document(path):
            node = self.collections.get(path)
            if node is not None:
                self._forget(node)
                self._detach(node)
            return removed
        collection, document_id = paths.split(path)
        node = self.collections.get(collection)
        if node is not None:
            node.documents.pop(document_id, None)
            for child in node.children.pop(document_id, {}).values():
                self._forget(child)
            self._prune(node)
        return removed

    def walk(self, path: str = "") -> Iterator[Place[Leaf]]:
        """Yield the documents at and under a path, parents first; all of them for ""."""
        if not path:
            for node in self.roots.values():
                yield from self._walk_collection(node)
        elif not paths.is_document(path):
            node_there = self.collections.get(path)
            if node_there is not None:
                yield from self._walk_collection(node_there)
        else:
            collection, document_id = paths.split(path)
            node_there = self.collections.get(collection)
            if node_there is not None:
                yield from self._walk_document(node_there, document_id)

    def nodes(self) -> Iterator[CollectionNode[Leaf]]:
        """Yield all collections that hold something, those above others first."""
        for root in self.roots.values():
            yield from self._nodes_below(root)

    def documents(self, scope: str) -> Mapping[str, Leaf]:
        """Return the documents of a scope: of a collection by id, of a group of them by path.

        The scope of a collection is its path; for all those of a name see `group_scope`.
        """
        node = self.collections.get(scope)
        if node is not None:
            return node.documents
        if scope.startswith("/"):
            return GroupDocuments(self, self._by_name.get(scope[2:], {}))
        return {}

    def has_subtree(self, collection: str, document_id: str) -> bool:
        """Tell whether anything is stored under a document (itself apart)."""
        node = self.collections.get(collection)
        return node is not None and document_id in node.children

    def children(self, document: str | None) -> list[str]:
        """Return the names of the collections under a document, or at the top for None."""
        if document is None:
            return list(self.roots)
        collection, document_id = paths.split(document)
        node = self.collections.get(collection)
        return [] if node is None else list(node.children.get(document_id, ()))

    def clear(self) -> None:
        """Remove everything. O(documents)."""
        for node in self.collections.values():
            node.documents.clear()
        self.collections.clear()
        self.roots.clear()
        self._by_name.clear()

    def __len__(self) -> int:
        """Return the number of documents. O(collections)."""
        return sum(len(node.documents) for node in self.collections.values())

    def _nodes_below(self, node: CollectionNode[Leaf]) -> Iterator[CollectionNode[Leaf]]:
        yield node
        for children in node.children.values():
            for child in children.values():
                yield from self._nodes_below(child)

    def _walk_collection(self, node: CollectionNode[Leaf]) -> Iterator[Place[Leaf]]:
        for document_id, leaf in node.documents.items():
            yield Place(node.path, document_id, leaf)
        for children in node.children.values():
            for child in children.values():
                yield from self._walk_collection(child)

    def _walk_document(self, node: CollectionNode[Leaf], document_id: str) -> Iterator[Place[Leaf]]:
        if document_id in node.documents:
            yield Place(node.path, document_id, node.documents[document_id])
        for child in node.children.get(document_id, {}).values():
            yield from self._walk_collection(child)

    def _forget(self, node: CollectionNode[Leaf]) -> None:
        """Take a collection and all below it out of the look-ups by path and by name."""
        self._drop(node)
        for children in node.children.values():
            for child in children.values():
                self._forget(child)

    def _prune(self, node: CollectionNode[Leaf]) -> None:
        """Drop a collection that holds nothing, and those above that come to hold nothing."""
        if not node.documents and not node.children:
            self._drop(node)
            self._detach(node)

    def _drop(self, node: CollectionNode[Leaf]) -> None:
        node.documents.clear()
        del self.collections[node.path]
        name = node.path.rpartition("/")[2]
        alike = self._by_name[name]
        del alike[node.path]
        if not alike:
            del self._by_name[name]

    def _detach(self, node: CollectionNode[Leaf]) -> None:
        document = paths.parent_document(node.path)
        if document is None:
            del self.roots[node.path]
            return
        above_path, document_id = paths.split(document)
        above = self.collections[above_path]
        siblings = above.children[document_id]
        del siblings[node.path[len(document) + 1 :]]
        if not siblings:
            del above.children[document_id]
            self._prune(above)

    def check(self) -> None:
        """Raise AssertionError if an invariant of this module does not hold."""
        reached: dict[str, CollectionNode[Leaf]] = {}

        def visit(node: CollectionNode[Leaf], path: str) -> None:
            assert node.path == path, f"{path}: the node says {node.path}"
            assert node.documents or node.children, f"{path}: holds nothing"
            reached[path] = node
            for document_id, children in node.children.items():
                assert children, f"{path}/{document_id}: an empty dict of subcollections"
                for name, child in children.items():
                    visit(child, f"{path}/{document_id}/{name}")

        for name, root in self.roots.items():
            visit(root, name)
        assert reached == self.collections, "the look-up by path and the tree differ"
        named = {path: node for alike in self._by_name.values() for path, node in alike.items()}
        assert named == reached, "the look-up by name and the tree differ"
        assert all(self._by_name.values()), "an empty dict of collections of a name"


def group_scope(name: str) -> str:
    """Return the scope of all collections of a name: what can be no collection's path."""
    return f"//{name}"


class GroupDocuments(Mapping[str, Leaf]):
    """The documents of some collections, by path. A view: it changes with the tree."""

    def __init__(self, tree: Tree[Leaf], nodes: dict[str, CollectionNode[Leaf]]) -> None:
        self._tree = tree
        self._nodes = nodes

    def __getitem__(self, path: str) -> Leaf:
        """Return the document at a path. Raises KeyError."""
        found = self._tree.get(path)
        if found is None:
            raise KeyError(path)
        return found

    def __iter__(self) -> Iterator[str]:
        """Yield the paths, collection by collection."""
        for collection, node in self._nodes.items():
            for document_id in node.documents:
                yield f"{collection}/{document_id}"

    def __len__(self) -> int:
        """Return the number of documents. O(collections)."""
        return sum(len(node.documents) for node in self._nodes.values())
