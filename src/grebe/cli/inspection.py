"""Reading all of a store, and what is found damaged on the way, file by file.

By the persistor and not by a store: sealed documents are checked and counted without their key.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grebe
from grebe.cli.store_files import Kind, StoreFile, list_files

Side = tuple[str, bool]
"""A partition's name, and whether its plain or its encrypted documents are meant."""

_SALVAGED = re.compile(r"(?P<file>.+): (?P<salvaged>\d+) documents salvaged, (?P<lost>\d+) lost")
_MENDED = re.compile(r".+: mended by hand; \d+ documents are taken as they are.*")
_FILE = re.compile(r"[^\s:]+")


@dataclass(slots=True)
class DamagedFile:
    """A file that is not what it should be."""

    file: str
    present: bool
    problems: list[str] = field(default_factory=list)
    """What is wrong, in words."""
    salvaged: int = 0
    """Documents that can be read of it nevertheless."""
    lost: int = 0
    mended: bool = False
    """Whether it is taken as mended by hand."""

    @property
    def loses_commits(self) -> bool:
        """Whether commits may be lost: how many documents those changed, nobody can know."""
        return self.file.endswith(".jsonl")


@dataclass(slots=True)
class Reading:
    """What reading all of a store found."""

    recovery: grebe.RecoveryReport
    documents: Counter[Side]
    payload_bytes: Counter[Side]
    """Size of the documents' JSON."""
    damaged: list[DamagedFile]
    files: list[StoreFile]
    """The files as they were before."""


def read_everything(
    directory: Path, persistor: grebe.FilePersistor, *, checkpoint: bool = False
) -> Reading:
    """Open a persistor, read all documents, perhaps make a checkpoint, and close it. O(size).

    Raises:
        GrebeError: the store cannot be read, or written.
    """
    files = list_files(directory)
    documents: Counter[Side] = Counter()
    payload_bytes: Counter[Side] = Counter()
    with _warnings_kept() as warnings:
        try:
            persistor.open()
            for group in persistor.load_groups(None):
                side = group.partition, group.encrypted
                documents[side] += len(group.ids)
                payload_bytes[side] += sum(map(len, group.values))
            if checkpoint:
                persistor.checkpoint()
        finally:
            persistor.close()
    recovery = persistor.recovery
    where = f"{os.path.abspath(directory)}: "
    salvages = [warning.removeprefix(where) for warning in warnings]
    damaged = _by_file(recovery, salvages, {file.name for file in files})
    return Reading(recovery, documents, payload_bytes, damaged, files)


def check(directory: Path, *, mend: bool = False) -> Reading:
    """Read everything and change nothing; see `read_everything`."""
    persistor = grebe.FilePersistor(directory, read_only=True, mend=mend)
    return read_everything(directory, persistor)


def foreign(reading: Reading) -> list[str]:
    """Return the names of files that are not Grebe's."""
    damaged = {found.file for found in reading.damaged}
    return [f.name for f in reading.files if f.kind is Kind.FOREIGN and f.name not in damaged]


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object; nothing else may be printed."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def printable(name: str) -> str:
    """Return the name of a partition or file so that a terminal can show it, on one line."""
    return name if name and name.isprintable() else repr(name)


def counted(number: int, what: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "document"), counted(1200, "document")
    ('1 document', '1,200 documents')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@contextmanager
def _warnings_kept() -> Iterator[list[str]]:
    """Collect what the library logs: the tools say it themselves, in their own form."""
    kept: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record.getMessage())

    log, keeper = logging.getLogger("grebe"), Keeper()
    log.addHandler(keeper)
    try:
        yield kept
    finally:
        log.removeHandler(keeper)


def _by_file(
    recovery: grebe.RecoveryReport, salvages: list[str], present: set[str]
) -> list[DamagedFile]:
    """Return what the report says of each file; each message begins with the file's name."""
    found: dict[str, DamagedFile] = {}
    for message in recovery.messages:
        name = _file_of(message, present)
        damaged = found.setdefault(name, DamagedFile(name, name in present))
        if _MENDED.fullmatch(message):
            damaged.mended = True
        elif not _SALVAGED.fullmatch(message):
            problem = message.removeprefix(name).removeprefix(":").strip()
            damaged.problems.append(problem)
    # The report has totals only; how much is of which file is in the log.
    for line in salvages:
        match = _SALVAGED.fullmatch(line)
        if match is not None and match["file"] in found:
            damaged = found[match["file"]]
            damaged.salvaged, damaged.lost = int(match["salvaged"]), int(match["lost"])
    return list(found.values())


def _file_of(message: str, present: set[str]) -> str:
    """Return the longest name of a file with which a message begins."""
    begun = [n for n in present if message.startswith((f"{n}:", f"{n} "))]
    if begun:
        return max(begun, key=len)
    match = _FILE.match(message)
    return match[0] if match else message
