"""The documents of each side, as its partition file has them or as they could be salvaged.

A side is suspect when something but its checksums says that its file is damaged; that its bytes are
is found out by reading. What was salvaged stands for the file (`base`) until a checkpoint has
replaced it, which does not happen before a copy of the damaged file is durable (`set_aside`).
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Container
from dataclasses import replace

from grebe.core.operation import RecordGroup
from grebe.errors import CorruptDataError
from grebe.persistence.contents import Side
from grebe.persistence.report import RecoveryReport
from grebe.persistors.file.damage import Damage, Salvage, salvage, set_aside
from grebe.persistors.file.filesystem import FileSystem
from grebe.persistors.file.manifest import Manifest
from grebe.persistors.file.pace import never
from grebe.persistors.file.reading import read_partition
from grebe.persistors.file.recovery import Found

log = logging.getLogger("grebe")


class SideReader:
    """Reads partition files of one directory, and remembers which are damaged."""

    def __init__(self, fs: FileSystem, path: str, *, strict: bool, mend: bool) -> None:
        self._fs = fs
        self._path = path
        self._strict = strict
        self._mend = mend
        self.adopt(Found(None))

    def adopt(self, found: Found) -> None:
        """Begin with what was found in the directory."""
        self.manifest = found.manifest or Manifest("")
        self.in_doubt = False
        """Whether the one on the disk may be a later one."""
        self.files = dict(found.sides)
        """Partition files by side."""
        self.base: dict[Side, Salvage] = {}
        """What stands for damaged files."""
        self.reaches = found.lsn
        """Commit that the journals reach, at least."""
        self.not_aside: list[Damage] = []
        """Damaged files of which there is no copy yet."""
        self._damage: list[Damage] = []
        self._quarantined: list[str] = []
        self._salvages: list[Salvage] = []
        self._suspect = set(found.damaged_sides)
        self._forged = set(found.forged)
        self._notes = list(found.notes)
        for note in found.notes:
            log.warning("%s: %s", self._path, note)
        for damage in found.damage:
            self._note(damage)

    def refuse_damage(self) -> None:
        """Raise CorruptDataError if something is damaged and that is not to be mended."""
        if self._strict and self._damage:
            first = self._damage[0]
            raise CorruptDataError(f"{self._path}: {first.message}; see grebe repair", first.file)

    def damaged(self) -> set[Side]:
        """Return the sides whose file is known to be damaged."""
        return self._suspect | self.base.keys()

    def read_whole(
        self, side: Side, pause: Callable[[], None] = never
    ) -> tuple[int, list[RecordGroup]]:
        """Return the documents in a partition file. Raises CorruptDataError, OSError."""
        name = self.files[side]
        header, found = read_partition(self._fs, self._path, name, pause=pause)
        if header.awaits > self.reaches:
            message = f"{name}: values are missing that commit {header.awaits} puts, which is lost"
            raise CorruptDataError(message, name)
        return header.lsn, found

    def read(self, side: Side, pause: Callable[[], None] = never) -> tuple[int, list[RecordGroup]]:
        """Return the documents in a partition file, or what can be salvaged of it."""
        if side not in self.base:
            name = self.files[side]
            if side not in self._suspect:
                try:
                    return self.read_whole(side, pause)
                except FileNotFoundError:
                    damage = Damage(name, f"{name} is missing", present=False)
                except CorruptDataError as error:
                    damage = Damage(name, str(error))
                if self._strict:
                    raise CorruptDataError(f"{self._path}: {damage.message}", name)
                self._note(damage)
            self._salvage(side, name)
        found = self.base[side]
        return found.lsn, found.groups

    def salvage_suspects(self) -> None:
        """Read what can be read of the files that are known to be damaged."""
        for side in self._suspect - self.base.keys():
            self._salvage(side, self.files[side])

    def set_aside(self) -> None:
        """Keep durable copies of the damaged files; what fails stays to be done."""
        while self.not_aside:
            kept = set_aside(self._fs, self._path, self.not_aside[0])
            if kept is not None:
                self._quarantined.append(kept)
                log.warning("%s is kept as %s", self.not_aside[0].file, kept)
            del self.not_aside[0]

    def keep(self, names: Container[str]) -> None:
        """Note that of the partition files only these are left."""
        self.files = {side: name for side, name in self.files.items() if name in names}

    def healed(self) -> None:
        """Note that a checkpoint has replaced all damaged files."""
        self.base, self._suspect = {}, set()

    def report(self, found: Found) -> RecoveryReport:
        """Return what was found and done."""
        messages = [damage.message for damage in self._damage] + self._notes
        messages += [salvage.message for salvage in self._salvages if salvage.message]
        return RecoveryReport(
            clean=not self._damage,
            quarantined=tuple(self._quarantined),
            salvaged=sum(salvage.salvaged for salvage in self._salvages),
            lost=sum(salvage.lost for salvage in self._salvages)
            + sum(damage.lost for damage in self._damage),
            journal_records_replayed=sum(not commit.carry for commit in found.commits),
            torn_bytes_dropped=found.torn_bytes,
            messages=tuple(messages),
        )

    def _note(self, damage: Damage) -> None:
        log.warning("%s: %s", self._path, damage.message)
        self._damage.append(damage)
        self.not_aside.append(damage)

    def _salvage(self, side: Side, name: str) -> None:
        listed = self.manifest.partitions.get(name)
        found = Salvage(side, 0)
        if listed is not None:
            data = None
            with contextlib.suppress(FileNotFoundError):
                data = self._fs.read(os.path.join(self._path, name))
            if side in self._forged:
                data = None
            found = salvage(data, name, self.manifest.store, listed, mend=self._mend)
            # As of the manifest: the commits since then are applied again, which does no harm and
            # restores what they wrote to lost blocks. A file that is not listed has them all.
            found = replace(found, lsn=self.manifest.lsn)
        log.warning(
            "%s: %s: %d documents salvaged, %d lost", self._path, name, found.salvaged, found.lost
        )
        self._salvages.append(found)
        self.base[side] = found
