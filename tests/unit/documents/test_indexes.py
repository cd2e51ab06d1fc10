"""Indexes: the same answers with and without, and kept up to date by everything that writes."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import grebe
from grebe import Event, field
from grebe.core.entry import Entry, home_of
from grebe.core.ordering import MISSING, ascending
from grebe.documents.bounds import EVERYTHING, Bounds, bounds_of, intersection, token_of
from grebe.documents.fields import Field
from grebe.documents.index import Index
from grebe.persistors import MemoryPersistor
from tests.unit.reactive.test_observer import Ears

Users = grebe.Collection[Any]
OpenStore = Callable[..., grebe.Store]
AGE = Field("age")
ADULTS = AGE >= 18


@pytest.fixture
def users(store: grebe.Store) -> Users:
    users = store.collection("users", indexes=["age", "address.city"])
    users.create_many({f"{age}": user(age) for age in range(100)})
    return users


def user(age: Any) -> dict[str, Any]:
    return {"age": age, "address": {"city": f"city {age}"}}


def ids(query: Any) -> list[str]:
    return [snapshot.id for snapshot in query]


def looked_at(query: Any) -> tuple[str | None, int]:
    explained = query.explain()
    return explained.index, explained.examined


# --- kept up to date by


def test_writes(users: Users) -> None:
    """create, set, replace, update, modify, edit and delete, one by one."""
    old = users.where(AGE > 97)
    assert ids(old) == ["98", "99"]
    users.doc("new").create(user(100))
    users.doc("1").set(user(101))
    users.doc("2").replace(user(102))
    users.doc("3").update(age=103)
    users.doc("4").modify(lambda _: user(104))
    with users.doc("5").edit() as draft:
        draft["age"] = 105
    users.doc("98").update(age=0)
    users.doc("99").delete()
    assert ids(old) == ["1", "2", "3", "4", "5", "new"]
    assert looked_at(old) == ("age", 6)


def test_bulk_writes(store: grebe.Store, users: Users) -> None:
    """create_many and replace of the collection, and its deletion."""
    old = users.where(AGE > 98)
    assert ids(old) == ["99"]
    users.create_many({"a": user(200), "b": user(1)})
    assert ids(old) == ["99", "a"]
    users.replace({"b": user(300), "7": user(99)})
    assert ids(old) == ["7", "b"]
    users.delete()
    assert ids(old) == []
    users.doc("z").set(user(99))
    store.clear()
    assert ids(old) == []


def test_silent_and_unpersisted_writes(users: Users) -> None:
    """Whoever is told, whatever is stored."""
    old = users.where(AGE > 98)
    assert ids(old) == ["99"]
    users.doc("a").set(user(100), broadcast=False)
    users.doc("b").set(user(100), persist=False)
    users.doc("99").delete(broadcast=False)
    assert ids(old) == ["a", "b"]


def test_deletions_of_what_is_above(store: grebe.Store) -> None:
    """A subtree's documents leave their indexes."""
    friends = store.collection("users/1/friends", indexes=["age"])
    friends.create_many({"a": user(1), "b": user(2)})
    query = friends.where(AGE >= 1)
    assert looked_at(query) == ("age", 2)
    store.doc("users/1").delete()
    assert (ids(query), looked_at(query)) == ([], ("age", 0))
    friends.doc("c").set(user(5))
    assert (ids(query), looked_at(query)) == (["c"], ("age", 1))
    store.collection("users").delete()
    assert ids(query) == []


def test_batches_and_transactions(store: grebe.Store, users: Users) -> None:
    """Inside a batch its writes are found; a transaction's only after it, or never."""
    old = users.where(AGE > 98)
    assert ids(old) == ["99"]
    with store.batch():
        users.doc("a").set(user(100))
        assert ids(old) == ["99", "a"]
    with store.transaction() as tx:
        tx.set(users.doc("b"), user(100))
        tx.delete(users.doc("99"))
        assert ids(old) == ["99", "a"]
    assert ids(old) == ["a", "b"]
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:  # noqa: PT012
        tx.set(users.doc("c"), user(100))
        raise ZeroDivisionError
    assert ids(old) == ["a", "b"]


def test_loading(open_store: OpenStore) -> None:
    """Documents that come from disk are found, and memory's own stay."""
    kept = MemoryPersistor()
    with open_store(kept) as before:
        before.collection("users").create_many({f"{age}": user(age) for age in range(20)})
    store = open_store(kept, hydrate=False)
    users = store.collection("users", indexes=["age"])
    adults = users.where(ADULTS)
    assert looked_at(adults) == ("age", 0)
    users.doc("19").set(user(1))
    store.hydrate("users/18")
    assert (ids(adults), looked_at(adults)) == (["18"], ("age", 1))
    store.hydrate()
    assert (ids(adults), looked_at(adults)) == (["18"], ("age", 1))
    assert ids(users.where(AGE <= 1).order_by("age")) == ["0", "19", "1"]


def test_hundreds_of_changes_between_two_questions(users: Users) -> None:
    """Whether few or many changed since, the answer is right."""
    rng = random.Random(1)
    wanted: dict[str, int] = {f"{age}": age for age in range(100)}
    for count in (1, 5, 200, 3, 50):
        for _ in range(count):
            name = f"{rng.randrange(150)}"
            if name in wanted and rng.random() < 0.3:
                del wanted[name]
                users.doc(name).delete()
            else:
                wanted[name] = rng.randrange(120)
                users.doc(name).set(user(wanted[name]))
        found = users.where(AGE >= 60, AGE < 80)
        assert {user.id for user in found} == {key for key, n in wanted.items() if 60 <= n < 80}
        assert [user.data["age"] for user in found.order_by("age")] == sorted(
            n for n in wanted.values() if 60 <= n < 80
        )
        assert found.explain().index == "age"


# --- added and dropped


def test_an_index_is_added_to_a_filled_collection(store: grebe.Store) -> None:
    """And dropped, and exchanged for another; a query made before uses what is there."""
    users = store.collection("users")
    users.create_many({f"{age}": user(age) for age in range(50)})
    adults = users.where(ADULTS, field("address.city") == "city 20")
    wanted = ids(adults)
    assert looked_at(adults) == (None, 50)
    for fields, used in [
        (["age"], ("age", 32)),
        (["age", "address.city"], ("address.city", 1)),
        (["address.city"], ("address.city", 1)),
        ([], (None, 50)),
        (["age"], ("age", 32)),
        (None, (None, 50)),
    ]:
        store.collection("users", indexes=fields)
        assert looked_at(adults) == used, fields
        assert ids(adults) == wanted == ["20"]
        users.doc("x").set(user(20))
        assert ids(adults) == ["20", "x"]
        users.doc("x").delete()


def test_asking_again_without_the_option_changes_nothing(store: grebe.Store, users: Users) -> None:
    """It is remembered for the path; other collections have their own."""
    assert looked_at(store.collection("users").where(ADULTS)) == ("age", 82)
    store.collection("users", partition="x")
    assert looked_at(users.where(ADULTS)) == ("age", 82)
    assert looked_at(users.doc("1").collection("users").where(ADULTS)) == (None, 0)


def test_indexes_on_fields(store: grebe.Store) -> None:
    """A field may be given as field(), and twice."""
    users = store.collection("users", indexes=[field("age"), "age", "address.city"])
    users.doc("1").set(user(20))
    assert looked_at(users.where(ADULTS)) == ("age", 1)


@pytest.mark.parametrize(
    ("wrong", "kind"), [("age", TypeError), ([1], TypeError), (1, TypeError), (["a."], ValueError)]
)
def test_what_is_no_index_is_refused(store: grebe.Store, wrong: Any, kind: type[Exception]) -> None:
    """At the call; what was there stays."""
    users = store.collection("users", indexes=["age"])
    users.doc("1").set(user(20))
    with pytest.raises(kind):
        store.collection("users", indexes=wrong)
    assert looked_at(users.where(ADULTS)) == ("age", 1)


# --- models


@dataclass
class City:
    city: str


@dataclass
class Reading:
    real: float


class Person(msgspec.Struct):
    age: int | None = None
    address: City | None = None


def test_models_are_indexed_by_attributes(store: grebe.Store) -> None:
    """Defaults, nested models, and an index on a whole nested model."""
    people = store.collection("people", model=Person, indexes=["age", "address.city", "address"])
    people.create_many(
        {f"{n}": Person(n % 7, City(f"{n % 5}")) if n % 3 else Person() for n in range(30)}
    )
    for query in [
        people.where(field("address.city") == "3"),
        people.where(field("age") == None),  # noqa: E711
        people.order_by("address").limit(20),
        people.order_by("address", desc=True).limit(5),
    ]:
        with_index = ids(query)
        assert query.explain().index is not None
        store.collection("people", indexes=[])
        assert ids(query) == with_index
        store.collection("people", indexes=["age", "address.city", "address"])
    for n in range(0, 30, 2):  # objects leave their places
        people.doc(f"{n}").set(Person(1, City(f"{n % 4}")))
        assert len(people.order_by("address").limit(30)) == 30


def test_another_model_is_no_reason_for_wrong_answers(store: grebe.Store) -> None:
    """A reference that reads documents in another way sees its own values."""
    people = store.collection("people", model=Person)
    raw = store.collection("people", model=None, indexes=["age"])
    raw.create_many({"a": {}, "b": {"age": 1}})
    assert ids(raw.where(AGE.exists())) == ["b"]
    assert ids(people.where(AGE.exists())) == ["a", "b"]
    assert ids(people.where(AGE == None)) == ["a"]  # noqa: E711
    assert looked_at(people.where(AGE == 1)) == (None, 2)
    assert looked_at(raw.where(AGE == 1)) == ("age", 1)


def test_a_document_that_cannot_be_read(store: grebe.Store) -> None:
    """With an index as without: the query raises, naming it, until it is mended."""
    store.collection("people").create_many(
        {"a": {"age": 1}, "bad": {"age": "old"}, "c": {"age": 3}}
    )
    people = store.collection("people", model=Person, indexes=["age"])
    ask: list[Callable[[], Any]] = [
        lambda: people.where(AGE == 1).get(),
        lambda: people.order_by("age").limit(1).get(),
        lambda: people.where(AGE == 1).count(),
        lambda: people.where(AGE == 1).observe(),
    ]
    for one in ask:
        with pytest.raises(grebe.DocumentTypeError, match="people/bad"):
            one()
    store.collection("people").doc("bad").delete()
    assert ids(people.where(AGE == 1)) == ["a"]
    assert looked_at(people.where(AGE == 1)) == ("age", 1)
    store.collection("people", model=None).doc("bad").set({"age": "old"})
    people = store.collection("people", model=Person)
    with pytest.raises(grebe.DocumentTypeError, match="people/bad"):
        people.where(AGE == 1).get()
    store.collection("people", model=None).doc("bad").set({"age": 1})
    assert ids(store.collection("people", model=Person).where(AGE == 1)) == ["a", "bad"]


def test_a_query_follows_its_collection_to_another_model(store: grebe.Store) -> None:
    """One that was asked before gives the snapshots that one made now gives."""
    people = store.collection("people", indexes=["age"])
    people.create_many({"a": {"age": 1}, "b": {"age": 2}})
    query = people.where(AGE == 1)
    assert [one.data for one in query] == [{"age": 1}]
    store.collection("people", model=Person)
    assert [one.data for one in query] == [Person(1)]
    store.collection("people", model=None)
    assert [one.data for one in query] == [{"age": 1}]
    people.doc("c").set({"age": "old"})
    own = store.collection("people", model=Person).where(AGE == 1)
    for one in (query, own):
        with pytest.raises(grebe.DocumentTypeError, match="people/c"):
            one.get()
    people.doc("c").delete()
    assert [one.data for one in query] == [one.data for one in own] == [Person(1)]


# --- with others


def test_live_queries_begin_with_an_index(users: Users) -> None:
    """What they start with, and what they are told, are the same as without."""
    ears = Ears(users.where(AGE > 97).order_by("age", desc=True).observe())
    assert ids(ears.observer.get()) == ["99", "98"]
    users.doc("a").set(user(98.5))
    assert [[(c.event, c.id, c.index) for c in told] for told in ears.changes] == [
        [(Event.ADDED, "a", 1)]
    ]


def test_a_key_that_is_a_nan(store: grebe.Store) -> None:
    """No comparison meets it, and it does not put others out of order."""

    rows = store.collection(
        "rows",
        from_json=lambda text: Reading(float(text)),
        to_json=lambda reading: str(reading.real),
        indexes=["real"],
    )
    values = {"a": 1.0, "b": float("nan"), "c": 0.5, "d": float("nan"), "e": float("inf")}
    rows.create_many({name: Reading(real) for name, real in values.items()})
    assert ids(rows.where(field("real") > 0.5)) == ["a", "e"]
    assert ids(rows.where(field("real") < 9)) == ["a", "c"]
    assert ids(rows.where(field("real") >= float("nan"))) == []
    assert ids(rows.order_by("real").limit(9)) == ["b", "d", "c", "a", "e"]
    rows.doc("b").set(Reading(2.0))
    assert ids(rows.order_by("real", desc=True).limit(9)) == ["e", "b", "a", "c", "d"]


# --- bounds


VALUES = [None, False, True, -1, 0, 0.5, 1, 2, "", "a", "aa", "ab", "b", [], [1], {}, {"a": 1}]


def filled(
    values: list[Any], documents: dict[str, Entry] | None = None
) -> tuple[Index, dict[str, Entry]]:
    """Return an index of documents that have these values, in this order."""
    index = Index("n")
    if documents is None:
        documents = {f"{n}": Entry(b"", n, home_of()) for n in range(len(values))}
    put(index, documents, dict(enumerate(values)))
    index.documents = documents
    return index, documents


def put(index: Index, documents: dict[str, Entry], values: dict[int, Any]) -> None:
    data = {f"{n}": {} if x is MISSING else {"n": x} for n, x in values.items()}
    index.put(data, documents)


def within(bounds: Bounds) -> list[Any]:
    index, documents = filled(VALUES)
    found = [VALUES[int(document_id)] for document_id in index.walk(bounds, False)]
    entries = list(index.entries(bounds, None))
    ids = index.ids(Index.entries, bounds, None)
    assert entries == [documents[one] for one in ids]
    assert index.count(bounds) == len(entries) == len(found)
    return found


def test_bounds_can_be_cut() -> None:
    """The intersection has what is in both, ascending, and no empty spans."""
    conditions = [AGE > 0, AGE <= 1, AGE == 1, AGE.in_(["a", 1, None]), AGE >= "a", AGE.exists()]
    conditions += [AGE.starts_with("a"), AGE < True, AGE.in_([]), AGE == [1], AGE > [], AGE < "b"]
    for one in conditions:
        for other in conditions:
            left, right = bounds_of(one), bounds_of(other)
            assert left is not None
            assert right is not None
            wanted = [x for x in VALUES if one.test({"age": x}) and other.test({"age": x})]
            assert within(intersection(left, right)) == wanted, (one, other)
    assert intersection(EVERYTHING, EVERYTHING) == EVERYTHING


def test_what_no_bounds_can_say() -> None:
    """`!=`, parts, patterns, NaN and moments are left to the documents."""
    for condition in [
        AGE != 1,
        AGE.contains("a"),
        AGE.matches("^a"),
        ~(AGE == 1),
        (AGE == 1) | (AGE == 2),
        float("nan") == AGE,
        AGE.in_([1, object()]),
    ]:
        assert bounds_of(condition) is None


def test_tokens_are_equal_as_values_are() -> None:
    """Across types too, whatever their kind."""
    values = [*VALUES, 1.0, MISSING, float("nan"), {1}, (1,)]
    for one in values:
        for other in values:
            alike = ascending(one) == ascending(other)
            assert (token_of(one) == token_of(other)) is alike, (one, other)
            assert not alike or hash(token_of(one)) == hash(token_of(other))


@pytest.mark.parametrize("count", [1, 3, 200])
def test_descending_documents_keep_equals_as_inserted(count: int) -> None:
    """Whether few or many are equal, all of it or some."""
    keys = [place // count for place in range(3 * count)]
    index, _ = filled(keys)
    wanted = sorted(range(len(keys)), key=lambda place: -keys[place])
    assert [int(found) for found in index.walk(EVERYTHING, True)] == wanted
    some = bounds_of(AGE.in_([0, 2]))
    assert some is not None
    found = [int(document_id) for document_id in index.walk(some, True)]
    assert found == [place for place in wanted if keys[place] != 1]


@pytest.mark.parametrize("is_asked", [True, False])
def test_values_come_and_go(is_asked: bool) -> None:
    """Groups grow from one document and shrink to it, few or many at a time; the order of equals
    is that of insertion, whichever came to the value first; the ladders follow."""
    rng = random.Random(3)
    values: list[Any] = [0] * 300
    index, documents = filled(values)
    for count in (1, 2, 290, 5, 299, 1, 1, 300):
        picked = rng.sample(range(300), count)
        fresh = [
            rng.choice([MISSING, None, 1, 2, "a", rng.random(), f"{rng.random()}"]) for _ in picked
        ]
        put(index, documents, dict(zip(picked, fresh, strict=True)))
        for place, value in zip(picked, fresh, strict=True):
            values[place] = value
        if is_asked:
            wanted = sorted(range(300), key=lambda n: ascending(values[n]))
            assert [int(n) for n in index.walk(EVERYTHING, False)] == wanted
        index.check(filled(values, documents)[0])
    index.remove([f"{n}" for n in range(299)])
    assert list(index.walk(EVERYTHING, False)) == ["299"]


def test_a_group_that_shrinks_is_read_in_the_time_of_what_is_left() -> None:
    """A dict keeps the places of what was taken out; a queue would be read ever more slowly."""
    index, _ = filled([1] * 20_000)
    index.remove([f"{n}" for n in range(19_900)])
    assert len(index.of_value(1)) == 100
    assert index.of_value(1).__sizeof__() < 100_000


@pytest.mark.parametrize("does", ["set", "replace", "delete", "clear", "delete one by one"])
def test_old_documents_are_let_go_of(store: grebe.Store, does: str) -> None:
    """A group of many holds documents; what was replaced or deleted is freed without a question."""
    rows = store.collection("rows", indexes=["n"])
    ids = [f"{n}" for n in range(1000)]
    tracemalloc.start()
    try:
        rows.create_many({one: {"n": 1, "text": one * 1000} for one in ids})
        alike = rows.where(field("n") == 1)
        assert len(alike.get()) == len(list(rows)) == 1000
        full = tracemalloc.get_traced_memory()[0]
        if does == "set":
            for one in ids:
                rows.doc(one).set({"n": 1})
        elif does == "replace":
            rows.replace({one: {"n": 1} for one in ids})
        elif does == "delete":
            rows.delete()
        elif does == "clear":
            store.clear()
        else:
            for one in ids:
                rows.doc(one).delete()
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert left < full / 3
    assert len(alike.get()) == (1000 if does in ("set", "replace") else 0)


def test_what_was_let_go_of_keeps_its_place() -> None:
    """So a group stays in order, and nothing moves when the documents are put again."""
    index, documents = filled([1] * 5)
    index.let_go(["1", "3", "missing"])
    assert [entry.order for entry in index.entries_of_one(1, None)] == [0, 1, 2, 3, 4]
    put(index, documents, {1: 1, 3: 1})
    assert not index._unsorted
    assert list(index.of_value(1)) == ["0", "1", "2", "3", "4"]
    index.check(filled([1] * 5, documents)[0])


def test_few_changes_wait_for_a_question(store: grebe.Store) -> None:
    """Many are taken in by the writes, if the index holds documents and the data is at hand."""
    rows = store.collection("rows", indexes=["n"])
    rows.create_many({f"{n}": {"n": n} for n in range(150)})
    thirds = rows.where(field("n") == 2)
    assert ids(thirds) == ["2"]
    index = store._engine.finder.indexes["rows"].by_path["n"]
    for n in range(150):
        rows.doc(f"{n}").set({"n": n % 50, "is": "new"})
    assert index.of_value(149) == ("149",), "no value was shared: all wait"
    assert ids(thirds) == ["2", "52", "102"]
    for n in range(150):
        rows.doc(f"{n}").set({"n": n % 3, "is": "newer"})
    assert len(index.of_value(2)) == 34, "up to the 101st they are taken in"
    assert len(thirds.get()) == 50


def test_a_document_that_is_made_again_is_the_last(users: Users) -> None:
    """With the same value, between two questions."""
    alike = users.where(AGE == 7)
    users.doc("a").set(user(7))
    assert ids(alike) == ["7", "a"]
    users.doc("7").delete()
    users.doc("7").set(user(7))
    assert ids(alike) == ["a", "7"]


def test_not_all_documents_are_decoded_at_the_same_time(store: grebe.Store) -> None:
    """To make an index of what nobody has read takes the memory of a part of it."""
    rows = store.collection("rows", indexes=["n"])
    rows.create_many({f"{n}": {"n": n, "text": f"{n}" * 1000} for n in range(5000)})
    size = sum(len(entry.value) for entry in store._engine.tree.documents("rows").values())
    tracemalloc.start()
    try:
        assert rows.where(field("n") < 10).count() == 10
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 2


def test_an_estimate_is_enough_to_choose(store: grebe.Store) -> None:
    """Of many groups the sizes are not added up, but counts are exact."""
    rows = store.collection("rows", indexes=["n", "s"])
    rows.create_many([{"n": n // 4, "s": n % 3} for n in range(1200)])
    many = rows.where(AGE.exists() | ~AGE.exists(), field("n") < 200, field("s") == 1)
    assert looked_at(many) == ("s", 400)
    assert looked_at(rows.where(field("n") < 90, field("s") == 1)) == ("n", 360)
    assert rows.where(field("n") < 90).count() == 360


@pytest.mark.parametrize("does", ["writes", "asks", "deletes", "exchanges"])
def test_a_condition_that_changes_what_is_walked(store: grebe.Store, does: str) -> None:
    """A function of the user may ask and write; each document is looked at once."""
    rows = store.collection("rows", indexes=["n"])
    rows.create_many({f"{n}": {"n": n} for n in range(50)})
    seen: list[str] = []

    def odd(row: Any) -> bool:
        seen.append(row.id)
        if does == "writes":
            rows.doc("49").update(n=len(seen) - 100)
        if does == "deletes":
            rows.doc("30").delete()
        if does == "exchanges" and len(seen) == 3:
            store.collection("rows", indexes=["n", "s"])
        if does != "deletes":
            assert rows.where(field("n") < 3).count() >= 3
        return bool(row.data["n"] % 2) and row.id != "49"

    found = ids(rows.where(odd).order_by("n").limit(20))
    assert found == [f"{n}" for n in range(1, 40, 2)]
    assert does == "exchanges" or len(seen) == len(set(seen))


def test_a_broken_index_is_noticed(store: grebe.Store, users: Users) -> None:
    """The check that follows every test compares it with one made anew."""
    assert ids(users.where(AGE == 5)) == ["5"]
    engine = store._engine
    index = engine.finder.indexes["users"].by_path["age"]
    documents = engine.tree.documents("users")
    index.remove(["5"])
    with pytest.raises(AssertionError, match="index age is out of date"):
        engine.check()
    index.put({"5": {"age": 5}}, documents)
