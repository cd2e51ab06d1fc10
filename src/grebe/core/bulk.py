"""Pausing the garbage collector while very many objects are made, none of which is garbage."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_pauses = 0
_was_enabled = False


@contextlib.contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Pause it in this block; blocks in several threads count.

    Every 700 new objects cost a young collection, and some of those a full one over all documents
    that are there already: half of the time of a large load.
    """
    global _pauses, _was_enabled
    with _lock:
        if _pauses == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if _pauses == 0 and _was_enabled:
                if gc.get_freeze_count() == 0:
                    # There and back: what was made is old now, without a look at each of it, which
                    # the next young collection would take. Not if the program has frozen something.
                    gc.freeze()
                    gc.unfreeze()
                gc.enable()
