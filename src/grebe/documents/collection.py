"""Collections: references to the documents under one name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from grebe.core import path as paths
from grebe.core.entry import Entry
from grebe.core.ids import random_id
from grebe.core.options import UNSET, Migrate, PartitionOption, Unset
from grebe.documents.document import Document
from grebe.documents.fields import path_of
from grebe.documents.models import PLAIN, Adapter, adapter_for
from grebe.documents.query import EVERYTHING, Condition, Query, Refined
from grebe.documents.snapshot import Snapshot, snapshot_of

if TYPE_CHECKING:
    from grebe.documents.engine import Engine

T = TypeVar("T")

NOTHING_YET: Mapping[str, Entry] = {}


class Collection(Query[T]):
    """A reference to a collection; also the query for all of its documents.

    Cheap, and equal to another of the same store and path. A collection exists while it holds
    something.
    """

    __slots__ = ("_documents", "_engine", "_own_adapter", "_scope", "id", "path")

    def __init__(self, engine: Engine, path: str, adapter: Adapter | None = None) -> None:
        # Not super().__init__: `_source` would be a reference to itself, for the garbage
        # collector to find; `source` and `spec` are overridden instead.
        self._engine = engine
        self.path = self._scope = path
        self.id = path.rpartition("/")[2]
        self._own_adapter = adapter
        self._documents = NOTHING_YET
        """Where the documents were last; empty if they are elsewhere now, see core/tree.py."""

    _spec = EVERYTHING
    _choice = _reading = None

    @property
    def _source(self) -> Collection[T]:  # type: ignore[override]
        return self

    @property
    def parent(self) -> Document[Any] | None:
        """The document that holds this collection, or None at the top."""
        above = paths.parent_document(self.path)
        return None if above is None else document_at(self._engine, above)

    def where(self, *conditions: Condition[T]) -> Query[T]:
        """Return the query for the documents that meet these conditions; see `Query.where`."""
        for condition in conditions:
            if not callable(condition):
                return super().where(*conditions)  # which says what is wrong
        return Refined(self, (conditions, (), 0, None))

    def doc(self, id: str | None = None) -> Document[T]:
        """Return a reference to a document, by default with a new random id.

        Raises:
            InvalidPathError: the id is empty or holds `/`, NUL or a lone surrogate.
        """
        if type(id) is str and id.isalnum():  # as nearly all are, see check_segment
            return Document(self, id)
        return Document(self, random_id() if id is None else paths.check_segment(id))

    def exists(self) -> bool:
        """Tell whether the collection directly holds a document."""
        self._engine.check_open()
        self._engine.check_readable(self.path)
        node = self._engine.tree.collections.get(self.path)
        return node is not None and bool(node.documents)

    def count(self) -> int:
        """Return the number of documents."""
        self._engine.check_open()
        self._engine.check_readable(self.path)
        node = self._engine.tree.collections.get(self.path)
        return 0 if node is None else len(node.documents)

    def create_many(
        self,
        items: Mapping[str, T] | Iterable[T],
        *,
        broadcast: bool = True,
        persist: bool = True,
    ) -> Sequence[Snapshot[T]]:
        """Create documents from a mapping of id to data, or from data alone with random ids.

        All are created or none; they are one commit and one broadcast.

        Raises:
            DocumentExistsError: one of the ids exists, or is given twice.
            SerializationError: JSON or the model cannot carry one of them.

        >>> import grebe
        >>> users = grebe.open().collection("users")
        >>> [user.path for user in users.create_many({"1": {"age": 28}, "2": {"age": 7}})]
        ['users/1', 'users/2']
        """
        return self._engine.create_many(self, items, broadcast, persist)

    def replace(
        self,
        data: Mapping[str, T] | Iterable[Snapshot[T]],
        *,
        broadcast: bool = True,
        persist: bool = True,
    ) -> None:
        """Make these the documents of the collection, and no others.

        A document that goes takes what is under it along; one that stays keeps it. A collection
        that is not loaded is loaded first, which reads from disk.

        Raises:
            SerializationError: JSON or the model cannot carry one of them; nothing is changed.
        """
        self._engine.replace_all(self, data, broadcast, persist)

    def delete(self, *, broadcast: bool = True, persist: bool = True) -> None:
        """Delete all documents and everything under them; an empty collection is fine."""
        self._engine.delete(self.path, broadcast, persist)

    def _adapter(self) -> Adapter:
        own, engine = self._own_adapter, self._engine
        if own is None:
            return engine.adapters.get(self.path, PLAIN)
        # A version is the path's, whichever model it is read through.
        schema = engine.schemas.get(self.path) if engine.schemas else None
        return own if schema is None else schema.adapter(own)

    def _snapshot(self, key: str, entry: Entry) -> Snapshot[T]:
        return snapshot_of(Document(self, key), entry, self._adapter())

    def __contains__(self, item: object) -> bool:
        """Tell whether a document is there, by id, document or snapshot."""
        if isinstance(item, Snapshot):
            item = item.doc
        if isinstance(item, Document):
            if item.parent != self:
                return False
            item = item.id
        self._engine.check_open()
        self._engine.check_readable(self.path)
        node = self._engine.tree.collections.get(self.path)
        return node is not None and isinstance(item, str) and item in node.documents

    def __repr__(self) -> str:
        """Show the path."""
        return f"<Collection {self.path!r}>"


def document_at(engine: Engine, path: str) -> Document[Any]:
    """Return the reference for a valid document path."""
    collection, document_id = paths.split(path)
    return Document(Collection(engine, collection), document_id)


def make_collection(
    engine: Engine,
    path: str,
    *,
    model: type[Any] | Unset | None = UNSET,
    from_json: Callable[[Any], Any] | Unset | None = UNSET,
    to_json: Callable[[Any], Any] | Unset | None = UNSET,
    version: int | Unset | None = UNSET,
    migrate: Migrate | Unset | None = UNSET,
    partition: PartitionOption | Unset | None = UNSET,
    encrypted: bool | Unset | None = UNSET,
    persist: bool | Unset | None = UNSET,
    depends_on: Callable[[Any], Any] | Unset | None = UNSET,
    indexes: Sequence[str] | Unset | None = UNSET,
) -> Collection[Any]:
    """Return a collection reference and have its options remembered.

    Raises:
        TypeError: an option is of the wrong type; nothing is remembered.
    """
    adapter: Adapter | Unset | None = UNSET
    if model is not UNSET or from_json is not UNSET or to_json is not UNSET:
        adapter = adapter_for(_given(model), _given(from_json), _given(to_json))
    check_option("partition", partition, (str,), callable_too=True)
    check_option("encrypted", encrypted, (bool,))
    check_option("persist", persist, (bool,))
    check_option("depends_on", depends_on, (), callable_too=True)
    if isinstance(indexes, str):
        raise TypeError(f"indexes= is a list of field names, not a str; write [{indexes!r}]")
    check_option("indexes", indexes, (Iterable,))
    if isinstance(indexes, Iterable):
        indexes = tuple(dict.fromkeys(path_of(one) for one in indexes))
    options = {
        "adapter": adapter,
        "version": version,
        "migrate": migrate,
        "partition": partition,
        "encrypted": encrypted,
        "persist": persist,
        "depends_on": depends_on,
        "indexes": indexes,
    }
    if any(value is not UNSET for value in options.values()):
        engine.configure(path, options)
    return Collection(engine, path, None if adapter is UNSET else adapter)


def _given(option: T | Unset | None) -> T | None:
    return None if isinstance(option, Unset) else option


def check_option(
    name: str, value: object, kinds: tuple[type, ...], callable_too: bool = False
) -> None:
    """Raise TypeError if an option is neither of these kinds nor None nor left out."""
    if value is None or value is UNSET or isinstance(value, kinds):
        return
    if callable_too and callable(value):
        return
    wanted = [kind.__name__ for kind in kinds] + ["a function of the snapshot"] * callable_too
    kind = type(value).__name__
    raise TypeError(f"{name}= takes {' or '.join(wanted)} or None, not {kind}")
