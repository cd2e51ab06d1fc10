"""Which adapter converts a model.

The kind of a class is told by what its library leaves on it, so that no library is imported for
the sake of asking. Only the one that the model needs is, and only then.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any, get_origin

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
    if isinstance(get_origin(cls) or cls, type):  # a class, or a generic one with its arguments
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
    cls = get_origin(model) or model
    is_pydantic = hasattr(cls, "__pydantic_core_schema__") or hasattr(cls, "__pydantic_validator__")
    make_kind = None if is_pydantic else _kind_of(cls)
    if make_kind is None and not is_pydantic:
        raise _refused(model)
    try:
        if make_kind is None:
            return _pydantic_adapter(model)
        return _msgspec_adapter(model, make_kind)
    except ImportError as error:
        library = "pydantic 2" if is_pydantic else "msgspec"
        raise TypeError(f"{_name_of(model)} as a model needs {library}: {error}") from error
    except (TypeError, ValueError, NameError, RuntimeError) as error:
        # What the libraries raise for types that they do not know, and for names that are none.
        raise TypeError(f"{_name_of(model)} cannot be a model: {error}") from error


def _kind_of(cls: Any) -> Callable[[Any], Kind] | None:
    if hasattr(cls, "__struct_fields__"):
        return StructKind
    if hasattr(cls, "__attrs_attrs__"):
        return AttrsKind
    if dataclasses.is_dataclass(cls):
        return DataclassKind
    if _is_typed_dict(cls):
        return TypedDictKind
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return NamedTupleKind
    return None


def _is_typed_dict(model: Any) -> bool:
    """Tell whether a class is a TypedDict, by typing or by typing_extensions."""
    return hasattr(model, "__total__") and hasattr(model, "__required_keys__")


def _msgspec_adapter(model: Any, make_kind: Callable[[Any], Kind]) -> Adapter:
    from grebe.documents.models.structured import MsgspecCodec

    kind = make_kind(get_origin(model) or model)
    hidden = [name for name in kind.names if name.startswith("_")]
    if hidden and not isinstance(kind, TypedDictKind):
        raise TypeError(
            "msgspec leaves out fields whose names begin with an underscore "
            f"({hidden[0]}); rename it, or give from_json= and to_json="
        )
    try:
        codec = MsgspecCodec(model)
    except TypeError:
        if make_kind is DataclassKind:
            # Unions that msgspec cannot tell apart: of dataclasses, of a date and a text.
            with contextlib.suppress(ImportError):
                return _pydantic_adapter(model)
        raise
    return ModelAdapter(_name_of(model), kind, codec)


def _pydantic_adapter(model: Any) -> Adapter:
    from grebe.documents.models import validated

    cls = get_origin(model) or model
    is_dataclass = dataclasses.is_dataclass(cls)
    make_kind = validated.PydanticDataclassKind if is_dataclass else validated.PydanticKind
    return ModelAdapter(_name_of(model), make_kind(cls), validated.PydanticCodec(model))


def _refused(model: Any) -> TypeError:
    return TypeError(f"{_name_of(model)} cannot be a model: give {KINDS}")


def _name_of(model: Any) -> str:
    if get_origin(model) is not None:
        return repr(model).rpartition(".")[2]
    return getattr(model, "__qualname__", repr(model))
