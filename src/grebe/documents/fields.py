"""Fields of documents, as they are written in queries: `field("age") >= 18`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NoReturn

from grebe.documents.conditions import (
    Comparison,
    Condition,
    Contains,
    Exists,
    Matches,
    OneOf,
    StartsWith,
)

_IMMUTABLE = frozenset((int, str, float, bool, type(None)))


class Field:
    """A field of documents by its path; made by `field()`. Comparing it gives a condition."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def __eq__(self, constant: object) -> Condition:  # type: ignore[override]
        """Return the condition that the field has this value, of this type."""
        if constant.__class__ not in _IMMUTABLE:
            constant = self._captured(constant)
        return Comparison(self.path, "==", constant)

    def __ne__(self, constant: object) -> Condition:  # type: ignore[override]
        """Return the condition that the field is missing or has another value."""
        if constant.__class__ not in _IMMUTABLE:
            constant = self._captured(constant)
        return Comparison(self.path, "!=", constant)

    def __lt__(self, constant: Any) -> Condition:
        """Return the condition that the field is less than a value of its type."""
        if constant.__class__ not in _IMMUTABLE:
            constant = self._captured(constant)
        return Comparison(self.path, "<", constant)

    def __le__(self, constant: Any) -> Condition:
        """Return the condition that the field is at most a value of its type."""
        if constant.__class__ not in _IMMUTABLE:
            constant = self._captured(constant)
        return Comparison(self.path, "<=", constant)

    def __gt__(self, constant: Any) -> Condition:
        """Return the condition that the field is greater than a value of its type."""
        if constant.__class__ not in _IMMUTABLE:
            constant = self._captured(constant)
        return Comparison(self.path, ">", constant)

    def __ge__(self, constant: Any) -> Condition:
        """Return the condition that the field is at least a value of its type."""
        if constant.__class__ not in _IMMUTABLE:
            constant = self._captured(constant)
        return Comparison(self.path, ">=", constant)

    def in_(self, values: Iterable[Any]) -> Condition:
        """Return the condition that the field has one of these values.

        Raises:
            TypeError: `values` is a text or cannot be iterated.
        """
        if values.__class__ is not list and (
            isinstance(values, str | bytes) or not isinstance(values, Iterable)
        ):
            kind = type(values).__name__
            raise TypeError(f"{self}.in_() takes a list of values, not a {kind}")
        constants = tuple(values)
        kinds = {*map(type, constants)}
        if not kinds <= _IMMUTABLE:
            constants = tuple(map(self._captured, constants))
        return OneOf(self.path, constants, kinds.pop() if len(kinds) == 1 else None)

    def contains(self, value: Any) -> Condition:
        """Return the condition that a list has this element, a text this part, a dict this key."""
        return Contains(self.path, self._captured(value))

    def starts_with(self, prefix: str) -> Condition:
        """Return the condition that the field is a text that begins with another."""
        if not isinstance(prefix, str):
            raise TypeError(f"{self}.starts_with() takes a str, not {type(prefix).__name__}")
        return StartsWith(self.path, prefix)

    def matches(self, pattern: str | re.Pattern[str]) -> Condition:
        """Return the condition that a regular expression is found in the field (`re.search`).

        Raises:
            TypeError: the pattern is no text.
            re.error: it is no regular expression.
        """
        text = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
        if not isinstance(text, str):
            raise TypeError(f"{self}.matches() takes a str pattern, not {type(text).__name__}")
        return Matches(self.path, re.compile(pattern))

    def exists(self) -> Condition:
        """Return the condition that the document has the field, be it None."""
        return Exists(self.path)

    def _captured(self, constant: Any) -> Any:
        """Return a constant that later changes to a list or dict do not reach."""
        if constant.__class__ in _IMMUTABLE:
            return constant
        if isinstance(constant, Field | Condition):
            raise TypeError(
                f"{self} can be compared with values only, not with another field or condition; "
                "give where() a function of the snapshot"
            )
        if isinstance(constant, dict):
            return {key: self._captured(item) for key, item in constant.items()}
        if type(constant) in (list, tuple):
            return type(constant)(self._captured(item) for item in constant)
        return constant

    def __hash__(self) -> int:
        """Hash by path."""
        return hash(self.path)

    def __bool__(self) -> NoReturn:
        """Refuse: a field is not a value."""
        raise TypeError(f"{self} has no truth value; compare it, or ask {self}.exists()")

    def __repr__(self) -> str:
        """Show it as it is written."""
        return f"field({self.path!r})"


def field(path: str) -> Field:
    """Return a field of documents, to be compared: `field("address.city") == "Rome"`.

    A path names keys of dicts, attributes of models and positions in lists, joined by dots.

    Raises:
        TypeError: the path is not a str.
        ValueError: it is empty, or has an empty part.

    >>> import grebe
    >>> users = grebe.open().collection("users")
    >>> _ = users.create_many({"1": {"age": 28}, "2": {"age": 7}, "3": {}})
    >>> [user.id for user in users.where((field("age") >= 18) | ~field("age").exists())]
    ['1', '3']
    """
    # Fields are values, so those that were made are given again: a query begins with one.
    try:
        return _FIELDS[path]
    except (KeyError, TypeError):  # TypeError: it is no str
        pass
    made = Field(path_of(path))
    if path.__class__ is str:
        if len(_FIELDS) >= _FIELDS_MAX:
            _FIELDS.clear()
        _FIELDS[path] = made
    return made


_FIELDS: dict[str, Field] = {}
_FIELDS_MAX = 1024


def path_of(where: str | Field) -> str:
    """Return the path of a field that is given by name or as `field(...)`.

    Raises:
        TypeError: it is neither.
        ValueError: the path is empty, or has an empty part.
    """
    if isinstance(where, Field):
        return where.path
    if not isinstance(where, str):
        kind = type(where).__name__
        raise TypeError(f"a field is named by a str such as 'address.city', not {kind}")
    if not all(where.split(".")):
        raise ValueError(f"{where!r} is no path of a field: it has an empty part")
    return where
