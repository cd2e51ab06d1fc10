"""Two copies of a browser's database: what is lost of one is in the other, whoever is killed when.

The simulated browser does what Chromium does: a write that a kill has cut off stays at the end of a
database's files, the next life writes behind it, and the one after that deletes the database.
"""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable
from typing import Any

import pytest

import grebe
from grebe.core.operation import Batch, Put, PutMany
from grebe.persistors import IndexedDBPersistor
from grebe.persistors.indexeddb.copies import TwoCopies
from grebe.persistors.indexeddb.database import CHUNKS, LOG, MANIFEST, Change
from tests.conftest import rounds
from tests.unit.persistors.simulated_database import Maps, SimulatedDatabase, Site

Rows = dict[str, bytes]
ONE, TWO, MAIN = "app 1", "app 2", "app"


@pytest.fixture
def site() -> Site:
    return Site()


async def opened(site: Site, *, read_only: bool = False, **options: Any) -> IndexedDBPersistor:
    database = TwoCopies(site.places(), read_only=read_only)
    one = IndexedDBPersistor("app", database=database, read_only=read_only, **options)
    await one.open()
    return one


async def rows(one: IndexedDBPersistor) -> Rows:
    return {record.path: bytes(record.value) for record in await one.load(None)}


async def filled(site: Site, number: int = 600) -> Rows:
    """Leave two chunks and two commits in the log."""
    one = await opened(site)
    documents = PutMany([f"u/{n}" for n in range(number)], [b"%d" % n for n in range(number)])
    await one.commit(Batch([documents], b"metadata"))
    await one.checkpoint()
    await one.commit(Batch([Put("v/1", b"1", "other")]))
    await one.commit(Batch([Put("v/2", b"2", "other")]))
    found = await rows(one)
    await one.close()
    check_copies(site)
    return found


def check_copies(site: Site) -> Maps:
    """Check that both copies are there, and the same; return one."""
    assert site.databases.keys() == {ONE, TWO}
    assert site.databases[ONE] == site.databases[TWO]
    return site.databases[ONE]


def copies_of(one: IndexedDBPersistor) -> list[SimulatedDatabase]:
    assert isinstance(one._database, TwoCopies)
    return one._database._copies  # type: ignore[return-value]


def run(main: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(main(), 60))


# --- one of them is lost


@pytest.mark.parametrize("name", [ONE, TWO])
@pytest.mark.parametrize("on_corruption", ["quarantine", "raise"])
def test_a_copy_that_the_browser_deletes_is_made_anew(
    site: Site, name: str, on_corruption: str
) -> None:
    """Nothing is lost, so the store is clean; and it is told of, once."""

    async def main() -> None:
        before = await filled(site)
        site.poisoned.add(name)
        one = await opened(site, on_corruption=on_corruption)
        assert await rows(one) == before
        assert one.recovery.clean
        (message,) = one.recovery.messages
        assert "one of the two copies was damaged" in message
        assert "checksum mismatch" in message
        check_copies(site)
        await one.commit(Batch([Put("v/3", b"3")]))
        await one.close()
        check_copies(site)
        again = await opened(site)
        assert await rows(again) == {**before, "v/3": b"3"}
        assert again.recovery.messages == ()
        await again.close()

    run(main)


def test_both_deleted_is_loss_and_told(site: Site) -> None:
    async def main() -> None:
        await filled(site)
        site.poisoned |= {ONE, TWO}
        one = await opened(site)
        assert await rows(one) == {}
        assert not one.recovery.clean
        assert "has deleted all documents (checksum mismatch)" in one.recovery.messages[0]
        await one.close()
        await filled(site)
        site.poisoned |= {ONE, TWO}
        with pytest.raises(grebe.CorruptDataError, match="has deleted all documents"):
            await opened(site, on_corruption="raise")

    run(main)


@pytest.mark.parametrize("name", [ONE, TWO])
def test_a_copy_that_is_lost_while_the_store_is_open(site: Site, name: str) -> None:
    """The next commit makes it anew."""

    async def main() -> None:
        before = await filled(site)
        one = await opened(site)
        copies_of(one)[[ONE, TWO].index(name)].lose()
        del site.databases[name]
        await one.commit(Batch([Put("v/3", b"3")]))
        assert await rows(one) == {**before, "v/3": b"3"}
        await one.close()
        check_copies(site)

    run(main)


# --- one of them lags behind


def test_what_the_second_lacks_is_written_to_it(site: Site) -> None:
    """Commits alone; and not a whole copy for that."""

    async def main() -> None:
        before = await filled(site)
        log = site.databases[TWO][LOG]
        del log[max(log)]
        site.writes.clear()
        one = await opened(site)
        [change] = site.writes
        assert [(kind, number) for kind, number, _ in change.puts] == [(LOG, 3)]
        assert one.recovery.messages == ()
        assert await rows(one) == before
        await one.close()
        check_copies(site)

    run(main)


def test_the_copy_with_more_commits_counts(site: Site) -> None:
    """Whichever it is; also if the other is of before a compaction."""

    async def main() -> None:
        before = await filled(site)
        kept = {name: dict(values) for name, values in site.databases[TWO].items()}
        one = await opened(site)
        await one.commit(Batch([Put("v/3", b"3")]))
        await one.checkpoint()
        await one.close()
        for name in (ONE, TWO):
            site.databases[name] = {kind: dict(values) for kind, values in kept.items()}
            again = await opened(site)
            assert await rows(again) == {**before, "v/3": b"3"}
            await again.close()
            check_copies(site)

    run(main)


def test_a_copy_that_was_not_made_whole_does_not_count(site: Site) -> None:
    """It has no manifest yet, and is made from the beginning."""

    async def main() -> None:
        before = await filled(site)
        site.databases[ONE][MANIFEST].clear()
        site.databases[ONE][CHUNKS][9] = b"left over"
        one = await opened(site)
        assert await rows(one) == before
        await one.close()
        check_copies(site)

    run(main)


def test_a_database_without_a_copy_gets_two(site: Site) -> None:
    """One of an earlier version moves to two places of its own."""

    async def main() -> None:
        old = IndexedDBPersistor("app", database=site.database())
        await old.open()
        await old.commit(Batch([Put("u/1", b"1")], b"metadata"))
        await old.close()
        with pytest.raises(grebe.PersistenceError, match="does not exist"):
            await opened(Site(), read_only=True)
        reader = await opened(site, read_only=True)
        assert await rows(reader) == {"u/1": b"1"}
        await reader.close()
        assert site.databases.keys() == {MAIN}
        one = await opened(site)
        assert await rows(one) == {"u/1": b"1"}
        assert one.recovery.messages == ()
        await one.close()
        check_copies(site)

    run(main)


# --- damage that only Grebe's checksums show


@pytest.mark.parametrize(("kind", "number"), [(CHUNKS, 1), (CHUNKS, 2), (LOG, 2), (MANIFEST, 0)])
@pytest.mark.parametrize("name", [ONE, TWO])
def test_a_damaged_value_is_taken_from_the_other_copy(
    site: Site, kind: str, number: int, name: str
) -> None:
    async def main() -> None:
        before = await filled(site)
        data = bytearray(site.databases[name][kind][number])
        data[-20] ^= 1
        site.databases[name][kind][number] = bytes(data)
        one = await opened(site)
        assert await rows(one) == before
        assert one.recovery.clean
        assert bool(one.recovery.messages) is ((kind, name) != (CHUNKS, TWO))
        await one.checkpoint()
        assert await rows(one) == before
        await one.close()

    run(main)


# --- errors


def test_no_room_for_a_second_copy(site: Site) -> None:
    """The store goes on with one, and says so; the other is deleted, as it will be out of date."""

    async def main() -> None:
        before = await filled(site)
        site.poisoned.add(ONE)
        site.fail = lambda _: OSError(errno.ENOSPC, "the quota is used up")
        one = await opened(site)
        assert await rows(one) == before
        assert "there is one copy only" in one.recovery.messages[-1]
        assert site.databases.keys() == {TWO}
        site.fail = lambda _: None
        await one.commit(Batch([Put("v/3", b"3")]))
        await one.close()
        again = await opened(site)
        assert await rows(again) == {**before, "v/3": b"3"}
        await again.close()
        check_copies(site)

    run(main)


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("compacts", [False, True])
def test_a_write_that_fails_in_one_copy_is_made_good(
    site: Site, failing: int, compacts: bool
) -> None:
    """It is not acknowledged; what one has and the other has not is written first next time."""

    async def main() -> None:
        before = await filled(site)
        one = await opened(site)
        await one.commit(Batch([Put("v/3", b"3")]))
        writes = 0

        def fail(change: Change) -> OSError | None:
            nonlocal writes
            writes += 1
            return OSError(errno.ENOSPC, "the quota is used up") if writes > failing else None

        site.fail = fail
        with pytest.raises(grebe.PersistenceError, match="quota"):
            await (one.checkpoint() if compacts else one.commit(Batch([Put("v/4", b"lost")])))
        site.fail = lambda _: None
        await one.commit(Batch([Put("v/4", b"4")]))
        check_copies(site)
        assert await rows(one) == {**before, "v/3": b"3", "v/4": b"4"}
        assert one.recovery.clean
        await one.checkpoint()
        assert await rows(one) == {**before, "v/3": b"3", "v/4": b"4"}
        await one.close()
        check_copies(site)

    run(main)


@pytest.mark.parametrize("turns", range(12))
def test_a_cancelled_compaction_is_there_or_not(site: Site, turns: int) -> None:
    """Whenever it is cancelled, the documents are read from where they are."""

    async def main() -> None:
        before = await filled(site)
        one = await opened(site)
        await one.commit(Batch([PutMany([f"u/{n}" for n in range(600)], [b"7"] * 600)]))
        started = len(site.writes)
        task = asyncio.create_task(one.checkpoint())
        while len(site.writes) == started:
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await rows(one) == {
            path: b"7" if path[0] == "u" else before[path] for path in before
        }
        assert one.recovery.clean
        await one.commit(Batch([Put("v/3", b"3")]))
        await one.checkpoint()
        check_copies(site)
        await one.close()

    run(main)


# --- kills


async def live(site: Site, chance: random.Random, acknowledged: list[int]) -> None:
    """Open, check that the state is that of a commit that counts, and commit until killed."""
    one = await opened(site, checkpoint_bytes=chance.choice([0, 300, 10_000]))
    found = await rows(one)
    numbers = {int(value) for value in found.values()} or {0}
    assert len(numbers) == 1, f"half a commit: {found}"
    number = numbers.pop()
    assert number >= acknowledged[-1], (number, acknowledged[-1], site.databases)
    # A store that was killed while it was made had nothing to lose.
    assert one.recovery.clean or acknowledged == [0]
    while True:
        number += 1
        value = b"%d" % number
        puts = [Put("u/1", value, "u"), Put("v/1", value, "v"), Put("w/1", value)]
        await one.commit(Batch(puts, b"metadata"))
        acknowledged.append(number)


@pytest.mark.parametrize("seed", rounds(10))
def test_kills_at_any_time(seed: int) -> None:
    """Also while a copy is made. As long as one of the two is not damaged, nothing is lost."""
    chance = random.Random(seed)
    site, acknowledged, deleted = Site(), [0], 0

    async def main() -> None:
        nonlocal deleted
        for _ in range(30):
            task = asyncio.create_task(live(site, chance, acknowledged))
            for _ in range(chance.choice([10, 40, 100, 300])):
                if chance.random() < 0.02:
                    break
                await asyncio.sleep(0)
            deleted += len(site.poisoned)
            site.crash(tear=not site.torn, undo=chance.random() < 0.5)
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(ended, (asyncio.CancelledError, OSError, grebe.PersistenceError)):
                raise ended

    run(main)
    assert acknowledged[-1] > 10
    assert deleted > 0
