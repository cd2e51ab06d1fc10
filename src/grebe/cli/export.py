"""`grebe export`: the documents of a store, or of one subtree, as a file that is whole."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from grebe.cli.console import track_if_seen
from grebe.cli.dump import as_one_object, as_text, read_documents
from grebe.cli.errors import CommandError, UsageError
from grebe.cli.inspection import counted
from grebe.cli.store_files import find_store


def run(arguments: argparse.Namespace) -> int:
    """Write the file and return the exit code.

    Raises:
        UsageError: there is no store, or the file must not be written.
        CommandError: nothing is stored at the path, or the file cannot be written.
        CorruptDataError: the store is damaged.
        GrebeError: the store cannot be read.
    """
    directory, target = find_store(arguments.directory), Path(arguments.file)
    _check_target(directory, target, force=arguments.force)
    documents = read_documents(arguments.directory, arguments.path, on_corruption="raise")
    if arguments.path is not None and not documents:
        raise CommandError(f"{directory}: nothing is stored at {arguments.path}; see grebe dump")
    if (arguments.format or target.suffix.lower()) in ("json", ".json"):
        lines = as_one_object(documents)
    else:
        lines = (as_text({"path": path, "data": data}) + "\n" for path, data in documents.items())
    shown = track_if_seen(lines, f"Writing {target.name}", len(documents))
    try:
        size = _write_whole(target, shown, force=arguments.force)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommandError(f"{target} cannot be written: {reason}") from error
    sys.stdout.write(
        f"exported {counted(len(documents), 'document')} to {target}, {counted(size, 'byte')}\n"
    )
    return 0


def _check_target(directory: Path, target: Path, *, force: bool) -> None:
    if target.is_dir():
        raise UsageError(f"{target} is a directory; give the name of a file")
    if target.resolve().parent == directory.resolve():
        raise UsageError(f"{target} would be among the store's own files; write it elsewhere")
    if target.exists() and not force:
        raise _exists(target)


def _exists(target: Path) -> UsageError:
    return UsageError(f"{target} exists already; use --force to replace it")


def _write_whole(target: Path, lines: Iterable[str], *, force: bool) -> int:
    """Write a file beside the target, durably, and then let it take the target's place.

    Returns its size in bytes.
    """
    # A symbolic link stays one, and what it leads to is replaced.
    place = target.resolve()
    descriptor, temporary = tempfile.mkstemp(".tmp", f".{place.name}.", place.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        if not force and target.exists():  # somebody made it meanwhile
            raise _exists(target)
        os.replace(temporary, place)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return size
