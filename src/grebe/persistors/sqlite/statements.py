"""Operations as SQL, and rows as records. Runs inside a transaction of the caller's.

What is under a path has the keys between `path/` and `path0`: `0` is the character after `/`, and
SQLite compares texts by their bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, repeat
from typing import TYPE_CHECKING, Any, TypeVar

from grebe.core import path as paths
from grebe.core.operation import (
    Clear,
    Delete,
    Move,
    Operation,
    Put,
    PutMany,
    RecordGroup,
)
from grebe.core.text import from_text, to_text
from grebe.errors import CorruptDataError

if TYPE_CHECKING:
    from sqlite3 import Connection

T = TypeVar("T")
Key = tuple[str, str, bool]
"""Path, partition, and whether it is encrypted."""

PUT = (
    "INSERT INTO documents (path, partition, encrypted, value) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (path, partition, encrypted) DO UPDATE SET value = excluded.value"
)
_UNDER = "path > :path || '/' AND path < :path || '0'"
_SCOPE = f"(path = :path OR ({_UNDER}))"
_DIRECTLY_IN = f"({_UNDER} AND instr(substr(path, length(:path) + 2), '/') = 0)"
_MOVE = (
    "UPDATE OR REPLACE documents SET partition = :target"
    " WHERE partition = :source AND encrypted = 0"
)
# CAST gives the bytes as they are stored, so no text is decoded only to be encoded again.
_SELECT = "SELECT path, partition, encrypted, CAST(value AS BLOB) FROM documents"


def apply(connection: Connection, parts: Iterable[Operation | PutMany]) -> None:
    """Apply operations in order."""
    for kind, run in groupby(parts, type):
        if kind is Put:
            connection.executemany(PUT, map(_row, run))
            continue
        for part in run:
            match part:
                case PutMany(documents, values, partition, encrypted):
                    rest = repeat(to_text(partition)), repeat(int(encrypted))
                    stored = values if encrypted else map(str, values, repeat("utf-8"))
                    connection.executemany(PUT, zip(documents, *rest, stored, strict=False))
                case Delete():
                    _delete(connection, part)
                case Move(path, source, target):
                    if source != target:
                        names = {"source": to_text(source), "target": to_text(target)}
                        scope = f" AND {_SCOPE}" if path else ""
                        connection.execute(_MOVE + scope, {"path": path, **names})
                case Clear():
                    connection.execute("DELETE FROM documents")


def _row(put: Any) -> tuple[str, str, int, str | bytes]:
    path, value, partition, encrypted = put
    stored = bytes(value) if encrypted else str(value, "utf-8")
    return path, to_text(partition), int(encrypted), stored


def _delete(connection: Connection, operation: Delete) -> None:
    path, recursive = operation
    if recursive:
        connection.execute("DELETE FROM documents WHERE path = ?", (path,))
        connection.execute(f"DELETE FROM documents WHERE {_UNDER}", {"path": path})
    elif paths.is_document(path):
        connection.execute("DELETE FROM documents WHERE path = ?", (path,))
    else:
        connection.execute(f"DELETE FROM documents WHERE {_DIRECTLY_IN}", {"path": path})


def save_metadata(connection: Connection, metadata: bytes) -> None:
    """Replace the metadata."""
    connection.execute("INSERT OR REPLACE INTO grebe VALUES ('metadata', ?)", (metadata,))


def read_metadata(connection: Connection, file: str) -> bytes | None:
    """Return the metadata, or None.

    Raises:
        CorruptDataError: it is not what Grebe wrote.
    """
    row = connection.execute("SELECT value FROM grebe WHERE name = 'metadata'").fetchone()
    if row is None:
        return None
    metadata = row[0]
    if not isinstance(metadata, bytes):
        raise _damaged("grebe", file)
    return metadata


def read_groups(
    connection: Connection, wanted: Sequence[str] | None, file: str
) -> list[RecordGroup]:
    """Return the documents at and under the paths, or all, by collection. O(documents).

    Raises:
        CorruptDataError: a row is not what Grebe wrote.
    """
    found: dict[Key, tuple[list[str], list[bytes]]] = {}
    try:
        for path, partition, encrypted, value in _rows(connection, wanted):
            collection, _, document_id = path.rpartition("/")
            side = collection, partition, encrypted
            group = found.get(side)
            if group is None:
                group = found[side] = [], []
            group[0].append(document_id)
            group[1].append(value)
        return [
            RecordGroup(collection, ids, values, from_text(partition), bool(encrypted))
            for (collection, partition, encrypted), (ids, values) in found.items()
        ]
    except (AttributeError, TypeError, UnicodeDecodeError) as error:
        raise _damaged("documents", file) from error


def _rows(connection: Connection, wanted: Sequence[str] | None) -> Iterator[Any]:
    if wanted is None:
        yield from connection.execute(f"{_SELECT} ORDER BY rowid")
        return
    asked = set(wanted)
    for path in dict.fromkeys(wanted):
        if asked.isdisjoint(paths.ancestors(path)[1:]):  # it comes with what is above it
            statement = f"{_SELECT} WHERE {_SCOPE} ORDER BY rowid"
            yield from connection.execute(statement, {"path": path})


def _damaged(table: str, file: str) -> CorruptDataError:
    return CorruptDataError(
        f"{file}: a row of the table {table} is not what Grebe wrote; nothing was changed, "
        "restore the file from a copy",
        file,
    )
