"""The committer: what was written goes to the persistor, in order, in whole batches.

This core has no threads, no clock and no I/O; drivers.py has a thread and an asyncio task that
drive it. The store's lock is held for every call here.

States: clean (nothing waits), waiting (operations in `pending`), committing (one attempt is out).
- record/put: clean -> waiting
- begin: waiting -> committing; never while a batch is open, so that none is split
- succeed: committing -> clean or waiting
- fail: committing -> waiting, with the attempt's operations back in front

Invariants:
1. At most one attempt is out.
2. `durable <= attempted <= written`; they count writes, so a commit can wait for its own.
3. Operations leave only by `succeed` (or by being superseded, see operation_log.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from grebe.core.operation import Batch, put_of
from grebe.persistence.operation_log import OperationLog

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 30.0


class Attempt(NamedTuple):
    """A batch that was handed out to be committed, with all writes up to number `upto`."""

    batch: Batch
    upto: int


class Committer:
    """Queue, coalescing and retry; see the module."""

    __slots__ = (
        "_in_flight",
        "_metadata",
        "_metadata_in_flight",
        "asleep",
        "durable",
        "failures",
        "on_first",
        "open_batches",
        "pending",
        "written",
    )

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.pending = OperationLog()
        """Operations that no attempt holds."""
        self.written = 0
        """Number of the last write."""
        self.durable = 0
        """Number of the last write that is on disk."""
        self.failures = 0
        """Attempts that failed since the last one that succeeded."""
        self.open_batches = 0
        """Batches that have begun and not ended; while there are any, no attempt begins."""
        self.on_first = on_first
        """Called when a write is recorded and the driver is asleep."""
        self.asleep = True
        """Whether the driver has to be told of a write; it sees to this itself."""
        self._in_flight: OperationLog | None = None
        self._metadata: bytes | None = None
        self._metadata_in_flight: bytes | None = None

    def put(self, fields: tuple[str, bytes, str, bool]) -> None:
        """Record a put: path, value, partition and whether it is encrypted."""
        pending = self.pending
        if pending.covered:
            pending.put(put_of(fields))
        else:  # what it would do; nearly each write ends here
            pending.operations[fields[0]] = put_of(fields)
        self.written += 1
        if self.asleep:
            self.on_first()

    def wrote(self) -> None:
        """Note that operations were added to `pending`."""
        self.written += 1
        if self.asleep:
            self.on_first()

    def set_metadata(self, metadata: bytes) -> None:
        """Have metadata stored with the next commit."""
        self._metadata = metadata

    @property
    def committing(self) -> bool:
        """Whether an attempt is out."""
        return self._in_flight is not None

    @property
    def has_work(self) -> bool:
        """Whether anything waits for an attempt."""
        return self.written > self.durable

    @property
    def in_flight(self) -> OperationLog:
        """Operations of the attempt that is out."""
        return self._in_flight if self._in_flight is not None else OperationLog()

    @property
    def retry_delay_s(self) -> float:
        """Seconds to wait before the next attempt by itself; 0 if the last one succeeded."""
        if not self.failures:
            return 0.0
        return min(BACKOFF_FIRST_S * 2.0 ** min(self.failures - 1, 30), BACKOFF_MAX_S)

    def begin(self) -> Attempt | None:
        """Hand out what waits, or None if an attempt is out, a batch is open or nothing waits."""
        if self.committing or self.open_batches or not self.has_work:
            return None
        if not self.pending and self._metadata is None:
            # Everything that was written has been superseded by nothing: nothing to store.
            self.durable = self.written
            return None
        self._in_flight, self.pending = self.pending, OperationLog()
        self._metadata_in_flight, self._metadata = self._metadata, None
        batch = Batch(self._in_flight.hand_out(), self._metadata_in_flight)
        return Attempt(batch, self.written)

    def succeed(self, attempt: Attempt) -> None:
        """Note that an attempt's batch is durable."""
        self._in_flight = self._metadata_in_flight = None
        self.durable = attempt.upto
        self.failures = 0

    def fail(self) -> None:
        """Take an attempt's operations back; later ones are merged into them."""
        assert self._in_flight is not None
        merged, self._in_flight = self._in_flight, None
        merged.extend(self.pending)
        merged.drop_deleted()
        merged.make_repeatable()
        self.pending = merged
        if self._metadata is None:
            self._metadata = self._metadata_in_flight
        self._metadata_in_flight = None
        self.failures += 1
