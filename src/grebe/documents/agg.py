"""What can be computed over the documents of a query: `query.aggregate(total=agg.sum("amount"))`.

Documents without the field are left out. Of nothing, count and sum are 0, the others None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from grebe.documents.fields import Field, path_of
from grebe.documents.snapshot import Snapshot

Of = str | Field | Callable[[Snapshot[Any]], Any]
"""What is aggregated: a field, or a function of the snapshot."""


class Aggregation(NamedTuple):
    """One value to be computed; made by the functions of this module."""

    kind: str
    path: str | None = None
    fn: Callable[[Snapshot[Any]], Any] | None = None

    def __repr__(self) -> str:
        """Show it as it is written."""
        what = getattr(self.fn, "__qualname__", "a function") if self.fn else self.path
        return f"agg.{self.kind}({what or ''})"


def count() -> Aggregation:
    """Count the documents."""
    return Aggregation("count")


def sum(of: Of) -> Aggregation:
    """Add the numbers in a field, exactly: ints give an int, floats are rounded once."""
    return _aggregation("sum", of)


def avg(of: Of) -> Aggregation:
    """Divide the sum of the numbers in a field by how many they are."""
    return _aggregation("avg", of)


def min(of: Of) -> Aggregation:
    """Find the first value of a field in the order of `order_by`."""
    return _aggregation("min", of)


def max(of: Of) -> Aggregation:
    """Find the last value of a field in the order of `order_by`."""
    return _aggregation("max", of)


def _aggregation(kind: str, of: Of) -> Aggregation:
    if callable(of) and not isinstance(of, Field):
        return Aggregation(kind, None, of)
    return Aggregation(kind, path_of(of))
