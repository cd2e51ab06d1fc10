"""How a checkpoint in the background leaves the processor to others.

Python runs one thread at a time and takes it from a busy one only every five milliseconds: as long
would somebody wait who comes back from the disk with his commit. So the background rests between
blocks, which is when the others run.
"""

from __future__ import annotations

import time

REST_S = 0.0003


def rest() -> None:
    """Let other threads run."""
    time.sleep(REST_S)


def never() -> None:
    """Go on at once: somebody is waiting for this work."""
