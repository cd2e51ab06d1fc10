"""Live values: what a user gets from observe(), and the subscriptions to it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from grebe.errors import StoreClosedError
from grebe.reactive.change import Change

V = TypeVar("V")
T = TypeVar("T")

log = logging.getLogger("grebe")


class Source(Protocol):
    """What an observer watches: a live document or a live query."""

    name: str
    """What is watched, for messages."""

    def value(self) -> Any:
        """Return the value now, writes that were not broadcast yet included."""

    def detach(self, observer: Observer[Any, Any]) -> None:
        """Forget an observer."""


class Subscription:
    """A callback's registration. A context manager; `cancel()` may be called twice."""

    __slots__ = ("_callbacks", "_fn")

    def __init__(self, callbacks: list[Subscription], fn: Callable[[Any], object]) -> None:
        self._callbacks = callbacks
        self._fn = fn
        callbacks.append(self)

    def cancel(self) -> None:
        """End it: the callback is not called any more, not even by a broadcast that runs now."""
        if self in self._callbacks:
            self._callbacks.remove(self)

    def __enter__(self) -> Subscription:
        """Return the subscription."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel it."""
        self.cancel()

    def __repr__(self) -> str:
        """Show the callback and whether it is active."""
        state = "active" if self in self._callbacks else "cancelled"
        return f"<Subscription of {_name(self._fn)}: {state}>"


class Observer(Generic[V, T]):
    """A live value of a document or query.

    `get()` is always current; subscribers are told at each broadcast that affects it. Close it
    when done: until then the store keeps it up to date.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_ends",
        "_for_changes",
        "_for_values",
        "_has_changes",
        "_source",
        "told",
    )

    def __init__(self, source: Source, *, has_changes: bool = True) -> None:
        self._source = source
        self._has_changes = has_changes
        self._for_values: list[Subscription] = []
        self._for_changes: list[Subscription] = []
        self._ends: list[Callable[[], None]] = []
        self._closed = False
        self.told: Any = None
        """The source's note of what this observer, alone among its observers, was last told."""

    def get(self) -> V:
        """Return the value now, also before the broadcast.

        Raises:
            StoreClosedError: the observer or its store is closed.
        """
        self._check_open()
        return self._source.value()  # type: ignore[no-any-return]

    def subscribe(self, fn: Callable[[V], object]) -> Subscription:
        """Have `fn` called with each new value."""
        self._check_open()
        return Subscription(self._for_values, fn)

    def subscribe_changes(self, fn: Callable[[list[Change[T]]], object]) -> Subscription:
        """Have `fn` called with each list of changes.

        Raises:
            TypeError: an aggregate is observed, which is a value and no list of documents.
        """
        self._check_open()
        if not self._has_changes:
            raise TypeError(
                f"the {self._source.name} has no list of changes; use subscribe(), "
                "or observe the query itself"
            )
        return Subscription(self._for_changes, fn)

    def close(self) -> None:
        """Stop watching; all subscriptions end. Closing twice is fine."""
        if not self._closed:
            self._closed = True
            self._for_values.clear()
            self._for_changes.clear()
            self._source.detach(self)
            for end in self._ends:
                end()

    @property
    def wants_changes(self) -> bool:
        """Whether somebody subscribed to changes."""
        return bool(self._for_changes)

    @property
    def wants_values(self) -> bool:
        """Whether somebody subscribed to values."""
        return bool(self._for_values)

    @property
    def closed(self) -> bool:
        """Whether the observer or its store was closed."""
        return self._closed

    def on_close(self, fn: Callable[[], None]) -> None:
        """Have `fn` called when this is closed; for streams."""
        self._ends.append(fn)

    def deliver(self, changes: list[Change[T]] | None) -> None:
        """Tell the subscribers. A failing one is logged and does not stop the others.

        `changes` are None if nobody listened to them when they came up.
        """
        if changes is not None:
            for subscription in tuple(self._for_changes):
                if subscription in self._for_changes:  # not cancelled by one called before
                    try:
                        subscription._fn(changes.copy())
                    except Exception:
                        self._log_failure(subscription, changes)
        if self._for_values:
            for subscription in tuple(self._for_values):
                if subscription in self._for_values:
                    try:
                        subscription._fn(self._source.value())
                    except Exception:
                        self._log_failure(subscription, changes)

    def _log_failure(self, subscription: Subscription, changes: list[Change[T]] | None) -> None:
        name = self._source.name
        if changes is None:
            log.exception("subscriber %s of %s failed", _name(subscription._fn), name)
            return
        paths = ", ".join(change.path for change in changes[:3])
        more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
        log.exception(
            "subscriber %s of %s failed on a change of %s%s",
            _name(subscription._fn),
            name,
            paths,
            more,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(f"the observer of {self._source.name}")

    def __enter__(self) -> Observer[V, T]:
        """Return the observer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Show what is watched and by how many."""
        if self._closed:
            return f"<Observer of {self._source.name}: closed>"
        count = len(self._for_values) + len(self._for_changes)
        return f"<Observer of {self._source.name}: {count} subscriptions>"


def _name(fn: Callable[..., object]) -> str:
    return getattr(fn, "__qualname__", repr(fn))
