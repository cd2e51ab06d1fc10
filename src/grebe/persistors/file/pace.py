"""When a checkpoint is made in the background, and how it leaves the processor to others.

Python runs one thread at a time and takes it from a busy one only every five milliseconds: as long
would somebody wait who comes back from the disk with his commit. So the background rests between
blocks, which is when the others run. It does not rest while somebody waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from grebe.core.operation import Batch, Put, PutMany
from grebe.persistence.blocking import HAS_THREADS

log = logging.getLogger("grebe")

REST_S = 0.0002
JOURNAL_SHARE_MAX = 0.2
"""A checkpoint is due when the journal is this large beside the files that it would replace: old
file, new file and both journals together then stay below 2.5 times the documents."""
RETRY_BYTES_MIN = 65_536


def never() -> None:
    """Go on at once: somebody is waiting for this work."""


class BackgroundCheckpoint:
    """Starts a thread for a checkpoint when one is due; at most one at a time."""

    def __init__(self, checkpoint: Callable[[], None], size_min_bytes: int, where: str) -> None:
        self._checkpoint = checkpoint
        self._size_min_bytes = size_min_bytes
        self._where = where
        self._asked_above_bytes = 0
        self._hurry = False
        self._has_begun = threading.Event()
        self._started_at_bytes = 0
        self.thread: threading.Thread | None = None

    def may_be_due(self, journal_bytes: int) -> bool:
        """Tell whether it is worth finding out what a checkpoint would replace. O(1)."""
        return journal_bytes > max(self._size_min_bytes, self._asked_above_bytes)

    def start_if_due(self, journal_bytes: int, replaced_bytes: int) -> None:
        """Start a checkpoint if the journal has grown enough for what it would replace.

        Where there are no threads only those are made that are asked for: when the store is closed.
        """
        if not HAS_THREADS:
            self._asked_above_bytes = journal_bytes
        elif journal_bytes <= replaced_bytes * JOURNAL_SHARE_MAX:
            # Not asked again before the journal can be large enough.
            self._asked_above_bytes = int(replaced_bytes * JOURNAL_SHARE_MAX)
        elif self.thread is None or not self.thread.is_alive():
            self._started_at_bytes = journal_bytes
            self._has_begun.clear()
            self.thread = threading.Thread(target=self._run, name="grebe-checkpoint", daemon=True)
            self.thread.start()

    def begun(self) -> None:
        """Note that a checkpoint has begun, so the journal begins anew."""
        self._asked_above_bytes = 0
        self._has_begun.set()

    def wait_for_room(self, journal_bytes: int, batch: Batch) -> None:
        """Let a running checkpoint catch up with a writer that is faster.

        Old files, new files and two journals are on the disk then: the first must not grow before
        the checkpoint has begun, nor the second until it has ended.
        """
        running = self.thread
        if running is None or not running.is_alive():
            return
        coming_bytes = _payload_bytes(batch)
        if not self._has_begun.is_set():
            if journal_bytes + coming_bytes <= self._started_at_bytes + self._size_min_bytes:
                return
            self._has_begun.wait()
            journal_bytes = 0  # it has begun anew
        if journal_bytes + coming_bytes > self._size_min_bytes:
            self._hurry = True
            running.join()
            self._hurry = False

    def join(self) -> None:
        """Wait for the end of a running checkpoint."""
        if self.thread is not None and self.thread is not threading.current_thread():
            self._hurry = True
            self.thread.join()
            self._hurry = False

    def pause(self) -> None:
        """Let other threads run, if this is the background and nobody waits for it."""
        if threading.current_thread() is self.thread and not self._hurry:
            time.sleep(REST_S)

    def _run(self) -> None:
        try:
            self.pause()  # so that the commit that asked for it returns first
            self._checkpoint()
        except Exception:
            # Nothing is lost: the journals still have it all. Tried again when they have grown.
            log.warning("checkpoint of %s failed; it is tried again", self._where, exc_info=True)
            self._asked_above_bytes += max(self._size_min_bytes, RETRY_BYTES_MIN)
        finally:
            self._has_begun.set()


def _payload_bytes(batch: Batch) -> int:
    """Return about how much a batch will add to the journal. O(documents)."""
    size = 0
    for part in batch.parts:
        if isinstance(part, PutMany):
            size += sum(map(len, part.values))
        elif isinstance(part, Put):
            size += len(part.value)
    return size
