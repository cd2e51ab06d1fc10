"""Stores for a test: opened one by one, and all checked and closed at its end."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from grebe.store.opening import Target, open
from grebe.store.store import Store
from grebe.testing.clock import FakeClock


class OpenStores:
    """Opens stores as `grebe.open` does, and closes them; what fixtures are made of.

    Closing checks the invariants of each: that live results equal ones made anew, for instance.

    >>> with OpenStores() as open_store:
    ...     store = open_store()
    >>> store.closed
    True
    """

    def __init__(self, clock: FakeClock | None = None, **defaults: Any) -> None:
        """Open nothing yet.

        Args:
            clock: the clock of all the stores; None: real time.
            **defaults: arguments of `grebe.open` that count when they are not given.
        """
        self._clock = clock
        self._defaults = defaults
        self._opened: list[Store] = []

    def __call__(self, target: Target = None, **options: Any) -> Store:
        """Open a store; the arguments are those of `grebe.open`."""
        options = {**self._defaults, **options}
        opening = open if self._clock is None else self._clock.open
        store = opening(target, **options)
        self._opened.append(store)
        return store

    def close(self) -> None:
        """Check and close all that are open.

        Raises:
            AssertionError: an invariant does not hold, which is a bug in Grebe.
        """
        while self._opened:
            store = self._opened.pop(0)
            if not store.closed:
                store._engine.check()
                store.close()

    def __enter__(self) -> OpenStores:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all."""
        self.close()
