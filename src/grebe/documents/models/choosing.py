"""Which adapter converts a model.

The kind of a class is told by what its library leaves on it, so that no library is imported for
the sake of asking. Only the one that the model needs is, and only then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from grebe.documents.models.adapter import Adapter
from grebe.documents.models.functions import FunctionAdapter
from grebe.documents.models.instances import ModelAdapter
from grebe.documents.models.kinds import (
    AttrsKind,
    DataclassKind,
    Kind,
    NamedTupleKind,
    StructKind,
    TypedDictKind,
)
from grebe.documents.models.plain import PLAIN_TYPES, plain_of

KINDS = (
    "a dataclass, TypedDict, NamedTuple, attrs class, msgspec.Struct or pydantic model, "
    "or the pair from_json= and to_json="
)


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
        return _function_adapter(from_json, to_json)
    if model is None:
        return None
    cls: Any = model
    if cls in PLAIN_TYPES:
        return plain_of(cls)
    if isinstance(cls, type) or _is_typed_dict(cls):
        return _model_adapter(cls)
    raise _refused(cls)


def _function_adapter(from_json: Callable[[Any], Any], to_json: Callable[[Any], Any]) -> Adapter:
    try:
        return _shared_function_adapter(from_json, to_json)
    except TypeError:  # a callable that cannot be hashed
        return FunctionAdapter(from_json, to_json)


# Those who ask with the same model share an adapter, and so decoded documents and live queries.
@lru_cache(maxsize=1024)
def _shared_function_adapter(from_json: Any, to_json: Any) -> Adapter:
    return FunctionAdapter(from_json, to_json)


@lru_cache(maxsize=1024)
def _model_adapter(model: Any) -> Adapter:
    if hasattr(model, "__pydantic_core_schema__") or hasattr(model, "__pydantic_validator__"):
        return _pydantic_adapter(model)
    make_kind = _kind_of(model)
    if make_kind is None:
        raise _refused(model)
    return _msgspec_adapter(model, make_kind)


def _kind_of(model: Any) -> Callable[[Any], Kind] | None:
    if hasattr(model, "__struct_fields__"):
        return StructKind
    if hasattr(model, "__attrs_attrs__"):
        return AttrsKind
    if dataclasses.is_dataclass(model):
        return DataclassKind
    if _is_typed_dict(model):
        return TypedDictKind
    if issubclass(model, tuple) and hasattr(model, "_fields"):
        return NamedTupleKind
    return None


def _is_typed_dict(model: Any) -> bool:
    """Tell whether a class is a TypedDict, by typing or by typing_extensions."""
    return hasattr(model, "__total__") and hasattr(model, "__required_keys__")


def _msgspec_adapter(model: Any, make_kind: Callable[[Any], Kind]) -> Adapter:
    try:
        from grebe.documents.models import structured
    except ImportError as error:  # pragma: no cover - a platform without the wheel
        raise TypeError(
            f"{model.__qualname__} as a model needs msgspec (pip install msgspec)"
        ) from error
    kind = make_kind(model)
    hidden = [name for name in kind.names if name.startswith("_")]
    if hidden and not isinstance(kind, TypedDictKind):
        raise TypeError(
            f"{model.__qualname__} cannot be a model: msgspec leaves out fields whose names begin "
            f"with an underscore ({hidden[0]}); rename it, or give from_json= and to_json="
        )
    try:
        codec = structured.MsgspecCodec(model)
    except TypeError as error:
        if make_kind is DataclassKind:
            # Unions that msgspec cannot tell apart: of dataclasses, of a date and a text.
            try:
                return _pydantic_adapter(model)
            except (ImportError, TypeError):
                pass
        raise TypeError(f"{model.__qualname__} cannot be a model: {error}") from error
    return ModelAdapter(kind, codec)


def _pydantic_adapter(model: Any) -> Adapter:
    from grebe.documents.models import validated

    is_dataclass = dataclasses.is_dataclass(model)
    make_kind = validated.PydanticDataclassKind if is_dataclass else validated.PydanticKind
    return ModelAdapter(make_kind(model), validated.PydanticCodec(model))


def _refused(model: Any) -> TypeError:
    name = getattr(model, "__qualname__", repr(model))
    return TypeError(f"{name} cannot be a model: give {KINDS}")
