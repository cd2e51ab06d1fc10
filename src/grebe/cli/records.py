"""Files to import, read into records: JSON, JSON Lines and CSV. Knows nothing of the store.

Every mistake is reported with the file, and the line or number of the record, before anything is
written.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grebe.cli.errors import CommandError, UsageError

FORMATS = ("json", "jsonl", "csv")

_FORMAT_OF_SUFFIX = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}

Track = Callable[[Iterable[str], str, int], Iterator[str]]
"""Yields the same items and shows progress: (items, what is done, how many there are)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One document to be."""

    place: str
    """Where it was found, for messages: `people.csv: line 7`."""
    id: str | None
    """None: the store chooses one."""
    data: Any


def read_records(file: str, format: str | None, id_field: str | None, track: Track) -> list[Record]:
    """Return the records of a file, their ids checked to be there and unique. O(file).

    Args:
        file: path of the file; `-` is the standard input.
        format: one of FORMATS, or None to go by the name of the file.
        id_field: field that holds the id; None for random ids, or the keys of a JSON object.
        track: shows progress over the lines.

    Raises:
        CommandError: the file cannot be read, or holds something else.
        UsageError: the format cannot be told.
    """
    kind = format or _format_of(file)
    name = "standard input" if file == "-" else file
    text = _read_text(file, name)
    if kind == "json":
        found = _read_json(text, name)
    elif kind == "jsonl":
        lines = text.split("\n")  # not splitlines(): U+2028 may stand within JSON text
        found = _read_json_lines(track(lines, f"Reading {name}", len(lines)), name)
    else:
        lines = list(io.StringIO(text, newline=""))  # splits where csv does, and nowhere else
        found = _read_csv(track(lines, f"Reading {name}", len(lines)), name)
    if id_field is not None:
        found = (_with_id(record, id_field) for record in found)
    return _check_unique(found)


def _format_of(file: str) -> str:
    kind = _FORMAT_OF_SUFFIX.get(Path(file).suffix.lower())
    if kind is None:
        what = "the standard input" if file == "-" else file
        raise UsageError(f"the format of {what} cannot be told; add --format json, jsonl or csv")
    return kind


def _read_text(file: str, name: str) -> str:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CommandError(f"{name}: line {line} is not UTF-8; convert the file to it") from error


def _read_json(text: str, name: str) -> Iterator[Record]:
    value = _decode(text, name)
    if isinstance(value, dict) and len(value) == 1:
        (inner,) = value.values()
        if isinstance(inner, list) and all(isinstance(item, dict) for item in inner):
            value = inner  # a list with a name, as in {"3166-1": [...]}
    if isinstance(value, list):
        items: Iterable[tuple[str | None, Any]] = ((None, item) for item in value)
    elif isinstance(value, dict):
        items = value.items()
    else:
        raise CommandError(f"{name} holds no JSON array or object; there is nothing to import")
    for number, (key, data) in enumerate(items, start=1):
        yield Record(f"{name}: record {number}", key, data)


def _read_json_lines(lines: Iterable[str], name: str) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if line and not line.isspace():
            place = f"{name}: line {number}"
            yield Record(place, None, _decode(line, place))


def _read_csv(lines: Iterable[str], name: str) -> Iterator[Record]:
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise CommandError(f"{name} is empty; its first line should name the fields")
        if len(set(header)) < len(header):
            raise CommandError(f"{name}: line 1 names a field twice; give each its own name")
        for row in reader:
            place = f"{name}: line {reader.line_num}"
            if not row:
                continue
            if len(row) != len(header):
                raise CommandError(
                    f"{place} has {len(row)} fields, but the first line names {len(header)}; "
                    "add or remove a comma, or quote it"
                )
            yield Record(place, None, dict(zip(header, row, strict=True)))
    except csv.Error as error:
        raise CommandError(f"{name}: line {reader.line_num} is no CSV: {error}") from error


def _decode(text: str, place: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unambiguous)
    except json.JSONDecodeError as error:
        at = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}"
        raise CommandError(f"{place} is no JSON: {error.msg} ({at}); mend it there") from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{place} is no JSON that can be stored: {error}") from error


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object. Of two equal keys the parser would drop the first in silence."""
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"an object has the key {key!r} twice; remove one")
            seen.add(key)
    return value


def _with_id(record: Record, id_field: str) -> Record:
    if not isinstance(record.data, dict):
        kind = type(record.data).__name__
        raise CommandError(f"{record.place} is a {kind}; --id {id_field} needs an object")
    if id_field not in record.data:
        raise CommandError(
            f"{record.place} has no field {id_field!r}; add it there, or name another with --id"
        )
    value = record.data[id_field]
    if isinstance(value, bool) or not isinstance(value, str | int):
        kind = type(value).__name__
        raise CommandError(
            f"{record.place}: the id in {id_field!r} is a {kind}; make it a text or whole number"
        )
    return Record(record.place, str(value), record.data)


def _check_unique(found: Iterable[Record]) -> list[Record]:
    records = []
    first: dict[str, Record] = {}
    for record in found:
        if record.id is not None and first.setdefault(record.id, record) is not record:
            raise CommandError(
                f"{record.place}: the id {record.id!r} is also that of {first[record.id].place}; "
                "ids must be unique, change one or name another field with --id"
            )
        records.append(record)
    return records
