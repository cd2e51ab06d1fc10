"""The files in a store's directory, by what they are. Format: docs/file_format.md.

Only names, sizes and first lines are looked at here, for what the tools say; whether a file is
damaged is for the persistor to judge.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from grebe.cli.errors import UsageError

MANIFEST = "__manifest__.json"
HEADER_START = b'{"grebe":{"format":'
_JOURNAL = re.compile(r"journal-[0-9]{8,}\.jsonl")
_QUARANTINED = re.compile(r".+\.corrupt-[0-9]+")


class Kind(StrEnum):
    """What a file is."""

    MANIFEST = "manifest"
    PARTITION = "partition"
    JOURNAL = "journal"
    LOCK = "lock"
    TEMPORARY = "temporary"
    QUARANTINED = "quarantined"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class StoreFile:
    """A file in the directory of a store."""

    name: str
    kind: Kind
    size: int
    """Length in bytes."""
    header: dict[str, Any] = field(default_factory=dict)
    """What the first line of a manifest, partition file or journal says; not checked."""


def find_store(directory: str) -> Path:
    """Return the directory of a store.

    Raises:
        UsageError: there is no store.
    """
    path = Path(directory)
    if not path.is_dir():
        raise UsageError(f"{directory} is no directory; give that of a store")
    if not any(
        file.kind in (Kind.MANIFEST, Kind.PARTITION, Kind.JOURNAL) for file in list_files(path)
    ):
        raise UsageError(f"{directory} holds no store; give the directory of one")
    return path


def list_files(directory: Path) -> list[StoreFile]:
    """Return the files in a directory, by name. A writer may remove some meanwhile."""
    found = []
    for path in sorted(directory.iterdir()):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                found.append(_look_at(path))
    return found


def names_of(files: Iterable[StoreFile], *kinds: Kind) -> list[str]:
    """Return the names of the files of these kinds."""
    return [file.name for file in files if file.kind in kinds]


def bytes_in(files: Iterable[StoreFile], *kinds: Kind) -> int:
    """Return the size of the files of these kinds together."""
    return sum(file.size for file in files if file.kind in kinds)


def disk_use(files: Iterable[StoreFile]) -> int:
    """Return the bytes that a store takes, without the damaged files that were set aside."""
    used = set(Kind) - {Kind.QUARANTINED, Kind.FOREIGN}
    return bytes_in(files, *used)


def _look_at(path: Path) -> StoreFile:
    name, size = path.name, path.stat().st_size
    if name == ".lock":
        return StoreFile(name, Kind.LOCK, size)
    if name.endswith(".tmp"):
        return StoreFile(name, Kind.TEMPORARY, size)
    if _QUARANTINED.fullmatch(name):
        return StoreFile(name, Kind.QUARANTINED, size)
    if name == MANIFEST:
        return StoreFile(name, Kind.MANIFEST, size, _read_header(path) or {})
    if _JOURNAL.fullmatch(name):
        return StoreFile(name, Kind.JOURNAL, size, _read_header(path) or {})
    if name.endswith(".json"):
        header = _read_header(path)
        if header is not None:
            return StoreFile(name, Kind.PARTITION, size, header)
    return StoreFile(name, Kind.FOREIGN, size)


def _read_header(path: Path) -> dict[str, Any] | None:
    """Return what the first line says, {} if it is damaged, None if it is not Grebe's."""
    with path.open("rb") as file:
        if file.read(len(HEADER_START)) != HEADER_START:
            return None
        line = HEADER_START + file.readline()
    try:
        # A journal's first line is an object; that of the others goes on: `{"grebe":{...},`.
        line = line.rstrip()
        header = json.loads(line[:-1] + b"}" if line.endswith(b",") else line)["grebe"]
    except (ValueError, TypeError, KeyError):
        return {}
    return header if isinstance(header, dict) else {}
