"""A persistor whose commits can be watched, held up and made to fail."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from grebe.core.operation import Batch, Delete, Put, Record

WAIT_S = 10.0
"""How long a test waits for another thread before it gives up."""


class FakePersistor:
    """Keeps the batches it was given."""

    def __init__(self) -> None:
        self.commits: list[Batch] = []
        self.attempts = 0
        self.threads: list[int] = []
        self.failures: list[BaseException] = []
        """Raised by the next commits, the first one first."""
        self.broken: BaseException | None = None
        """Raised by every commit."""
        self.entered = threading.Event()
        """Set when a commit has begun."""
        self.gate = threading.Event()
        """Commits go on only while this is set."""
        self.gate.set()
        self.committed = threading.Condition()

    def open(self) -> None:
        """See Persistor."""

    def commit(self, batch: Batch) -> None:
        """See Persistor."""
        self.attempts += 1
        self.threads.append(threading.get_ident())
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        if self.failures:
            raise self.failures.pop(0)
        if self.broken is not None:
            raise self.broken
        with self.committed:
            self.commits.append(batch)
            self.committed.notify_all()

    def load(self, paths: Sequence[str] | None) -> Iterable[Record]:
        """See Persistor."""
        return []

    def load_metadata(self) -> bytes | None:
        """See Persistor."""
        return None

    def close(self) -> None:
        """See Persistor."""

    def wait_for_commits(self, count: int) -> None:
        """Return when so many commits were stored."""
        with self.committed:
            assert self.committed.wait_for(lambda: len(self.commits) >= count, WAIT_S)

    def stored(self) -> list[list[str]]:
        """Return the paths that each commit puts (or deletes, with a minus)."""
        return [
            [
                f"-{operation.path}" if isinstance(operation, Delete) else operation.path
                for operation in batch.operations
                if isinstance(operation, Put | Delete)
            ]
            for batch in self.commits
        ]
