"""Queries as values: refined, compared, shown, asked; and what is refused at the call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from operator import ne
from typing import Any

import pytest

import grebe
from grebe import agg, field

Users = grebe.Collection[Any]


@pytest.fixture
def users(store: grebe.Store) -> Users:
    users = store.collection("users")
    users.create_many({key: {"n": n, "even": n % 2 == 0} for n, key in enumerate("abcdef")})
    return users


def ids(query: Any) -> str:
    return "".join(snapshot.id for snapshot in query.get())


REFINED: list[tuple[Callable[[Any], Any], str]] = [
    (lambda q: q.where(), "abcdef"),
    (lambda q: q.where(field("n") > 1), "cdef"),
    (lambda q: q.where(field("n") > 1, lambda s: s.data["even"]), "ce"),
    (lambda q: q.where(lambda s: s.id != "c").where(field("even") == True), "ae"),  # noqa: E712
    (lambda q: q.order_by("n", desc=True), "fedcba"),
    (lambda q: q.limit(2), "ab"),
    (lambda q: q.limit(0), ""),
    (lambda q: q.limit(99), "abcdef"),
    (lambda q: q.limit(4).limit(2), "ab"),
    (lambda q: q.limit(2).limit(4), "abcd"),
    (lambda q: q.offset(4), "ef"),
    (lambda q: q.offset(6), ""),
    (lambda q: q.offset(99), ""),
    (lambda q: q.offset(1).limit(2), "bc"),
    (lambda q: q.limit(2).offset(1), "bc"),
    (lambda q: q.offset(5).limit(2), "f"),
    (lambda q: q.where(field("even") == False).limit(2).offset(1), "df"),  # noqa: E712
    (lambda q: q.limit(2).where(field("n") > 1), "cd"),
    (lambda q: q.limit(2).order_by("n", desc=True).offset(1), "ed"),
]


@pytest.mark.parametrize(("refine", "wanted"), REFINED)
def test_what_a_query_gives(users: Users, refine: Callable[[Any], Any], wanted: str) -> None:
    """Conditions come first, then the order, the offset and the limit, however they are called;
    get, first, count, len, iteration and observe agree."""
    query = refine(users)
    assert ids(query) == wanted
    assert query.count() == len(query) == len(wanted)
    first = query.first()
    assert (first and first.id) == (wanted[0] if wanted else None)
    assert "".join(user.id for user in query) == wanted
    assert ids(query.observe()) == wanted
    assert query.aggregate(n=agg.count(), sum=agg.sum("n")).get() == {
        "n": len(wanted),
        "sum": sum("abcdef".index(key) for key in wanted),
    }


def test_refining_leaves_a_query_as_it_was(users: Users) -> None:
    """Each call returns a new one; a query can be asked again and again, and sees what is new."""
    one = users.where(field("n") >= 4)
    for refine, _ in REFINED:
        assert refine(one) is not one
    assert ids(one) == "ef"
    users.doc("g").set({"n": 4})
    assert ids(one) == "efg"


def test_a_query_cannot_be_changed(users: Users) -> None:
    """Its attributes are read-only, and it takes no others."""
    query = users.limit(2)
    for name in ("spec", "source", "other"):
        with pytest.raises(AttributeError):
            setattr(query, name, None)


def test_results_are_immutable_sequences(users: Users) -> None:
    """Equal to a list or tuple of the same, indexed and sliced like one, and no snapshot of a
    result moves on with the store."""
    found = users.where(field("n") < 3).get()
    listed = list(found)
    assert isinstance(found, Sequence)
    assert found == listed == users.limit(3).get()
    assert listed == found
    assert found == tuple(listed)
    assert found != listed[:2]
    assert found != "abc"
    assert (found[0], found[-1], found[1:]) == (listed[0], listed[-1], listed[1:])
    assert found[::-1] == listed[::-1]
    assert (found.index(listed[1]), found.count(listed[2])) == (1, 1)
    assert listed[0] in found
    assert "a" not in found
    assert list(reversed(found)) == listed[::-1]
    match found:
        case [first, *_]:
            assert first == listed[0]
        case _:
            pytest.fail("no sequence")
    for position in (3, -4):
        with pytest.raises(IndexError, match=f"index {position} out of range: there are 3"):
            found[position]
    with pytest.raises(TypeError):
        found[0] = listed[1]  # type: ignore[index]
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)
    users.doc("a").set({"n": 9})
    users.doc("b").delete()
    assert list(found) == listed
    assert repr(found) == "<Results: 3 documents ['a', 'b', 'c']>"


@pytest.mark.parametrize("method", ["limit", "offset"])
def test_a_number_of_documents_is_checked(users: Users, method: str) -> None:
    """At the call: an int, and not below 0."""
    with pytest.raises(ValueError, match=rf"{method}\(-1\): a number of documents is at least 0"):
        getattr(users, method)(-1)
    for wrong in ("2", 1.0, True, None):
        with pytest.raises(TypeError, match=f"not {type(wrong).__name__}"):
            getattr(users, method)(wrong)


@pytest.mark.parametrize("wrong", [None, "age", 18, field("n"), {"n": 1}, True])
def test_a_condition_can_be_called(users: Users, wrong: Any) -> None:
    """Anything else is refused at the call, which says what is wanted."""
    with pytest.raises(TypeError, match=f"made with field.*not a {type(wrong).__name__}"):
        users.where(field("n") == 1, wrong)


REFUSED: list[Callable[[Any], Any]] = [
    lambda q: q.where(None),
    lambda q: q.order_by(),
    lambda q: q.limit(-1),
    lambda q: q.offset("1"),
    lambda q: q.aggregate(),
    lambda q: q.aggregate(n=1),
    lambda q: q.group_by(),
    lambda q: q.group_by(1),
    lambda q: q.group_by("n").aggregate(),
    lambda q: q.sum(1),
    lambda q: q.min(""),
    lambda q: q.where(lambda s: 1 / 0).observe(),
    lambda q: q.where(lambda s: 1 / 0).get(),
    lambda q: q.order_by(key=lambda s: 1 / 0).get(),
    lambda q: q.sum(lambda s: 1 / 0),
    lambda q: q.aggregate(n=agg.sum(lambda s: 1 / 0)).observe(),
    lambda q: q.where(lambda s: 1 / 0).stream(),
]


@pytest.mark.parametrize("refused", REFUSED)
def test_what_fails_leaves_nothing_behind(
    store: grebe.Store, users: Users, refused: Callable[[Any], Any]
) -> None:
    """No document changes, no observer stays, and the next question is answered."""
    before = [(user.id, user.data) for user in users]
    with pytest.raises((TypeError, ValueError, ZeroDivisionError, RuntimeError)):
        refused(users)
    assert [(user.id, user.data) for user in users] == before
    assert store._engine.broadcasting.observers() == []
    assert store._engine.broadcasting.watched is False
    users.doc("a").set({"n": 1})
    assert ids(users.where(field("n") == 1)) == "ab"


def test_what_is_equal_is_not_unequal(store: grebe.Store) -> None:
    users = store.collection("users")
    snapshot = users.doc("1").set({"age": 1})

    def made() -> list[object]:
        adults = users.where(field("age") >= 1)
        return [field("age") == 1, adults, adults.get(), users.doc("1"), users.doc("1").get()]

    for one, other in zip(made(), made(), strict=True):
        assert one == other
        assert not ne(one, other)
    assert not ne(users.get(), [snapshot])
    assert users.where(field("age") > 1).get() != [snapshot]
    assert snapshot != users.doc("1").set({"age": 2})


def test_queries_that_say_the_same_are_equal(store: grebe.Store) -> None:
    """By collection, conditions, order, offset and limit; so they can be keys of a dict."""
    by_id: Callable[[Any], Any] = lambda user: user.id  # noqa: E731
    makers: list[Callable[[], Any]] = [
        lambda: store.collection("a"),
        lambda: store.collection("b"),
        lambda: store.collection_group("a"),
        lambda: store.collection("a").where(field("n") == 1),
        lambda: store.collection("a").where(field("n") == True),  # noqa: E712
        lambda: store.collection("a").where(by_id),
        lambda: store.collection("a").order_by("n"),
        lambda: store.collection("a").order_by("n", desc=True),
        lambda: store.collection("a").order_by(key=by_id),
        lambda: store.collection("a").limit(1),
        lambda: store.collection("a").offset(1),
        lambda: store.collection("a").aggregate(n=agg.count()),
        lambda: store.collection("a").aggregate(m=agg.count()),
        lambda: store.collection("a").aggregate(n=agg.sum("n")),
        lambda: store.collection("a").limit(1).aggregate(n=agg.count()),
        lambda: store.collection("a").group_by("n").aggregate(n=agg.count()),
    ]
    for (i, one), (j, other) in ((a, b) for a in enumerate(makers) for b in enumerate(makers)):
        assert (one() == other()) is (i == j), (one(), other())
        assert i != j or hash(one()) == hash(other())
    assert len({make() for make in makers}) == len(makers)
    assert store.collection("a").limit(1) != "a"
    assert grebe.open().collection("a").limit(1) != store.collection("a").limit(1)


def test_a_query_shows_what_it_asks() -> None:
    """In the order in which it is answered."""
    users = grebe.open().collection("users")

    def odd(user: Any) -> bool:
        return bool(user.data["n"] % 2)

    @dataclasses.dataclass
    class AtLeast:
        limit: int

        def __call__(self, user: Any) -> bool:
            return True

    query = users.limit(3).order_by("n", desc=True).offset(1).where(field("n") > 1, AtLeast(5))
    assert repr(query) == (
        "<Query 'users' where field('n') > 1, AtLeast ordered by n descending offset 1 limit 3>"
    )
    assert "odd" in repr(users.where(odd))
    total = users.where(field("n") > 1).group_by("a", "b").aggregate(x=agg.sum("n"), y=agg.count())
    assert repr(total) == (
        "<Aggregate x=agg.sum(n), y=agg.count() of <Query 'users' where field('n') > 1> by a, b>"
    )
    assert repr(users.group_by("a")).endswith("by a>")


def test_short_forms_of_aggregates(users: Users) -> None:
    """sum, avg, min and max of a field, or of what a function gives."""
    assert (users.sum("n"), users.avg("n"), users.min("n"), users.max("n")) == (15, 2.5, 0, 5)
    assert users.sum(field("n")) == users.sum(lambda user: user.data["n"]) == 15
    some = users.where(field("n") > 3)
    assert (some.sum("n"), some.avg("n"), some.min("n"), some.max("n")) == (9, 4.5, 4, 5)
    none = users.where(field("n") > 9)
    assert (none.sum("n"), none.avg("n"), none.min("n"), none.max("n")) == (0, None, None, None)


def test_iteration_is_over_what_was_there(users: Users) -> None:
    """Writes in the loop change nothing of it."""
    seen = []
    for user in users.where(field("n") >= 0):
        users.doc(user.id).delete()
        users.doc(f"{user.id}{user.id}").set({"n": 1})
        seen.append(user.id)
    assert "".join(seen) == "abcdef"


def test_a_query_is_true_even_without_documents(users: Users) -> None:
    """Like any reference: `if query` does not ask for documents."""
    assert users.where(field("n") > 99)
    assert len(users.where(field("n") > 99)) == 0


def test_pending_and_silent_writes_are_seen(store: grebe.Store, users: Users) -> None:
    """Queries answer from memory: inside a batch, and whether anybody is told or not."""
    query = users.where(field("n") == 7)
    with store.batch():
        users.doc("a").update(n=7)
        assert ids(query) == "a"
    users.doc("b").update({"n": 7}, broadcast=False)
    assert ids(query) == "ab"
    with store.transaction() as tx:
        tx.update(users.doc("c"), n=7)
        assert ids(query) == "ab"
    assert ids(query) == "abc"
