"""The contract of whoever stores the data. Built-in persistors are in `grebe.persistors`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

from grebe.core.operation import Batch, Record


class Authenticator(Protocol):
    """Makes and checks MACs under the key of a store that has encrypted documents."""

    def tag(self, purpose: str, parts: Iterable[bytes]) -> str:
        """Return the MAC of a text as 64 hexadecimal digits."""

    def holds(self, purpose: str, parts: Iterable[bytes], tag: str) -> bool:
        """Tell whether a MAC is that of a text."""


FindAuthenticator = Callable[[bytes | None], Authenticator | None]
"""From a store's metadata to what checks it; None: there is no encrypted document, or no key.

Raises EncryptionError if the key is a wrong one.
"""


@runtime_checkable
class Persistor(Protocol):
    """Stores documents durably. Every method may be plain or `async def`.

    Calls come one at a time (`load` may come beside `commit`), from any thread, between `open` and
    `close`; async methods all run on one event loop. A persistor may also have

    - `checkpoint()`: put the data in its lasting form, called by `store.checkpoint()` and at close;
    - `load_groups(paths)`: as `load`, but documents in `RecordGroup`s, which is much faster;
    - `authenticate_with(find)`: called before `open`, with a `FindAuthenticator`. One that can
      authenticates what it has stored: it asks at opening, before it changes anything, and again
      for each metadata that it commits;
    - `follow(deliver)`: call `deliver(batch)` with each commit that somebody else made;
    - `when_leaving(commit)`, where there are no threads: call `commit()`, which begins a commit
      before it returns, when the page is about to go.
    """

    def open(self) -> Awaitable[None] | None:
        """Get ready; make the place if need be. Raises PersistenceError, StoreLockedError."""

    def commit(self, batch: Batch, /) -> Awaitable[None] | None:
        """Apply all operations in order, atomically; return when that is durable.

        If it raises, the batch is given again later, perhaps with more operations: it may have
        been applied or not, but never in part.
        """

    def load(
        self, paths: Sequence[str] | None, /
    ) -> Iterable[Record] | Awaitable[Iterable[Record]]:
        """Return the documents at and under the paths (of documents or collections), or all.

        In the order in which they were first put, at least within a partition.
        """

    def load_metadata(self) -> bytes | Awaitable[bytes | None] | None:
        """Return the metadata of the last batch that had any, or None."""

    def close(self) -> Awaitable[None] | None:
        """Let go of everything. Called once, after an `open` that succeeded."""
