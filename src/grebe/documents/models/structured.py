"""Conversion by msgspec: dataclasses, attrs classes, Structs, named tuples and TypedDicts.

The only module that imports msgspec for models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from grebe.core import encoding
from grebe.documents.models.misfit import MISSING, NO_SUCH_FIELD, Mismatch, type_at


class MsgspecCodec:
    """Conversion by msgspec, strictly: no text is taken for a number."""

    # ValueError and TypeError are what validators and __post_init__ of the user raise.
    errors: tuple[type[Exception], ...] = (
        msgspec.MsgspecError,
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
    )

    decode_all: Callable[[bytes], Any] | None = None

    def __init__(self, model: type[Any]) -> None:
        self._model = model
        self.encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(model).decode

    def mismatch(self, error: Exception, value: bytes) -> Mismatch:
        """See Codec."""
        text = str(error)
        at = re.search(r" - at `(\$[^`]*)`$", text)
        place = at.group(1) if at else "$"
        missing = re.match(r"Object missing required field `([^`]*)`", text)
        if missing:
            return Mismatch(f"{place}.{missing.group(1)}", MISSING, "a value")
        unknown = re.match(r"Object contains unknown field `([^`]*)`", text)
        if unknown:
            keys = [*place.split(".")[1:], unknown.group(1)]
            stored = type_at(encoding.decode(value), keys) or "value"
            return Mismatch(f"{place}.{unknown.group(1)}", stored, NO_SUCH_FIELD)
        kinds = re.match(r"Expected `([^`]*)`, got `([^`]*)`", text)
        if kinds:
            wanted, stored = kinds.groups()
            return Mismatch(place, _PYTHON.get(stored, stored), _in_python(wanted))
        stored = type_at(encoding.decode(value), place.split(".")[1:]) or "value"
        return Mismatch(
            place, stored, _hint_at(self._model, place) or "another value", _reason(text)
        )

    def unencodable(self, error: Exception, parts: Mapping[str, Any]) -> str:
        """See Codec: the first field that cannot be encoded by itself."""
        for name, part in parts.items():
            try:
                self.encode(part)
            except self.errors:
                return f"$.{name}"
        return "$"


_PYTHON = {"object": "dict", "array": "list", "null": "None"}
"""What JSON's types are called in Python."""


def _in_python(wanted: str) -> str:
    return " | ".join(_PYTHON.get(one, one) for one in wanted.split(" | "))


_REASONS = (r"Invalid enum value", r"Invalid [A-Za-z0-9]+( encoded)?( [a-z]+)?$")


def _reason(text: str) -> str:
    """Return what msgspec says is wrong with a value, without the value."""
    said = text.partition(" - at `")[0]
    for pattern in _REASONS:
        found = re.match(pattern, said)
        if found:
            return found.group().lower()
    return ""


def _hint_at(model: type[Any], place: str) -> str | None:
    """Return the type that a model wants at a place, or None."""
    try:
        found: Any = msgspec.inspect.type_info(model)
    except TypeError:
        return None
    for name in place.split(".")[1:]:
        inside = [field for one in _members(found) for field in getattr(one, "fields", ())]
        named = [field.type for field in inside if field.encode_name == name]
        if not named:
            return None
        found = named[0]
    return " | ".join(map(_name_of, _members(found)))


def _members(info: Any) -> tuple[Any, ...]:
    return info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)


def _name_of(info: Any) -> str:
    cls = getattr(info, "cls", None)
    if cls is not None:
        return str(cls.__name__)
    name = type(info).__name__.removesuffix("Type")
    return name if name in ("None", "UUID") else name.lower()
