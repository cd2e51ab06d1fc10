"""`grebe repair`: sets damaged files aside and salvages what can be; seals files mended by hand.

What is done is what opening a store does by itself; here it can be seen beforehand, and files that
were mended by hand are accepted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grebe
from grebe.cli.errors import CommandError
from grebe.cli.inspection import (
    DamagedFile,
    Reading,
    check,
    counted,
    print_json,
    read_everything,
)
from grebe.cli.store_files import MANIFEST, Kind, find_store, names_of

WORK_TO_DO = 3
"""Exit code of a dry run that found something to do which loses nothing."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is, or would be, done about one damaged file."""

    damaged: DamagedFile
    action: str
    kept_as: str | None
    """Name under which the damaged file is kept; None if there is no file."""
    losses: tuple[str, ...]
    """What of it is not in the store afterwards, in words."""


def run(arguments: argparse.Namespace) -> int:
    """Repair the store, or say how, and return the exit code: 0, 1 for a loss, or WORK_TO_DO.

    Raises:
        UsageError: there is no store.
        StoreLockedError: a writer has it open.
        CommandError: it is still damaged.
        GrebeError: a file cannot be read or written.
    """
    directory = find_store(arguments.directory)
    reading = check(directory, mend=arguments.mend)
    applied = arguments.apply and not reading.recovery.clean
    if applied:
        reading = _repair(directory, mend=arguments.mend)
    work = [_work_on(directory, found, reading, done=applied) for found in reading.damaged]
    if arguments.json:
        print_json(_as_json(arguments, reading, work))
    else:
        sys.stdout.writelines(line + "\n" for line in _lines(arguments, directory, work))
    if any(item.losses for item in work):
        return 1
    return WORK_TO_DO if work and not applied else 0


def _repair(directory: Path, *, mend: bool) -> Reading:
    """Do it, and check that it is done."""
    persistor = grebe.FilePersistor(directory, mend=mend)
    # The checkpoint says so if it fails; opening would only log it and go on.
    reading = read_everything(directory, persistor, checkpoint=True)
    left = check(directory).damaged
    if left:
        names = ", ".join(found.file for found in left)
        raise CommandError(f"{directory} is still damaged: {names}; see grebe verify")
    return reading


def _work_on(directory: Path, damaged: DamagedFile, reading: Reading, *, done: bool) -> Work:
    kept = None
    if damaged.present:
        kept = _kept_as(damaged, reading) if done else _free_name(directory, damaged.file)
    if damaged.mended:
        action = "seal"
    elif damaged.file == MANIFEST:
        action = "rebuild"
    elif damaged.salvaged or damaged.lost:
        action = "salvage"
    else:
        action = "set aside" if damaged.present else "write anew"
    return Work(damaged, action, kept, tuple(_losses(damaged, action, reading)))


def _losses(damaged: DamagedFile, action: str, reading: Reading) -> Iterator[str]:
    """Say what is lost: more than the number in the report, where nobody can know how much."""
    if damaged.lost:
        yield counted(damaged.lost, "document")
    if damaged.loses_commits:
        yield "the commits behind the damage"
    if action == "seal" and any("another version" in problem for problem in damaged.problems):
        yield "what was committed after this version of the file"
    rebuilt = any(found.file == MANIFEST for found in reading.damaged)
    if (
        action == "set aside"
        and rebuilt
        and damaged.file in names_of(reading.files, Kind.PARTITION)
    ):
        # With a good manifest it would be certain that such a file is no part of the store.
        yield "its documents, if it is of this store"


def _kept_as(damaged: DamagedFile, reading: Reading) -> str | None:
    start = f"{damaged.file}.corrupt-"
    return next((name for name in reading.recovery.quarantined if name.startswith(start)), None)


def _free_name(directory: Path, file: str) -> str:
    """Return the name under which a damaged file would be kept, or is kept already."""
    kept = {
        int(number): path
        for path in directory.iterdir()
        if path.name.startswith(start := f"{file}.corrupt-")
        and (number := path.name.removeprefix(start)).isdecimal()
    }
    data = (directory / file).read_bytes()
    for path in kept.values():
        if path.read_bytes() == data:
            return path.name
    return f"{file}.corrupt-{max(kept, default=0) + 1}"


def _as_json(arguments: argparse.Namespace, reading: Reading, work: list[Work]) -> dict[str, Any]:
    return {
        "directory": str(Path(arguments.directory).absolute()),
        "applied": arguments.apply and bool(work),
        "clean": arguments.apply or not work,
        "damaged": [
            {
                "file": item.damaged.file,
                "present": item.damaged.present,
                "problems": item.damaged.problems,
                "action": item.action,
                "kept_as": item.kept_as,
                "salvaged": item.damaged.salvaged,
                "lost": item.damaged.lost,
                "losses": list(item.losses),
            }
            for item in work
        ],
        "documents": reading.documents.total(),
        "salvaged": reading.recovery.salvaged,
        "lost": reading.recovery.lost,
    }


def _lines(arguments: argparse.Namespace, directory: Path, work: list[Work]) -> Iterator[str]:
    if not work:
        yield f"{directory}: clean, nothing to do"
        return
    done = arguments.apply
    verdict = "repaired" if done else "damaged; this is a dry run, nothing was changed"
    yield f"{directory}: {counted(len(work), 'file')} {verdict}"
    for item in work:
        damaged = item.damaged
        for problem in damaged.problems:
            yield f"  {damaged.file}: {problem}"
        yield from (f"    {line}" for line in _what_is_done(item, done=done))
    if any(item.action == "seal" for item in work) and not done:
        yield "if nobody mended these files by hand, the disk did it: add --no-mend"
    if not done:
        options = "--apply" if arguments.mend else "--no-mend --apply"
        yield f"do it: grebe repair {directory} {options}"


def _what_is_done(item: Work, *, done: bool) -> Iterator[str]:
    damaged = item.damaged
    documents = counted(damaged.salvaged, "document")
    if item.kept_as is not None:
        yield f"{'kept' if done else 'would keep'} the file as it was as {item.kept_as}"
    if item.action == "seal":
        verb = "sealed" if done else "would seal"
        yield f"whole JSON, taken as mended by hand: {verb} it anew with its {documents}"
    elif item.action == "rebuild":
        yield f"{'rebuilt' if done else 'would rebuild'} it from the other files"
    elif item.action == "salvage":
        yield f"{'salvaged' if done else 'would salvage'} {documents}"
    if item.losses:
        yield f"{'lost' if done else 'would lose'}: {'; '.join(item.losses)}"
