"""Plain values: what is refused and where, what is carried, how readers see it."""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import enum
import json
import math
import pickle
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import grebe
from grebe.core.values import ReadOnlyDict, ReadOnlyList, decode_plain, encode_plain

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


def same(left: Any, right: Any) -> bool:
    """Compare with types: 1, 1.0 and True differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


@pytest.mark.slow
@given(json_values.filter(lambda value: value is not None))
def test_json_is_carried_unchanged(value: Any) -> None:
    """Whatever JSON can hold comes back equal, types included."""
    assert same(copy.deepcopy(decode_plain(encode_plain(value, "a/1"))), value)


class Color(str, enum.Enum):  # noqa: UP042 - StrEnum has another __str__
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Real(float):
    pass


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.defaultdict(int, a=1), {"a": 1}),
        (collections.Counter("a"), {"a": 1}),
        ({"c": Color.RED}, {"c": "red"}),
        ({Color.RED: 1}, {"red": 1}),
        ([Level.HIGH], [3]),
        ([Real(1.5)], [1.5]),
        (Text("x"), "x"),
        (ReadOnlyDict({"a": ReadOnlyList([1])}), {"a": [1]}),
        ({"n": None}, {"n": None}),
        ("", ""),
        (0, 0),
        (False, False),
        ([], []),
        ({}, {}),
        ({"": {"": 1}}, {"": {"": 1}}),
        (-(2**63), -(2**63)),
        (2**63 - 1, 2**63 - 1),
        (5e-324, 5e-324),
        (1.7976931348623157e308, 1.7976931348623157e308),
        ('\u2028\U0001f426\x00\x1f"\\', '\u2028\U0001f426\x00\x1f"\\'),
    ],
)
def test_subclasses_are_carried_as_their_base(store: grebe.Store, value: Any, carried: Any) -> None:
    """They compare equal to what is read back, which is of the exact JSON type."""
    data = store.doc("x").set(value).data
    assert same(copy.deepcopy(data), carried)


def cyclic_list() -> Any:
    value: list[Any] = [1]
    value.append({"again": value})
    return {"loop": value}


def cyclic_dict() -> Any:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


REFUSED: list[tuple[Any, str]] = [
    (None, "users/1: None is not a document"),
    ({"a": math.nan}, "users/1: $.a is not a finite number"),
    (math.inf, "users/1: $ is not a finite number"),
    ({"a": [1, -math.inf]}, "users/1: $.a[1] is not a finite number"),
    ({"a": 2**63}, "users/1: $.a is an int of more than 64 bits"),
    ([-(2**63) - 1], "users/1: $[0] is an int of more than 64 bits"),
    ({"a": {1: 2}}, "users/1: $.a has a key of type int"),
    ({None: 2}, "users/1: $ has a key of type NoneType"),
    ({"a": {("x",): 2}}, "users/1: $.a has a key of type tuple"),
    ({"tags": ["a", "b", "c", {1, 2}]}, "users/1: $.tags[3] is a set"),
    ({"a": (1, 2)}, "users/1: $.a is a tuple"),
    ({"a": b"x"}, "users/1: $.a is a bytes"),
    ({"a": datetime.datetime(2026, 1, 1)}, "users/1: $.a is a datetime"),
    ({"a": datetime.date(2026, 1, 1)}, "users/1: $.a is a date"),
    ({"a": decimal.Decimal(1)}, "users/1: $.a is a Decimal"),
    ({"a": uuid.UUID(int=1)}, "users/1: $.a is a UUID"),
    ({"a": 1j}, "users/1: $.a is a complex"),
    ({"a": object()}, "users/1: $.a is a object"),
    ({"a": {"b": [{"c": frozenset()}]}}, "users/1: $.a.b[0].c is a frozenset"),
    ({"a": collections.deque()}, "users/1: $.a is a deque"),
    ({"a": ["x", "\ud800"]}, "users/1: $.a[1] holds a lone surrogate"),
    ({"a": {"\udc00": 1}}, "users/1: $.a holds a lone surrogate"),
    ("\ud800", "users/1: $ holds a lone surrogate"),
    (cyclic_list(), "users/1: $.loop[1].again contains itself"),
    (cyclic_dict(), "users/1: $.self contains itself"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_what_json_cannot_carry_is_refused_at_the_write(
    store: grebe.Store, value: Any, message: str
) -> None:
    """Document and field are named, memory stays as it was, by every kind of write."""
    users = store.collection("users")
    doc = users.doc("1")
    doc.set({"old": 1})
    other = store.doc("users/2")

    def edit() -> None:
        with doc.edit() as draft:
            draft["new"] = value

    writes: list[Callable[[], object]] = [
        lambda: doc.set(value),
        lambda: doc.replace(value),
        lambda: doc.modify(lambda _: value),
        lambda: users.replace({"1": value}),
    ]
    for write in writes:
        with pytest.raises(grebe.SerializationError) as caught:
            write()
        assert str(caught.value).startswith(message)
        assert isinstance(caught.value, TypeError)
        assert caught.value.path == "users/1"
    if value is not None:
        for write in (edit, lambda: doc.update(new=value)):
            with pytest.raises(grebe.SerializationError):
                write()
    for write in (
        lambda: other.create(value),
        lambda: users.create_many({"3": {}, "4": value}),
        lambda: users.create_many([{}, value]),
    ):
        with pytest.raises(grebe.SerializationError):
            write()
    with pytest.raises(grebe.SerializationError), store.transaction() as tx:  # noqa: PT012
        tx.set(other, {})
        tx.set(doc, value)
    assert store.inspect()["documents"] == {"users/1": {"old": 1}}


def test_very_deep_data_is_refused(store: grebe.Store) -> None:
    """A SerializationError, not a RecursionError, and it does not say what the data is."""
    deep: Any = "secret"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(grebe.SerializationError, match=r"users/1: .*nested too deeply") as caught:
        store.doc("users/1").set(deep)
    assert "secret" not in str(caught.value)


def test_the_same_part_twice_is_no_cycle(store: grebe.Store) -> None:
    """A value that is used in two places is written in both."""
    part = {"a": (), "b": 1}
    del part["a"]
    data = store.doc("x").set({"one": part, "two": [part, part]}).data
    assert data == {"one": {"b": 1}, "two": [{"b": 1}, {"b": 1}]}


def test_a_later_change_of_the_data_given_does_not_reach_the_store(store: grebe.Store) -> None:
    """It was captured at the write; nor does a change of a draft after its end."""
    data: dict[str, Any] = {"tags": ["a"], "inner": {"n": 1}}
    doc = store.doc("x")
    doc.set(data)
    data["tags"].append("b")
    data["inner"]["n"] = 2
    data["new"] = 1
    assert doc.get().data == {"tags": ["a"], "inner": {"n": 1}}
    with doc.edit() as draft:
        draft["tags"].append("c")
    draft["tags"].append("d")
    assert doc.get().data["tags"] == ["a", "c"]


# --- what readers get


@pytest.fixture
def data(store: grebe.Store) -> Any:
    return store.doc("x").set({"list": [1, {"a": 1}, [2]], "dict": {"b": [3]}, "n": 1}).data


CHANGES: list[Callable[[Any], object]] = [
    lambda d: d.__setitem__("n", 2),
    lambda d: d.__delitem__("n"),
    lambda d: d.clear(),
    lambda d: d.pop("n"),
    lambda d: d.popitem(),
    lambda d: d.setdefault("m", 1),
    lambda d: d.update(n=2),
    lambda d: d.__ior__({"n": 2}),
    lambda d: d["list"].append(1),
    lambda d: d["list"].extend([1]),
    lambda d: d["list"].insert(0, 1),
    lambda d: d["list"].pop(),
    lambda d: d["list"].remove(1),
    lambda d: d["list"].clear(),
    lambda d: d["list"].sort(),
    lambda d: d["list"].reverse(),
    lambda d: d["list"].__setitem__(0, 1),
    lambda d: d["list"].__setitem__(slice(0, 1), [1]),
    lambda d: d["list"].__delitem__(0),
    lambda d: d["list"].__iadd__([1]),
    lambda d: d["list"].__imul__(2),
    lambda d: d["list"][1].update(a=2),
    lambda d: d["list"][2].append(1),
    lambda d: d["dict"]["b"].append(1),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_data_read_cannot_be_changed(data: Any, number: int) -> None:
    """At any depth; the TypeError says what to use instead."""
    before = json.dumps(data)
    with pytest.raises(TypeError, match=r"update\(\), modify\(\) or edit\(\)"):
        CHANGES[number](data)
    assert json.dumps(data) == before


def test_data_read_is_a_dict_and_a_list(data: Any) -> None:
    """To isinstance, ==, json, iteration and pattern matching."""
    assert isinstance(data, dict)
    assert isinstance(data["list"], list)
    assert data == {"list": [1, {"a": 1}, [2]], "dict": {"b": [3]}, "n": 1}
    assert data["dict"] == {"b": [3]}
    assert json.loads(json.dumps(data)) == data
    assert list(data) == ["list", "dict", "n"]
    match data:
        case {"list": [first, *_], "n": number}:
            assert (first, number) == (1, 1)
        case _:
            pytest.fail("no match")


def test_a_deep_copy_can_be_changed(data: Any) -> None:
    """All the way down, and without touching the original."""
    mine = copy.deepcopy(data)
    mine["list"][1]["a"] = 2
    mine["dict"]["b"].append(4)
    assert type(mine) is dict
    assert type(mine["list"]) is list
    assert data["list"][1] == {"a": 1}
    assert data["dict"] == {"b": [3]}


def test_shallow_copies_and_unions_are_ordinary(data: Any) -> None:
    """copy, |, + and slices give built-in types."""
    for mine in (data.copy(), copy.copy(data), data | {"m": 1}, {"m": 1} | data, dict(data)):
        assert type(mine) is dict
        mine["n"] = 7
    rows = data["list"]
    for made in (rows.copy(), copy.copy(rows), rows + [1], [1] + rows, rows[:], rows * 2):  # noqa: RUF005
        assert type(made) is list
        made.append(1)
    assert data["n"] == 1
    assert len(rows) == 3


def test_it_can_be_pickled(data: Any) -> None:
    """As ordinary data."""
    mine = pickle.loads(pickle.dumps(data))
    assert mine == data
    assert type(mine) is dict
    assert type(mine["list"]) is list
    assert type(mine["list"][1]) is dict


@pytest.mark.parametrize("value", ["text", 1, 1.5, True, [1, [2]], {"a": "{["}])
def test_any_json_value_is_a_document(store: grebe.Store, value: Any) -> None:
    """Not only objects."""
    assert same(copy.deepcopy(store.doc("x").set(value).data), value)
