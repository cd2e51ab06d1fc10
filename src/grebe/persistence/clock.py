"""Who starts the driver's thread and lets it wait: the system, or in tests a fake clock.

`grebe.testing.FakeClock` is the other one, under which a tenth of a second passes when a test says
so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What a thread that works now and then needs."""

    def start(self, target: Callable[[], None], name: str) -> threading.Thread:
        """Run a function in a new daemon thread."""

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """Return when the event is set, or the time is over; tell whether it is set."""


class SystemClock:
    """The real one."""

    def start(self, target: Callable[[], None], name: str) -> threading.Thread:
        """See Clock."""
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """See Clock."""
        return event.wait(timeout_s)
