"""Loops select what the tests of conditions say, or raise for documents that they do not fit."""

from __future__ import annotations

import random
from typing import Any

import pytest

import grebe
from grebe import field
from grebe.core.entry import Entry, home_of
from grebe.core.values import read_only
from grebe.documents import scanning
from grebe.documents.conditions import All, AnyOf, Condition, Not
from grebe.documents.fields import Field
from grebe.documents.models import PLAIN, UNREAD
from grebe.documents.scanning import MISFITS, fields_of, look_of, loop_of
from grebe.documents.snapshot import Snapshot
from grebe.store.store import Store
from tests.conftest import rounds
from tests.unit.documents.test_conditions import OPERATORS, is_json

AGE, NAME, TAGS = Field("age"), Field("name"), Field("tags")


def entries_of(rows: list[Any], store: grebe.Store) -> list[Entry]:
    """Return entries of documents that somebody has read."""
    found = []
    for number, row in enumerate(rows):
        entry = Entry(b"", number, home_of())
        data = read_only(row) if row is not UNREAD else UNREAD
        entry.view = Snapshot(store.collection("a"), f"{number}", b"", PLAIN, data)
        found.append(entry)
    return found


def copied(row: Any) -> Any:
    """Return a row that `read_only` may change in place."""
    if isinstance(row, dict):
        return {key: copied(item) for key, item in row.items()}
    return list(map(copied, row)) if isinstance(row, list) else row


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("what", OPERATORS)
def test_each_operator(store: grebe.Store, what: str, lenient: bool) -> None:
    """Each document by itself, and all dicts together in a lenient loop."""
    condition = OPERATORS[what][0]
    rows = [row for row in [*OPERATORS[what][1], *OPERATORS[what][2]] if is_json(row)]
    dicts = [copied(row) for row in rows if isinstance(row, dict)]
    loop = loop_of([condition], lenient)
    assert loop is not None
    fitted = 0
    for row in dicts:
        try:
            found = loop(entries_of([row], store))
        except MISFITS:
            assert not lenient, row
            continue
        fitted += 1
        assert bool(found) is condition.test(row), row
    assert fitted
    if lenient:
        found = [view.data for view in loop(entries_of(dicts, store))]
        assert found == [row for row in dicts if condition.test(row)]


def number(rng: random.Random) -> Any:
    return rng.choice([0, 1, 2, 3, 1.0, 2.5, -1, True, False, 2**53 + 1, float(2**53)])


def anything(rng: random.Random) -> Any:
    texts = ["", "a", "ab", "b", "ba"]
    others: list[Any] = [None, [], ["a"], [1, "a"], [True], [0], {}, {"a": 1}, {"a": [2]}, {"0": 1}]
    return rng.choice([number(rng), number(rng), *texts, rng.choice(others)])


def row(rng: random.Random, shape: str) -> Any:
    """Return a document; those of a shape have the same fields, with values of one type."""
    if shape == "numbers":
        return {"n": rng.randrange(4), "o": {"p": rng.random() * 3}, "t": [rng.randrange(3)]}
    if shape == "texts":
        return {"n": rng.choice("abc"), "o": {"p": rng.choice("ab")}, "t": [rng.choice("ab"), "a"]}
    if shape == "bools":
        return {"n": rng.random() < 0.5, "o": {"p": rng.randrange(2)}, "t": [True, 0]}
    made: dict[str, Any] = {}
    for name in "not":
        if rng.random() < 0.9:
            made[name] = anything(rng)
    if rng.random() < 0.5:
        made["o"] = {"p": anything(rng)}
    return made


PATHS = ("n", "n", "n", "o", "o.p", "t", "t.0", "t.1", "o.a.0", "o.0", "gone", "n.x")


def condition_of(rng: random.Random, depth: int = 0) -> Condition:
    if depth < 3 and rng.random() < 0.5:
        inner = tuple(condition_of(rng, depth + 1) for _ in range(rng.randrange(2, 4)))
        kind = rng.choice([All, AnyOf, Not])
        return (
            Not(inner[0]) if kind is Not else inner[0] & inner[1] if kind is All else AnyOf(inner)
        )
    one, constant = Field(rng.choice(PATHS)), anything(rng)
    made: Any = rng.choice(
        [
            lambda: one == constant,
            lambda: one != constant,
            lambda: one < constant,
            lambda: one <= number(rng),
            lambda: one > constant,
            lambda: one >= number(rng),
            lambda: one.in_([anything(rng) for _ in range(rng.randrange(3))]),
            lambda: one.in_(["a", "b"]),
            lambda: one.contains(constant),
            lambda: one.contains("a"),
            lambda: one.starts_with("a"),
            lambda: one.matches("^a"),
            lambda: one.exists(),
        ]
    )
    found: Condition = made()
    return found


def test_any_combination(store: grebe.Store) -> None:
    """Of random conditions on random documents, alike or not: the same as one by one."""
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    strict = 0
    for _ in rounds(600):
        shape = rng.choice(["numbers", "texts", "bools", "any"])
        rows = [row(rng, shape) for _ in range(8)]
        conditions = [condition_of(rng) for _ in range(rng.choice([1, 1, 2]))]
        wanted = [place for place, data in enumerate(rows) if all(c.test(data) for c in conditions)]
        for lenient in (False, True):
            loop = loop_of(conditions, lenient)
            if loop is None:
                continue
            where = f"seed {seed}: {conditions} of {rows}"
            try:
                found = loop(entries_of(list(map(copied, rows)), store))
            except MISFITS:
                assert not lenient, where
                continue
            strict += not lenient
            assert [int(view.id) for view in found] == wanted, where
    assert strict > 60


@pytest.mark.parametrize("data", ["age", [18], 18, None, UNREAD, [["age", 18]]])
@pytest.mark.parametrize("lenient", [False, True])
def test_what_is_no_dict_is_refused(store: grebe.Store, data: Any, lenient: bool) -> None:
    """It is tested one by one; so are documents without a snapshot."""
    entries = entries_of([data], store)
    for condition in [
        AGE == 1,
        AGE > 1,
        AGE.exists(),
        AGE.in_([1, 5]),
        AGE.contains("a"),
        ~AGE.exists(),
    ]:
        loop = loop_of([condition], lenient)
        assert loop is not None
        with pytest.raises(MISFITS):
            loop(entries)
    entries[0].view = None
    with pytest.raises(MISFITS):
        loop(entries)


@pytest.mark.parametrize("what", OPERATORS)
def test_a_look_at_one_document(store: grebe.Store, what: str) -> None:
    """It tells of each plain document what the condition does, and others are passed on."""
    condition = OPERATORS[what][0]
    rows = [row for row in [*OPERATORS[what][1], *OPERATORS[what][2]] if is_json(row)]
    passed: list[str] = []

    def other(document_id: str, _entry: Entry) -> None:
        passed.append(document_id)

    look = look_of([condition], None, other)
    assert look is not None
    entries = entries_of([copied(row) for row in [*rows, UNREAD]], store)
    met = {n for n, entry in enumerate(entries) if look(f"{n}", entry) == (n, entry.view, entry)}
    assert met == {n for n, row in enumerate(rows) if isinstance(row, dict) and condition.test(row)}
    assert passed == [f"{n}" for n, row in enumerate([*rows, None]) if not isinstance(row, dict)]


def test_a_look_that_fails(store: grebe.Store) -> None:
    """It leaves the document to those who can say so, as it does if nobody has read it."""
    row: Any = {"age": 1}
    look = look_of([AGE == 1], lambda *_: 1 / 0, lambda document_id, _: (document_id, None, None))
    assert look is not None
    (entry,) = entries_of([row], store)
    assert look("a", entry) == ("a", None, None)
    entry.view = None
    assert look("b", entry) == ("b", None, None)


def test_too_much_for_one_loop() -> None:
    """Python would not compile what is nested so deeply."""
    many: Condition = AGE == 1
    for n in range(200):
        many = ~many if n % 2 else many | (n == AGE)
    assert loop_of([many], True) is None
    assert look_of([many], None, lambda *_: None) is None
    assert loop_of([Field(".".join("abcde" * 30)) == 1], True) is None
    assert loop_of([n == AGE for n in range(scanning.PARTS_MAX)], True) is not None
    deep: Condition = AGE == 1
    for _ in range(scanning.PARTS_MAX - 1):
        deep = Not(deep)
    assert loop_of([deep], True) is not None


def test_a_shape_is_compiled_once() -> None:
    """Whatever the fields and constants are: those are arguments, not text of the program."""
    loop_of([(AGE >= 1) & NAME.starts_with("a")], False)
    before = scanning._compiled.cache_info().misses
    loop_of([(TAGS >= 7.5) & Field("__import__('os')").starts_with("'); import os")], False)
    assert scanning._compiled.cache_info().misses == before


def test_which_fields_are_looked_at() -> None:
    """In all kinds of combinations."""
    assert fields_of([(AGE > 1) & ~NAME.exists(), (TAGS == 1) | (AGE == 2)]) == {
        "age",
        "name",
        "tags",
    }


# --- in the store


def test_documents_become_ragged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The strict loop is not tried again where it failed, unless the documents were not read."""
    monkeypatch.setattr(scanning, "FEW", 0)
    rows = store.collection("rows")
    rows.create_many({f"{n}": {"n": n, "t": ["a"]} for n in range(20)})
    ragged = store._engine.finder._ragged
    query = rows.where(field("n") >= 10, lambda row: row.data["n"] % 2 == 1)
    for _ in range(3):
        assert [row.id for row in query] == ["11", "13", "15", "17", "19"]
    assert ragged == set()
    rows.doc("20").set({"n": None, "t": []})
    assert len(query.get()) == 5  # it is not read, so this says nothing
    assert ragged == set()
    assert len(query.get()) == 5
    assert ragged == {("rows", frozenset({"n"}))}
    assert len(query.get()) == 5
    for n in range(1100):
        rows.where(field(f"gone{n}") > "a").get()
    assert len(ragged) <= 1001


def test_a_function_before_a_condition_is_asked_first(
    store: grebe.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is written, and of what the ones before left only."""
    monkeypatch.setattr(scanning, "FEW", 0)
    rows = store.collection("rows")
    rows.create_many({f"{n}": {"n": n} for n in range(10)})
    assert len([row.data for row in rows]) == 10
    asked: list[str] = []

    def odd(row: Any) -> bool:
        asked.append(row.id)
        return bool(row.data["n"] % 2)

    assert [row.id for row in rows.where(odd, field("n") > 6)] == ["7", "9"]
    assert len(asked) == 10
    asked.clear()
    assert [row.id for row in rows.where(field("n") > 6, odd)] == ["7", "9"]
    assert asked == ["7", "8", "9"]
