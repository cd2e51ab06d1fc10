"""A persistor that keeps its documents in memory, for tests: they survive close()."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from grebe.core.operation import Batch, Record, check_known
from grebe.errors import StoreLockedError
from grebe.persistence.contents import Contents


class MemoryPersistor:
    """Documents in memory; a second store can open it when the first is closed.

    >>> import grebe
    >>> kept = grebe.MemoryPersistor()
    >>> with grebe.open(kept) as store:
    ...     _ = store.doc("users/1").set({"age": 28})
    >>> with grebe.open(kept) as store:
    ...     store.doc("users/1").get().data
    {'age': 28}
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contents = Contents()
        self._metadata: bytes | None = None
        self._commits = 0
        self._is_open = False

    def open(self) -> None:
        """See Persistor."""
        if self._is_open:
            raise StoreLockedError(repr(self), None)
        self._is_open = True

    def commit(self, batch: Batch) -> None:
        """See Persistor."""
        check_known(batch.parts)
        with self._lock:
            self._commits += 1
            for operation in batch.parts:
                self._contents.apply(operation, self._commits)
            if batch.metadata is not None:
                self._metadata = batch.metadata

    def load(self, paths: Sequence[str] | None) -> Iterable[Record]:
        """See Persistor."""
        with self._lock:
            if paths is None:
                return list(self._contents.records())
            found = {r.path: r for path in paths for r in self._contents.records(path)}
            return list(found.values())

    def load_metadata(self) -> bytes | None:
        """See Persistor."""
        return self._metadata

    def close(self) -> None:
        """See Persistor."""
        self._is_open = False

    def __repr__(self) -> str:
        """Show the number of documents."""
        count = sum(len(tree) for tree in self._contents.sides.values())
        return f"<MemoryPersistor: {count} documents>"
