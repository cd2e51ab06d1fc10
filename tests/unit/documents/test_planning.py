"""Which index answers a query, and how many documents are looked at for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import grebe
from grebe import field
from grebe.documents.planning import Explanation

N, S, T = field("n"), field("s"), field("t")
COUNT = 1000
NAMES = ["ann", "anna", "bob", "eve", "zoe"]


@pytest.fixture(scope="module")
def both() -> Any:
    """Return 1,000 documents with indexes, and the same without: `n` ascends, `s` is one of five
    names, `t` one of ten hundreds."""
    with grebe.open() as store:
        rows = store.collection("rows", indexes=["n", "s", "t", "late"])
        rows.create_many(
            {
                f"{n}": {"n": n, "s": NAMES[n % 5], "t": n // 100, "free": n % 7, "late": -n}
                if n % 10
                else {"n": n, "s": NAMES[n % 5], "free": n % 7}
                for n in range(COUNT)
            }
        )
        plain = store.collection("plain")
        plain.create_many({row.id: row.data for row in rows})
        yield rows, plain


@pytest.fixture
def rows(both: Any) -> Any:
    return both[0]


@pytest.fixture
def plain(both: Any) -> Any:
    return both[1]


def odd(row: Any) -> bool:
    return bool(row.data["n"] % 2)


Ask = Callable[[Any], Any]
PLANS: dict[str, tuple[Ask, str | None, int]] = {
    "everything": (lambda q: q, None, 1000),
    "a function": (lambda q: q.where(odd), None, 1000),
    "a field without index": (lambda q: q.where(field("free") == 1), None, 1000),
    "equal": (lambda q: q.where(N == 7), "n", 1),
    "equal to what is not there": (lambda q: q.where(N == 7.5), "n", 0),
    "equal to another type": (lambda q: q.where(N == "7"), "n", 0),
    "equal, many": (lambda q: q.where(S == "eve"), "s", 200),
    "equal, some": (lambda q: q.where(S == "eve").offset(2).limit(3), "s", 5),
    "equal, some, in an order": (lambda q: q.where(S == "eve").order_by("free").limit(3), "s", 200),
    "equal, some that": (lambda q: q.where(S == "eve", odd).limit(3), "s", 200),
    "unequal": (lambda q: q.where(N != 7), None, 1000),
    "less": (lambda q: q.where(N < 10), "n", 10),
    "at most": (lambda q: q.where(N <= 10), "n", 11),
    "greater": (lambda q: q.where(N > 990), "n", 9),
    "at least": (lambda q: q.where(N >= 990.0), "n", 10),
    "a range": (lambda q: q.where(N > 10, N <= 20), "n", 10),
    "a range in one condition": (lambda q: q.where((N > 10) & (N <= 20)), "n", 10),
    "an empty range": (lambda q: q.where(N > 20, N <= 10), "n", 0),
    "in": (lambda q: q.where(N.in_([1, 5, 5.0, -1, "x"])), "n", 2),
    "in nothing": (lambda q: q.where(N.in_([])), "n", 0),
    "in and a range": (lambda q: q.where(N.in_([1, 5, 9]), N > 4), "n", 2),
    "prefix": (lambda q: q.where(S.starts_with("ann")), "s", 400),
    "prefix of nothing": (lambda q: q.where(S.starts_with("x")), "s", 0),
    "prefix of all": (lambda q: q.where(S.starts_with("")), "s", 1000),
    "exists": (lambda q: q.where(T.exists()), "t", 900),
    "parts of a text": (lambda q: q.where(S.contains("nn")), None, 1000),
    "a pattern": (lambda q: q.where(S.matches("^ann")), None, 1000),
    "not": (lambda q: q.where(~(N == 7)), None, 1000),
    "or": (lambda q: q.where((N == 7) | (N == 8)), None, 1000),
    "and with others": (lambda q: q.where((N < 10) & (field("free") == 1)), "n", 10),
    "beside a function": (lambda q: q.where(odd, N < 10), "n", 10),
    "and with or": (lambda q: q.where(((N == 7) | (S == "bob")) & (N < 10)), "n", 10),
    "the better of two": (lambda q: q.where(S == "bob", N < 10), "n", 10),
    "the better of two, turned": (lambda q: q.where(N < 900, T == 5), "t", 90),
    "the better of three": (lambda q: q.where(N < 900, T == 5, S == "eve"), "t", 90),
    "order": (lambda q: q.order_by("n"), "n", 1000),
    "order with limit": (lambda q: q.order_by("n").limit(3), "n", 3),
    "order with limit, descending": (lambda q: q.order_by("n", desc=True).limit(3), "n", 3),
    "order with limit and offset": (lambda q: q.order_by("n").offset(10).limit(3), "n", 13),
    "order with limit 0": (lambda q: q.order_by("n").limit(0), "n", 0),
    "order with offset alone": (lambda q: q.order_by("n").offset(990), "n", 1000),
    "order with ties": (lambda q: q.order_by("s").limit(3), "s", 3),
    "order with ties, descending": (lambda q: q.order_by("s", desc=True).limit(3), "s", 3),
    "order, missing first": (lambda q: q.order_by("t").limit(101), "t", 101),
    "order by a field without index": (lambda q: q.order_by("free").limit(3), None, 1000),
    "order by two fields": (lambda q: q.order_by("n", "s").limit(3), None, 1000),
    "order by a key": (lambda q: q.order_by(key=lambda row: row.id).limit(3), None, 1000),
    "order and range of one field": (lambda q: q.where(N > 500).order_by("n").limit(2), "n", 2),
    "the same, descending": (
        lambda q: q.where(N > 500, N < 700).order_by("n", desc=True).limit(2),
        "n",
        2,
    ),
    "order and in of one field": (
        lambda q: q.where(N.in_([9, 3, 5])).order_by("n", desc=True).limit(2),
        "n",
        2,
    ),
    "order and a condition that halves": (lambda q: q.where(odd).order_by("n").limit(4), "n", 8),
    "order by one, few of another": (lambda q: q.where(N < 3).order_by("s").limit(2), "n", 3),
    "order by one, most of another": (
        lambda q: q.where(N < 900).order_by("late").limit(2),
        "late",
        2,
    ),
    "first": (lambda q: q.where(N >= 5).order_by("n").limit(1), "n", 1),
    "without an order": (lambda q: q.where(N < 10).limit(3), "n", 10),
}


@pytest.mark.parametrize("what", PLANS)
def test_which_index_answers(rows: Any, plain: Any, what: str) -> None:
    """And how many documents it looks at; the answer is that of a scan."""
    ask, index, examined = PLANS[what]
    query = ask(rows)
    assert query.explain() == Explanation(index, examined)
    found = [row.id for row in query]
    assert ask(plain).explain() == Explanation(None, COUNT)
    assert found == [row.id for row in ask(plain)]
    assert query.count() == ask(plain).count() == len(found)
    assert (first := query.first()) is None or first.id == found[0]


def test_a_condition_that_is_answered_exactly_is_not_asked_again(rows: Any) -> None:
    """The others are asked of what is left only."""
    asked = []

    def watched(row: Any) -> bool:
        asked.append(row.id)
        return True

    query = rows.where(N > 10, N < 14, watched)
    assert len(query) == 3
    assert asked == ["11", "12", "13"]
    asked.clear()
    assert [row.id for row in rows.where(watched, S == "bob").order_by("n").limit(2)] == ["2", "7"]
    assert len(asked) <= 16


def test_documents_are_found_as_inserted(rows: Any) -> None:
    """Without an order an index gives them in the order of insertion all the same."""
    rows_late = rows.where(field("late") > -50, field("late") <= -40)
    assert rows_late.explain().index == "late"
    assert [row.id for row in rows_late] == [f"{n}" for n in range(41, 50)]
    assert [row.id for row in rows.where(N.in_([5, 3, 9]))] == ["3", "5", "9"]


def test_a_query_is_planned_for_the_indexes_of_the_moment(store: grebe.Store) -> None:
    """What it found out once does not outlive an exchange of the indexes."""
    rows = store.collection("rows", indexes=["n"])
    rows.create_many([{"n": n, "s": "x"} for n in range(10)])
    query = rows.where(N < 3, S == "x")
    assert query.explain() == Explanation("n", 3)
    store.collection("rows", indexes=["s"])
    assert query.explain() == Explanation("s", 10)
    rows.create_many([{"n": n, "s": "y"} for n in range(100)])
    assert query.explain() == Explanation("s", 10)
    store.collection("rows", indexes=["s", "n"])
    assert query.explain() == Explanation("n", 6)


ANSWERED_AT_ONCE: dict[str, Ask] = {
    "equal": lambda q: q.where(N == 3),
    "equal to a float": lambda q: q.where(N == 3.0),
    "equal, the first": lambda q: q.where(S == "eve").limit(2),
    "in": lambda q: q.where(N.in_([7, 3, 900])),
    "in one": lambda q: q.where(N.in_([3])),
    "in, of several types": lambda q: q.where(N.in_([7, 3.0, "x", None])),
    "a range": lambda q: q.where(N >= 3, N < 9),
    "a range in one condition": lambda q: q.where((N >= 3) & (N < 9)),
    "prefix": lambda q: q.where(S.starts_with("e")),
    "exists": lambda q: q.where(N.exists()),
    "an order": lambda q: q.order_by("n"),
    "the last": lambda q: q.order_by("n", desc=True).limit(3),
    "a range in order": lambda q: q.where(N >= 3).order_by("n").limit(3),
}


@pytest.mark.parametrize("what", ANSWERED_AT_ONCE)
def test_a_query_that_is_asked_again(store: grebe.Store, what: str) -> None:
    """It remembers how to find its documents, not which they were: after writes, other indexes or
    none, and in a collection that is new, it gives what one that is made now gives."""
    rows = store.collection("rows", indexes=["n", "s"])
    data = {f"{n}": {"n": n % 50, "s": NAMES[n % 5]} for n in range(100)}
    rows.create_many(data)
    ask = ANSWERED_AT_ONCE[what]
    query = ask(rows)

    def is_right() -> bool:
        wanted = [row.id for row in ask(rows).where(lambda row: True)]
        first = [row.id for row in ask(rows).get()]
        return [row.id for row in query.get()] == first == wanted

    assert is_right()
    assert query._reading is not None
    rows.doc("3").delete()
    rows.doc("3").set({"n": 7, "s": "eve"})
    assert is_right()
    store.collection("rows", indexes=["s"])
    rows.doc("4").set({"n": 3, "s": "eve"})
    assert is_right()
    store.collection("rows", indexes=[])
    rows.doc("5").set({"n": 3, "s": "eve"})
    assert is_right()
    store.collection("rows", indexes=["s", "n"])
    rows.doc("6").set({"n": 3, "s": "eve"})
    assert is_right()
    rows.delete()
    assert is_right()
    assert len(query.get()) == 0
    rows.create_many(data)
    assert is_right()
    store.close()
    with pytest.raises(grebe.StoreClosedError):
        query.get()


def test_values_that_do_not_come_in_turn(store: grebe.Store) -> None:
    """Documents of several values are given as inserted, wherever those of one value lie."""
    rows = store.collection("rows", indexes=["n"])
    for n in (2, 1, 1, 2, 3, 3, 1, 4):
        rows.doc().set({"n": n})
    for values in ([1, 2], [2, 1], [1, 3], [4, 3], [1, 4, 9], [1, 2, 3, 4], [3, 9]):
        found = [row.data["n"] for row in rows.where(N.in_(values))]
        assert found == [n for n in (2, 1, 1, 2, 3, 3, 1, 4) if n in values]
        assert found == [row.data["n"] for row in rows.where(N.in_([*values, 7.5]))]


def test_the_choice_follows_the_contents(store: grebe.Store) -> None:
    """The same query uses another index when the documents are others."""
    rows = store.collection("rows", indexes=["n", "s"])
    rows.create_many([{"n": 1, "s": f"{n}"} for n in range(50)])
    query = rows.where(N == 1, S == "7")
    assert query.explain() == Explanation("s", 1)
    rows.replace([rows.doc("x").set({"n": 1, "s": "7"})])
    rows.create_many([{"n": n + 2, "s": "7"} for n in range(50)])
    assert query.explain() == Explanation("n", 1)


def test_counting_what_an_index_knows_reads_nothing(store: grebe.Store) -> None:
    """count() of a range looks at no document, with and without a window."""
    rows = store.collection("rows", indexes=["n"])
    rows.create_many({f"{n}": {"n": n} for n in range(100)})
    entry = store._engine.tree.collections["rows"].documents["5"]
    assert rows.where(N >= 10, N < 30).count() == 20
    assert rows.where(N >= 10).limit(7).count() == 7
    assert rows.where(N >= 10).offset(85).count() == 5
    assert entry.view is None


def test_an_explanation_shows_both() -> None:
    """It is a value."""
    assert repr(Explanation("n", 3)) == "Explanation(index='n', examined=3)"
