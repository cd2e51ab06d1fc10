"""`grebe import`: the records of a file become documents of one collection, all or none."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import grebe
from grebe.cli.console import require, track
from grebe.cli.errors import CommandError, UsageError
from grebe.cli.records import Record, read_records
from grebe.cli.store_target import open_store


def run(arguments: argparse.Namespace) -> int:
    """Import the file, durably, and return the exit code.

    Raises:
        CommandError: the file or a record of it cannot be imported; nothing was.
        GrebeError: the store cannot be opened or written.
    """
    if arguments.format == "loon":
        from grebe.cli import import_loon  # and with it sqlite3, which few imports need

        return import_loon.run(arguments)
    if arguments.collection is None:
        raise UsageError("--collection is missing; name the collection to import into")
    for name, given in (("key-file", arguments.key_file), ("slash", arguments.slash)):
        if given is not None:
            raise UsageError(f"--{name} is for --format loon only")
    if arguments.decrypt:
        raise UsageError("--decrypt is for --format loon only")
    require("cli", "rich")
    start = time.perf_counter()
    # All of the file is read and checked before the store is opened, let alone made.
    records = read_records(arguments.file, arguments.format, arguments.id, track)
    with open_store(arguments.into, hydrate=[arguments.collection]) as store:
        options = {} if arguments.partition is None else {"partition": arguments.partition}
        collection = store.collection(arguments.collection, **options)
        _write(store, collection, records, replace=arguments.replace)
        store.commit()
    seconds = time.perf_counter() - start
    sys.stdout.write(
        f"imported {len(records)} documents into {arguments.collection} of {arguments.into} "
        f"in {seconds:.2f} s\n"
    )
    return 0


def _write(
    store: grebe.Store, collection: grebe.Collection[Any], records: list[Record], *, replace: bool
) -> None:
    """Write all records as one unit. A transaction, since a batch has no way back."""
    with store.transaction() as tx:
        write = tx.set if replace else tx.create
        for record in track(records, f"Writing {collection.path}", len(records)):
            try:
                write(collection.doc(record.id), record.data)
            except grebe.DocumentExistsError as error:
                raise CommandError(
                    f"{record.place}: {error.path} exists already; nothing was imported, "
                    "use --replace to overwrite such documents"
                ) from error
            except (grebe.SerializationError, grebe.InvalidPathError) as error:
                raise CommandError(f"{record.place}: {error}; nothing was imported") from error
