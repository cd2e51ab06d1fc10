"""What is wrong with stored data that a model cannot hold, and the error that says it.

No part of the data gets into a message: libraries' messages may quote values, so only what is
known to be free of them is taken from those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from grebe.core import encoding
from grebe.errors import DocumentTypeError

NO_SUCH_FIELD = "no such field"
MISSING = "missing"


class Mismatch(NamedTuple):
    """One place in stored data that does not fit a model."""

    place: str
    """Where: `$` is the whole, then `.field` and `[index]`."""
    stored: str
    """Type of what is stored there, or MISSING."""
    wanted: str
    """What the model wants there, or NO_SUCH_FIELD."""
    why: str = ""
    """More than the types say, if there is."""

    def __str__(self) -> str:
        """Say it, to be continued after `that is no User: `."""
        if self.stored == MISSING:
            return f"{self.place} is missing"
        if self.wanted == NO_SUCH_FIELD:
            return f"{self.place} is {_with_article(self.stored)}, and the model has no such field"
        said = f"{self.place} is {_with_article(self.stored)}, and {self.wanted} is wanted"
        return f"{said} ({self.why})" if self.why else said


def _with_article(name: str) -> str:
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


def misfit(value: bytes, model: str, path: str, found: Mismatch) -> DocumentTypeError:
    """Return the error for stored data that a model cannot hold."""
    kind = type(encoding.decode(value)).__name__
    return DocumentTypeError(
        f"{path} holds {_with_article(kind)} that is no {model}: {found}; "
        "give the collection a version and a migration, "
        "or read it through a collection without model and mend it there",
        path,
        field=found.place,
        stored=found.stored,
        wanted=found.wanted,
    )


def type_at(data: Any, keys: Sequence[str | int]) -> str | None:
    """Return the name of the type at a place in plain data, or None if there is no such place."""
    for key in keys:
        try:
            data = data[key]
        except (LookupError, TypeError):
            return None
    return type(data).__name__


def place_of(keys: list[str | int]) -> str:
    """Return how a place is written.

    >>> place_of(["tags", 3, "name"])
    '$.tags[3].name'
    """
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)


_PROBE = {"$probe": [None]}
"""What hardly any field accepts, and shows if one does."""


def unknown_field(value: bytes, kept: bytes, convert: Callable[[bytes], bytes]) -> Mismatch | None:
    """Return a stored field that a model does not know, or None.

    `kept` is what the model makes of `value`, which `convert` does: decode and encode again. What
    is not in it is either unknown, or left out because it has its default, or was read under an
    old name. To tell which, the field is given a value that no known field leaves unnoticed.
    """
    stored = encoding.decode(value)
    for keys in _lost(stored, encoding.decode(kept), []):
        altered = encoding.decode(value)
        above = altered
        for key in keys[:-1]:
            above = above[key]
        above[keys[-1]] = _PROBE
        try:
            noticed = convert(encoding.encode(altered)) != kept
        except Exception:  # of whatever kind the library and the user's validators raise
            noticed = True
        if not noticed:
            kind = type_at(stored, keys) or MISSING
            return Mismatch(place_of(keys), kind, NO_SUCH_FIELD)
    return None


def _lost(stored: Any, kept: Any, above: list[str | int]) -> Iterator[list[str | int]]:
    """Yield the places of fields that are in `stored` and not in `kept`."""
    if isinstance(stored, dict) and isinstance(kept, dict):
        for key, item in stored.items():
            if key not in kept:
                yield [*above, key]
            else:
                yield from _lost(item, kept[key], [*above, key])
    elif isinstance(stored, list) and isinstance(kept, list) and len(stored) == len(kept):
        for index, item in enumerate(stored):
            yield from _lost(item, kept[index], [*above, index])
