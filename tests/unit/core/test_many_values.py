"""Many values at once are carried, and refused, exactly as each alone."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import grebe
from grebe.core import many_values
from grebe.core.many_values import decode_plain_many, encode_plain_many
from grebe.core.values import decode_plain, encode_plain
from tests.unit.core.test_values import json_values, same


@pytest.fixture(autouse=True)
def few_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_values, "TOGETHER", 4)
    monkeypatch.setattr(many_values, "DECODED_TOGETHER", 4)
    monkeypatch.setattr(many_values, "COLUMNS_EVERY", 8)
    monkeypatch.setattr(many_values, "SHARED_MAX", 3)


ODD: list[Any] = [
    None,
    2**63,
    -(2**63) - 1,
    float("nan"),
    float("inf"),
    -float("inf"),
    (1, 2),
    {1},
    b"bytes",
    {1: 2},
    {"a": {"b": {3}}},
    ["a", ("b",)],
    [1, float("nan")],
    "\ud800",
    ["\ud800"],
    {"\ud800": 1},
    object(),
    1e308,
    True,
    2**63 - 1,
    [],
    {},
    "a\nb",
]


def outcome(encode: Any, *arguments: Any) -> Any:
    try:
        return encode(*arguments)
    except grebe.SerializationError as error:
        return str(error)


def alone(values: list[Any], paths: list[str]) -> list[bytes]:
    return [encode_plain(value, path) for value, path in zip(values, paths, strict=True)]


def assert_as_alone(values: list[Any]) -> None:
    paths = [f"a/{number}" for number in range(len(values))]
    assert outcome(encode_plain_many, values, paths) == outcome(alone, values, paths)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(json_values.filter(lambda value: value is not None), max_size=8))
def test_any_values(values: list[Any]):
    """Of any shapes, alike or not."""
    assert_as_alone(values)
    assert_as_alone([{"n": value, "text": ""} for value in values])


@pytest.mark.parametrize("odd", range(len(ODD)))
@pytest.mark.parametrize("place", [0, 3, 4, 6])
def test_one_odd_value_among_many(odd: int, place: int):
    """In any field, and as the document itself; the error names document and field."""
    shape = {"n": 1, "real": 1.5, "text": "x", "tags": ["a", None], "more": {"n": 1}, "no": None}
    for field in (*shape, "new"):
        values = [copy.deepcopy(shape) for _ in range(7)]
        values[place][field] = ODD[odd]
        assert_as_alone(values)
    documents: list[Any] = [copy.deepcopy(shape) for _ in range(7)]
    documents[place] = ODD[odd]
    assert_as_alone(documents)


def test_columns_of_odd_values():
    """Where a whole field is odd, or of several kinds, or huge in sum."""
    rng = random.Random(1)
    for one in ODD:
        assert_as_alone([{"n": one} for _ in range(5)])
        assert_as_alone([{"n": one} for one in rng.choices(ODD, k=5)])
    assert_as_alone([{"n": 1e308} for _ in range(5)])
    assert_as_alone([{"n": number} for number in (1, 1.5, True, None, "x")])


def test_a_value_within_itself():
    """It is refused as alone, and the others with it."""
    ring: list[Any] = []
    ring.append(ring)
    assert_as_alone([{"n": [1]}, {"n": ring}])


def test_subclasses_are_carried_as_their_base():
    """As for one document."""

    class Text(str):
        __slots__ = ()

    assert_as_alone([{Text("n"): Text("x")}, {"n": "x"}])
    assert_as_alone([{"n": "x"}, {Text("n"): "x"}])


# --- decoding


def assert_decoded_as_alone(values: list[Any]) -> None:
    texts = [encode_plain(value, "a/1") for value in values]
    found, wanted = decode_plain_many(texts), list(map(decode_plain, texts))
    assert same(found, wanted)
    assert kinds(found) == kinds(wanted)


def kinds(value: Any) -> Any:
    """Return the types in a value: read-only ones, all the way down."""
    if isinstance(value, dict):
        return type(value), [kinds(item) for item in value.values()]
    return (type(value), list(map(kinds, value))) if isinstance(value, list) else type(value)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(json_values.filter(lambda value: value is not None), max_size=8))
def test_any_values_are_decoded_as_alone(values: list[Any]):
    """With their types, read-only, whatever their neighbours are."""
    assert_decoded_as_alone(values)
    assert_decoded_as_alone([{"n": value, "text": "x", "one": 1, "yes": True} for value in values])


OTHERS: list[Any] = [
    1,
    "x",
    [],
    [{}],
    {},
    {"n": 1, "city": "Lima"},
    {"n": [1], "city": "Lima", "in": ["x"], "more": None},
    {"n": 1, "city": ["Lima"], "in": "x"},
    {"n": 1, "city": {"x": []}, "in": ["x"]},
    {"n": 1, "city": None, "in": None},
    {"n": 1, "city": "[", "in": ["x"]},
    {"n": 1, "city": "x", "in": ["{", 1, True, None, 1.0]},
    {"n": 1, "city": "x", "in": [1, ["x", {"y": [1]}]]},
    {"n": 1, "city": "x", "in": {"x": "y"}},
    {"in": ["x"], "city": "x", "n": True},
    {"n": 1, "city": "x", "in": ["x"], "new": [[1], {"a": {}}]},
]
OTHERS += [
    {"n": 1, "city": "x", "in": ["x"], "at": other}
    for other in (
        None,
        1,
        [1],
        {},
        {"x": {}, "in": [], "deep": {"z": "t"}},
        {"x": 1, "in": ["a"], "deep": [{"z": "t"}]},
        {"x": 1, "in": ["a", {}], "deep": {"z": "t"}},
        {"x": 1, "in": ["a"], "deep": {"z": ["t"], "y": {}}},
        {"x": 1, "in": ["a"], "deep": {"z": "{"}},
        {"x": 1, "in": ["a"], "deep": {"z": "t", "new": []}},
    )
]


@pytest.mark.parametrize("other", range(len(OTHERS)))
def test_documents_of_another_shape_among_others(other: int):
    """Alone, and all of those that are decoded together, or all but one."""
    flat = {"n": 1, "city": "Lima", "in": ["a", "b"]}
    for shape in (flat, {**flat, "at": {"x": 1, "in": ["a"], "deep": {"z": "t"}}}):
        for count in (1, 3, 4, 5):
            odd = [OTHERS[other]] * count
            for values in ([shape] * 4 + odd, odd + [shape] * 4, [shape] * 5 + odd + [shape] * 6):
                assert_decoded_as_alone(values)


def test_documents_of_one_shape_need_no_second_look(monkeypatch: pytest.MonkeyPatch):
    """With lists, dicts and numbers in them; those of another shape do."""
    monkeypatch.delattr(many_values, "_freeze_items")
    shape = {"n": 1, "city": "Lima", "in": ["a", 1], "at": {"in": [], "deep": {"z": "t"}}}
    assert_decoded_as_alone([{**shape, "n": number} for number in range(10)])
    with pytest.raises(NameError):
        assert_decoded_as_alone([shape, {**shape, "at": {"new": {}}}])
    assert_decoded_as_alone([shape] * 8 + [{"other": "shape"}] * 4)


def test_types_that_are_equal_are_not_mixed_up():
    """1, 1.0 and True are one key of a dict."""
    assert_decoded_as_alone([{"n": one, "in": [one]} for one in (1, "1", True, 1.0, "x", 1) * 3])


def test_lists_of_equal_texts_are_lists_of_their_own():
    """Only the texts are shared: documents that are copied together must not share a list."""
    values = [{"in": ["a", "b"]}, {"in": ["a", "b"]}, {"in": ["b", "c"]}, {"in": []}]
    found = decode_plain_many([encode_plain(value, "a/1") for value in values])
    assert found[0]["in"][0] is found[1]["in"][0]
    assert found[0]["in"][1] is found[2]["in"][0]
    first, second, *_ = copy.deepcopy(found)
    first["in"].append("c")
    assert second == values[1]


@pytest.mark.parametrize("size", [10, 5000])
def test_texts_are_shared_in_small_documents(size: int):
    """Long documents hardly repeat themselves, and looking their texts up takes longer."""
    values = [{"city": "Lima", "in": [["Lima"], {"it": "Lima"}], "x": "x" * size}] * 4
    found = decode_plain_many([encode_plain(value, "a/1") for value in values])
    assert found == values
    texts = {id(text) for d in found for text in (d["city"], d["in"][0][0], d["in"][1]["it"])}
    assert (len(texts) == 1) is (size == 10)


@pytest.mark.parametrize("bad", [b"", b"1,2", b'{"a":', b'"', b"[1", b"1]", b"nul"])
@pytest.mark.parametrize("place", [0, 2, 5])
def test_what_is_no_json_is_refused(bad: bytes, place: int):
    """Also where it would be some with its neighbours."""
    texts = [b"1"] * 6
    texts[place] = bad
    with pytest.raises(ValueError, match=r".+"):
        decode_plain_many(texts)
