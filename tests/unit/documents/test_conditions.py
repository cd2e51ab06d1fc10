"""What each condition asks of the data of a document, and how conditions combine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import grebe
from grebe import field
from grebe.core.ordering import MISSING
from grebe.documents import scanning
from grebe.documents.conditions import Condition, getter_of

Age = field("age")
Name = field("name")
Tags = field("tags")


def age(*values: Any) -> list[dict[str, Any]]:
    return [{"age": value} for value in values]


def name(*values: Any) -> list[dict[str, Any]]:
    return [{"name": value} for value in values]


def tags(*values: Any) -> list[dict[str, Any]]:
    return [{"tags": value} for value in values]


ELSE: list[Any] = [{}, {"Age": 18}, "age", 18, 1.5, True, None, [], [18], [["age", 18]]]
"""Data without any of the fields."""

OPERATORS: dict[str, tuple[Condition, list[Any], list[Any]]] = {
    "equal": (Age == 1, age(1, 1.0), [*age(2, True, "1", None, [1], {}), *ELSE]),
    "equal to a float": (Age == 1.5, age(1.5), [*age(1, "1.5"), *ELSE]),
    "equal to a bool": (Age == True, age(True), [*age(1, 1.0, "True"), *ELSE]),  # noqa: E712
    "equal to None": (Age == None, age(None), [*age(0, False, "", []), *ELSE]),  # noqa: E711
    "equal to a text": (Name == "a", name("a"), [*name("A", "ab", b"a", ["a"], 0), *ELSE]),
    "equal to a list": (
        Tags == [1, "a"],
        tags([1, "a"], [1.0, "a"], (1, "a")),
        [*tags([True, "a"], ["a", 1], [1], [1, "a", 0], 1), *ELSE],
    ),
    "equal to a dict": (
        Tags == {"a": 1, "b": [2]},
        tags({"b": [2], "a": 1}, {"a": 1.0, "b": [2]}),
        [*tags({"a": 1}, {"a": True, "b": [2]}, {"a": 1, "b": [2], "c": 3}, []), *ELSE],
    ),
    "unequal": (Age != 1, [*age(2, True, "1", None, [1]), *ELSE], age(1, 1.0)),
    "unequal to None": (Age != None, [*age(0, False), *ELSE], age(None)),  # noqa: E711
    "unequal to a list": (Tags != [1], [*tags([True], [], 1), *ELSE], tags([1], [1.0])),
    "less": (Age < 18, age(17, 17.9, -1, float("-inf")), [*age(18, 19, True, "1", None), *ELSE]),
    "less than a float": (Age < 0.5, age(0, 0.25), [*age(0.5, 1, False), *ELSE]),
    "at most": (Age <= 18, age(17, 18, 18.0), [*age(18.1, 19, False, "", None, []), *ELSE]),
    "greater": (Age > 18, age(19, 18.1), [*age(18, 17, True, "19", [19]), *ELSE]),
    "at least": (Age >= 18, age(18, 19), [*age(17, 17.9, True, "18", {"a": 1}), *ELSE]),
    "less, of texts": (Name < "b", name("", "B", "a", "ab"), [*name("b", "ba", 0, None), *ELSE]),
    "at least, of texts": (Name >= "b", name("b", "é"), [*name("a", 2, ["b"]), *ELSE]),
    "at least, of bools": (Age >= False, age(False, True), [*age(0, 1, None), *ELSE]),
    "at most None": (Age <= None, age(None), [*age(False, 0), *ELSE]),
    "less, of lists": (Tags < [1, 2], tags([], [1], [1, 1, 9]), [*tags([1, 2], [2], 1), *ELSE]),
    "in": (
        Age.in_([1, "a", None, True]),
        age(1, 1.0, "a", None, True),
        [*age(2, "b", False, "1", [1]), *ELSE],
    ),
    "in nothing": (Age.in_([]), [], [*age(1, None), *ELSE]),
    "in lists": (Tags.in_([[1], {"a": 1}]), tags([1], {"a": 1}), [*tags([True], 1), *ELSE]),
    "contains, in a list": (
        Tags.contains(1),
        tags([1], ["a", 1.0], (1,), {1, 2}),
        [*tags([], [True], ["1"], [[1]], "1", {"1": 1}, 1), *ELSE],
    ),
    "contains a dict, in a list": (Tags.contains({"a": 1}), tags([{"a": 1.0}]), tags({"a": 1})),
    "contains, in a text": (Name.contains("b"), name("b", "abc"), [*name("B", "", 1), *ELSE]),
    "contains, a key": (Tags.contains("a"), tags({"a": None}, ["a"], "cat"), tags({"b": "a"})),
    "contains nothing": (Name.contains(""), name("", "a", {"": 1}), [*name(1, {}, []), *ELSE]),
    "starts with": (
        Name.starts_with("ab"),
        name("ab", "abc"),
        [*name("a", "cab", "Ab", ["ab"], {"ab": 1}, None), *ELSE],
    ),
    "starts with nothing": (Name.starts_with(""), name("", "a"), [*name(None, 1, []), *ELSE]),
    "matches": (Name.matches("b.d"), name("bad", "a bed"), [*name("", "bd", 1, ["bad"]), *ELSE]),
    "matches at both ends": (Name.matches("^a$"), name("a"), [*name("ab", "ba"), *ELSE]),
    "matches, compiled": (
        Name.matches(re.compile("^A", re.IGNORECASE)),
        name("a", "Ab"),
        [*name("ba"), *ELSE],
    ),
    "exists": (Age.exists(), age(None, 0, False, "", [], {}), ELSE),
    "and": ((Age > 1) & (Age < 3), age(2), [*age(1, 3, "2"), *ELSE]),
    "or": ((Age < 1) | (Age > 3), age(0, 4), [*age(1, 3, "0"), *ELSE]),
    "not": (~(Age >= 18), [*age(17, "18", None), *ELSE], age(18)),
    "not not": (~~(Age == 1), age(1), [*age(2), *ELSE]),
    "and of three": (
        (Age > 1) & (Age < 9) & (Age != 5),
        age(2, 8),
        [*age(1, 5, 9), *ELSE],
    ),
    "or in and": (
        ((Age == 1) | (Age == 2)) & ~Name.exists(),
        age(1, 2),
        [{"age": 1, "name": "a"}, *age(3), *ELSE],
    ),
    "and in or": (
        (Age == 1) & Name.exists() | (Age == 2),
        [{"age": 1, "name": None}, {"age": 2}],
        [*age(1), *ELSE],
    ),
}


@pytest.mark.parametrize("what", OPERATORS)
def test_what_meets_a_condition(what: str) -> None:
    """A missing field meets no comparison but `!=`; types are never equal nor ordered."""
    condition, yes, no = OPERATORS[what]
    assert [data for data in yes if not condition.test(data)] == []
    assert [data for data in no if condition.test(data)] == []
    assert [data for data in no if not (~condition).test(data)] == []


@pytest.mark.parametrize("what", OPERATORS)
def test_all_ways_to_ask_agree(
    store: grebe.Store, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scans of documents that somebody read or not, `select`, calls and live queries give what
    the test of the data says."""
    monkeypatch.setattr(scanning, "FEW", 0)
    condition = OPERATORS[what][0]
    rows = [row for row in [*OPERATORS[what][1], *OPERATORS[what][2]] if is_json(row)]
    users = store.collection("users")
    users.create_many({f"{place}": row for place, row in enumerate(rows)})
    wanted = [f"{place}" for place, row in enumerate(rows) if condition.test(row)]
    query = users.where(condition)
    assert [user.id for user in query.get()] == wanted
    assert [user.id for user in query.get()] == wanted  # now all of them have been read
    assert [user.id for user in users if condition(user)] == wanted
    assert query.count() == len(wanted)
    assert [user.id for user in query.observe().get()] == wanted


@pytest.mark.parametrize("what", OPERATORS)
def test_a_scan_of_documents_that_have_the_field(
    store: grebe.Store, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents of one shape, which are scanned in one loop, are judged as others are."""
    monkeypatch.setattr(scanning, "FEW", 0)
    condition = OPERATORS[what][0]
    rows = [row for row in [*OPERATORS[what][1], *OPERATORS[what][2]] if is_json(row)]
    for kinds in [(int, float), (int, float, bool), (str,)]:
        alike = [row for row in rows if isinstance(row, dict) and len(row) == 1]
        alike = [row for row in alike if type(next(iter(row.values()))) in kinds]
        users = store.collection(f"of{len(kinds)}")
        users.create_many({f"{place}": row for place, row in enumerate(alike)})
        assert len(list(users)) == len(alike)  # reads all
        wanted = [row for row in alike if condition.test(row)]
        assert [user.data for user in users.where(condition)] == wanted


def is_json(value: Any) -> bool:
    """Tell whether a value can be stored in a plain document."""
    try:
        return value is not None and bool(msgspec.json.encode(value)) and is_plain(value)
    except (TypeError, msgspec.MsgspecError):
        return False


def is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, list):
        return all(map(is_plain, value))
    is_finite = not isinstance(value, float) or value - value == 0
    return isinstance(value, str | int | float | None) and is_finite


# --- where fields are found


@dataclass
class Address:
    city: str
    lines: list[str] = dataclass_field(default_factory=list)

    @property
    def short(self) -> str:
        return self.city[:2]

    def shout(self) -> str:
        return self.city.upper()


class Person(msgspec.Struct):
    name: str
    address: Address
    tags: tuple[str, ...] = ()
    more: dict[str, Any] = {}


PERSON = Person("John", Address("Bern", ["a", "b"]), ("x", "y"), {"a": 1, "0": "zero"})


@pytest.mark.parametrize(
    ("data", "path", "wanted"),
    [
        ({"a": 1}, "a", 1),
        ({"a": None}, "a", None),
        ({"a": 1}, "b", MISSING),
        ({"a": {"b": {"c": 1}}}, "a.b.c", 1),
        ({"a": {"b": 1}}, "a.b.c", MISSING),
        ({"a": None}, "a.b", MISSING),
        ({"a": "text"}, "a.upper", MISSING),
        ({"a": 1}, "a.real", MISSING),
        ({"a": True}, "a.real", MISSING),
        ({"a.b": 1}, "a.b", MISSING),
        ({"items": 1}, "items", 1),
        ({}, "items", MISSING),
        ({}, "keys", MISSING),
        ({"a": [1, 2]}, "a.0", 1),
        ({"a": [1, 2]}, "a.1", 2),
        ({"a": [1, 2]}, "a.2", MISSING),
        ({"a": [1, 2]}, "a.-1", MISSING),
        ({"a": [1, 2]}, "a.count", MISSING),
        ({"a": [1, 2]}, "a.b", MISSING),
        ({"a": [{"b": [[5]]}]}, "a.0.b.0.0", 5),
        ({"a": {"0": "key"}}, "a.0", "key"),
        ({"0": "key"}, "0", "key"),
        ([{"a": 1}], "0.a", 1),
        ([1], "1", MISSING),
        ("text", "0", MISSING),
        (None, "a", MISSING),
        (PERSON, "name", "John"),
        (PERSON, "address.city", "Bern"),
        (PERSON, "address.lines.1", "b"),
        (PERSON, "address.lines.2", MISSING),
        (PERSON, "address.short", "Be"),
        (PERSON, "address.shout", MISSING),
        (PERSON, "address.gone", MISSING),
        (PERSON, "tags.1", "y"),
        (PERSON, "more.a", 1),
        (PERSON, "more.0", "zero"),
        (PERSON, "0", MISSING),
        (SimpleNamespace(a=SimpleNamespace(b=1)), "a.b", 1),
    ],
)
def test_fields_are_found(data: Any, path: str, wanted: Any) -> None:
    """Keys of dicts, attributes of models (no methods), positions in lists; never parts of texts,
    numbers, or methods of lists and dicts."""
    found = getter_of(path)(data)
    assert found is wanted or (found == wanted and type(found) is type(wanted))


@pytest.mark.parametrize("model", [Address, Person])
def test_conditions_read_models(store: grebe.Store, model: Any) -> None:
    """Attributes of dataclasses and structs, nested too, by all kinds of conditions."""
    made = {"a": Address("Bern", ["x"]), "b": Address("Rome")}
    prefix = ""
    if model is Person:
        made = {key: Person(key, address) for key, address in made.items()}  # type: ignore[misc]
        prefix = "address."
    users = store.collection("users", model=model)
    users.create_many(made)
    city, lines = field(f"{prefix}city"), field(f"{prefix}lines")
    for condition, wanted in [
        (city == "Bern", ["a"]),
        (city != "Bern", ["b"]),
        (city > "Bern", ["b"]),
        (city.in_(["Rome", "Oslo"]), ["b"]),
        (city.starts_with("Be"), ["a"]),
        (city.matches("e$"), ["b"]),
        (lines.contains("x"), ["a"]),
        (field(f"{prefix}lines.0").exists(), ["a"]),
        (~field(f"{prefix}shout").exists(), ["a", "b"]),
        (field(f"{prefix}short") == "Ro", ["b"]),
        ((city == "Bern") | (lines == []), ["a", "b"]),
    ]:
        assert [user.id for user in users.where(condition)] == wanted, condition


# --- conditions as values


WRITTEN = [
    "field('a.b') == 'x'",
    "field('a') != None",
    "field('a') < 1.5",
    "field('a') <= [1, {'b': 2}]",
    "field('a') > 1",
    "field('a') >= True",
    "field('a').in_([1, 'x'])",
    "field('a').contains('x')",
    "field('a').starts_with('x')",
    "field('a').matches('^x')",
    "field('a').exists()",
    "~(field('a') == 1)",
    "(field('a') > 1) & (field('a') < 3) & (field('b').exists())",
    "(field('a') > 1) | (field('b') < 3)",
    "((field('a') == 1) & (field('b') == 2)) | (~(field('c').exists()))",
]


def made(text: str) -> Condition:
    condition = eval(text, {"field": field})
    assert isinstance(condition, Condition)
    return condition


@pytest.mark.parametrize("text", WRITTEN)
def test_a_condition_shows_as_it_is_written(text: str) -> None:
    """Its repr is the code that makes an equal one; equal conditions hash alike."""
    condition = made(text)
    assert repr(condition) == text
    assert made(text) == condition
    assert hash(made(text)) == hash(condition)


@pytest.mark.parametrize("text", WRITTEN)
def test_conditions_that_say_something_else_are_not_equal(text: str) -> None:
    """By kind, field, operator and constants; nor is a condition equal to anything else."""
    condition = made(text)
    assert [other for other in WRITTEN if made(other) == condition] == [text]
    assert condition != text
    assert (condition == 1) is False


def test_messages_need_not_show_constants() -> None:
    """What is logged has no document data, also of nested conditions."""
    condition = ((field("a") == "secret") | field("b").in_(["secret"])) & ~(
        field("c").contains("secret")
        & field("d").starts_with("secret")
        & field("e").matches("secret")
    )
    assert "secret" not in condition.describe(values=False)
    assert [path for path in "abcde" if f"field('{path}')" not in condition.describe(False)] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Age == 1, Age == 1.0),
        (Age == [1], Age == (1,)),
        (Age.in_([1, 2]), Age.in_([2, 1, 2.0])),
        (Name.matches("a"), Name.matches(re.compile("a"))),
        ((Age > 1) & (Age < 3) & (Age != 2), (Age > 1) & ((Age < 3) & (Age != 2))),
    ],
)
def test_conditions_that_say_the_same_are_equal(one: Condition, other: Condition) -> None:
    """Constants that are equal in the order, in_ in any order, operators in a row."""
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Age == 1, Age == True),  # noqa: E712
        (Age == 1, field("ages") == 1),
        (Age.in_([1]), Age.in_([True])),
        (Name.matches("a"), Name.matches(re.compile("a", re.IGNORECASE))),
        ((Age > 1) & (Age < 3), (Age < 3) & (Age > 1)),
        (~(Age == 1), Age != 1),
    ],
)
def test_conditions_may_mean_the_same_and_differ(one: Condition, other: Condition) -> None:
    """Types and order count; nobody reasons about them."""
    assert one != other


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: (Age > 1) and (Age < 3),
        lambda: (Age > 1) or (Age < 3),
        lambda: not (Age > 1),
        lambda: 1 < Age < 3,
        lambda: bool(Age == 1),
        lambda: [row for row in [1] if Age == row],
    ],
    ids=["and", "or", "not", "chained", "bool", "if"],
)
def test_python_words_for_conditions_are_refused(wrong: Any) -> None:
    """`and`, `or`, `not` and chained comparisons would silently drop a condition."""
    with pytest.raises(TypeError, match=r"no truth value; combine conditions with & \| ~"):
        wrong()


@pytest.mark.parametrize("other", [lambda snapshot: True, True, None, 1, "age", Age])
@pytest.mark.parametrize("symbol", ["&", "|"])
def test_only_conditions_combine(other: Any, symbol: str) -> None:
    """A function is given to where() beside them; a comparison without parentheses is told."""
    with pytest.raises(TypeError, match="only conditions on fields combine"):
        (Age == 1) & other if symbol == "&" else (Age == 1) | other


def test_parts_must_all_hold() -> None:
    """What `&` joins falls apart, at any depth; what `|` and `~` join does not."""
    one, two, three = Age > 1, Age < 3, Name.exists()
    either = one | two
    assert ((one & two) & (either & ~three)).parts() == (one, two, either, ~three)
    assert either.parts() == (either,)
