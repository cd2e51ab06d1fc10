"""Schema versions: each document says which version its data has, and old ones are brought up.

The version is stored in the document. An object has it as its first field, any other value (and an
object that has a field of such a name itself) is wrapped:

    {"$version":3,"name":"John"}      {"$version":3,"$value":["John",28]}

Without it a document has version 1, so that collections can begin without one. `$` cannot begin
the name of an attribute, so that no model has such a field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from grebe.core import encoding
from grebe.core.options import Migrate
from grebe.core.values import encode_plain
from grebe.documents.models.adapter import Adapter
from grebe.documents.models.plain import PLAIN
from grebe.errors import DocumentTypeError, SerializationError

FIRST = 1
"""The version of a document that does not say."""

_START = re.compile(rb'\{"\$version":([1-9][0-9]{0,8})([,}])')
_WRAPPED = b'"$value":'
_NAMES = (b'"$version"', b'"$value"')


class Schema:
    """The version of a collection's documents, and how older ones become that. Immutable."""

    def __init__(self, version: int, migrate: Migrate | None = None) -> None:
        """Raises TypeError or ValueError for what cannot be a version or migrations."""
        self.version = _checked_version(version)
        self._migrate = _checked_steps(migrate, version)
        self._adapters: dict[Adapter, VersionedAdapter] = {}

    def adapter(self, inner: Adapter | None) -> VersionedAdapter:
        """Return the adapter that keeps the version beside what another converts; always one.

        None: plain data.
        """
        inner = inner or PLAIN
        found = self._adapters.get(inner)
        if found is None:
            found = self._adapters.setdefault(inner, VersionedAdapter(self, inner))
        return found

    def stamped(self, value: bytes) -> bytes:
        """Return a document's JSON with the version in it."""
        could_mislead = any(name in value for name in _NAMES)
        if self.version == FIRST and not could_mislead:
            return value
        if could_mislead or value[:1] != b"{":
            return b'{"$version":%d,"$value":%b}' % (self.version, value)
        comma = b"" if value == b"{}" else b","
        return b'{"$version":%d%b%b' % (self.version, comma, value[1:])

    def check_not_newer(self, value: bytes, path: str) -> None:
        """Raise DocumentTypeError if a document is newer than the code."""
        found = version_of(value, path)
        if found > self.version:
            raise DocumentTypeError(
                f"{path} has version {found}, and this program knows version {self.version} and "
                "older; it is not touched. Use a newer program, or delete the document",
                path,
                stored=f"version {found}",
                wanted=f"version {self.version} or older",
            )

    def current(self, value: bytes, path: str) -> bytes:
        """Return the JSON of the data in its newest version, without the version.

        Raises:
            DocumentTypeError: the document is newer than the code, or cannot be migrated.
        """
        found, body = split(value, path)
        if found == self.version:
            return body
        self.check_not_newer(value, path)
        return self._upgraded(found, body, path)

    def _upgraded(self, found: int, body: bytes, path: str) -> bytes:
        steps = self._steps_from(found)
        if steps is None:
            raise self._failed(found, path, f"migrate= has no step for version {found}")
        data = encoding.decode(body)
        for function, arguments in steps:
            try:
                data = function(data, *arguments)
                body = encode_plain(data, path)
            except SerializationError as error:
                what = "None" if data is None else "what cannot be stored"
                raise self._failed(found, path, f"{_name_of(function)} returned {what}") from error
            except Exception as error:
                # Whatever the user's function raises; not its text, which may show data.
                what = f"{_name_of(function)} raised {type(error).__name__}"
                raise self._failed(found, path, what) from error
        return body

    def _steps_from(self, found: int) -> list[tuple[Callable[..., Any], tuple[int, ...]]] | None:
        """Return the functions to be called, with what they get beside the data."""
        migrate = self._migrate
        if callable(migrate):
            return [(migrate, (found,))]
        if found not in migrate:
            return None
        return [(migrate[step], ()) for step in range(found, self.version)]

    def _failed(self, found: int, path: str, why: str) -> DocumentTypeError:
        return DocumentTypeError(
            f"{path} has version {found}, and cannot be migrated to {self.version}: {why}; "
            "it is as it was",
            path,
            stored=f"version {found}",
            wanted=f"version {self.version}",
        )


class VersionedAdapter:
    """Keeps the version of documents that another adapter converts."""

    def __init__(self, schema: Schema, inner: Adapter) -> None:
        self.name = inner.name
        self.schema = schema
        self._inner = inner

    def encode(self, data: Any, path: str) -> bytes:
        """See Adapter."""
        return self.schema.stamped(self._inner.encode(data, path))

    def capture(self, data: Any, path: str) -> tuple[bytes, Any]:
        """See Adapter."""
        value, seen = self._inner.capture(data, path)
        return self.schema.stamped(value), seen

    def decode(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        return self._inner.decode(self.schema.current(value, path), path)

    def draft(self, value: bytes, path: str) -> Any:
        """See Adapter."""
        return self._inner.draft(self.schema.current(value, path), path)

    def merge(self, value: bytes, fields: Mapping[str, Any], path: str) -> Any:
        """See Adapter."""
        return self._inner.merge(self.schema.current(value, path), fields, path)

    def upgrade(self, value: bytes, path: str) -> bytes:
        """Return the JSON of an old document in its newest version, with that.

        It is what the migrations made, not what the model makes of that: nothing is left out.

        Raises:
            DocumentTypeError: it cannot be migrated, or the result does not fit the model.
        """
        body = self.schema.current(value, path)
        self._inner.decode(body, path)
        return self.schema.stamped(body)


def split(value: bytes, path: str = "") -> tuple[int, bytes]:
    """Return the version of a document's JSON, and the JSON without it.

    Raises:
        DocumentTypeError: the version is no number.

    >>> split(b'{"$version":3,"name":"John"}'), split(b'{"name":"John"}')
    ((3, b'{"name":"John"}'), (1, b'{"name":"John"}'))
    """
    start = _START.match(value)
    if start is not None:
        version, rest = int(start[1]), value[start.end() :]
        if start[2] == b"}":
            return version, b"{}"
        if rest.startswith(_WRAPPED):
            return version, rest[len(_WRAPPED) : -1]
        return version, b"{" + rest
    if _NAMES[0] not in value:
        return FIRST, value
    # Somebody has written it in another order, or with spaces; or the name is further inside.
    data = encoding.decode(value)
    if not isinstance(data, dict) or "$version" not in data:
        return FIRST, value
    version = data.pop("$version")
    if not isinstance(version, int) or isinstance(version, bool) or version < FIRST:
        raise DocumentTypeError(
            f"{path}: $.$version is no number of a version; mend it in a collection without one",
            path,
            field="$.$version",
            stored=type(version).__name__,
            wanted="int",
        )
    return version, encoding.encode(data["$value"] if data.keys() == {"$value"} else data)


def version_of(value: bytes, path: str = "") -> int:
    """Return the version of a document's JSON. Raises DocumentTypeError."""
    start = _START.match(value)
    if start is not None:
        return int(start[1])
    return FIRST if _NAMES[0] not in value else split(value, path)[0]


def _checked_version(version: Any) -> int:
    if not isinstance(version, int) or isinstance(version, bool):
        raise TypeError(f"version= takes a number, not {type(version).__name__}")
    if not FIRST <= version < 10**9:
        raise ValueError(f"version= begins at {FIRST}, and documents without one have that")
    return version


def _checked_steps(migrate: Any, version: int) -> Migrate:
    if migrate is None:
        return {}
    if callable(migrate):
        return migrate  # type: ignore[no-any-return]
    if not isinstance(migrate, Mapping) or not all(map(callable, migrate.values())):
        kind = type(migrate).__name__
        raise TypeError(
            f"migrate= takes functions by version ({{1: fn, 2: fn}}) or a function "
            f"(data, version), not {kind}"
        )
    wanted = range(min(migrate, default=version), version)
    if sorted(migrate) != list(wanted) or wanted.start < FIRST:
        raise ValueError(
            f"migrate= has steps for versions {sorted(migrate)}; "
            f"to reach version {version} they have to go up to {version - 1} without a gap"
        )
    return dict(migrate)


def _name_of(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
