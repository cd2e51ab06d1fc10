"""JSON with msgspec and with the standard library: both are the same to everybody else."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from operator import ne
from types import ModuleType
from typing import Any, Generic, TypeVar

import pytest

from grebe.core import encoding

T = TypeVar("T")


def load_without_msgspec() -> ModuleType:
    """Return the module as it is where msgspec has no wheel."""
    assert encoding.__file__ is not None
    spec = importlib.util.spec_from_file_location("grebe_encoding_fallback", encoding.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    kept = sys.modules.pop("msgspec", None)
    sys.modules["msgspec"] = None  # type: ignore[assignment]
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["msgspec"]
        if kept is not None:
            sys.modules["msgspec"] = kept
    assert module.msgspec is None
    return module


@pytest.fixture(params=["msgspec", "standard library"])
def codec(request: pytest.FixtureRequest) -> Any:
    if request.param == "standard library":
        return load_without_msgspec()
    pytest.importorskip("msgspec")
    return encoding


VALUES: list[Any] = [
    {"name": "Jöhn 🐦", "n": [1, -1, 2**63 - 1, -(2**63)], "x": None, "yes": True},
    [],
    {},
    "",
    'quote " backslash \\ newline \n control \x01 line \u2028',
    0,
    1.0,
    0.1,
    -0.0,
    123456789.125,
    [[[{"a": [{}]}]]],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_the_text_is_compact_utf_8_json(codec: Any, value: Any) -> None:
    """No spaces, nothing escaped that need not be; decoding gives the value back."""
    text = codec.encode(value)
    assert isinstance(text, bytes)
    assert json.loads(text) == value
    assert codec.decode(text) == value
    assert type(codec.decode(text)) is type(value)
    if not isinstance(value, str):
        assert b" " not in text.replace(b"\xc3\xb6hn ", b"")
    if isinstance(value, dict) and value:
        assert "Jöhn 🐦".encode() in text


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_both_libraries_write_the_same_text(value: Any) -> None:
    """So that a store written with one can be compared with the other."""
    pytest.importorskip("msgspec")
    assert load_without_msgspec().encode(value) == encoding.encode(value)


@pytest.mark.parametrize("number", [1e300, 5e-324, 1e16, 1e-7, 1.7976931348623157e308, 0.1 + 0.2])
def test_floats_are_exact(codec: Any, number: float) -> None:
    """Every float comes back as the same one."""
    assert codec.decode(codec.encode(number)) == number


def test_lone_surrogates_cannot_be_encoded(codec: Any) -> None:
    """UnicodeEncodeError, which values.py turns into a SerializationError."""
    with pytest.raises(UnicodeEncodeError):
        codec.encode(["\ud800"])


@pytest.mark.parametrize("text", [b"", b"{", b'{"a":}', b"nul", b"[1,]", b"\xff"])
def test_what_is_no_json_is_a_value_error(codec: Any, text: bytes) -> None:
    """Also bytes that are no UTF-8."""
    with pytest.raises(ValueError):  # noqa: PT011 - the libraries' texts differ
        codec.decode(text)


def test_sameness_is_of_json_values(codec: Any) -> None:
    """The order of keys does not count, at any depth; types and the order of lists do."""
    same = codec.same_json
    assert same(
        b'{"a":1,"b":{"c":2,"d":[{"x":1,"y":2}]}}', b'{"b":{"d":[{"y":2,"x":1}],"c":2},"a":1}'
    )
    assert same(b"1.0", b"1.00")
    assert not same(b"1", b"1.0")
    assert not same(b"1", b"true")
    assert not same(b"0", b"false")
    assert not same(b"null", b"0")
    assert not same(b'"1"', b"1")
    assert not same(b"[1,2]", b"[2,1]")
    assert not same(b'{"a":1}', b'{"a":1,"b":null}')


def test_arrays_are_split_without_decoding(codec: Any) -> None:
    """The texts of the inner items come back as they are, or as the same JSON."""
    rows = codec.split_arrays(b'[["a/1",{"x":[1,2]}],["b",null,true],[]]')
    found = [[json.loads(bytes(item)) for item in row] for row in rows]
    assert found == [["a/1", {"x": [1, 2]}], ["b", None, True], []]


TEXTS = [
    "null",
    "-0.0",
    "1e400",
    '"\\u0041"',
    '{"a":1,"a":2}',
    '{"b": 1, "a":[ ]}',
    '"]}, {"',
    "[]",
]


@pytest.mark.parametrize("space", ["", " ", "\n\t"])
def test_texts_are_split_byte_for_byte(codec: Any, space: str) -> None:
    """Whatever its shape, the text of an item is what stood there, without the space around."""
    texts = [text.encode() for text in TEXTS]
    arrays = space.join(["", "[", "[", f"{space},{space}".join(TEXTS), "]", ",", "[", "]", "]", ""])
    assert [[bytes(t) for t in row] for row in codec.split_arrays(arrays.encode())] == [texts, []]
    pairs = [f'"{n}\\n\\""{space}:{space}{text}' for n, text in enumerate(TEXTS)]
    found = codec.split_object(f"{space}{{{space}{','.join(pairs)}{space}}}{space}".encode())
    assert [bytes(text) for text in found.values()] == texts
    assert list(found) == [f'{n}\n"' for n in range(len(TEXTS))]
    assert dict(codec.split_object(f"{{{space}}}".encode())) == {}


@pytest.mark.parametrize(
    "text", ["", "[", "[[]", "[[],]", "[,]", "[[]] x", "{}", "[[1,]]", "[[1 2]]", "[1]", "[[a]]"]
)
def test_what_cannot_be_split_is_refused(codec: Any, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the libraries' texts differ
        codec.split_arrays(text.encode())


@pytest.mark.parametrize("text", ["", "{", "[]", "{,}", '{"a":1,}', '{"a"}', "{1:2}", '{"a":1}x'])
def test_what_is_no_object_is_refused(codec: Any, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        codec.split_object(text.encode())


def test_nan_is_not_written_by_the_standard_library() -> None:
    """values.py refuses it before; the encoder would not let it pass either."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        load_without_msgspec().encode(math.nan)


def test_records_are_the_same_with_both_libraries(codec: Any) -> None:
    """Fields in order, defaults, equality if wanted, and what is frozen stays."""

    class Kept(codec.Record, eq=False):  # type: ignore[misc, name-defined]
        value: bytes
        order: int
        view: Any = None

    class Shared(codec.Record, frozen=True, gc=False):  # type: ignore[misc, name-defined]
        name: str = "x"
        yes: bool = True

    kept = Kept(b"1", 2)
    assert (kept.value, kept.order, kept.view) == (b"1", 2, None)
    assert kept != Kept(b"1", 2)
    kept.view = kept.order = 3
    assert kept.view == kept.order == 3
    assert Shared("y") == Shared("y", True) != Shared()
    assert len({Shared(), Shared(), Shared("y")}) == 2
    with pytest.raises(AttributeError):
        Shared().name = "y"  # type: ignore[misc]


def test_a_record_is_shown_as_its_base_says(codec: Any) -> None:
    """Queries are records, and show what they ask for."""

    class Base:
        def __repr__(self) -> str:
            return "<as it says>"

    class Made(Base, codec.Record, eq=False):  # type: ignore[misc, name-defined]
        value: int

    assert repr(Made(1)) == "<as it says>"


def test_records_with_an_equality_of_their_own_are_unequal_by_it(codec: Any) -> None:
    class Base:
        def __eq__(self, other: object) -> bool:
            return type(other) is Like or NotImplemented

        __hash__ = None  # type: ignore[assignment]

    class Like(Base, codec.Record, eq=False):  # type: ignore[misc, name-defined]
        value: int

    class Liker(Like, eq=False):
        pass

    assert not ne(Like(1), Like(2))
    assert not ne(Liker(1), Like(2))
    assert Like(1) != 1


def test_a_record_may_be_generic(codec: Any) -> None:
    """As snapshots are; what is imported in a page without msgspec."""

    class Box(codec.Record, Generic[T]):  # type: ignore[misc, name-defined]
        value: int

    alias: Any = Box[int]
    assert alias(1) == Box(1)
