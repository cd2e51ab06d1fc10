"""From a document's JSON to the user's type and back, through one small interface.

Each kind of model has an adapter; `adapter_for` picks it. msgspec is imported only when a model
of a kind that it converts is used.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol, cast

from grebe.core import encoding
from grebe.core.values import decode_plain, encode_plain
from grebe.errors import DocumentTypeError, SerializationError


class Adapter(Protocol):
    """Converts the documents of one model. `path` is the document's, for errors."""

    name: str
    """What the model is called in messages."""

    def encode(self, data: Any, path: str) -> bytes:
        """Return the JSON of `data`. Raises SerializationError."""

    def decode(self, value: bytes, path: str) -> Any:
        """Return what readers get. Raises DocumentTypeError."""

    def draft(self, value: bytes, path: str) -> Any:
        """Return a copy that the caller may change. Raises DocumentTypeError."""

    def merge(self, value: bytes, fields: Mapping[str, Any], path: str) -> Any:
        """Return the data with top-level fields replaced. Raises TypeError if it has none."""


class PlainAdapter:
    """Plain JSON values: no model."""

    name = "plain data"

    # Itself, not a method around it: it is called for every plain document that is written.
    encode = staticmethod(encode_plain)

    def decode(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        return decode_plain(value)

    def draft(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        return encoding.decode(value)

    def merge(self, value: bytes, fields: Mapping[str, Any], path: str) -> Any:
        """See Adapter."""
        data = encoding.decode(value)
        if type(data) is not dict:
            kind = type(data).__name__
            raise TypeError(f"{path} holds a {kind}, which has no fields to update; use set()")
        data.update(fields)
        return data


PLAIN = PlainAdapter()


class DataclassAdapter:
    """Instances of a dataclass; msgspec does the conversion."""

    def __init__(self, model: type[Any]) -> None:
        try:
            import msgspec
        except ImportError as error:  # pragma: no cover - a platform without the wheel
            raise TypeError(
                f"a dataclass as model needs msgspec (pip install msgspec): {model.__qualname__}"
            ) from error
        self.name = model.__qualname__
        self._model = model
        self._encode = msgspec.json.Encoder().encode
        try:
            self._decode = msgspec.json.Decoder(model).decode
        except TypeError as error:
            raise TypeError(f"{self.name} cannot be a model: {error}") from error
        self._errors = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
        self._comparable = model.__dataclass_params__.eq  # without it, == is identity

    def encode(self, data: Any, path: str) -> bytes:
        """See Adapter; the result is read back, so that what is stored can be read."""
        if type(data) is not self._model:
            kind = type(data).__name__
            raise SerializationError(f"{path}: a {self.name} is wanted, not a {kind}", path)
        try:
            value = self._encode(data)
        except self._errors as error:
            place = self._unencodable_field(data)
            raise SerializationError(f"{path}: {place} cannot be written as JSON", path) from error
        try:
            same = self._is_same(self._decode(value), data)
        except self._errors as error:
            what = _describe(error)
            raise SerializationError(
                f"{path}: the {self.name} would not read back: {what}", path
            ) from error
        if not same:
            raise SerializationError(
                f"{path}: the {self.name} would read back changed; "
                "give its fields exact types and finite numbers",
                path,
            )
        return value

    def _is_same(self, left: Any, right: Any) -> bool:
        if self._comparable:
            return bool(left == right)
        names = [item.name for item in dataclasses.fields(self._model)]
        return all(getattr(left, name) == getattr(right, name) for name in names)

    def decode(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        try:
            return self._decode(value)
        except self._errors as error:
            raise misfit(value, self.name, path, _describe(error)) from error

    draft = decode

    def merge(self, value: bytes, fields: Mapping[str, Any], path: str) -> Any:
        """See Adapter."""
        return dataclasses.replace(self.decode(value, path), **fields)

    def _unencodable_field(self, data: Any) -> str:
        for item in dataclasses.fields(data):
            try:
                self._encode(getattr(data, item.name, None))
            except self._errors:
                return f"$.{item.name}"
        return "$"


class FunctionAdapter:
    """Any type, through the user's own `from_json` and `to_json`."""

    def __init__(self, from_json: Callable[[Any], Any], to_json: Callable[[Any], Any]) -> None:
        self.name = getattr(from_json, "__qualname__", "from_json")
        self._from_json = from_json
        self._to_json = to_json

    def encode(self, data: Any, path: str) -> bytes:
        """See Adapter."""
        return encode_plain(self._to_json(data), path)

    def decode(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        try:
            return self._from_json(encoding.decode(value))
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise misfit(value, self.name, path, type(error).__name__) from error

    draft = decode

    def merge(self, value: bytes, fields: Mapping[str, Any], path: str) -> Any:
        """See Adapter."""
        return self._from_json(PLAIN.merge(value, fields, path))


def misfit(value: bytes, wanted: str, path: str, why: str) -> DocumentTypeError:
    """Return the error for stored data that a model cannot hold."""
    stored = type(encoding.decode(value)).__name__
    return DocumentTypeError(
        f"{path} holds a {stored} that is no {wanted} ({why}); "
        "read it through a collection without model, or mend it there",
        path,
    )


def _describe(error: Exception) -> str:
    """Return what msgspec found and where, without any of the data that its messages may quote."""
    text = str(error)
    place = re.search(r"at `(\$[^`]*)`", text)
    kinds = re.match(r"Expected `[^`]*`, got `[^`]*`", text)
    missing = re.match(r"Object missing required field `[^`]*`", text)
    what = kinds or missing
    found = what.group().replace("`", "") if what else "unfit value"
    return f"{place.group(1)}: {found}" if place else found


def adapter_for(
    model: type[Any] | None,
    from_json: Callable[[Any], Any] | None = None,
    to_json: Callable[[Any], Any] | None = None,
) -> Adapter | None:
    """Return the adapter for the options of a collection; None: plain data.

    Raises:
        TypeError: a class of no supported kind, or half of the pair of functions.
    """
    if from_json is not None or to_json is not None:
        if model is not None:
            raise TypeError("give either model= or the pair from_json=, to_json=")
        if from_json is None or to_json is None:
            raise TypeError("from_json= and to_json= belong together; give both")
        return FunctionAdapter(from_json, to_json)
    if model is None:
        return None
    if isinstance(model, type) and dataclasses.is_dataclass(model):
        return _dataclass_adapter(model)
    if model in (dict, list, str, int, float, bool):
        return _plain_of(cast("Any", model))
    name = getattr(model, "__qualname__", repr(model))
    raise TypeError(
        f"{name} cannot be a model: give a dataclass, or the pair from_json= and to_json="
    )


# Those who ask with the same model share an adapter, and so decoded documents and live queries.
@lru_cache(maxsize=1024)
def _dataclass_adapter(model: Any) -> Adapter:
    return DataclassAdapter(model)


class _PlainOf(PlainAdapter):
    """Plain values of one JSON type, for `model=dict` and the like."""

    def __init__(self, kind: type[Any]) -> None:
        self.name = kind.__name__
        self._kind = kind

    def encode(self, data: Any, path: str) -> bytes:
        """See Adapter."""
        if not self._fits(data):
            kind = type(data).__name__
            raise SerializationError(f"{path}: a {self.name} is wanted, not a {kind}", path)
        return encode_plain(data, path)

    def decode(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        data = decode_plain(value)
        if not self._fits(data):
            raise misfit(value, self.name, path, "another type")
        return data

    def _fits(self, data: Any) -> bool:
        if isinstance(data, bool):
            return self._kind is bool
        return isinstance(data, self._kind)


@lru_cache
def _plain_of(model: Any) -> Adapter:
    return _PlainOf(model)
