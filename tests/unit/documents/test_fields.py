"""Fields as they are written in queries: what makes a condition, and what is refused."""

from __future__ import annotations

import operator
import re
from typing import Any

import pytest

import grebe
from grebe import field
from grebe.documents.fields import path_of


@pytest.mark.parametrize("path", ["a", "a.b", "address.0.city", "ä", " a ", "a b", "-"])
def test_any_names_joined_by_dots_are_a_path(path: str) -> None:
    """Spaces, signs and other alphabets too; a field may be given instead of its path."""
    assert field(path).path == path
    assert path_of(path) == path_of(field(path)) == path
    assert repr(field(path)) == f"field({path!r})"


def test_a_field_is_given_again() -> None:
    """By its name or by itself; that it is forgotten, after many others, nobody notices."""
    first = field("again")
    assert field("again") is first
    assert field(first).path == "again"  # type: ignore[arg-type]
    for number in range(3000):
        assert field(f"again{number}").path == f"again{number}"
    assert repr(field("again")) == repr(first)


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b"])
def test_an_empty_part_is_refused(path: str) -> None:
    """ValueError, with the path."""
    with pytest.raises(ValueError, match=re.escape(f"{path!r} is no path of a field")):
        field(path)


@pytest.mark.parametrize("path", [None, 1, b"a", ["a"], lambda snapshot: 1])
def test_a_path_is_a_text(path: Any) -> None:
    """TypeError says how a field is named."""
    with pytest.raises(TypeError, match=r"a field is named by a str such as 'address\.city'"):
        field(path)


def test_a_field_has_no_truth_value() -> None:
    """`if field(...)` and `field(...) and ...` are mistakes."""
    with pytest.raises(TypeError, match=r"field\('a'\) has no truth value"):
        bool(field("a"))
    with pytest.raises(TypeError, match=r"ask field\('a'\)\.exists\(\)"):
        field("a") and field("b").exists()


def test_a_field_hashes_by_its_path() -> None:
    """Though `==` gives a condition, a field is hashable, and the condition has no truth value."""
    assert hash(field("a")) == hash(field("a"))
    with pytest.raises(TypeError):
        bool(field("a") == field)


COMPARISONS = [
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("other", [field("b"), field("b") == 1], ids=["field", "condition"])
def test_a_field_is_compared_with_values_only(compare: Any, other: Any) -> None:
    """Two fields, or a forgotten pair of parentheses: TypeError names the way out."""
    with pytest.raises(TypeError, match="give where\\(\\) a function of the snapshot"):
        compare(field("a"), other)
    with pytest.raises(TypeError, match="with values only"):
        compare(field("a"), [1, {"x": other}])
    with pytest.raises(TypeError, match="with values only"):
        compare(field("a"), ((other,),))


@pytest.mark.parametrize(
    ("symbol", "written"),
    [("<", "field('a') > 1"), ("<=", "field('a') >= 1"), ("==", "field('a') == 1")],
)
def test_the_value_may_come_first(symbol: str, written: str) -> None:
    """Python turns the comparison around."""
    assert repr(eval(f"1 {symbol} field('a')", {"field": field})) == written


@pytest.mark.parametrize("values", ["text", b"bytes", 1, None, field("b")])
def test_in_takes_a_list(values: Any) -> None:
    """A text would be taken letter by letter."""
    kind = type(values).__name__
    with pytest.raises(TypeError, match=rf"field\('a'\)\.in_\(\) takes a list of values.*{kind}"):
        field("a").in_(values)


def test_in_takes_anything_that_is_iterated() -> None:
    """Also what can be iterated only once, and other containers."""
    condition = field("a").in_(n for n in (1, 2))
    assert [n for n in range(4) if condition.test({"a": n})] == [1, 2]
    assert [n for n in range(4) if condition.test({"a": n})] == [1, 2]
    assert field("a").in_({3, 1}) == field("a").in_((1, 3)) == field("a").in_({1: "", 3: ""})


@pytest.mark.parametrize("prefix", [None, 1, b"a", ("a", "b")])
def test_a_prefix_is_a_text(prefix: Any) -> None:
    """Not one of several, as `str.startswith` takes."""
    with pytest.raises(
        TypeError, match=rf"starts_with\(\) takes a str, not {type(prefix).__name__}"
    ):
        field("a").starts_with(prefix)


@pytest.mark.parametrize("pattern", [None, 1, b"a", re.compile(b"a")])
def test_a_pattern_is_of_text(pattern: Any) -> None:
    """Neither bytes nor anything else."""
    with pytest.raises(TypeError, match=r"matches\(\) takes a str pattern"):
        field("a").matches(pattern)


def test_a_wrong_pattern_is_refused_at_once() -> None:
    """Not when the first document is looked at."""
    with pytest.raises(re.error):
        field("a").matches("(")


@pytest.mark.parametrize("depth", ["list", "dict", "tuple", "in_", "contains"])
def test_constants_are_captured(store: grebe.Store, depth: str) -> None:
    """Changing a list or dict later changes no query, nor what an index answers."""
    inner = [1]
    constant: Any = {"list": inner, "dict": {"x": inner}, "tuple": (inner,)}.get(depth, inner)
    if depth == "in_":
        condition = field("a").in_([inner])
    elif depth == "contains":
        condition = field("a").contains(inner)
    else:
        condition = field("a") == constant
    stored = {"dict": {"x": [1]}, "tuple": [[1]], "contains": [[1]]}.get(depth, [1])
    users = store.collection("users")
    users.create_many({"1": {"a": stored}, "2": {"a": [1, 2]}})
    shown, hashed = repr(condition), hash(condition)
    inner.append(2)
    assert [user.id for user in users.where(condition)] == ["1"]
    assert (repr(condition), hash(condition)) == (shown, hashed)
    store.collection("users", indexes=["a"])
    assert [user.id for user in users.where(condition)] == ["1"]
