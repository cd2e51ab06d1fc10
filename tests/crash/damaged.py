"""What must be true of a store whose files were damaged, checked; see test_damage.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from grebe.errors import CorruptDataError, GrebeError
from grebe.persistence.report import RecoveryReport
from grebe.persistors.file import names
from grebe.testing import SimulatedFileSystem
from tests.crash.oracle import DIRECTORY, State, state_of
from tests.crash.specimens import Files, Specimen, disk_of, files_of, open_in

FAILURES = (GrebeError, OSError, AssertionError, ValueError, LookupError, TypeError)
"""What opening may raise by mistake."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A specimen with some of its files changed."""

    specimen: Specimen
    what: str
    changed: Mapping[str, bytes | None]
    """New bytes by name; None: the file is gone."""
    silent: bool = False
    """Whether nobody can notice: it is what a crash leaves too, or of no consequence."""

    @property
    def files(self) -> dict[str, bytes]:
        files = {**self.specimen.files, **self.changed}
        return {name: data for name, data in files.items() if data is not None}


def problems_of(damaged: Damaged) -> list[str]:
    """Return what is wrong with how a damaged store is opened, each with what was done to it."""
    try:
        found = [*_quarantined(damaged), *_refused(damaged)]
    except FAILURES as error:
        found = [f"raised {type(error).__name__}: {error}"]
    return [f"{damaged.what}: {problem}" for problem in found]


def _quarantined(damaged: Damaged) -> Iterator[str]:
    fs = disk_of(damaged.files)
    persistor = open_in(fs)
    state, recovery = state_of(persistor), persistor.recovery
    yield from _served_wrongly(damaged, state)
    yield from _reported_wrongly(damaged, recovery, fs)
    persistor.close()
    yield from _lost_bytes(damaged, files_of(fs))
    for step in ("second open", "third open, after a checkpoint"):
        persistor = open_in(fs)
        again = state_of(persistor)
        if again != state:
            yield f"{step}: other documents {_difference(again, state)}"
        if not persistor.recovery.clean:
            yield f"{step}: not clean, {persistor.recovery}"
        persistor.checkpoint()
        persistor.close()
    yield from _lost_bytes(damaged, files_of(fs))


def _refused(damaged: Damaged) -> Iterator[str]:
    fs = disk_of(damaged.files)
    persistor = open_in_or_none(fs)
    if persistor is not None:
        try:
            state_of(persistor)
        except CorruptDataError as error:
            yield from _named_wrongly(damaged, error)
        else:
            if not damaged.silent:
                yield "not refused with on_corruption='raise'"
        persistor.close()
    else:
        try:
            open_in(fs, on_corruption="raise")
        except CorruptDataError as error:
            yield from _named_wrongly(damaged, error)
    if files_of(fs) != damaged.files:
        yield "on_corruption='raise' has changed files"


def open_in_or_none(fs: SimulatedFileSystem) -> Any:
    try:
        return open_in(fs, on_corruption="raise")
    except CorruptDataError:
        return None


def _named_wrongly(damaged: Damaged, error: CorruptDataError) -> Iterator[str]:
    if damaged.silent:
        yield f"refused: {error}"
    if error.file not in damaged.changed:
        yield f"{error.file!r} named by {error}"
    if str(error.file) not in str(error):
        yield f"the message does not name the file: {error}"


def _served_wrongly(damaged: Damaged, state: State) -> Iterator[str]:
    specimen, changed = damaged.specimen, damaged.changed
    for path, partition, encrypted, data in state.documents:
        if data not in specimen.values.get((path, partition, encrypted), ()):
            yield f"served {path}@{partition} = {data!r}, which was never committed"
    sides = {specimen.side(name) for name in changed}
    journal = any(names.journal_number(name) is not None for name in changed)
    acceptable = specimen.states if journal else specimen.states[-1:]
    problem = "nothing acceptable"
    for expected in acceptable:
        problem = _compare(state, expected, sides, specimen)
        if not problem:
            return
    yield problem


def _compare(state: State, expected: State, sides: set[Any], specimen: Specimen) -> str:
    """Return how the documents differ, but for those that a damaged file may have lost."""
    extra = state.documents - expected.documents
    if extra:
        return f"served too many or old: {_difference(state, expected)}"
    moved = {path for path, *home in specimen.states[0].documents if tuple(home[:2]) in sides}
    lost = {
        (path, partition)
        for path, partition, encrypted, _ in expected.documents - state.documents
        if (partition, encrypted) not in sides and path not in moved
    }
    return f"of undamaged files not served: {sorted(lost)[:5]}" if lost else ""


def _difference(one: State, other: State) -> str:
    more, fewer = one.documents - other.documents, other.documents - one.documents
    return f"+ {sorted(more)[:3]} - {sorted(fewer)[:3]}"


def _reported_wrongly(
    damaged: Damaged, recovery: RecoveryReport, fs: SimulatedFileSystem
) -> Iterator[str]:
    if recovery.clean != damaged.silent:
        yield f"clean is {recovery.clean}: {recovery}"
    if damaged.silent:
        return
    specimen = damaged.specimen
    files = damaged.files
    listed = specimen.listed
    noticed = list(damaged.changed)
    if names.MANIFEST in noticed:
        # Without it nobody knows of a partition file without a header.
        noticed = [name for name in noticed if name not in listed]
    partitions = [listed[name].documents for name in noticed if name in listed]
    if recovery.salvaged + recovery.lost != sum(partitions):
        yield f"{recovery.salvaged} salvaged + {recovery.lost} lost, not {sum(partitions)}"
    for name in noticed:
        if not any(name in message for message in recovery.messages):
            yield f"{name} is not in {recovery.messages}"
    for kept in recovery.quarantined:
        original = kept.rpartition(".corrupt-")[0]
        if files.get(original) != fs.read(f"{DIRECTORY}/{kept}"):
            yield f"{kept} is no copy of what was found"


def _lost_bytes(damaged: Damaged, after: Files) -> Iterator[str]:
    kept = set(after.values())
    for name in damaged.changed:
        if name in damaged.files and damaged.files[name] not in kept and not damaged.silent:
            yield f"the bytes of {name} are gone"
