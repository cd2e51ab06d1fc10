"""The harness can fail: each rule broken on purpose is noticed.

Numbers in brackets are those of the rules at the end of the persistence contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from grebe.core.operation import Batch
from grebe.errors import GrebeError
from grebe.persistence.formats.journal import JournalRecord, encode_record
from grebe.persistence.formats.partition import no_value
from grebe.persistors.file import checkpoint, persistor, recovery, remainder, sides
from grebe.persistors.file.filesystem import FileSystem
from grebe.persistors.file.names import MANIFEST
from grebe.testing import FaultyFileSystem
from grebe.testing.faults import FaultyFile
from tests.crash import test_faults
from tests.crash.harness import SEED, Result, Run, examine, report, second_lives
from tests.crash.test_readers import after, read_beside
from tests.crash.workloads import WORKLOADS

Patch = pytest.MonkeyPatch


# --- where the rules are broken


def skip_directory_syncs(patch: Patch, wanted: Callable[[str, str], bool]) -> None:
    """Leave out the directory syncs that the wanted (directory, last renamed file) come before."""
    last = [""]
    rename, sync = FaultyFileSystem.rename, FaultyFileSystem.sync_directory

    def renamed(fs: FaultyFileSystem, source: str, target: str) -> None:
        last[0] = target
        rename(fs, source, target)

    def synced(fs: FaultyFileSystem, path: str) -> None:
        if not wanted(path, last[0]):
            sync(fs, path)
        last[0] = ""

    patch.setattr(FaultyFileSystem, "rename", renamed)
    patch.setattr(FaultyFileSystem, "sync_directory", synced)


def skip_file_syncs(patch: Patch, wanted: Callable[[FaultyFile], bool]) -> None:
    sync = FaultyFile.sync
    patch.setattr(FaultyFile, "sync", lambda file: None if wanted(file) else sync(file))


def journal_name_not_synced(patch: Patch) -> None:
    """(6) A journal's name is not synced."""
    skip_directory_syncs(patch, lambda _, last: last.endswith(".jsonl"))


def partition_names_not_synced(patch: Patch) -> None:
    """(6) The partitions' names are not synced before the manifest is replaced."""
    skip_directory_syncs(patch, lambda _, last: last.endswith(".json") and MANIFEST not in last)


def manifest_name_not_synced(patch: Patch) -> None:
    """(7) Journals are removed before the new manifest's name is synced."""
    skip_directory_syncs(patch, lambda _, last: MANIFEST in last)


def new_directory_not_synced(patch: Patch) -> None:
    """(5) The parent of a new directory is not synced."""
    skip_directory_syncs(patch, lambda path, _: path in ("/", "/data"))


def appended_without_sync(patch: Patch) -> None:
    """(2) A commit is acknowledged without a sync."""
    synced: set[int] = set()

    def again(file: FaultyFile) -> bool:
        seen = id(file) in synced
        synced.add(id(file))
        file.__dict__["kept"] = synced  # so the id is not used again while it counts
        return seen

    skip_file_syncs(patch, again)


def journal_begun_without_sync(patch: Patch) -> None:
    """(3) A new journal is renamed before it is synced."""
    skip_file_syncs(patch, lambda file: ".jsonl" in file._path)


def partition_renamed_without_sync(patch: Patch) -> None:
    """(5) A partition file is renamed before it is synced."""
    skip_file_syncs(patch, lambda f: ".json.tmp" in f._path and MANIFEST not in f._path)


def manifest_renamed_without_sync(patch: Patch) -> None:
    """(5) The manifest is renamed before it is synced."""
    skip_file_syncs(patch, lambda file: MANIFEST in file._path)


def changed_in_place(patch: Patch) -> None:
    """(4) A partition file is rewritten in place."""
    write_file = checkpoint.write_file

    def write_in_place(fs: FileSystem, directory: str, name: str, parts: list[bytes]) -> None:
        if name == MANIFEST:
            write_file(fs, directory, name, parts)
            return
        file = fs.create(f"{directory}/{name}")
        for part in parts:
            file.write(part)
        file.sync()
        file.close()

    patch.setattr(checkpoint, "write_file", write_in_place)


def manifest_before_partitions(patch: Patch) -> None:
    """(3) The manifest is replaced before the partitions."""
    write_file, write_manifest = checkpoint.write_file, checkpoint.write_manifest
    waiting: list[tuple[Any, ...]] = []

    def write_later(fs: FileSystem, directory: str, name: str, parts: list[bytes]) -> None:
        if name == MANIFEST:
            write_file(fs, directory, name, parts)
        else:
            waiting.append((fs, directory, name, parts))

    def write_first(fs: FileSystem, directory: str, manifest: Any) -> None:
        write_manifest(fs, directory, manifest)
        for arguments in waiting:
            write_file(*arguments)
        waiting.clear()
        fs.sync_directory(directory)

    patch.setattr(checkpoint, "write_file", write_later)
    patch.setattr(persistor, "write_manifest", write_first)


def journals_removed_first(patch: Patch) -> None:
    """(7) The journals are removed before the manifest is replaced."""
    write_manifest = checkpoint.write_manifest

    def write_last(fs: FileSystem, directory: str, manifest: Any) -> None:
        for name in fs.list_directory(directory):
            if name.endswith(".jsonl"):
                fs.remove(f"{directory}/{name}")
        write_manifest(fs, directory, manifest)

    patch.setattr(persistor, "write_manifest", write_last)


def carry_left_out(patch: Patch) -> None:
    """(3) What moved is in neither file while one is replaced and the other is not."""
    patch.setattr(persistor, "carry_record", lambda *_: None)


def recovered_not_written_anew(patch: Patch) -> None:
    """(8) What recovery read from the page cache is taken for durable."""
    adopt = persistor.FilePersistor._adopt

    def trust(self: persistor.FilePersistor, found: Any) -> None:
        adopt(self, found)
        self._unsealed = []

    patch.setattr(persistor.FilePersistor, "_adopt", trust)


def checkpoint_without_sealing(patch: Patch) -> None:
    """(8) A checkpoint builds on what recovery read from the page cache."""
    check = persistor.FilePersistor._checkpoint

    def trust(self: persistor.FilePersistor, *arguments: Any) -> None:
        self._unsealed = []
        check(self, *arguments)

    patch.setattr(persistor.FilePersistor, "_checkpoint", trust)


def failed_sync_retried(patch: Patch) -> None:
    """(10) After a failed sync the same file is synced again, and that is believed."""

    def append(self: checkpoint.JournalWriter, record: JournalRecord) -> None:
        for part in encode_record(record, self._seed):
            self._file.write(part)
        try:
            self._file.sync()
        except OSError:
            self._file.sync()

    patch.setattr(checkpoint.JournalWriter, "append", append)


def journal_kept_after_failure(patch: Patch) -> None:
    """(10) After a short write the next record is appended behind the debris."""
    commit = persistor.FilePersistor.commit

    def go_on(self: persistor.FilePersistor, batch: Batch) -> None:
        writer = self._writer
        try:
            commit(self, batch)
        except OSError:
            self._writer = writer
            raise

    patch.setattr(persistor.FilePersistor, "commit", go_on)
    patch.setattr(checkpoint.JournalWriter, "close", lambda _: None)


def sync_error_swallowed(patch: Patch) -> None:
    """(9) The error of a journal's sync is swallowed."""

    def append(self: checkpoint.JournalWriter, record: JournalRecord) -> None:
        for part in encode_record(record, self._seed):
            self._file.write(part)
        try:
            self._file.sync()
        except OSError:
            return

    patch.setattr(checkpoint.JournalWriter, "append", append)


def failed_commit_counts_twice(patch: Patch) -> None:
    """(11) A commit that failed and was made again is applied twice, or in both versions."""
    patch.setattr(recovery, "_supersede", lambda *_: None)


def value_left_out_that_is_needed(patch: Patch) -> None:
    """(4) A remainder lacks the value of a document that no later commit puts."""
    leave_out = remainder._leave_out

    def leave_out_more(tree: Any, side: Any, job: Any) -> tuple[int, int]:
        found = leave_out(tree, side, job)
        for place in list(tree.walk()):
            tree.put(place.path, no_value(encrypted=side[1]))
        return found

    patch.setattr(remainder, "_leave_out", leave_out_more)


def remainder_as_of_the_last_commit(patch: Patch) -> None:
    """(4) A remainder counts as including the commits that it waits for."""
    encode = remainder.encode_partition

    def encode_as_new(store: str, partition: str, encrypted: bool, lsn: int, *rest: Any, **kw: Any):  # type: ignore[no-untyped-def]
        return encode(store, partition, encrypted, max(lsn, kw["awaits"]), *rest, **kw)

    patch.setattr(remainder, "encode_partition", encode_as_new)


def remainder_as_old_as_the_manifest(patch: Patch) -> None:
    """(1) A remainder is not newer than the manifest, which says that it is another file."""
    patch.setattr(remainder, "open_journal", lambda *_: [])
    encode = remainder.encode_partition

    def encode_as_old(store: str, partition: str, encrypted: bool, lsn: int, *rest: Any, **kw: Any):  # type: ignore[no-untyped-def]
        return encode(store, partition, encrypted, lsn - 1, *rest, **kw)

    patch.setattr(remainder, "encode_partition", encode_as_old)


def remainder_taken_for_all(patch: Patch) -> None:
    """(3) Who has not read the commits that a remainder waits for takes it all the same."""
    awaiting = sides.read_partition

    def read_partition(*arguments: Any, **kw: Any):  # type: ignore[no-untyped-def]
        header, groups = awaiting(*arguments, **kw)
        return replace(header, awaits=0), groups

    patch.setattr(sides, "read_partition", read_partition)


# --- how they are noticed


def power(name: str) -> Callable[[], Result]:
    def look() -> Result:
        run = Run()
        WORKLOADS[name](run)
        return examine(name, run.moments, count_max=60, violations_max=3)

    return look


def killed(name: str) -> Callable[[], Result]:
    def look() -> Result:
        run = Run()
        WORKLOADS[name](run)
        moments = second_lives(run.moments, SEED, 40)
        return examine(name, moments, count_max=20, violations_max=3)

    return look


def faults(name: str, kind: str) -> Callable[[], Result]:
    return lambda: test_faults.give_up_everywhere(kind, name, 8)[1]


MUTATIONS: list[tuple[Callable[[Patch], None], Callable[[], Result]]] = [
    (journal_name_not_synced, power("commits")),
    (partition_names_not_synced, power("checkpoints")),
    (manifest_name_not_synced, power("checkpoints")),
    (new_directory_not_synced, power("commits")),
    (appended_without_sync, power("commits")),
    (journal_begun_without_sync, power("commits")),
    (partition_renamed_without_sync, power("checkpoints")),
    (manifest_renamed_without_sync, power("checkpoints")),
    (changed_in_place, power("checkpoints")),
    (manifest_before_partitions, power("checkpoints")),
    (journals_removed_first, power("checkpoints")),
    (carry_left_out, power("moves")),
    (recovered_not_written_anew, killed("commits")),
    (checkpoint_without_sealing, killed("commits")),
    (checkpoint_without_sealing, killed("replaced")),
    (value_left_out_that_is_needed, power("replaced")),
    (remainder_as_of_the_last_commit, power("replaced")),
    (remainder_as_old_as_the_manifest, power("replaced")),
    (remainder_taken_for_all, lambda: read_beside("left out", after("commit 2"))),
    (failed_sync_retried, faults("syncs fail once", "other")),
    (journal_kept_after_failure, faults("short write", "other")),
    (sync_error_swallowed, faults("syncs fail once", "other")),
    (failed_commit_counts_twice, faults("syncs fail once", "more")),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutate", "look"), MUTATIONS, ids=[mutate.__name__ for mutate, _ in MUTATIONS]
)
def test_broken_rule_is_noticed(
    mutate: Callable[[Patch], None], look: Callable[[], Result], monkeypatch: Patch
):
    """A rule broken on purpose makes the harness find violations."""
    mutate(monkeypatch)
    try:
        problems: Iterable[str] = look().violations
    except (GrebeError, AssertionError) as error:  # a workload stumbles over it itself
        problems = [f"the workload raised {error!r}"]
    assert problems, f"not noticed: {mutate.__doc__}"
    report(f"{mutate.__doc__} Noticed: {next(iter(problems))[:160]}")
