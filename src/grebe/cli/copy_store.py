"""`grebe copy`: all of a store into another place, of another kind perhaps."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from grebe.cli.console import track_if_seen
from grebe.cli.errors import UsageError
from grebe.cli.inspection import counted, print_json
from grebe.cli.store_files import find_store
from grebe.core.operation import Batch
from grebe.persistence.copying import copy_all
from grebe.persistence.encryption.keys import KeySource
from grebe.persistence.encryption.sealing import Encryption
from grebe.persistence.persistor import Persistor
from grebe.store.opening import persistor_for


def run(arguments: argparse.Namespace) -> int:
    """Copy, compare, and return the exit code.

    Raises:
        UsageError: a place makes no sense, or there is no store.
        GrebeError: it could not be done; the message says where.
    """
    source, target = arguments.source, arguments.target
    _check_apart(source, target)
    if "://" not in source:
        find_store(source)
    copied = copy_all(
        _persistor(source, read_only=True),
        _persistor(target, read_only=False),
        _track,
        Encryption(KeySource(None)),
    )
    if arguments.json:
        print_json(
            {
                "source": source,
                "target": target,
                "documents": copied.documents,
                "encrypted_documents": copied.encrypted_documents,
                "bytes": copied.size_bytes,
                "present": copied.present,
            }
        )
        return 0
    documents = counted(copied.documents, "document")
    if copied.present == copied.documents > 0:
        sys.stdout.write(f"{target} was a whole copy already: {documents}, compared\n")
        return 0
    before = f"; {copied.present:,} of them were there from an earlier try" * (copied.present > 0)
    sys.stdout.write(
        f"copied {documents}, {counted(copied.size_bytes, 'byte')}, from {source} to {target}, "
        f"and compared{before}\n"
    )
    return 0


def _persistor(target: str, *, read_only: bool) -> Persistor:
    try:
        found = persistor_for(target, read_only=read_only, on_corruption="raise")
    except ValueError as error:
        raise UsageError(str(error)) from error
    assert found is not None
    return found


def _check_apart(source: str, target: str) -> None:
    """Check that both are places, and neither is in the other."""
    for place in (source, target):
        if place in ("", "memory:"):
            raise UsageError("a store in memory ends with this command; give a directory or a URL")
    here, there = _path_of(source), _path_of(target)
    if here == there:
        raise UsageError(f"{source} and {target} are one place; name another target")
    if here in there.parents or there in here.parents:
        raise UsageError(f"one of {source} and {target} is within the other; keep them apart")


def _path_of(target: str) -> Path:
    return Path(os.path.realpath(target.removeprefix("sqlite:///").removeprefix("file://")))


def _track(batches: Iterable[Batch], count: int) -> Iterable[Batch]:
    return track_if_seen(batches, "Copying", count)
