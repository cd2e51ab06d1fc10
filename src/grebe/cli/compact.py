"""`grebe compact`: folds the journal into the partition files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import grebe
from grebe.cli.errors import CommandError
from grebe.cli.inspection import counted, print_json, read_everything
from grebe.cli.store_files import Kind, disk_use, find_store, list_files, names_of


def run(arguments: argparse.Namespace) -> int:
    """Make a checkpoint, say what it gained, and return the exit code.

    Raises:
        UsageError: there is no store.
        StoreLockedError: a writer has it open.
        CorruptDataError: it is damaged; nothing was changed.
        CommandError: there are commits with encrypted documents to fold, which needs the key.
        GrebeError: a file cannot be read or written.
    """
    directory = find_store(arguments.directory)
    before = disk_use(list_files(directory))
    # All is read and checked first: a checkpoint must not be the moment when damage is found.
    persistor = grebe.FilePersistor(directory, on_corruption="raise")
    reading = read_everything(directory, persistor, checkpoint=True)
    files = list_files(directory)
    if names_of(files, Kind.JOURNAL):
        raise CommandError(
            f"{arguments.directory}: the journal has commits that only the store's key can fold; "
            "open the store with it and close it again"
        )
    after = disk_use(files)
    folded = reading.recovery.journal_records_replayed
    if arguments.json:
        print_json(
            {
                "directory": str(Path(arguments.directory).absolute()),
                "documents": reading.documents.total(),
                "commits_folded": folded,
                "disk_bytes_before": before,
                "disk_bytes_after": after,
            }
        )
    else:
        sys.stdout.write(
            f"{arguments.directory}: {counted(folded, 'commit')} folded, disk use "
            f"{before:,} bytes before, {after:,} after\n"
        )
    return 0
