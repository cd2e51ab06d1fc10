"""Time that passes when a test says so, and a scheduler that runs when a test says so."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grebe.store.opening import Target, open_under
from grebe.store.store import Store

POLL_S = 0.001
SETTLE_MAX_S = 30.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    event: threading.Event
    deadline_ns: int | None

    def is_over(self, now_ns: int) -> bool:
        is_late = self.deadline_ns is not None and now_ns >= self.deadline_ns
        return is_late or self.event.is_set()


class FakeClock:
    """A clock for stores that commit by themselves, without a test that sleeps.

    A store that it opens commits after `commit_interval` of this clock's time, and tries again
    after the usual delays. `advance` returns when all that was due is done.

    >>> import grebe
    >>> clock, kept = FakeClock(), grebe.MemoryPersistor()
    >>> store = clock.open(kept, commit_interval=60)
    >>> _ = store.doc("users/1").set({"age": 28})
    >>> clock.advance(59); kept
    <MemoryPersistor: 0 documents>
    >>> clock.advance(1); kept
    <MemoryPersistor: 1 documents>
    >>> store.close()
    """

    def __init__(self) -> None:
        # In whole nanoseconds: ten tenths of a second are a second.
        self._now_ns = 0
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._waiting: dict[threading.Thread, _Waiting] = {}

    @property
    def now_s(self) -> float:
        """Seconds that have passed."""
        return self._now_ns / 1e9

    def open(self, target: Target = None, **options: Any) -> Store:
        """Open a store under this clock; the arguments are those of `grebe.open`."""
        return open_under(self, target, **options)

    def advance(self, seconds: float) -> None:
        """Let time pass, from one thing that is due to the next; return when all of it is done.

        Raises:
            TimeoutError: a thread is busy for 30 real seconds.
        """
        end_ns = self._now_ns + _nanoseconds(seconds)
        while True:
            with self._changed:
                self._settle()
                deadlines = [w.deadline_ns for w in self._waiting.values()]
                due = [ns for ns in deadlines if ns is not None and ns <= end_ns]
                self._now_ns = min(due, default=end_ns)
                self._changed.notify_all()
                if not due:
                    return

    # --- Clock

    def start(self, target: Callable[[], None], name: str) -> threading.Thread:
        """See Clock."""
        thread = threading.Thread(target=target, name=name, daemon=True)
        with self._changed:
            self._threads.append(thread)
        thread.start()
        return thread

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """See Clock."""
        thread = threading.current_thread()
        with self._changed:
            deadline = None if timeout_s is None else self._now_ns + _nanoseconds(timeout_s)
            self._waiting[thread] = waiting = _Waiting(event, deadline)
            self._changed.notify_all()
            while not waiting.is_over(self._now_ns):
                self._changed.wait(POLL_S)  # nobody tells when the event is set
            del self._waiting[thread]
        return event.is_set()

    def _settle(self) -> None:
        """Wait until each thread has ended, or waits for what has not come yet."""

        def settled() -> bool:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            found = [self._waiting.get(thread) for thread in self._threads]
            return all(w is not None and not w.is_over(self._now_ns) for w in found)

        for _ in range(int(SETTLE_MAX_S / POLL_S)):
            if settled():
                return
            self._changed.wait(POLL_S)  # nobody tells when a thread ends
        raise TimeoutError(f"a thread has been busy for {SETTLE_MAX_S} s, or waits for another one")


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


class FakeScheduler:
    """A `scheduler=` that keeps what it is given until a test runs it, as an idle GUI would.

    >>> import grebe
    >>> scheduler = FakeScheduler()
    >>> store = grebe.open(scheduler=scheduler)
    >>> live = store.collection("users").observe()
    >>> _ = live.subscribe(lambda users: print(len(users)))
    >>> _ = store.doc("users/1").set({"age": 28})
    >>> len(scheduler)
    1
    >>> scheduler.run()
    1
    1
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()

    def __call__(self, fn: Callable[[], object]) -> None:
        """Take a function, from any thread."""
        self._waiting.append(fn)

    def __len__(self) -> int:
        """Return how many functions wait."""
        return len(self._waiting)

    def run(self) -> int:
        """Run all that waits, and what comes meanwhile, on this thread; return how many."""
        count = 0
        while self._waiting:
            self._waiting.popleft()()
            count += 1
        return count
