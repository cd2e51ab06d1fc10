"""Documents: references to one document."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, overload

from grebe.core import encoding
from grebe.core import path as paths
from grebe.documents.engine import ANY, MISSING, PRESENT
from grebe.documents.models import PLAIN
from grebe.documents.snapshot import Snapshot, snapshot_of
from grebe.errors import DocumentNotFoundError

if TYPE_CHECKING:
    from grebe.core.entry import Entry
    from grebe.core.options import OptionArguments
    from grebe.documents.collection import Collection
    from grebe.reactive.observer import Observer
    from grebe.reactive.stream import ChangeStream, ValueStream

T = TypeVar("T")
M = TypeVar("M")


class Document(encoding.Record, Generic[T], eq=False, weakref=True):
    """A reference to a document, which may or may not exist.

    Cheap, and equal to another of the same store and path. Writes return the new snapshot. All
    take `broadcast=False`, not to announce the write, and `persist=False`, to keep it from disk.
    """

    parent: Collection[T]
    """The collection that holds the document."""
    id: str
    _path: str | None = None

    @property
    def path(self) -> str:
        """Path of the document."""
        # Made when somebody asks: most references are only read through.
        path = self._path
        if path is None:
            path = self._path = f"{self.parent.path}/{self.id}"
        return path

    @overload
    def collection(
        self, name: str, *, model: type[M], **options: Unpack[OptionArguments]
    ) -> Collection[M]: ...
    @overload
    def collection(
        self,
        name: str,
        *,
        from_json: Callable[[Any], M],
        to_json: Callable[[M], Any],
        **options: Unpack[OptionArguments],
    ) -> Collection[M]: ...
    @overload
    def collection(
        self,
        name: str,
        *,
        model: None = ...,
        from_json: None = ...,
        to_json: None = ...,
        **options: Unpack[OptionArguments],
    ) -> Collection[Any]: ...
    def collection(self, name: str, **options: Any) -> Collection[Any]:
        """Return a collection under this document; the options are those of Store.collection.

        Raises:
            InvalidPathError: the name is empty or holds `/`, NUL or a lone surrogate.
            TypeError: an option is of the wrong type.
        """
        from grebe.documents.collection import make_collection

        path = f"{self.path}/{paths.check_segment(name)}"
        return make_collection(self.parent._engine, path, **options)

    def collections(self) -> list[Collection[Any]]:
        """Return the collections under this document that hold something."""
        from grebe.documents.collection import Collection

        engine = self.parent._engine
        engine.check_open()
        return [Collection(engine, f"{self.path}/{n}") for n in engine.tree.children(self.path)]

    # --- reading

    def get(self) -> Snapshot[T] | None:
        """Return the document as it is now, or None.

        >>> import grebe
        >>> user = grebe.open().doc("users/1")
        >>> user.get() is None, user.set({"age": 28}).data
        (True, {'age': 28})
        """
        # What _adapter and snapshot_of do, without calling them: most reads end here.
        parent = self.parent
        engine = parent._engine
        if engine.closed:
            engine.check_open()
        entry = parent._documents.get(self.id)
        if entry is None:
            entry = self._find()
            if entry is None:
                return None
        if parent._own_adapter is None:
            adapters = engine.adapters
            adapter = adapters.get(parent.path, PLAIN) if adapters else PLAIN
        else:
            adapter = parent._adapter() if engine.schemas else parent._own_adapter
        view: Snapshot[T] | None = entry.view
        if view is not None and view._adapter is adapter:
            return view
        return snapshot_of(self, entry, adapter)

    def _find(self) -> Entry | None:
        """Return what is stored, and have the collection remember where that is."""
        parent = self.parent
        engine = parent._engine
        node = engine.tree.collections.get(parent.path)
        entry = None
        if node is not None:
            parent._documents = node.documents
            entry = node.documents.get(self.id)
        if entry is None:
            engine.check_readable(parent.path)
        return entry

    def exists(self) -> bool:
        """Tell whether the document is there."""
        engine = self.parent._engine
        engine.check_open()
        engine.check_readable(self.parent.path)
        node = engine.tree.collections.get(self.parent.path)
        return node is not None and self.id in node.documents

    # --- writing

    def create(self, data: T, *, broadcast: bool = True, persist: bool = True) -> Snapshot[T]:
        """Store a document that must not exist.

        Raises:
            DocumentExistsError: it exists.
            SerializationError: JSON or the model cannot carry the data unchanged.
        """
        engine = self.parent._engine
        return engine.put(self, data, MISSING, broadcast, persist)

    def set(self, data: T, *, broadcast: bool = True, persist: bool = True) -> Snapshot[T]:
        """Create or replace the document.

        Data equal to what is stored is no change: nothing is announced or written.

        Raises:
            SerializationError: JSON or the model cannot carry the data unchanged.
        """
        return self.parent._engine.put(self, data, ANY, broadcast, persist)

    def replace(self, data: T, *, broadcast: bool = True, persist: bool = True) -> Snapshot[T]:
        """Replace a document that must exist.

        Raises:
            DocumentNotFoundError: it does not exist.
            SerializationError: JSON or the model cannot carry the data unchanged.
        """
        engine = self.parent._engine
        return engine.put(self, data, PRESENT, broadcast, persist)

    def update(
        self,
        mapping: Mapping[str, Any] | None = None,
        /,
        *,
        broadcast: bool = True,
        persist: bool = True,
        **fields: Any,
    ) -> Snapshot[T]:
        """Replace top-level fields of a document that must exist; the others stay.

        Fields named `broadcast` or `persist` go through the mapping. No other write can come
        between reading the old fields and writing the new.

        Raises:
            DocumentNotFoundError: it does not exist.
            TypeError: the document has no fields, or its model not these.
            SerializationError: JSON or the model cannot carry a value unchanged.

        >>> import grebe
        >>> user = grebe.open().doc("users/1")
        >>> _ = user.set({"name": "John", "age": 28})
        >>> user.update(age=29).data
        {'name': 'John', 'age': 29}
        """
        changed = {**mapping, **fields} if mapping is not None else fields
        adapter = self.parent._adapter()
        return self.parent._engine.rewrite(
            self, lambda entry: adapter.merge(entry.value, changed, self.path), broadcast, persist
        )

    def modify(
        self,
        fn: Callable[[Snapshot[T]], T],
        *,
        broadcast: bool = True,
        persist: bool = True,
    ) -> Snapshot[T]:
        """Replace a document that must exist by what `fn` makes of its snapshot.

        No other write can come between; so `fn` should be short. If it raises, nothing changes.

        Raises:
            DocumentNotFoundError: it does not exist.
            SerializationError: JSON or the model cannot carry the result unchanged.
        """

        def change(entry: Entry) -> T:
            return fn(snapshot_of(self, entry, self.parent._adapter()))

        return self.parent._engine.rewrite(self, change, broadcast, persist)

    @contextlib.contextmanager
    def edit(self, *, broadcast: bool = True, persist: bool = True) -> Iterator[T]:
        """Give a mutable draft of the data, stored when the block ends without an exception.

        Raises:
            DocumentNotFoundError: it does not exist, at the start or at the end.

        >>> import grebe
        >>> user = grebe.open().doc("users/1")
        >>> _ = user.set({"tags": ["a"]})
        >>> with user.edit() as draft:
        ...     draft["tags"].append("b")
        >>> user.get().data
        {'tags': ['a', 'b']}
        """
        engine = self.parent._engine
        engine.check_open()
        node = engine.tree.collections.get(self.parent.path)
        entry = None if node is None else node.documents.get(self.id)
        if entry is None:
            engine.check_readable(self.parent.path)
            raise DocumentNotFoundError(self.path)
        draft = self.parent._adapter().draft(entry.value, self.path)
        yield draft
        engine.put(self, draft, PRESENT, broadcast, persist)

    def delete(self, *, broadcast: bool = True, persist: bool = True) -> None:
        """Delete the document and everything under it; a missing one is fine."""
        self.parent._engine.delete(self.path, broadcast, persist)

    def touch(self) -> None:
        """Announce the document, and what depends on it, without a change."""
        self.parent._engine.touch(self)

    # --- watching

    def observe(self) -> Observer[Snapshot[T] | None, T]:
        """Return a live value of this document; close it when done."""
        return self.parent._engine.observe_document(self)

    def stream(self, buffer: int | str = "latest") -> ValueStream[Snapshot[T] | None]:
        """Return an asynchronous iterator: the value now, then one for each broadcast.

        A slow reader gets the latest value (`buffer="latest"`), or with `buffer=n` each of the
        last n values that it has not read yet.
        """
        return self.parent._engine.stream(self, buffer)

    def stream_changes(self) -> ChangeStream[T]:
        """Return an asynchronous iterator of lists of changes; none is dropped."""
        return self.parent._engine.stream_changes(self)

    # --- dependencies

    def dependencies(self) -> builtins.set[Document[Any]]:
        """Return the documents that this one depends on."""
        return self.parent._engine.dependencies(self)

    def dependents(self) -> builtins.set[Document[Any]]:
        """Return the documents that depend on this one."""
        return self.parent._engine.dependents(self)

    def rebuild_dependencies(self) -> None:
        """Run the collection's `depends_on` again for this document."""
        self.parent._engine.rebuild_dependencies(self)

    def __eq__(self, other: object) -> bool:
        """Compare store and path."""
        if not isinstance(other, Document):
            return NotImplemented
        return self.path == other.path and self.parent._engine is other.parent._engine

    def __hash__(self) -> int:
        """Hash by path."""
        return hash(self.path)

    def __repr__(self) -> str:
        """Show the path."""
        return f"<Document {self.path!r}>"
