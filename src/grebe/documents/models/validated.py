"""Models that pydantic converts; the only module that imports it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pydantic

from grebe.core import encoding
from grebe.documents.models.kinds import DataclassKind, Kind, refuse_unknown
from grebe.documents.models.misfit import MISSING, NO_SUCH_FIELD, Mismatch, place_of, type_at


class PydanticCodec:
    """Conversion by pydantic, strictly if the model does not say otherwise.

    Lax reading takes "28" for 28: a document of a wrong type would go unnoticed, and be changed
    by the next write. JSON's dates, UUIDs and the like are read in strict mode too.
    """

    errors: tuple[type[Exception], ...] = (
        ValueError,
        TypeError,
        AttributeError,
    )  # pydantic's own are ValueErrors

    def __init__(self, model: type[Any]) -> None:
        adapter = pydantic.TypeAdapter(model)
        config = getattr(model, "model_config", None) or getattr(model, "__pydantic_config__", {})
        # The adapter's own methods do the same with more Python around it. Aliases and names:
        # which of them a model writes and reads is up to it.
        self.encode: Callable[[Any], bytes] = partial(
            adapter.serializer.to_json, by_alias=True, round_trip=True, warnings="error"
        )
        self.decode: Callable[[bytes], Any] = partial(
            adapter.validator.validate_json,
            strict=None if "strict" in config else True,
            by_alias=True,
            by_name=True,
        )
        self.decode_all: Callable[[bytes], Any] | None = None
        if "extra" in inspect.signature(adapter.validate_json).parameters:  # pydantic 2.12
            self.decode_all = partial(self.decode, extra="forbid")

    def mismatch(self, error: Exception, value: bytes) -> Mismatch:
        """See Codec."""
        if not isinstance(error, pydantic.ValidationError):
            return Mismatch("$", "value", "another value", type(error).__name__)
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        stored_data = encoding.decode(value)
        keys = _keys_of(first["loc"], stored_data)
        place = place_of(keys)
        if first["type"] == "missing":
            return Mismatch(place, MISSING, "a value")
        stored = type_at(stored_data, keys) or "value"
        if first["type"] == "extra_forbidden":
            return Mismatch(place, stored, NO_SUCH_FIELD)
        return Mismatch(place, stored, _wanted(first["msg"]) or first["type"])

    def unencodable(self, error: Exception, parts: Mapping[str, Any]) -> str:
        """See Codec: what the warning that became the error names."""
        named = re.search(r"\[field_name='([^']*)'", str(error))
        return f"$.{named.group(1)}" if named else "$"


def _keys_of(location: tuple[int | str, ...], data: Any) -> list[str | int]:
    """Return the keys in a location: it has names of a union's members in it, which are not."""
    keys: list[str | int] = []
    for step in location:
        if type_at(data, [*keys, step]) is not None:
            keys.append(step)
        elif step == location[-1] and len(keys) == len(location) - 1:
            keys.append(step)  # what is missing
    return keys


def _wanted(message: str) -> str:
    """Return what a message of pydantic's own says is wanted, without what it may quote."""
    prefix = "Input should be "
    return message.removeprefix(prefix).split(",")[0] if message.startswith(prefix) else ""


class PydanticKind(Kind):
    """Subclasses of pydantic.BaseModel."""

    def __init__(self, model: type[Any]) -> None:
        super().__init__(model, tuple(model.model_fields))
        self._allows_more = model.model_config.get("extra") == "allow"

    def is_same(self, left: Any, right: Any) -> bool:
        """See Kind: private attributes, which are not stored, do not count."""
        if left == right:
            return True
        return bool(
            self._have_same_fields(left, right)
            and left.__pydantic_extra__ == right.__pydantic_extra__
        )

    def replace(self, data: Any, fields: Mapping[str, Any]) -> Any:
        """See Kind; what `model_copy` does not check is checked when the copy is written."""
        if not self._allows_more:
            refuse_unknown(fields, self)
        return data.model_copy(update=dict(fields))


class PydanticDataclassKind(DataclassKind):
    """Dataclasses that pydantic reads: its own, and those that msgspec cannot."""

    def replace(self, data: Any, fields: Mapping[str, Any]) -> Any:
        """See Kind; pydantic's own dataclasses ignore what they do not know."""
        refuse_unknown(fields, self)
        return super().replace(data, fields)
