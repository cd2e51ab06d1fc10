"""What is stored comes back: documents, metadata, odd names, in order, and no more than asked."""

from __future__ import annotations

from grebe.core.operation import Delete, Put, PutMany
from grebe.testing.conformance.samples import (
    ODD_PARTITIONS,
    ODD_SEGMENTS,
    ODD_VALUES,
    OTHERS,
    USERS,
)
from grebe.testing.conformance.session import (
    Commit,
    Make,
    Suite,
    check,
    check_everywhere,
    compare,
    row,
    session,
)


class ContentsTests(Suite):
    """Storing and loading."""

    @check
    async def test_new_place_is_empty(self, make: Make) -> None:
        """A place that was never used holds nothing, also when opened again."""
        for _ in range(2):
            async with session(make) as new:
                compare(await new.rows(), [], "a new place")
                assert await new.metadata() is None, "a new place has metadata"

    @check
    async def test_commits_last(self, make: Make) -> None:
        """What was committed is there at once, after closing, and after a checkpoint."""
        commits: list[Commit] = [
            [Put("users/1", b'{"a":1}')],
            [Put("users/2", b"[1,2]"), Put("users/1", b"2")],
        ]
        await check_everywhere(make, commits, [row("users/1", b"2"), row("users/2", b"[1,2]")])

    @check
    async def test_bulk_puts(self, make: Make) -> None:
        """Bulk puts are as many single ones."""
        paths = [f"u/{number}" for number in range(1000)]
        values = [b'{"n":%d}' % number for number in range(1000)]
        commits: list[Commit] = [
            [PutMany(paths, values, "p"), Put("u/3", b"3", "p")],
            [Delete("u/4")],
        ]
        rows = [
            row(p, v, "p") for p, v in zip(paths, values, strict=True) if p not in ("u/3", "u/4")
        ]
        await check_everywhere(make, commits, [*rows, row("u/3", b"3", "p")])

    @check
    async def test_empty_batch(self, make: Make) -> None:
        """A batch of nothing but metadata, or of nothing, is fine."""
        async with session(make) as opened:
            await opened.commit()
            await opened.commit(metadata=b"m")
            compare(await opened.rows(), [], "after a batch of nothing")
        async with session(make) as again:
            assert await again.metadata() == b"m", "metadata alone was not stored"

    @check
    async def test_load_subtrees(self, make: Make) -> None:
        """Loading a path gives the document and all under it, each once, and nothing else."""
        async with session(make) as opened:
            await opened.commit(*USERS)
            await opened.checkpoint()
            await opened.commit(*OTHERS, Put("users/1!", b"6"), Put("users/1/friends0/2", b"7"))
            below = ["users/1", "users/1/friends/2", "users/1/friends0/2"]
            for wanted, found in (
                (["users/1/friends"], ["users/1/friends/2"]),
                (["users/1"], below),
                (["users/1/friends", "users/1"], below),
                (["users/10", "users/10"], ["users/10"]),
                (["users2", "pets/1"], ["pets/1", "users2/1"]),
                (["nothing", "users/1/friends/3"], []),
                ([], []),
            ):
                loaded = await opened.paths(*wanted)
                assert loaded == found, f"loading {wanted} gave {loaded} instead of {found}"
            everything = await opened.paths("users", "users2", "pets")
            assert len(everything) == 7, f"loading all collections gave {everything}"

    @check
    async def test_load_subtrees_of_all_partitions(self, make: Make) -> None:
        """A subtree is loaded from all partitions that have a part of it, sealed documents too."""
        puts = [
            Put("u/1", b"1", "a"),
            Put("u/1/v/1", b"2", "b"),
            Put("u/2", b'"c2U="', "b", True),
            Put("w/1", b"3", "b"),
        ]
        async with session(make) as opened:
            await opened.commit(*puts)
            compare(await opened.rows(["u"]), [row(*put) for put in puts[:3]], "loading u")
        async with session(make) as again:
            compare(await again.rows(["u/1"]), [row(*put) for put in puts[:2]], "loading u/1")
            compare(await again.rows(["u/2"]), [row(*puts[2])], "loading u/2")

    @check
    async def test_order_within_a_collection(self, make: Make) -> None:
        """Documents of a collection come in the order of their first put, in each partition."""
        ids = ["b", "a", "10", "9", "é", "c"]
        puts = [Put(f"u/{name}", b"1", "p") for name in ids]
        async with session(make) as opened:
            await opened.commit(*puts[:3])
            await opened.checkpoint()
            await opened.commit(*puts[3:], Put("u/a", b"2", "p"))
            assert await opened.in_order() == [f"u/{name}" for name in ids], "order of first puts"
            await opened.commit(Delete("u/b"), Put("u/b", b"3", "p"))
        after = [f"u/{name}" for name in (*ids[1:], "b")]
        async with session(make) as again:
            assert await again.in_order(["u"]) == after, "deleted and put again, it comes last"
            await again.checkpoint()
            assert await again.in_order() == after, "order after a checkpoint"

    @check
    async def test_plain_and_encrypted_are_apart(self, make: Make) -> None:
        """A path may have a plain and an encrypted document, and one in each partition."""
        puts = [Put("u/1", b"1", "a"), Put("u/1", b'"c2U="', "a", True), Put("u/1", b"2", "b")]
        await check_everywhere(make, [puts], [row(*put) for put in puts])

    @check
    async def test_metadata(self, make: Make) -> None:
        """The last metadata counts; a batch without leaves it, and any bytes will do."""
        samples = (b'{"resolver":{}}', b"", b"\x00\xff\n", b"[1]", b'{"a": 1}', b"x" * 100_000)
        for metadata in samples:
            async with session(make) as opened:
                await opened.commit(Put("u/1", b"1"), metadata=b"old")
                await opened.commit(metadata=metadata)
                await opened.commit(Put("u/1", b"2"))
                assert await opened.metadata() == metadata, "not the last metadata"
            async with session(make) as again:
                assert await again.metadata() == metadata, "not the last metadata after a reopen"
                await again.checkpoint()
            async with session(make) as third:
                assert await third.metadata() == metadata, "metadata lost by a checkpoint"

    @check
    async def test_odd_paths(self, make: Make) -> None:
        """Names and ids with quotes, line ends, escapes and other scripts come back."""
        paths = [f"{name}/{name}" for name in ODD_SEGMENTS]
        paths += [f"c/{name}/s/{name}" for name in ODD_SEGMENTS]
        puts = [Put(path, b"%d" % number) for number, path in enumerate(paths)]
        await check_everywhere(make, [puts], [row(*put) for put in puts])
        async with session(make) as opened:
            for put in puts:
                assert row(*put) in await opened.rows([put.path]), f"{put.path!r} is not found"
            await opened.commit(*(Delete(path) for path in paths))
            compare(await opened.rows(), [], "after deleting all")

    @check
    async def test_odd_partitions(self, make: Make) -> None:
        """Any text names a partition, and no two of them are one."""
        puts = [
            Put(f"u/{number}", b"%d" % number, partition, sealed)
            for number, partition in enumerate(ODD_PARTITIONS)
            for sealed in (False, True)
        ]
        await check_everywhere(make, [puts], [row(*put) for put in puts])

    @check
    async def test_values_are_kept_byte_for_byte(self, make: Make) -> None:
        """JSON comes back with the same bytes, whatever its shape."""
        puts = [Put(f"u/{number}", text.encode()) for number, text in enumerate(ODD_VALUES)]
        await check_everywhere(make, [puts], [row(*put) for put in puts])

    @check
    async def test_sealed_values_are_any_bytes(self, make: Make) -> None:
        """A sealed document is bytes that are no text, let alone JSON."""
        values = (bytes(range(256)), b"", b"\x00", b'"c2U="', b"\xff\xfe" * 50_000, b'{"a":1}')
        puts = [Put(f"k/{number}", value, "p", True) for number, value in enumerate(values)]
        commits: list[Commit] = [puts, [Put("k/1/l/1", b"\xff", "p", True), Delete("k/2")]]
        rows = [row(*put) for put in puts if put.path != "k/2"]
        await check_everywhere(make, commits, [*rows, row("k/1/l/1", b"\xff", "p", True)])

    @check
    async def test_big_value(self, make: Make) -> None:
        """A document of several megabytes is kept, beside small ones."""
        big = b'"' + "é😀x".encode() * 400_000 + b'"'
        commits: list[Commit] = [[Put("u/1", big), Put("u/2", b"2")], [Put("u/3", b"3")]]
        rows = [row("u/1", big), row("u/2", b"2"), row("u/3", b"3")]
        await check_everywhere(make, commits, rows)

    @check
    async def test_many_commits(self, make: Make) -> None:
        """Commits and checkpoints in a row leave what a dict would hold."""
        wanted: dict[str, bytes] = {}
        for number in range(60):
            async with session(make) as opened:
                for step in range(3):
                    path, value = f"u/{(number * 7 + step * 3) % 20}", b"%d" % (number * 3 + step)
                    if (number + step) % 5:
                        await opened.commit(Put(path, value))
                        wanted[path] = value
                    else:
                        await opened.commit(Delete(path))
                        wanted.pop(path, None)
                if number % 7 == 0:
                    await opened.checkpoint()
                assert await opened.values() == wanted, f"after {number + 1} rounds"
