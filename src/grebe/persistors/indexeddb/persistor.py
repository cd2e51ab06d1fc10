"""The persistor for browsers: commits in a log, documents in chunks, both in IndexedDB.

Values have the formats of a directory's files, checksums and LSNs included; see manifest.py and
docs/browser.md. What the database does is in database.py, and that there are two in copies.py.

Invariants:
1. A commit is one transaction with one value in the log, acknowledged when that is complete.
2. A compaction is one transaction: new chunks, the manifest that lists them, the deletion of what
   they replace and of the log up to the manifest's LSN. So no crash leaves anything to recover.
3. Every commit above the manifest's is in `_commits` and in the log.
4. A damaged value is moved to DAMAGED by the transaction that replaces it.
5. `_turn`: one compaction or load at a time. No commit waits for it.
6. Nothing is awaited between the begin of `commit` and the issue of its transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from grebe.core.operation import Batch, Move, Put, PutMany, Record, RecordGroup
from grebe.errors import (
    CorruptDataError,
    GrebeError,
    PersistenceError,
    ReadOnlyError,
    StoreLockedError,
)
from grebe.persistence.contents import Contents, Side, difference, select
from grebe.persistence.formats.journal import JournalRecord, encode_record
from grebe.persistence.report import RecoveryReport
from grebe.persistence.resolver import Resolver, readable_resolver
from grebe.persistors.indexeddb.browser import BrowserPlaces
from grebe.persistors.indexeddb.compaction import (
    Compaction,
    encode_compaction,
    encode_head,
)
from grebe.persistors.indexeddb.copies import CHUNKS_AT_ONCE, TwoCopies
from grebe.persistors.indexeddb.database import (
    CHUNKS,
    DAMAGED,
    LAST,
    LOG,
    MANIFEST,
    Change,
    Database,
    Range,
    as_persistence_error,
)
from grebe.persistors.indexeddb.manifest import Manifest, decode_manifest, encode_manifest
from grebe.persistors.indexeddb.reading import (
    ReadChunk,
    apply_in_steps,
    changed_sides,
    encode_chunks,
    read_chunk,
)
from grebe.persistors.indexeddb.recovery import find

log = logging.getLogger("grebe")

COMPACT_BYTES = 1_048_576
LOG_SHARE_MAX = 0.2
"""A compaction is due when the log is this large beside the chunks that it would replace."""
RETRY_BYTES_MIN = 65_536
HOLDER = "another tab or worker of this site"


class IndexedDBPersistor:
    """Documents in a browser's IndexedDB, under Pyodide. Its methods are coroutines."""

    def __init__(
        self,
        name: str,
        *,
        checkpoint_bytes: int = COMPACT_BYTES,
        read_only: bool = False,
        on_corruption: Literal["quarantine", "raise"] = "quarantine",
        database: Database | None = None,
    ) -> None:
        """Name the database, of the page's origin; `open` makes it.

        Args:
            name: name of the database.
            checkpoint_bytes: size of the log below which it is not compacted by itself.
            read_only: never write, and do not wait for who writes.
            on_corruption: "quarantine" sets damaged values aside and loads the rest; "raise"
                refuses to open and changes nothing.
            database: what stands for IndexedDB; for tests.
        """
        if not name:
            raise ValueError("an IndexedDB database needs a name")
        if checkpoint_bytes < 0:
            raise ValueError(f"checkpoint_bytes= is a number of bytes, not {checkpoint_bytes}")
        self.name = name
        self._database = database or TwoCopies(BrowserPlaces(name), read_only=read_only)
        self._compact_bytes = checkpoint_bytes
        self._read_only = read_only
        self._strict = on_corruption == "raise"
        self._is_open = False
        self._forget()

    def _forget(self) -> None:
        self._manifest = Manifest("", {})
        self._seed = 0
        self._commits: list[JournalRecord] = []
        self._lsn = 0
        self._log_bytes = 0
        self._asked_above_bytes = 0
        self._metadata: bytes | None = None
        self._resolver: Resolver | None = None
        self._sides: dict[Side, None] = {}
        """All that may hold something, the chunks' and the log's."""
        self._snapshot: Contents | None = None
        self._chunks: dict[int, bytes] | None = None
        self._turn = asyncio.Lock()
        self._compacting: asyncio.Task[None] | None = None
        self._doubtful: Compaction | None = None
        """One whose end was not told: it may be there or not."""
        self._bad_chunks: set[int] = set()
        self._aside: dict[tuple[str, int], bytes] = {}
        """Damaged values, not replaced yet."""
        self._heal_first = False
        """Whether the log or the manifest is damaged: commits have to wait until it is mended."""
        self._report = RecoveryReport()

    # --- Persistor

    async def open(self) -> None:
        """Become the only writer, make the database if need be, read its log. See Persistor."""
        if self._is_open:
            raise StoreLockedError(str(self), None, HOLDER)
        self._forget()
        with as_persistence_error(self, "opened"):
            if not self._read_only and not await self._database.lock():
                raise StoreLockedError(str(self), None, HOLDER)
            try:
                await self._database.open(create=not self._read_only)
                await self._adopt()
                if self._read_only:
                    self._snapshot = await self._fold(self._manifest.sides(), self._commits)
            except BaseException:
                self._database.close()
                await self._database.unlock()
                raise
        self._is_open = True
        await self._heal()

    async def commit(self, batch: Batch) -> None:
        """Put the batch into the log, in one transaction. O(batch). See Persistor."""
        if self._read_only:
            raise ReadOnlyError(str(self))
        with as_persistence_error(self, "written to"):
            await self._reconnect_if_lost()
            if self._heal_first:
                await self.checkpoint()
            record = JournalRecord(self._lsn + 1, batch.parts, batch.metadata)
            line = b"".join(encode_record(record, self._seed))
            await self._database.write(Change([(LOG, record.lsn, line)]))
        # A commit that was cancelled meanwhile has not come here: its number is used again, and
        # what it may have stored is replaced as a whole.
        self._commits.append(record)
        self._lsn = record.lsn
        self._log_bytes += len(line)
        self._note(record)
        self._compact_if_due()

    async def load(self, paths: Sequence[str] | None) -> Iterable[Record]:
        """See Persistor."""
        return [record for group in await self.load_groups(paths) for record in group.records()]

    async def load_groups(self, paths: Sequence[str] | None) -> Iterable[RecordGroup]:
        """Return documents; reads the chunks of the partitions that may hold them."""
        if self._snapshot is not None:
            return list(select(self._snapshot.groups(), paths))
        async with self._turn:
            with as_persistence_error(self, "read"):
                await self._settle()
                groups = await self._load_groups(paths)
        await self._heal()
        return list(select(groups, paths))

    async def load_metadata(self) -> bytes | None:
        """See Persistor."""
        return self._metadata

    async def checkpoint(self) -> None:
        """Fold the log into the chunks of the partitions that changed. O(their documents)."""
        if self._read_only:
            return
        async with self._turn:
            with as_persistence_error(self, "written to"):
                await self._settle()
                await self._compact()

    async def refresh(self) -> Batch | None:
        """Read what a writer has committed since; for `read_only`. O(documents)."""
        async with self._turn:
            with as_persistence_error(self, "read"):
                before = self._snapshot
                assert before is not None, "only a reader is refreshed"
                await self._adopt()
                self._snapshot = await self._fold(self._manifest.sides(), self._commits)
                parts = difference(before.records(), self._snapshot.records())
        return Batch(parts, self._metadata) if parts else None

    async def close(self) -> None:
        """Let a running compaction end, disconnect, let others write. See Persistor."""
        if self._compacting is not None:
            await self._compacting
        self._snapshot = None
        self._is_open = False
        self._database.close()
        await self._database.unlock()

    def when_leaving(self, commit: Callable[[], None]) -> None:
        """See Persistor."""
        if not self._read_only:
            self._database.when_leaving(commit)

    @property
    def recovery(self) -> RecoveryReport:
        """What opening and reading found."""
        return self._report

    def __str__(self) -> str:
        """Return the URL that `grebe.open` takes."""
        return f"indexeddb:{self.name}"

    def __repr__(self) -> str:
        """Show the database's name."""
        return f"IndexedDBPersistor({self.name!r})"

    # --- opening

    async def _adopt(self) -> None:
        """Take over what is in the database."""
        head, lines, chunks = await self._look()
        found = find(head, lines, chunks)
        if found.is_new and self._read_only:
            raise FileNotFoundError(errno.ENOENT, "it holds no store; open it for writing")
        self._manifest, self._commits, self._seed = found.manifest, found.commits, found.seed
        # Above all that is there: no number is used for something else before it is set aside.
        self._lsn = max([found.manifest.lsn, *lines])
        self._log_bytes = sum(map(len, lines.values()))
        self._chunks = chunks if self._read_only else None
        self._set_metadata(found.manifest.metadata)
        self._sides = dict.fromkeys(found.manifest.sides())
        for record in found.commits:
            self._note(record)
        self._report = RecoveryReport(journal_records_replayed=len(found.commits))
        for message in found.messages:
            self._note_damage(message)
        if self._database.deleted:
            self._note_damage(
                "the browser found its own files damaged and has deleted all documents "
                f"({self._database.deleted})"
            )
        self._note_mended(*self._database.mended)
        self._aside.update(found.aside)
        self._heal_first = bool(found.messages)
        if found.is_new:
            await self._database.write(Change(encode_head(found.manifest)))
        elif found.is_rebuilt and self._metadata is None:
            await self._rebuild_metadata()

    async def _look(self) -> list[dict[int, bytes]]:
        """Return manifest, log and chunks; the chunks only if they are needed at once."""
        head_and_log: list[Range] = [(MANIFEST, 0, 1), (LOG, 0, LAST)]
        chunks: Range = (CHUNKS, 0, LAST)
        if self._read_only:
            # All in one transaction: between two the writer may replace chunks.
            return await self._database.read(*head_and_log, chunks)
        found = await self._database.read(*head_and_log)
        if 0 in found[0]:
            with contextlib.suppress(CorruptDataError):
                decode_manifest(found[0][0])
                return [*found, {}]
        return await self._database.read(*head_and_log, chunks)

    async def _rebuild_metadata(self) -> None:
        """Find out anew which partitions hold what, from all documents."""
        resolver = Resolver()
        contents = await self._fold(self._manifest.sides(), self._commits)
        for group in contents.groups():
            resolver.add(group.collection, group.partition)
        self._set_metadata(resolver.encode())

    async def _reconnect_if_lost(self) -> None:
        """Connect again, if nobody has changed anything meanwhile."""
        if not self._database.lost:
            return
        try:
            await self._database.open(create=False)
        except FileNotFoundError as error:
            raise PersistenceError(
                f"{self} was deleted by the browser or by another tab; what is in memory can be "
                "written to a new store"
            ) from error
        self._note_mended(*self._database.mended)
        head, lines = await self._database.read((MANIFEST, 0, 1), (LOG, 0, LAST))
        # One commit more may be there: one whose end the connection did not live to tell.
        last = max([self._manifest.lsn, *lines])
        known = {encode_manifest(self._manifest)}
        if self._doubtful is not None:
            known.add(encode_manifest(self._doubtful.after))
        if head.get(0) not in known or last not in (self._lsn, self._lsn + 1):
            self._database.close()
            raise PersistenceError(f"{self} was changed by another program; open the store again")

    # --- reading

    def _note(self, record: JournalRecord) -> None:
        """Note where a commit puts documents, and its metadata."""
        for operation in record.operations:
            match operation:
                case Put(_, _, partition, encrypted) | PutMany(_, _, partition, encrypted):
                    self._sides[partition, encrypted] = None
                case Move(_, _, target):
                    self._sides[target, False] = None
        if record.metadata is not None:
            self._set_metadata(record.metadata)

    def _set_metadata(self, metadata: bytes | None) -> None:
        self._metadata = metadata
        self._resolver = readable_resolver(metadata)

    def _sides_for(self, path: str) -> set[Side]:
        """Return the sides that may hold something at or under a path; all for ""."""
        if not path or self._resolver is None:
            return set(self._sides)
        known = self._resolver.candidates(path)
        # The addresses of encrypted documents say nothing of their collections.
        return {side for side in self._sides if side[0] in known or side[1]}

    async def _load_groups(self, paths: Sequence[str] | None) -> list[RecordGroup]:
        """Return at least what is wanted."""
        commits = list(self._commits)
        changed, moves = changed_sides(commits, self._sides_for)
        wanted = set(self._sides)
        if paths is not None and not moves:
            wanted = {side for path in paths for side in self._sides_for(path)}
        groups: list[RecordGroup] = []
        for side in [side for side in self._sides if side in wanted - changed]:
            groups += await self._read_side(side)
        if wanted & changed:
            contents = await self._fold(wanted & changed, commits)
            found = ((group, (group.partition, group.encrypted)) for group in contents.groups())
            groups += [group for group, side in found if side in wanted & changed]
        return groups

    async def _fold(self, sides: Container[Side], commits: Iterable[JournalRecord]) -> Contents:
        """Return the documents of some sides with commits applied."""
        contents = Contents()
        for side in [side for side in self._sides if side in sides]:
            contents.add_side(side, await self._read_side(side), self._manifest.lsn)
        for _ in apply_in_steps(contents, commits):
            await asyncio.sleep(0)
        return contents

    async def _read_side(self, side: Side) -> list[RecordGroup]:
        """Return the documents in a side's chunks; of damaged ones what is whole."""
        groups: list[RecordGroup] = []
        numbers = self._manifest.of(side)
        for start in range(0, len(numbers), CHUNKS_AT_ONCE):
            some = numbers[start : start + CHUNKS_AT_ONCE]
            values = self._chunks
            if values is None:
                values = (await self._database.read((CHUNKS, some[0], some[-1])))[0]
            for number in some:
                found = read_chunk(values.get(number), number, self._manifest)
                if found.damage is not None and number not in self._bad_chunks:
                    found = await self._mend(number) or found
                groups += found.groups
                if found.damage is not None and number not in self._bad_chunks:
                    self._note_damage(found.damage, found.documents, found.lost)
                    self._bad_chunks.add(number)
                    if number in values:
                        self._aside[CHUNKS, number] = values[number]
        return groups

    async def _mend(self, number: int) -> ReadChunk | None:
        """Take a chunk that is damaged from the other copy, if it is whole there."""
        data = await self._database.spare(CHUNKS, number)
        found = read_chunk(data, number, self._manifest)
        if data is None or found.damage is not None:
            return None
        if not self._read_only:
            with contextlib.suppress(OSError):  # it is read from the other copy for now
                await self._database.write(Change([(CHUNKS, number, data)]))
        self._note_mended(f"chunk {number} was damaged, and is taken from the other copy")
        return found

    def _note_damage(self, message: str, salvaged: int = 0, lost: int = 0) -> None:
        if self._strict:
            raise CorruptDataError(f"{self}: {message}; nothing was changed")
        log.warning("%s: %s; see store.recovery", self, message)
        report = self._report
        self._report = replace(
            report,
            clean=False,
            salvaged=report.salvaged + salvaged,
            lost=report.lost + lost,
            messages=(*report.messages, message),
        )

    def _note_mended(self, *messages: str) -> None:
        """Tell of what was damaged and is whole again: the store is clean."""
        for message in messages:
            log.warning("%s: %s", self, message)
        self._report = replace(self._report, messages=(*self._report.messages, *messages))

    async def _heal(self) -> None:
        """Replace what is damaged by what was salvaged. What fails is tried again later."""
        if self._read_only or not (self._heal_first or self._bad_chunks):
            return
        try:
            await self.checkpoint()
        except (GrebeError, OSError):
            log.warning("damage in %s could not be mended yet", self, exc_info=True)

    # --- compaction

    def _compact_if_due(self) -> None:
        log_bytes = self._log_bytes
        if log_bytes <= max(self._compact_bytes, self._asked_above_bytes):
            return
        if self._compacting is not None and not self._compacting.done():
            return
        changed, _ = changed_sides(self._commits, self._sides_for)
        replaced = sum(c.size for c in self._manifest.chunks.values() if c.side in changed)
        if log_bytes <= replaced * LOG_SHARE_MAX:
            # Not asked again before the log can be large enough.
            self._asked_above_bytes = int(replaced * LOG_SHARE_MAX)
            return
        loop = asyncio.get_running_loop()
        self._compacting = loop.create_task(self._compact_in_background())

    async def _compact_in_background(self) -> None:
        try:
            await self.checkpoint()
        except Exception:
            # Nothing is lost: the log still has it all. Tried again when that has grown.
            log.warning("compaction of %s failed; it is tried again", self, exc_info=True)
            self._asked_above_bytes = self._log_bytes + max(self._compact_bytes, RETRY_BYTES_MIN)

    async def _compact(self) -> None:
        commits, lsn, metadata = list(self._commits), self._lsn, self._metadata
        log_bytes = self._log_bytes
        if not (commits or self._bad_chunks or self._heal_first):
            return
        before = self._manifest
        changed, _ = changed_sides(commits, self._sides_for)
        bad = {before.chunks[number].side for number in self._bad_chunks}
        contents = await self._fold(changed | bad, commits)
        # Reading may have found more that is damaged.
        bad = {before.chunks[number].side for number in self._bad_chunks}
        rewritten = contents.changed | bad
        chunks = {n: chunk for n, chunk in before.chunks.items() if chunk.side not in rewritten}
        puts: list[tuple[str, int, bytes]] = []
        for side in [side for side in contents.sides if side in rewritten]:
            for chunk, data in encode_chunks(contents, side, before.store, lsn):
                number = before.next + len(puts)
                chunks[number] = chunk
                puts.append((CHUNKS, number, data))
                await asyncio.sleep(0)
        after = Manifest(before.store, chunks, lsn, metadata, before.next + len(puts))
        number = 0
        if self._aside:
            number = max((await self._database.read((DAMAGED, 0, LAST)))[0], default=0) + 1
        change, damaged = encode_compaction(before, after, puts, self._aside, number)
        self._doubtful = Compaction(after, len(commits), log_bytes)
        await self._database.write(change)
        self._take_over(self._doubtful)
        self._report = replace(self._report, quarantined=(*self._report.quarantined, *damaged))

    def _take_over(self, done: Compaction) -> None:
        self._manifest, self._doubtful = done.after, None
        del self._commits[: done.commits]
        self._log_bytes -= done.log_bytes
        self._asked_above_bytes = 0
        self._sides = dict.fromkeys(done.after.sides())
        for record in self._commits:
            self._note(record)
        self._bad_chunks, self._aside, self._heal_first = set(), {}, False

    async def _settle(self) -> None:
        """Connect again if need be; find out whether a compaction in doubt is there."""
        await self._reconnect_if_lost()
        doubtful, self._doubtful = self._doubtful, None
        if doubtful is not None:
            head = (await self._database.read((MANIFEST, 0, 0)))[0]
            if head.get(0) == encode_manifest(doubtful.after):
                self._take_over(doubtful)
