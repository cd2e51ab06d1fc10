"""What the kinds of classes can do by themselves: fields, copies, equality. No conversion."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from grebe.core.values import read_only


class Kind:
    """What Python knows of a kind of classes, such as dataclasses."""

    def __init__(self, model: type[Any], names: tuple[str, ...]) -> None:
        self.model = model
        self.names = names
        """Names of the fields."""

    def accepts(self, data: Any) -> bool:
        """Tell whether data is an instance: of the very class, whose fields are known."""
        return type(data) is self.model

    def value_of(self, data: Any, name: str) -> Any:
        """Return a field's value."""
        return getattr(data, name, None)

    def is_same(self, left: Any, right: Any) -> bool:
        """Tell whether two instances are equal."""
        if left == right:
            return True
        # Without an equality of its own, == is identity.
        has_none = type(left).__eq__ is object.__eq__  # type: ignore[comparison-overlap]
        return has_none and self._have_same_fields(left, right)

    def _have_same_fields(self, left: Any, right: Any) -> bool:
        return all(self.value_of(left, name) == self.value_of(right, name) for name in self.names)

    def replace(self, data: Any, fields: Mapping[str, Any]) -> Any:
        """Return a copy with fields replaced. Raises TypeError for fields that there are not."""
        raise NotImplementedError

    def shown(self, data: Any) -> Any:
        """Return decoded data as readers get it."""
        return data


class DataclassKind(Kind):
    """Dataclasses."""

    def __init__(self, model: type[Any]) -> None:
        super().__init__(model, tuple(item.name for item in dataclasses.fields(model)))

    def replace(self, data: Any, fields: Mapping[str, Any]) -> Any:
        """See Kind."""
        return dataclasses.replace(data, **fields)


class AttrsKind(Kind):
    """Classes by attrs, whose validators msgspec runs."""

    def __init__(self, model: type[Any]) -> None:
        super().__init__(model, tuple(item.name for item in model.__attrs_attrs__))

    def replace(self, data: Any, fields: Mapping[str, Any]) -> Any:
        """See Kind."""
        import attrs

        return attrs.evolve(data, **fields)


class StructKind(Kind):
    """Subclasses of msgspec.Struct."""

    def __init__(self, model: type[Any]) -> None:
        super().__init__(model, model.__struct_fields__)

    def replace(self, data: Any, fields: Mapping[str, Any]) -> Any:
        """See Kind."""
        import msgspec

        return msgspec.structs.replace(data, **fields)


class NamedTupleKind(Kind):
    """Named tuples: JSON arrays."""

    def __init__(self, model: type[Any]) -> None:
        super().__init__(model, model._fields)

    def replace(self, data: Any, fields: Mapping[str, Any]) -> Any:
        """See Kind."""
        refuse_unknown(fields, self)  # _replace raises ValueError
        return data._replace(**fields)


class TypedDictKind(Kind):
    """Dicts with known keys."""

    def __init__(self, model: type[Any]) -> None:
        super().__init__(model, tuple(model.__annotations__))

    def accepts(self, data: Any) -> bool:
        """See Kind."""
        return isinstance(data, dict)

    def value_of(self, data: Any, name: str) -> Any:
        """See Kind."""
        return data.get(name)

    def replace(self, data: Any, fields: Mapping[str, Any]) -> Any:
        """See Kind."""
        refuse_unknown(fields, self)
        return {**data, **fields}

    def shown(self, data: Any) -> Any:
        """See Kind."""
        return read_only(data)


def refuse_unknown(fields: Mapping[str, Any], kind: Kind) -> None:
    """Raise TypeError for fields that a model does not have."""
    for name in fields:
        if name not in kind.names:
            raise TypeError(f"{kind.model.__qualname__} has no field {name!r} to update")
