"""What rich shows of queries, results and conditions; here, as a page in a browser has no rich."""

from __future__ import annotations

from rich.pretty import pretty_repr

import grebe
from grebe import field


def test_rich_shows_what_repr_shows(store: grebe.Store) -> None:
    """Results and conditions are records, of which rich would show no fields or too many."""
    users = store.collection("users")
    users.create_many({f"{n}": {"n": n} for n in range(5)})
    found = users.where(field("n") < 3).get()
    for one in (found, field("n") < 3, (field("n") == 1) & ~(field("n").in_([2]))):
        assert pretty_repr(one) == repr(one)
