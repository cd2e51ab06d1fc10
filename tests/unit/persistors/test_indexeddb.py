"""The persistor for browsers, on the desktop, with a simulated database: faults and damage.

tests/browser runs it in a real browser.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any

import pytest

import grebe
from grebe.core.operation import Batch, Clear, Delete, Move, Put, PutMany
from grebe.persistors import IndexedDBPersistor
from grebe.persistors.indexeddb.database import CHUNKS, DAMAGED, LOG, MANIFEST, Change
from grebe.persistors.indexeddb.manifest import Chunk, Manifest, decode_manifest, encode_manifest
from grebe.persistors.indexeddb.reading import CHUNK_DOCUMENTS
from tests.unit.persistors.simulated_database import Maps, SimulatedDatabase, Site

Rows = dict[str, bytes]


@pytest.fixture
def site() -> Site:
    return Site()


def persistor(site: Site, **options: Any) -> IndexedDBPersistor:
    return IndexedDBPersistor("app", database=site.database(), **options)


def maps(site: Site) -> Maps:
    return site.databases["app"]


async def opened(site: Site, **options: Any) -> IndexedDBPersistor:
    one = persistor(site, **options)
    await one.open()
    return one


async def rows(one: IndexedDBPersistor, paths: list[str] | None = None) -> Rows:
    return {record.path: bytes(record.value) for record in await one.load(paths)}


def many(count: int, first: int = 0) -> PutMany:
    numbers = range(first, first + count)
    return PutMany([f"u/{n}" for n in numbers], [b'{"n":%d}' % n for n in numbers])


def flip(site: Site, kind: str, number: int, at: int = -20) -> None:
    """Flip a bit of a value."""
    data = bytearray(maps(site)[kind][number])
    data[at] ^= 1
    maps(site)[kind][number] = bytes(data)


def run(main: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(main(), 30))


# --- layout


def test_a_commit_is_one_value_whatever_the_store_holds(site: Site) -> None:
    """One transaction, one put in the log; its size is that of the change."""

    async def main() -> None:
        one = await opened(site)
        await one.commit(Batch([many(5_000)]))
        await one.checkpoint()
        site.writes.clear()
        await one.commit(Batch([Put("u/1", b"1"), Put("v/1", b"2", "other"), Delete("u/2")]))
        [change] = site.writes
        assert not change.deletions
        [(kind, number, data)] = change.puts
        assert (kind, number) == (LOG, 2)
        assert len(data) < 200
        await one.close()

    run(main)


def test_a_compaction_is_one_transaction(site: Site) -> None:
    """New chunks, the manifest, the end of the old chunks and of the log, all at once."""

    async def main() -> None:
        one = await opened(site)
        await one.commit(Batch([many(CHUNK_DOCUMENTS + 1)]))
        await one.commit(Batch([Put("v/1", b"1", "other")]))
        await one.checkpoint()
        assert list(maps(site)[LOG]) == []
        assert list(maps(site)[CHUNKS]) == [1, 2, 3]
        await one.commit(Batch([Delete("u/1")]))
        site.writes.clear()
        await one.checkpoint()
        [change] = site.writes
        assert {kind for kind, _, _ in change.puts} == {CHUNKS, MANIFEST}
        assert set(change.deletions) == {(LOG, 0, 3), (CHUNKS, 1, 2)}
        # The other partition did not change, and stays.
        assert list(maps(site)[CHUNKS]) == [3, 4]
        await one.checkpoint()
        assert len(site.writes) == 1
        assert len(await rows(one)) == CHUNK_DOCUMENTS + 1
        await one.close()

    run(main)


def test_the_log_is_compacted_when_it_has_grown(site: Site) -> None:
    """By itself: not below checkpoint_bytes, and not below a share of what it would replace."""

    async def main() -> None:
        one = await opened(site, checkpoint_bytes=2_000)
        await one.commit(Batch([many(1_000)]))
        assert one._compacting is not None
        await one._compacting
        assert list(maps(site)[LOG]) == []
        size = sum(map(len, maps(site)[CHUNKS].values()))
        before = maps(site)[MANIFEST][0]
        logged = 0
        while maps(site)[MANIFEST][0] == before:
            assert logged < size
            await one.commit(Batch([many(20)]))
            logged += len(site.writes[-1].puts[0][2])
            await asyncio.gather(one._compacting)
        assert logged > max(2_000, 0.15 * size)
        assert len(await rows(one)) == 1_000
        await one.close()

    run(main)


def test_commits_go_on_beside_a_compaction(site: Site) -> None:
    """What was committed meanwhile stays in the log."""

    async def main() -> None:
        one = await opened(site)
        await one.commit(Batch([many(3_000)]))
        compaction = asyncio.create_task(one.checkpoint())
        for number in range(20):
            await one.commit(Batch([Put(f"v/{number}", b"1", f"p{number % 3}")]))
        await compaction
        await one.commit(Batch([Move("v", "p1", "p2"), Delete("u")]))
        await one.close()
        again = await opened(site)
        assert sorted(await rows(again)) == sorted(f"v/{n}" for n in range(20))
        assert again.recovery.clean
        await again.close()

    run(main)


def test_only_the_partitions_that_may_hold_a_path_are_read(site: Site) -> None:
    """By the resolver in the metadata."""

    async def main() -> None:
        kept = persistor(site)
        store = grebe.Store(
            kept, _options(), None, _callbacks(), hydrate=False, commit_interval_s=60.0,
            read_only=False, threads=False,
        )  # fmt: skip
        await store._lifecycle.open()
        for name in "ab":
            store.collection(name, partition=name).create_many({str(n): n for n in range(600)})
        await store.aclose()
        one = await opened(site)
        numbers = [n for n, c in one._manifest.chunks.items() if c.side == ("b", False)]
        for number in numbers:
            flip(site, CHUNKS, number)
        assert len(await rows(one, ["a"])) == 600
        assert one.recovery.clean
        await one.close()

    run(main)


def _options() -> Any:
    from grebe.core.options import CollectionOptions

    return CollectionOptions()


def _callbacks(**given: Any) -> Any:
    from grebe.store.lifecycle import Callbacks

    return Callbacks(**given)


# --- faults


def test_a_full_quota_loses_nothing(site: Site) -> None:
    """The commit fails as a whole, with the system's error number; a later one goes through."""

    async def main() -> None:
        one = await opened(site)
        await one.commit(Batch([Put("u/1", b"1")]))
        site.fail = lambda _: OSError(errno.ENOSPC, "the quota is used up")
        with pytest.raises(grebe.PersistenceError, match="quota") as caught:
            await one.commit(Batch([Put("u/2", b"2"), Delete("u/1")]))
        assert caught.value.errno == errno.ENOSPC
        with pytest.raises(grebe.PersistenceError):
            await one.checkpoint()
        assert await rows(one) == {"u/1": b"1"}
        site.fail = lambda _: None
        await one.commit(Batch([Put("u/2", b"2")]))
        await one.close()
        again = await opened(site)
        assert await rows(again) == {"u/1": b"1", "u/2": b"2"}
        await again.close()

    run(main)


def test_a_store_goes_on_after_a_full_quota(site: Site) -> None:
    """acommit() raises, on_error is told, memory keeps the data, and it is tried again."""
    errors: list[BaseException] = []

    async def main() -> None:
        store = grebe.Store(
            persistor(site), _options(), None, _callbacks(on_error=errors.append), hydrate=True,
            commit_interval_s=0.001, read_only=False, threads=False,
        )  # fmt: skip
        await store._lifecycle.open()
        site.fail = lambda _: OSError(errno.ENOSPC, "the quota is used up")
        store.doc("u/1").set(1)
        with pytest.raises(grebe.PersistenceError, match="quota"):
            await store.acommit()
        assert store.doc("u/1").exists()
        site.fail = lambda _: None
        while not maps(site)[LOG]:
            await asyncio.sleep(0)
        await store.aclose()
        assert store.recovery.clean

    run(main)
    assert errors


def test_a_failed_compaction_is_tried_again(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """One in the background is logged; the log keeps everything."""

    async def main() -> None:
        one = await opened(site, checkpoint_bytes=0)
        site.fail = lambda change: OSError(errno.EIO, "no") if change.deletions else None
        await one.commit(Batch([many(100)]))
        await asyncio.gather(one._compacting)
        assert "compaction of indexeddb:app failed" in caplog.text
        assert len(maps(site)[LOG]) == 1
        site.fail = lambda _: None
        await one.checkpoint()
        assert not maps(site)[LOG]
        assert len(await rows(one)) == 100
        await one.close()

    run(main)


def test_a_cancelled_commit_is_replaced_as_a_whole(site: Site) -> None:
    """Its transaction may end well all the same: its number is used again."""

    async def main() -> None:
        one = await opened(site)
        task = asyncio.create_task(one.commit(Batch([Put("u/1", b"1"), Put("u/2", b"1")])))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert list(maps(site)[LOG]) == [1]
        await one.commit(Batch([Put("u/1", b"1"), Put("u/2", b"2"), Put("u/3", b"3")]))
        assert list(maps(site)[LOG]) == [1]
        await one.close()
        again = await opened(site)
        assert await rows(again) == {"u/1": b"1", "u/2": b"2", "u/3": b"3"}
        await again.close()

    run(main)


# --- connections and locks


def database_of(one: IndexedDBPersistor) -> SimulatedDatabase:
    assert isinstance(one._database, SimulatedDatabase)
    return one._database


def test_a_lost_connection_is_made_again(site: Site) -> None:
    """If nothing has changed meanwhile."""

    async def main() -> None:
        one = await opened(site)
        await one.commit(Batch([Put("u/1", b"1")]))
        database_of(one).lose()
        await one.commit(Batch([Put("u/2", b"2")]))
        database_of(one).lose()
        assert len(await rows(one)) == 2
        database_of(one).lose()
        await one.checkpoint()
        await one.close()

    run(main)


def test_a_database_that_was_deleted_is_told_of(site: Site) -> None:
    """Nothing is written to a new one as if it were the old one."""

    async def main() -> None:
        one = await opened(site)
        await one.commit(Batch([Put("u/1", b"1")]))
        database_of(one).lose()
        del site.databases["app"]
        with pytest.raises(grebe.PersistenceError, match="was deleted"):
            await one.commit(Batch([Put("u/2", b"2")]))
        assert site.databases == {}
        await one.close()

    run(main)


def test_a_database_that_another_has_written_is_left_alone(site: Site) -> None:
    async def main() -> None:
        one = await opened(site)
        await one.commit(Batch([Put("u/1", b"1")]))
        database_of(one).lose()
        del site.databases["app"]
        site.kill()
        other = await opened(site)
        await other.commit(Batch([Put("u/1", b"9")]))
        with pytest.raises(grebe.PersistenceError, match="changed by another program"):
            await one.commit(Batch([Put("u/2", b"2")]))
        assert await rows(other) == {"u/1": b"9"}
        await other.close()

    run(main)


def test_a_second_writer_is_refused(site: Site) -> None:
    """In this page and in another tab; a dead one does not hold the lock."""

    async def main() -> None:
        one = await opened(site)
        with pytest.raises(grebe.StoreLockedError, match="another tab or worker"):
            await one.open()
        with pytest.raises(grebe.StoreLockedError, match="indexeddb:app is open for writing in"):
            await opened(site)
        site.kill()
        two = await opened(site)
        await two.close()
        await (await opened(site)).close()

    run(main)


def test_a_reader_sees_the_last_commit(site: Site) -> None:
    """Beside a writer, and brought up to date by refresh()."""

    async def main() -> None:
        with pytest.raises(grebe.PersistenceError, match="does not exist"):
            await opened(site, read_only=True)
        assert site.databases == {}
        writer = await opened(site)
        await writer.commit(Batch([many(600), Put("v/1", b"1")]))
        reader = await opened(site, read_only=True)
        assert len(await rows(reader)) == 601
        assert await rows(reader, ["v"]) == {"v/1": b"1"}
        with pytest.raises(grebe.ReadOnlyError):
            await reader.commit(Batch([Clear()]))
        assert await reader.refresh() is None
        await writer.checkpoint()
        await writer.commit(Batch([Delete("u"), Put("v/2", b"2")], b"metadata"))
        batch = await reader.refresh()
        assert batch is not None
        assert len(batch.operations) == 601
        assert await rows(reader) == {"v/1": b"1", "v/2": b"2"}
        assert await reader.load_metadata() == b"metadata"
        await reader.checkpoint()
        await reader.close()
        await writer.close()

    run(main)


def test_what_waits_is_issued_when_the_page_leaves(site: Site) -> None:
    """The callback begins the commit before it returns, as nobody runs the loop any more."""

    async def main() -> None:
        kept = persistor(site)
        store = grebe.Store(
            kept, _options(), None, _callbacks(), hydrate=True, commit_interval_s=60.0,
            read_only=False, threads=False,
        )  # fmt: skip
        await store._lifecycle.open()
        leave = database_of(kept).leave
        leave()
        assert not maps(site)[LOG]
        store.doc("u/1").set(1)
        leave()
        if not maps(site)[LOG]:  # before Python 3.12 a task cannot begin at once
            await asyncio.sleep(0)
        assert len(maps(site)[LOG]) == 1
        store.doc("u/2").set(1)
        await store.acommit()
        assert len(maps(site)[LOG]) == 2
        await store.aclose()
        leave()

    run(main)


# --- damage


async def filled(site: Site) -> None:
    """Leave two chunks of a partition, one of another, and two commits in the log."""
    one = await opened(site)
    await one.commit(Batch([many(600), Put("v/1", b"1", "other")], b"metadata"))
    await one.checkpoint()
    await one.commit(Batch([Put("u/600", b'{"n":600}')]))
    await one.commit(Batch([Put("u/601", b'{"n":601}')]))
    await one.close()


def test_a_damaged_chunk_is_set_aside_and_its_whole_blocks_are_kept(site: Site) -> None:
    async def main() -> None:
        await filled(site)
        flip(site, CHUNKS, 1)  # in the second block, of 256 documents
        damaged = maps(site)[CHUNKS][1]
        one = await opened(site)
        found = await rows(one)
        assert len(found) == 603 - 256
        assert {"u/0", "u/599", "u/601", "v/1"} <= found.keys()
        report = one.recovery
        assert (report.clean, report.salvaged, report.lost) == (False, 256, 256)
        assert report.quarantined == ("damaged 1 (chunks 1)",)
        assert "chunk 1: checksum" in report.messages[0]
        assert maps(site)[DAMAGED] == {1: damaged}
        assert await rows(one) == found
        await one.close()
        again = await opened(site)
        assert await rows(again) == found
        assert again.recovery.clean
        await again.close()

    run(main)


@pytest.mark.parametrize("on_corruption", ["quarantine", "raise"])
def test_a_database_that_the_browser_has_deleted_is_not_taken_for_new(
    site: Site, on_corruption: str
) -> None:
    """It is empty, and said not to be clean."""

    async def main() -> None:
        await filled(site)
        site.poisoned.add("app")
        one = persistor(site, on_corruption=on_corruption)
        if on_corruption == "raise":
            with pytest.raises(grebe.CorruptDataError, match="has deleted all documents"):
                await one.open()
            return
        await one.open()
        assert await rows(one) == {}
        assert not one.recovery.clean
        assert "has deleted all documents (checksum mismatch)" in one.recovery.messages[0]
        await one.close()

    run(main)


def test_a_missing_chunk_is_told_of(site: Site) -> None:
    async def main() -> None:
        await filled(site)
        del maps(site)[CHUNKS][2]
        one = await opened(site)
        assert len(await rows(one)) == 603 - 88
        assert (one.recovery.lost, one.recovery.quarantined) == (88, ())
        await one.close()

    run(main)


def test_a_stale_chunk_is_not_served(site: Site) -> None:
    """One that is whole, and not the one that the manifest lists."""

    async def main() -> None:
        await filled(site)
        other = Site()
        await filled(other)
        maps(site)[CHUNKS][1] = maps(other)[CHUNKS][1]
        one = await opened(site)
        assert "u/0" not in await rows(one)
        assert "not the one that the manifest lists" in one.recovery.messages[0]
        await one.close()

    run(main)


def test_damage_in_the_log_leaves_out_what_is_behind_it(site: Site) -> None:
    """Commits are never mixed; what is behind the damage is kept apart."""

    async def main() -> None:
        await filled(site)
        flip(site, LOG, 2)
        one = await opened(site)
        found = await rows(one)
        assert "u/599" in found
        assert "u/600" not in found
        assert "u/601" not in found
        assert one.recovery.messages == (
            "commit 2 does not match its checksum; 2 commits are left out",
        )
        assert one.recovery.quarantined == ("damaged 1 (log 2)", "damaged 2 (log 3)")
        await one.commit(Batch([Put("u/700", b"7")]))
        assert list(maps(site)[LOG]) == [4]
        await one.close()
        again = await opened(site)
        assert "u/700" in await rows(again)
        assert again.recovery.clean
        await again.close()

    run(main)


def test_a_missing_commit_is_damage(site: Site) -> None:
    async def main() -> None:
        await filled(site)
        del maps(site)[LOG][2]
        one = await opened(site)
        assert "commit 2 is missing before commit 3" in one.recovery.messages[0]
        await one.close()

    run(main)


def test_commits_wait_until_damage_in_the_log_is_mended(site: Site) -> None:
    """Behind it they would be left out themselves."""

    async def main() -> None:
        await filled(site)
        flip(site, LOG, 2)
        site.fail = lambda _: OSError(errno.ENOSPC, "full")
        one = await opened(site)
        with pytest.raises(grebe.PersistenceError, match="full"):
            await one.commit(Batch([Put("u/700", b"7")]))
        site.fail = lambda _: None
        await one.commit(Batch([Put("u/700", b"7")]))
        await one.close()
        again = await opened(site)
        assert "u/700" in await rows(again)
        await again.close()

    run(main)


@pytest.mark.parametrize("damage", ["flipped", "missing", "alone"])
def test_a_damaged_manifest_is_made_anew(site: Site, damage: str) -> None:
    """From chunks and log; which partition holds what is found out from the documents."""

    async def main() -> None:
        await filled(site)
        if damage == "flipped":
            flip(site, MANIFEST, 0)
        else:
            del maps(site)[MANIFEST][0]
        if damage == "alone":
            del maps(site)[MANIFEST][1]
        one = await opened(site)
        assert len(await rows(one)) == 603
        assert not one.recovery.clean
        assert one.recovery.lost == 0
        metadata = await one.load_metadata()
        assert metadata is not None
        assert b"other" in metadata
        await one.close()
        again = await opened(site)
        assert again.recovery.clean
        assert len(await rows(again)) == 603
        assert await again.load_metadata() == metadata
        await again.close()

    run(main)


def test_on_corruption_raise_changes_nothing(site: Site) -> None:
    async def main() -> None:
        await filled(site)
        flip(site, CHUNKS, 1)
        before = {name: dict(values) for name, values in maps(site).items()}
        one = await opened(site, on_corruption="raise")
        with pytest.raises(grebe.CorruptDataError, match="chunk 1"):
            await one.load(None)
        await one.close()
        flip(site, LOG, 3)
        with pytest.raises(grebe.CorruptDataError, match="commit 3"):
            await opened(site, on_corruption="raise")
        flip(site, LOG, 3)
        assert maps(site) == before
        assert site.locks == {}

    run(main)


def test_every_byte_is_covered(site: Site) -> None:
    """Whichever bit of whichever value is flipped, it is noticed, and never served as data."""

    async def main() -> None:
        one = await opened(site)
        await one.commit(Batch([many(5), Put("v/1", b"1", "other", True)], b"metadata"))
        await one.checkpoint()
        await one.commit(Batch([Put("u/9", b"9")]))
        whole = await rows(one)
        await one.close()
        places = [
            (kind, number, at)
            for kind, values in maps(site).items()
            for number, data in values.items()
            for at in range(0, len(data), 3)
            if (kind, number) != (MANIFEST, 1)  # read only when the manifest is damaged
        ]
        kept = {name: dict(values) for name, values in maps(site).items()}
        for place in places:
            site.databases["app"] = {name: dict(values) for name, values in kept.items()}
            flip(site, *place)
            again = await opened(site)
            found = await rows(again)
            assert not again.recovery.clean, place
            assert found.items() <= whole.items(), place
            await again.close()

    run(main)


# --- the rest


def test_the_manifest_comes_back() -> None:
    chunks = {3: Chunk(("a\ud83d", True), 5, 600, "0badcafe"), 9: Chunk(("", False), 1, 70, "00")}
    for metadata in (None, b"", b'{"a":1}', b"\xff\x00"):
        manifest = Manifest("store", chunks, 42, metadata, 10)
        assert decode_manifest(encode_manifest(manifest)) == manifest


def test_targets() -> None:
    """The URL picks the persistor; outside a browser opening says so, whichever way."""
    for target in ("indexeddb:app", IndexedDBPersistor("app")):
        with pytest.raises(grebe.PersistenceError, match="in browsers only"):
            grebe.open(target)
    assert str(IndexedDBPersistor("app")) == "indexeddb:app"
    assert repr(IndexedDBPersistor("app")) == "IndexedDBPersistor('app')"
    with pytest.raises(ValueError, match="needs a name"):
        grebe.open("indexeddb:")
    with pytest.raises(ValueError, match="checkpoint_bytes"):
        IndexedDBPersistor("app", checkpoint_bytes=-1)


def test_a_blocking_store_on_the_desktop(site: Site) -> None:
    """Its coroutines run on a loop in a thread, as those of any persistor."""
    with grebe.open(persistor(site)) as store:
        store.collection("users", partition="users").create_many({str(n): n for n in range(50)})
        store.commit()
        assert list(maps(site)[LOG]) == [1]
    assert not maps(site)[LOG]
    with grebe.open(persistor(site), hydrate=["users/7"]) as store:
        assert [doc.id for doc in store.collection("users")] == ["7"]
        store.hydrate()
        assert len(store.collection("users")) == 50


def test_a_change_says_what_it_does() -> None:
    assert Change() == Change((), ())
