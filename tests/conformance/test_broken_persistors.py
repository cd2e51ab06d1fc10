"""The suite is worth something: persistors with one defect each fail the test that names it.

All are made of the dict persistor of docs/custom_persistors.md, which passes.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grebe.core.operation import Batch, Clear, Delete, Move, Put, Record
from grebe.testing.conformance import Make, PersistorConformance, failures
from tests.conformance.examples import namespace

DictPersistor: Any = namespace()["DictPersistor"]
apply: Any = namespace()["apply"]
Rows = dict[tuple[str, str, bool], bytes]

BROKEN: dict[str, tuple[type[Any], tuple[str, ...]]] = {}
"""By defect: the class, and the tests that must fail."""


def fails(defect: str, *tests: str) -> Callable[[type[Any]], type[Any]]:
    def note(cls: type[Any]) -> type[Any]:
        BROKEN[defect] = cls, tests
        return cls

    return note


class Changed(DictPersistor):  # type: ignore[misc]
    """A persistor of which `step`, what one operation does, can be replaced."""

    def step(self, rows: Rows, operation: Any) -> Rows:
        found: Rows = apply(rows, operation)
        return found

    def commit(self, batch: Batch) -> None:
        rows, metadata = self.stored
        for operation in batch.operations:
            rows = self.step(rows, operation)
        self.stored = rows, metadata if batch.metadata is None else batch.metadata


@fails("forgets at closing", "test_commits_last", "test_store_finds_everything_again")
class Forgets(DictPersistor):
    def close(self) -> None:
        super().close()
        self.stored = {}, None


@fails("deletions of a batch first", "test_operations_apply_in_order")
class DeletionsFirst(DictPersistor):
    def commit(self, batch: Batch) -> None:
        late = sorted(batch.operations, key=lambda o: isinstance(o, Put))
        super().commit(Batch(late, batch.metadata))


@fails("stores the beginning of a batch that fails", "test_failed_batch_leaves_nothing")
class HalfBatches(DictPersistor):
    def commit(self, batch: Batch) -> None:
        for operation in batch.operations:
            super().commit(Batch([operation]))
        super().commit(Batch([], batch.metadata))


@fails("shows a batch half done", "test_batch_is_seen_whole")
class HalfVisible(DictPersistor):
    def __init__(self) -> None:
        super().__init__()
        self.loaded = threading.Event()

    def load(self, paths: Any) -> Any:
        found = super().load(paths)
        self.loaded.set()
        return found

    def commit(self, batch: Batch) -> None:
        before = self.stored
        try:
            for number, operation in enumerate(batch.operations):
                super().commit(Batch([operation]))
                if number == 0:
                    self.let_others_look()
            super().commit(Batch([], batch.metadata))
        except BaseException:
            self.stored = before
            raise

    def let_others_look(self) -> None:
        """Wait for a load that begins now, if anybody loads: the one under way may be older."""
        for _ in range(2):
            self.loaded.clear()
            if not self.loaded.wait(0.5):
                return


@fails("leaves out what it does not know", "test_unknown_operation_is_refused")
class LeavesOut(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        known = isinstance(operation, Put | Delete | Move | Clear)
        return super().step(rows, operation) if known else rows


@fails("takes users/10 for a part of users/1", "test_delete_recursive")
class DeletesByPrefix(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Delete) and operation.recursive:
            return {k: v for k, v in rows.items() if not k[0].startswith(operation.path)}
        return super().step(rows, operation)


@fails("leaves what is under a deleted document", "test_delete_recursive")
class DeletesAlone(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Delete):
            operation = operation._replace(recursive=False)
        return super().step(rows, operation)


@fails("deletes what is under a document as well", "test_delete_alone")
class DeletesAll(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Delete):
            operation = operation._replace(recursive=True)
        return super().step(rows, operation)


@fails("deletes in the default partition only", "test_delete_in_all_partitions")
class DeletesInOne(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Delete):
            kept = {k: v for k, v in rows.items() if k[1] != "__store__" or k[2]}
            return {**super().step(rows, operation), **kept}
        return super().step(rows, operation)


@fails("moves sealed documents", "test_move")
class MovesSealed(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if not isinstance(operation, Move):
            return super().step(rows, operation)
        plain = super().step({(p, q, False): v for (p, q, e), v in rows.items() if e}, operation)
        moved = {(p, q, True): v for (p, q, _), v in plain.items()}
        return {**super().step({k: v for k, v in rows.items() if not k[2]}, operation), **moved}


@fails("moves from every partition", "test_move")
class MovesFromAll(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Move):
            for source in {key[1] for key in rows}:
                rows = super().step(rows, operation._replace(source=source))
            return rows
        return super().step(rows, operation)


@fails("leaves a copy at the old place of a move", "test_move")
class Copies(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        found = super().step(rows, operation)
        return {**rows, **found} if isinstance(operation, Move) else found


@fails("clears without end", "test_clear")
class ClearsAfter(Changed):
    def commit(self, batch: Batch) -> None:
        super().commit(batch)
        if any(isinstance(operation, Clear) for operation in batch.operations):
            self.stored = {}, self.stored[1]


@fails("drops metadata with a batch that has none", "test_metadata")
class DropsMetadata(DictPersistor):
    def commit(self, batch: Batch) -> None:
        super().commit(batch)
        self.stored = self.stored[0], batch.metadata


@fails("decodes and encodes values", "test_values_are_kept_byte_for_byte")
class Encodes(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Put):
            value = json.dumps(json.loads(operation.value)).encode()
            operation = operation._replace(value=value)
        return super().step(rows, operation)


@fails("cuts off long values", "test_big_value")
class CutsOff(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Put):
            operation = operation._replace(value=operation.value[:1_000_000])
        return super().step(rows, operation)


@fails("sorts by path", "test_order_within_a_collection")
class Sorts(DictPersistor):
    def load(self, paths: Any) -> list[Record]:
        return sorted(super().load(paths))


@fails("puts what is written again behind the others", "test_order_within_a_collection")
class PutsBehind(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Put):
            key = operation.path, operation.partition, operation.encrypted
            rows = {k: v for k, v in rows.items() if k != key}
        return super().step(rows, operation)


@fails("takes partitions that differ in case for one", "test_odd_partitions")
class FoldsCase(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Put):
            operation = operation._replace(partition=operation.partition.lower())
        return super().step(rows, operation)


@fails("strips paths", "test_odd_paths")
class Strips(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Put):
            path = "/".join(part.strip() or " " for part in operation.path.split("/"))
            operation = operation._replace(path=path)
        return super().step(rows, operation)


@fails("keeps one document for a path", "test_plain_and_encrypted_are_apart")
class OneForAPath(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Put):
            rows = {k: v for k, v in rows.items() if k[0] != operation.path}
        return super().step(rows, operation)


@fails("loads users2 with users", "test_load_subtrees")
class LoadsByPrefix(DictPersistor):
    def load(self, paths: Any) -> list[Record]:
        return [
            record
            for record in super().load(None)
            if paths is None or any(record.path.startswith(path) for path in paths)
        ]


@fails("loads a document for each path above it", "test_load_subtrees")
class LoadsTwice(DictPersistor):
    def load(self, paths: Any) -> list[Record]:
        if paths is None:
            return super().load(None)  # type: ignore[no-any-return]
        return [record for path in paths for record in super(LoadsTwice, self).load([path])]


@fails("loads everything whatever is asked for", "test_load_subtrees", "test_store_loads_subtrees")
class LoadsAll(DictPersistor):
    def load(self, paths: Any) -> list[Record]:
        return super().load(None)  # type: ignore[no-any-return]


@fails("loads from one partition only", "test_load_subtrees_of_all_partitions")
class LoadsFromOne(DictPersistor):
    def load(self, paths: Any) -> list[Record]:
        found = super().load(paths)
        if paths is None or not found:
            return found  # type: ignore[no-any-return]
        return [record for record in found if record.partition == found[0].partition]


@fails("changes what is being loaded", "test_load_beside_commits")
class LoadsLive(DictPersistor):
    def load(self, paths: Any) -> Iterator[Record]:
        seen = set()
        while True:
            left = [r for r in super().load(paths) if r[0::2] not in seen]
            if not left:
                return
            seen.add(left[0][0::2])
            yield left[0]


@fails("lets a second one in", "test_second_open_is_refused")
class NoLock(DictPersistor):
    def open(self) -> None:
        self.is_open = True


@fails("stores a batch that is given twice twice", "test_batch_given_twice")
class NotRepeatable(Changed):
    def step(self, rows: Rows, operation: Any) -> Rows:
        if isinstance(operation, Put):
            key = operation.path, operation.partition, operation.encrypted
            number = int(operation.value) if operation.value.isdigit() else None
            if number is not None and number > 4 and rows.get(key) == operation.value:
                return {**rows, key: b"%d" % (2 * number)}
        return super().step(rows, operation)


@fails("works in the thread that opened it only", "test_any_thread")
class OneThread(DictPersistor):
    thread: int | None = None

    def open(self) -> None:
        super().open()
        self.thread = threading.get_ident()

    def commit(self, batch: Batch) -> None:
        if threading.get_ident() != self.thread:
            raise RuntimeError("made in another thread")
        super().commit(batch)


class OnDisk(DictPersistor):
    """The dict in a file; a lock and much else is missing."""

    file: Path

    def open(self) -> None:
        super().open()
        if self.file.exists():
            rows, metadata = json.loads(self.file.read_text())
            found = {tuple(key): value.encode("latin-1") for *key, value in rows}
            self.stored = found, None if metadata is None else metadata.encode("latin-1")

    def save(self) -> None:
        rows, metadata = self.stored
        listed = [[*key, value.decode("latin-1")] for key, value in rows.items()]
        text = json.dumps([listed, None if metadata is None else metadata.decode("latin-1")])
        self.file.write_text(text)

    def close(self) -> None:
        super().close()
        self.save()


def test_there_are_enough() -> None:
    """At least ten different defects, each caught by a test of its own choosing."""
    assert len(BROKEN) >= 10
    assert len({tests for _, tests in BROKEN.values()}) >= 10


class InMemory(PersistorConformance):
    in_memory = True


@pytest.mark.parametrize("defect", BROKEN)
def test_is_caught(defect: str) -> None:
    """The test that names the defect fails, and says more than that."""
    cls, tests = BROKEN[defect]

    def make_new() -> Make:
        kept = cls()
        return lambda: kept

    class Chosen(InMemory):
        pass

    found = asyncio.run(failures(make_new, Chosen, only=tests))
    assert set(found) == set(tests)
    assert all(len(message) > 20 for message in found.values()), found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("early", [False, True])
def test_acknowledging_early_is_caught(tmp_path: Path, early: bool) -> None:
    """One that writes at closing is caught; the same one passes if it writes at each commit."""
    number = 0

    class Early(OnDisk):
        def commit(self, batch: Batch) -> None:
            super().commit(batch)
            if not early:
                self.save()

    def make_new() -> Make:
        nonlocal number
        number += 1

        def make() -> Any:
            persistor = Early()
            persistor.file = tmp_path / str(number)
            return persistor

        return make

    name = "test_commit_is_durable_when_it_returns"
    found = asyncio.run(failures(make_new, only=[name, "test_commits_last"]))
    assert set(found) == ({name} if early else set())
    if early:
        assert "after the process ended without closing: missing" in found[name]


MODULE = """
import pytest
from grebe.testing.conformance import PersistorConformance
from tests.conformance.test_broken_persistors import DeletesByPrefix

class TestMine(PersistorConformance):
    in_memory = True

    @pytest.fixture
    def make(self):
        kept = DeletesByPrefix()
        return lambda: kept
"""


def test_pytest_says_what_is_wrong(tmp_path: Path) -> None:
    """What a user sees: the tests that fail, by name, with the documents that are missing."""
    (tmp_path / "test_mine.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.returncode == 1
    failed = [line.split("::")[-1] for line in done.stdout.splitlines() if line[:6] == "FAILED"]
    assert {line.split(" ")[0] for line in failed} >= {"test_delete_recursive"}
    assert "at once: missing ('users/1 /friends/2', '__store__', False" in done.stdout


def test_it_is_the_defect_that_fails() -> None:
    """What they are made of passes."""

    def make_new() -> Make:
        kept = Changed()
        return lambda: kept

    start = time.monotonic()
    assert asyncio.run(failures(make_new, InMemory)) == {}
    assert time.monotonic() - start < 60
