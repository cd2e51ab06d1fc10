"""`grebe stats`: what a store holds, partition by partition, and what it takes on disk."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grebe.cli.inspection import Reading, check, counted, print_json, printable
from grebe.cli.store_files import Kind, StoreFile, bytes_in, disk_use, find_store, names_of

COLUMNS = ("partition", "documents", "encrypted", "payload", "on disk", "last commit")
_ESCAPED = re.compile(r"\\(\\|u[0-9a-f]{4})")


@dataclass(slots=True)
class PartitionStats:
    """What is in one partition, and in its files."""

    documents: int = 0
    encrypted_documents: int = 0
    payload_bytes: int = 0
    file_bytes: int = 0
    last_commit: int | None = None
    """The last commit that its files include; None: all of it is in the journal."""


def run(arguments: argparse.Namespace) -> int:
    """Print the numbers and return the exit code.

    Raises:
        UsageError: there is no store.
        GrebeError: a file cannot be read.
    """
    reading = check(find_store(arguments.directory))
    found = _as_json(arguments.directory, reading, _partitions(reading))
    if arguments.json:
        print_json(found)
    else:
        sys.stdout.writelines(line + "\n" for line in _lines(arguments.directory, found))
    return 0


def _partitions(reading: Reading) -> dict[str, PartitionStats]:
    found: dict[str, PartitionStats] = {}
    for (name, encrypted), count in reading.documents.items():
        stats = found.setdefault(name, PartitionStats())
        stats.documents += count
        stats.encrypted_documents += count if encrypted else 0
        stats.payload_bytes += reading.payload_bytes[name, encrypted]
    for file in reading.files:
        if file.kind is Kind.PARTITION and isinstance(file.header.get("partition"), str):
            stats = found.setdefault(_name_of(file), PartitionStats())
            stats.file_bytes += file.size
            stats.last_commit = max(stats.last_commit or 0, file.header.get("lsn", 0))
    return dict(sorted(found.items()))


def _name_of(file: StoreFile) -> str:
    """Return the partition's name; in the file backslashes and lone surrogates are escaped."""
    return _ESCAPED.sub(
        lambda match: "\\" if match[1] == "\\" else chr(int(match[1][1:], 16)),
        file.header["partition"],
    )


def _as_json(
    directory: str, reading: Reading, partitions: dict[str, PartitionStats]
) -> dict[str, Any]:
    files = reading.files
    payload = reading.payload_bytes.total()
    used = disk_use(files)
    header = next((file.header for file in files if file.kind is Kind.MANIFEST), {})
    return {
        "directory": str(Path(directory).absolute()),
        "format": header.get("format"),
        "store": header.get("store"),
        "clean": reading.recovery.clean,
        "partitions": {name: asdict(stats) for name, stats in partitions.items()},
        "documents": reading.documents.total(),
        "payload_bytes": payload,
        "journals": len(names_of(files, Kind.JOURNAL)),
        "journal_bytes": bytes_in(files, Kind.JOURNAL),
        "commits_to_replay": reading.recovery.journal_records_replayed,
        "disk_bytes": used,
        "disk_per_payload": round(used / payload, 3) if payload else None,
        "quarantined": names_of(files, Kind.QUARANTINED),
        "quarantined_bytes": bytes_in(files, Kind.QUARANTINED),
    }


def _lines(directory: str, found: dict[str, Any]) -> Iterator[str]:
    store = found["store"] or "unknown"
    yield f"{directory}: store {store}, format {found['format'] or 'unknown'}"
    if not found["clean"]:
        yield f"DAMAGED: what can be read is counted; see grebe verify {directory}"
    yield ""
    rows = [
        (
            printable(name),
            f"{stats['documents']:,}",
            f"{stats['encrypted_documents']:,}",
            f"{stats['payload_bytes']:,}",
            f"{stats['file_bytes']:,}",
            "-" if stats["last_commit"] is None else f"{stats['last_commit']:,}",
        )
        for name, stats in found["partitions"].items()
    ]
    yield from _table([COLUMNS, *rows])
    yield ""
    yield (
        f"documents: {found['documents']:,} in {counted(len(rows), 'partition')}, "
        f"{counted(found['payload_bytes'], 'byte')} of payload"
    )
    yield (
        f"journal:   {counted(found['journals'], 'file')}, "
        f"{counted(found['journal_bytes'], 'byte')}, "
        f"{counted(found['commits_to_replay'], 'commit')} to replay"
    )
    ratio = found["disk_per_payload"]
    times = "" if ratio is None else f", {ratio:.2f} times the payload"
    yield f"disk use:  {counted(found['disk_bytes'], 'byte')}{times}"
    if found["quarantined"]:
        size = counted(found["quarantined_bytes"], "byte")
        yield f"set aside: {', '.join(found['quarantined'])} ({size}, not in the disk use)"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the rows as lines; the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()
