"""Folds the write-ahead log into the database beside the commits, in a thread that ends then.

SQLite would do it within a commit, which then takes as long as the log is large. How long the log
is nobody tells us (its file does not shrink), so changed rows are counted: each is in a page of its
own at worst.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable

from grebe.errors import PersistenceError

log = logging.getLogger("grebe")

ROWS_MAX = 1000
"""Changed rows after which the log is folded in; SQLite takes as many pages."""
HAS_THREADS = sys.platform != "emscripten"


class BackgroundCheckpoint:
    """When a checkpoint is due, and the thread that makes it. Called with the mutex held."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run
        self._rows = 0
        self._thread: threading.Thread | None = None

    def changed(self, rows: int) -> None:
        """Note a commit that changed so many rows; start a checkpoint if it is due."""
        self._rows += rows
        if self._rows < ROWS_MAX or not HAS_THREADS:  # without threads SQLite does it itself
            return
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._guarded, name="grebe-sqlite-checkpoint", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is about to exit; closing folds the log in
            return
        self._rows = 0
        self._thread = thread

    def join(self) -> None:
        """Wait for the thread to end. Called without the mutex, which the thread wants."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _guarded(self) -> None:
        try:
            self._run()
        except PersistenceError:
            # Nothing is lost: the log has it all, and later checkpoints try again.
            log.warning("the write-ahead log could not be folded in", exc_info=True)
