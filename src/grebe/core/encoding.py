"""JSON text from Python values and back: the one place that chooses the library for it.

And the base of small objects of which there are very many, which the same library makes.

msgspec where there is a wheel for it, the standard library elsewhere. Both write the same text
for the same plain value (no spaces, UTF-8 unescaped) except for the exponents of some floats, so
bytes are first compared as bytes and only then as values.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, dataclass_transform

try:
    import msgspec
except ImportError:  # pragma: no cover - Pyodide without the wheel; run by tests/unit/core
    msgspec = None  # type: ignore[assignment]

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]


def _standard_encode(value: Any) -> bytes:
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
    ).encode()


def _standard_decode(text: bytes) -> Any:
    return json.loads(text)


def _standard_lines(values: Sequence[Any]) -> bytes:
    return b"".join([_standard_encode(value) + b"\n" for value in values])


def _standard_sorted(value: Any) -> bytes:
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
    ).encode()


def _standard_split_arrays(text: bytes) -> list[list[bytes]]:
    outer = text.decode()
    rows = (outer[start:end] for _, start, end in _items(outer, "[]"))
    return [[row[start:end].encode() for _, start, end in _items(row, "[]")] for row in rows]


def _standard_split_object(text: bytes) -> dict[str, bytes]:
    inner = bytes(text).decode()
    return {key: inner[start:end].encode() for key, start, end in _items(inner, "{}")}


_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_SPACE = " \t\n\r"


def _items(text: str, brackets: str) -> Iterator[tuple[str, int, int]]:
    """Yield the key ("" in an array) of each item of a JSON array or object, and where it is.

    To encode the decoded items would be shorter, but would not give the bytes that are there.
    """
    opening, closing = brackets[0], brackets[1]
    at = _expect(text, 0, opening)
    if text[at : at + 1] == closing:
        at -= 1
    else:
        while True:
            key = ""
            try:
                if opening == "{":
                    if text[at : at + 1] != '"':
                        raise ValueError(f"no key at character {at}")
                    key, at = _scan(text, at)
                    at = _expect(text, at, ":")
                end = _scan(text, at)[1]
            except StopIteration:
                raise ValueError(f"no JSON at character {at}") from None
            yield key, at, end
            at = _skip_space(text, end)
            if text[at : at + 1] != ",":
                at -= 1
                break
            at = _skip_space(text, at + 1)
    if _expect(text, at + 1, closing) != len(text):
        raise ValueError(f"more text behind {closing}")


def _expect(text: str, at: int, wanted: str) -> int:
    """Return what comes behind a character, with the space around it."""
    at = _skip_space(text, at)
    if text[at : at + 1] != wanted:
        raise ValueError(f"no {wanted} at character {at}")
    return _skip_space(text, at + 1)


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in _SPACE and at < len(text):
        at += 1
    return at


encode: Encode = _standard_encode
"""Encode a checked plain value as JSON. Raises UnicodeEncodeError, RecursionError."""

decode: Decode = _standard_decode
"""Decode JSON. Raises ValueError or RecursionError if the text is no JSON."""

encode_lines: Callable[[Sequence[Any]], bytes] = _standard_lines
"""Encode checked plain values as JSON, each with a line end behind it. Raises as `encode`."""

_encode_sorted: Encode = _standard_sorted

split_arrays: Callable[[bytes], Sequence[Sequence[bytes]]] = _standard_split_arrays
"""Split a JSON array of arrays into the texts of the inner items, without decoding those.

>>> [[bytes(item) for item in row] for row in split_arrays(b'[["a",{"x":1}],[]]')]
[[b'"a"', b'{"x":1}'], []]
"""

split_object: Callable[[bytes], Mapping[str, bytes]] = _standard_split_object
"""Split a JSON object into the texts of its values, without decoding those.

>>> {key: bytes(item) for key, item in split_object(b'{"a":{"x":1}}').items()}
{'a': b'{"x":1}'}
"""

if msgspec is not None:
    encode = msgspec.json.Encoder().encode
    encode_lines = msgspec.json.Encoder().encode_lines
    decode = msgspec.json.Decoder().decode
    _encode_sorted = msgspec.json.Encoder(order="sorted").encode
    split_arrays = msgspec.json.Decoder(list[list[msgspec.Raw]]).decode
    split_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass_transform()
class StandardRecord:
    """Base of classes whose annotations are their fields; stands for msgspec's Struct."""

    def __init_subclass__(
        cls,
        *,
        eq: bool = True,
        frozen: bool = False,
        kw_only: bool = False,
        gc: bool = True,
        weakref: bool = False,
    ) -> None:
        """Make the class a dataclass; `gc` and `weakref` say nothing here."""
        super().__init_subclass__()  # of Generic, if it is another base
        shows_itself = cls.__repr__ is not object.__repr__  # as it may show no data
        dataclasses.dataclass(eq=eq, frozen=frozen, kw_only=kw_only, repr=not shows_itself)(cls)


if TYPE_CHECKING:
    Record = StandardRecord
elif msgspec is not None:

    class Record(msgspec.Struct):
        def __init_subclass__(cls) -> None:
            """Have `!=` ask the class's own `==`; a Struct answers it by identity."""
            super().__init_subclass__()
            if cls.__eq__ is not msgspec.Struct.__eq__:
                cls.__ne__ = object.__ne__

        def __rich_repr__(self) -> Iterator[Any]:
            """Have rich show no field: there may be data in it."""
            yield from ()

else:
    Record = StandardRecord


def same_json(left: bytes, right: bytes) -> bool:
    """Tell whether two JSON texts hold the same value: types count, the order of keys does not.

    >>> same_json(b'{"a":1,"b":2}', b'{"b":2,"a":1}'), same_json(b"1", b"1.0")
    (True, False)
    """
    if left == right:
        return True
    one, other = decode(left), decode(right)
    # Nearly always they differ, which costs less to find out; True == 1 == 1.0 in Python.
    return bool(one == other) and _encode_sorted(one) == _encode_sorted(other)
