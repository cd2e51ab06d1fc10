"""`grebe verify`: checks every byte of a store, and changes nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grebe.cli.inspection import Reading, check, counted, foreign, print_json, printable
from grebe.cli.store_files import Kind, find_store, names_of

CHECKED = (Kind.MANIFEST, Kind.PARTITION, Kind.JOURNAL)


def run(arguments: argparse.Namespace) -> int:
    """Check the store, say what was found, and return 0 if it is clean, 1 if it is damaged.

    Raises:
        UsageError: there is no store.
        GrebeError: a file cannot be read.
    """
    reading = check(find_store(arguments.directory))
    if arguments.json:
        print_json(as_json(arguments.directory, reading))
    else:
        sys.stdout.writelines(line + "\n" for line in _lines(arguments.directory, reading))
    return 0 if reading.recovery.clean else 1


def as_json(directory: str, reading: Reading) -> dict[str, Any]:
    """Return what was found as JSON."""
    recovery = reading.recovery
    return {
        "directory": str(Path(directory).absolute()),
        "clean": recovery.clean,
        "damaged": [
            {
                "file": found.file,
                "present": found.present,
                "problems": found.problems,
                "salvageable": found.salvaged,
                "lost": found.lost,
                "loses_commits": found.loses_commits,
            }
            for found in reading.damaged
        ],
        "good": _good(reading),
        "documents": reading.documents.total(),
        "closed": _closed(reading),
        "commits_to_replay": recovery.journal_records_replayed,
        "torn_bytes": recovery.torn_bytes_dropped,
        "temporary": names_of(reading.files, Kind.TEMPORARY),
        "quarantined": names_of(reading.files, Kind.QUARANTINED),
        "foreign": foreign(reading),
    }


def _lines(directory: str, reading: Reading) -> Iterator[str]:
    damaged = reading.damaged
    verdict = f"{counted(len(damaged), 'file')} DAMAGED" if damaged else "clean"
    yield f"{directory}: {verdict}"
    for found in damaged:
        for problem in found.problems:
            yield f"  {found.file}: {problem}"
        if found.salvaged or found.lost:
            yield f"    {counted(found.salvaged, 'document')} can be salvaged, {found.lost:,} not"
        if found.loses_commits:
            yield "    commits behind the damage cannot be replayed"
    documents = counted(reading.documents.total(), "document")
    good = _good(reading)
    yield f"  fine: {', '.join(good) or 'no file'}"
    yield f"  {documents} {'can be read' if damaged else 'read, every byte checked'}"
    yield from _asides(reading)
    if damaged:
        yield f"see what can be done about it: grebe repair {directory}"


def _asides(reading: Reading) -> Iterator[str]:
    """Say what is no damage, but good to know."""
    recovery = reading.recovery
    if not _closed(reading):
        replayed = counted(recovery.journal_records_replayed, "commit")
        torn = recovery.torn_bytes_dropped
        tail = f", {counted(torn, 'byte')} of a commit that was cut off dropped" if torn else ""
        yield f"  not closed, or open in a writer: {replayed} in the journal to be replayed{tail}"
    for what, names in (
        ("left over, removed at the next opening", names_of(reading.files, Kind.TEMPORARY)),
        ("set aside earlier", names_of(reading.files, Kind.QUARANTINED)),
        ("not Grebe's, left alone", foreign(reading)),
    ):
        if names:
            yield f"  {what}: {', '.join(map(printable, names))}"


def _closed(reading: Reading) -> bool:
    return not names_of(reading.files, Kind.JOURNAL, Kind.TEMPORARY)


def _good(reading: Reading) -> list[str]:
    damaged = {found.file for found in reading.damaged}
    return [name for name in names_of(reading.files, *CHECKED) if name not in damaged]
