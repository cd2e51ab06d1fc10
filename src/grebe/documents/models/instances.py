"""Instances of a model class: what is alike whichever library converts them.

Two promises are kept here. What is written is read back first, so that what is stored can be read
and is what was given. And what is read is encoded again: a stored field that the model does not
know would be lost at the next write, so it is an error instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from grebe.documents.models.kinds import Kind
from grebe.documents.models.misfit import Mismatch, misfit, unknown_field
from grebe.errors import SerializationError


class Codec(Protocol):
    """A library's conversion of one model."""

    errors: tuple[type[Exception], ...]
    """What `encode` and `decode` raise for data that does not fit."""

    decode_all: Callable[[bytes], Any] | None
    """Does as `decode`, but raises if there is any field that the model does not know; None: the
    library cannot tell."""

    def encode(self, data: Any) -> bytes:
        """Return the JSON of an instance."""

    def decode(self, value: bytes) -> Any:
        """Return the instance that JSON is."""

    def mismatch(self, error: Exception, value: bytes) -> Mismatch:
        """Say what `decode` found wrong, without any of the data."""

    def unencodable(self, error: Exception, parts: Mapping[str, Any]) -> str:
        """Return the place that `encode` could not encode; `parts` are the fields' values."""


class ModelAdapter:
    """Converts the instances of a class: a kind and a codec."""

    def __init__(self, name: str, kind: Kind, codec: Codec) -> None:
        self.name = name
        self._kind = kind
        self._codec = codec
        self._encode = codec.encode
        self._decode = codec.decode
        self._decode_all = codec.decode_all
        self._errors: tuple[type[Exception], ...] = (*codec.errors, RecursionError)

    def encode(self, data: Any, path: str) -> bytes:
        """See Adapter."""
        return self.capture(data, path)[0]

    def capture(self, data: Any, path: str) -> tuple[bytes, Any]:
        """See Adapter."""
        if not self._kind.accepts(data):
            kind = type(data).__name__
            raise SerializationError(f"{path}: a {self.name} is wanted, not a {kind}", path)
        try:
            value = self._encode(data)
        except self._errors as error:
            parts = {name: self._kind.value_of(data, name) for name in self._kind.names}
            place = self._codec.unencodable(error, parts)
            raise SerializationError(f"{path}: {place} cannot be written as JSON", path) from error
        try:
            back = self._decode(value)
        except self._errors as error:
            found = self._codec.mismatch(error, value)
            raise SerializationError(
                f"{path}: the {self.name} would not read back: {found}", path
            ) from error
        if not self._kind.is_same(back, data):
            raise SerializationError(
                f"{path}: the {self.name} would read back changed; "
                "give its fields exact types and finite numbers",
                path,
            )
        return value, self._kind.shown(back)

    def decode(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        return self._kind.shown(self.draft(value, path))

    def draft(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        if self._decode_all is not None:
            try:
                return self._decode_all(value)
            except self._errors:
                pass  # what is wrong, if anything is, is found below
        try:
            data = self._decode(value)
            kept = self._encode(data)
        except self._errors as error:
            raise misfit(value, self.name, path, self._codec.mismatch(error, value)) from error
        if kept != value:
            unknown = unknown_field(value, kept, self._convert)
            if unknown is not None:
                raise misfit(value, self.name, path, unknown)
        return data

    def _convert(self, value: bytes) -> bytes:
        return self._encode(self._decode(value))

    def merge(self, value: bytes, fields: Mapping[str, Any], path: str) -> Any:
        """See Adapter."""
        return self._kind.replace(self.draft(value, path), fields)
