"""Plain values: what JSON carries unchanged, and the read-only form in which readers see it."""

from __future__ import annotations

import copy
from typing import Any, NoReturn

from grebe.core import encoding
from grebe.errors import SerializationError

INT_MIN = -(2**63)
INT_MAX = 2**63 - 1

PlainValue = dict[str, Any] | list[Any] | str | int | float | bool


def encode_plain(value: object, path: str) -> bytes:
    """Return the JSON of a plain value, captured now: later changes to it do not show.

    `path` names the document in errors. O(size of the value).

    Raises:
        SerializationError: JSON cannot carry the value unchanged; the field is named.

    >>> encode_plain({"name": "John", "tags": ["a"]}, "users/1")
    b'{"name":"John","tags":["a"]}'
    >>> encode_plain({"tags": [{1, 2}]}, "users/1")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
      ...
    grebe.errors.SerializationError: users/1: $.tags[0] is a set, which JSON cannot carry...
    """
    return encode_and_plain(value, path)[0]


def encode_and_plain(value: object, path: str) -> tuple[bytes, Any]:
    """Do as `encode_plain`, and return too what was encoded: of exactly the types of JSON.

    That is `value` itself, if it is plain.
    """
    try:
        if not plainness_of(value):
            value = _convert(value, path, "$", ())
        return encoding.encode(value), value
    except UnicodeEncodeError as error:
        _refuse_surrogates(value, path, "$")
        raise SerializationError(f"{path}: text holds a lone surrogate", path) from error
    except RecursionError as error:
        raise _too_deep(value, path) from error


def is_flat(encoded: bytes) -> bool:
    """Tell whether nothing is nested in the JSON of a dict: no bracket, save in a text."""
    return not (encoded.rfind(123) or 91 in encoded)  # 123 is {, 91 is [


def _too_deep(value: object, path: str) -> SerializationError:
    try:
        _convert(value, path, "$", ())
    except SerializationError as error:  # it contains itself, and this says where
        return error
    except RecursionError:
        pass  # it is what it seemed; the caller chains the first RecursionError
    return SerializationError(f"{path}: $ is nested too deeply to be stored", path)


NOT_PLAIN, NESTED, FLAT = 0, 1, 2
"""What a value may be: a dict without others or lists inside is flat; what is not plain has to be
converted, or is refused."""


def plainness_of(value: object) -> int:
    """Tell whether a value needs a second look, or else what it is; 0 if it does.

    The fast way through, for nearly every write. Scalars are tested in place, because a call for
    each would double the cost.
    """
    kind = type(value)
    if kind is dict or kind is ReadOnlyDict:
        found = FLAT
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is str:
                kind = type(item)
                if kind is str:
                    continue
                if kind is int:
                    if item.bit_length() < 64:  # the one negative number of 64 is looked at again
                        continue
                elif kind is bool or item is None:
                    continue
                elif kind is float:
                    if item - item == 0:  # not so for infinities and NaN
                        continue
                elif (kind is list and NO_NUMBERS.issuperset(map(type, item))) or plainness_of(
                    item
                ):
                    found = NESTED
                    continue
            return NOT_PLAIN
        return found
    if kind is list:
        items: list[object] = value  # type: ignore[assignment]
        return NO_NUMBERS.issuperset(map(type, items)) or all(
            item is None or plainness_of(item) for item in items
        )
    return _is_plain_scalar(value)


def is_plain(value: object) -> bool:
    """Tell whether a value needs no second look."""
    return plainness_of(value) != NOT_PLAIN


NO_NUMBERS = frozenset((str, bool, type(None)))


def _is_plain_scalar(value: object) -> bool:
    kind = type(value)
    if kind is int:
        return INT_MIN <= value <= INT_MAX  # type: ignore[operator]
    if kind is float:
        return bool(value - value == 0)  # type: ignore[operator]
    return kind is str or kind is bool


def _convert(value: object, path: str, place: str, above: tuple[int, ...]) -> Any:
    """Return `value` in exact built-in types, or say which part of it cannot be stored.

    Subclasses of the JSON types (read-only data, defaultdict, numpy's float64) are carried as
    their base: they compare equal to what is read back.
    """
    if value is None:
        if place == "$":
            raise SerializationError(f"{path}: None is not a document; use delete()", path)
        return None
    if isinstance(value, dict | list):
        if id(value) in above:
            raise SerializationError(f"{path}: {place} contains itself", path)
        above = (*above, id(value))
    if isinstance(value, dict):
        return {
            _convert_key(key, path, place): _convert(item, path, f"{place}.{key}", above)
            for key, item in dict.items(value)
        }
    if isinstance(value, list):
        return [_convert(item, path, f"{place}[{i}]", above) for i, item in enumerate(value)]
    return _convert_scalar(value, path, place)


def _convert_key(key: object, path: str, place: str) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    kind = type(key).__name__
    raise SerializationError(
        f"{path}: {place} has a key of type {kind}, JSON has only str keys; convert it", path
    )


def _convert_scalar(value: object, path: str, place: str) -> bool | str | int | float:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        number = int.__index__(value)
        if INT_MIN <= number <= INT_MAX:
            return number
        return _refuse(
            path, place, "is an int of more than 64 bits, which JSON cannot carry; use str"
        )
    if isinstance(value, float):
        real = float.__float__(value)
        if real - real == 0:
            return real
        return _refuse(path, place, "is not a finite number, which JSON cannot carry; use None")
    kind = type(value).__name__
    hint = _HINTS.get(kind, "; convert it, or give the collection a model")
    return _refuse(path, place, f"is a {kind}, which JSON cannot carry{hint}")


_HINTS = {
    "tuple": " unchanged; use a list",
    "set": "; use a list",
    "frozenset": "; use a list",
    "bytes": "; use a str, base64 for instance",
    "datetime": "; use isoformat(), or give the collection a model",
    "date": "; use isoformat(), or give the collection a model",
}


def _refuse(path: str, place: str, why: str) -> NoReturn:
    raise SerializationError(f"{path}: {place} {why}", path)


def _refuse_surrogates(value: object, path: str, place: str) -> None:
    """Find the text with the lone surrogate and raise the error that names its place."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise SerializationError(
                f"{path}: {place} holds a lone surrogate, which JSON cannot carry", path
            ) from error
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_surrogates(key, path, place)
            _refuse_surrogates(item, path, f"{place}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _refuse_surrogates(item, path, f"{place}[{i}]")


def decode_plain(value: bytes) -> Any:
    """Return the read-only Python value of a document's JSON."""
    data = encoding.decode(value)
    kind = type(data)
    if kind is dict:
        return ReadOnlyDict(data) if is_flat(value) else _freeze_dict(data)
    return _freeze_list(data) if kind is list else data


def read_only(data: Any) -> Any:
    """Return decoded data as readers get it: its dicts and lists are replaced, in place, inside."""
    if type(data) is dict:
        return _freeze_dict(data)
    return _freeze_list(data) if type(data) is list else data


def _freeze_dict(data: dict[str, Any]) -> ReadOnlyDict:
    for key, item in data.items():
        kind = type(item)
        if kind is dict:
            data[key] = _freeze_dict(item)
        elif kind is list:
            data[key] = _freeze_list(item)
    return ReadOnlyDict(data)


def _freeze_list(data: list[Any]) -> ReadOnlyList:
    for i, item in enumerate(data):
        kind = type(item)
        if kind is dict:
            data[i] = _freeze_dict(item)
        elif kind is list:
            data[i] = _freeze_list(item)
    return ReadOnlyList(data)


def _refuse_change(*_args: Any, **_kwargs: Any) -> NoReturn:
    raise TypeError(
        "data read from a snapshot is read-only; use the document's update(), modify() or edit(), "
        "or change a copy.deepcopy() of it"
    )


class ReadOnlyDict(dict[str, Any]):
    """A dict that refuses to be changed; `copy.deepcopy` and `|` give ordinary ones."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse_change
    clear = pop = popitem = setdefault = update = _refuse_change

    def copy(self) -> dict[str, Any]:
        """Return an ordinary, shallow copy."""
        return dict(self)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        """Return a mutable copy, all the way down."""
        return {key: copy.deepcopy(item, memo) for key, item in self.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as an ordinary dict."""
        return dict, (dict(self),)


class ReadOnlyList(list[Any]):
    """A list that refuses to be changed; `copy.deepcopy` and `+` give ordinary ones."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse_change
    append = extend = insert = pop = remove = _refuse_change
    clear = sort = reverse = _refuse_change

    def copy(self) -> list[Any]:
        """Return an ordinary, shallow copy."""
        return list(self)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        """Return a mutable copy, all the way down."""
        return [copy.deepcopy(item, memo) for item in self]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as an ordinary list."""
        return list, (list(self),)
