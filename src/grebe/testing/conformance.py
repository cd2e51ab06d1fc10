"""What every persistor must do, as tests to be inherited.

    class TestMine(PersistorConformance):
        @pytest.fixture
        def make(self, tmp_path):
            return lambda: MyPersistor(tmp_path / "data")

`make()` returns a persistor that is not open, each time for the same place; it may be the same
object each time. Methods may be plain or `async def`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from grebe.core.operation import (
    DEFAULT_PARTITION,
    Batch,
    Clear,
    Delete,
    Move,
    Operation,
    Put,
    PutMany,
    Record,
)
from grebe.errors import StoreLockedError
from grebe.persistence.blocking import BlockingCalls
from grebe.persistence.persistor import Persistor

Make = Callable[[], Persistor]
Row = tuple[str, str, bool, bytes]
Commit = Iterable[Any]
"""The operations of one commit. (Of lists of several classes mypy knows `object` only.)"""

ODD_SEGMENTS = (
    '"', "\\", '\\"', "a b", " ", ".", "..", "%2f", "\n", "\r\n", "\t", "\x01", "\x7f", "\u2028",
    "é", "e\u0301", "😀", "漢字", "a'; drop table documents; --", '":', '":{', "],[", "}}",
    "CON", "con", "__store__", "__manifest__", ".lock", "documents", "crc32", "x" * 300,
)  # fmt: skip
"""Names and ids that are allowed and that a format may trip over."""

ODD_PARTITIONS = (
    *ODD_SEGMENTS,
    "",
    "a/b",
    "../x",
    "C:\\x",
    "\0",
    "\ud83d",
    "\ud83d\ude00",
    "A",
    "a",
)
"""Names of partitions: any `str` at all."""


class Session:
    """A persistor between open and close, whose methods block."""

    def __init__(self, persistor: Persistor) -> None:
        self.persistor = persistor
        self._calls = BlockingCalls()

    def open(self) -> None:
        """Open it."""
        self._calls.call(self.persistor.open)

    def close(self) -> None:
        """Close it."""
        self._calls.call(self.persistor.close)
        self._calls.close()

    def commit(self, *operations: Operation | PutMany, metadata: bytes | None = None) -> None:
        """Commit a batch of these operations."""
        self._calls.call(self.persistor.commit, Batch(operations, metadata))

    def checkpoint(self) -> None:
        """Make a checkpoint if it can."""
        checkpoint = getattr(self.persistor, "checkpoint", None)
        if checkpoint is not None:
            self._calls.call(checkpoint)

    def records(self, wanted: Sequence[str] | None = None) -> list[Record]:
        """Load."""
        found: Iterable[Record] = self._calls.call(self.persistor.load, wanted)
        return list(found)

    def rows(self, wanted: Sequence[str] | None = None) -> list[Row]:
        """Load, as a sorted list without duplicates."""
        rows = [(r.path, r.partition, r.encrypted, bytes(r.value)) for r in self.records(wanted)]
        assert len(set(rows)) == len(rows), "a document was loaded twice"
        return sorted(rows)

    def paths(self, *wanted: str) -> list[str]:
        """Load these paths; return the sorted paths of what is there."""
        return sorted(record.path for record in self.records(wanted))

    def values(self) -> dict[str, bytes]:
        """Load everything; return the values by path."""
        return {record.path: bytes(record.value) for record in self.records()}

    def metadata(self) -> bytes | None:
        """Load the metadata."""
        found: bytes | None = self._calls.call(self.persistor.load_metadata)
        return found


@contextmanager
def session(make: Make) -> Iterator[Session]:
    """Open a persistor for the time of a block."""
    opened = Session(make())
    opened.open()
    try:
        yield opened
    finally:
        opened.close()


def in_three_ways(make: Make, *commits: Commit) -> list[list[Row]]:
    """Commit; return what is there at once, after a reopen, and after a checkpoint and a reopen.

    What is wrong in one way only is told apart by that.
    """
    with session(make) as first:
        for operations in commits:
            first.commit(*operations)
        found = [first.rows()]
    with session(make) as second:
        found.append(second.rows())
        second.checkpoint()
    with session(make) as third:
        found.append(third.rows())
    return found


def check_everywhere(make: Make, commits: Sequence[Commit], rows: Iterable[Row]) -> None:
    """Check that the commits make exactly these rows, in all three ways."""
    wanted = sorted(rows)
    for way, found in zip(
        ("at once", "reopened", "checkpointed"), in_three_ways(make, *commits), strict=True
    ):
        assert found == wanted, f"{way}: {found} instead of {wanted}"


def row(path: str, value: bytes, partition: str = DEFAULT_PARTITION, sealed: bool = False) -> Row:
    """Return a row as `Session.rows` does."""
    return path, partition, sealed, value


USERS = (Put("users/1", b"1"), Put("users/1/friends/2", b"2"), Put("users/10", b"3"))
OTHERS = (Put("pets/1", b"4"), Put("users2/1", b"5"))


class PersistorConformance:
    """The tests; a subclass gives the fixture `make`."""

    def test_new_place_is_empty(self, make: Make) -> None:
        """A place that was never used holds nothing, also when opened again."""
        for _ in range(2):
            with session(make) as new:
                assert new.records() == []
                assert new.metadata() is None

    def test_commits_last(self, make: Make) -> None:
        """What was committed is there at once, after closing, and after a checkpoint."""
        commits: list[Commit] = [
            [Put("users/1", b'{"a":1}')],
            [Put("users/2", b"[1,2]"), Put("users/1", b"2")],
        ]
        check_everywhere(make, commits, [row("users/1", b"2"), row("users/2", b"[1,2]")])

    def test_operations_apply_in_order(self, make: Make) -> None:
        """Of a batch, the later operation counts."""
        check_everywhere(
            make,
            [[Put("u/1", b"1"), Delete("u/1"), Put("u/1", b"2"), Put("u/2", b"3"), Delete("u/2")]],
            [row("u/1", b"2")],
        )

    def test_bulk_puts(self, make: Make) -> None:
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
        check_everywhere(make, commits, [*rows, row("u/3", b"3", "p")])

    def test_empty_batch(self, make: Make) -> None:
        """A batch of nothing but metadata, or of nothing, is fine."""
        with session(make) as opened:
            opened.commit()
            opened.commit(metadata=b"m")
            assert opened.rows() == []
        with session(make) as again:
            assert again.metadata() == b"m"

    def test_delete_recursive(self, make: Make) -> None:
        """A recursive deletion takes the document and all under it, and nothing beside it."""
        commits: list[Commit] = [[*USERS, *OTHERS], [Delete("users/1")]]
        check_everywhere(
            make, commits, [row("users/10", b"3"), row("pets/1", b"4"), row("users2/1", b"5")]
        )

    def test_delete_collection(self, make: Make) -> None:
        """A recursive deletion of a collection takes all in it, and no other's documents."""
        check_everywhere(
            make,
            [[*USERS, *OTHERS], [Delete("users")]],
            [row("pets/1", b"4"), row("users2/1", b"5")],
        )

    def test_delete_alone(self, make: Make) -> None:
        """A deletion that is not recursive leaves what is under the document."""
        commits: list[Commit] = [[*USERS], [Delete("users/1", recursive=False)]]
        check_everywhere(make, commits, [row("users/1/friends/2", b"2"), row("users/10", b"3")])

    def test_delete_collection_alone(self, make: Make) -> None:
        """Of a collection, that takes its own documents and not those under them."""
        commits: list[Commit] = [[*USERS], [Delete("users", recursive=False)]]
        check_everywhere(make, commits, [row("users/1/friends/2", b"2")])

    def test_delete_in_all_partitions(self, make: Make) -> None:
        """A deletion takes the documents of every partition, the encrypted ones too."""
        puts = [Put("u/1", b"1", "a"), Put("u/2", b"2", "b"), Put("u/3", b'"c2U="', "b", True)]
        check_everywhere(
            make, [puts, [Delete("u"), Put("u/4", b"4", "c")]], [row("u/4", b"4", "c")]
        )

    def test_delete_of_nothing(self, make: Make) -> None:
        """Deleting what is not there changes nothing."""
        commits: list[Commit] = [
            [*USERS],
            [Delete("users/2"), Delete("dogs"), Delete("users/1/enemies")],
        ]
        check_everywhere(make, commits, [row(p.path, p.value) for p in USERS])

    def test_load_subtrees(self, make: Make) -> None:
        """Loading a path gives the document and all under it, each once, and nothing else."""
        with session(make) as opened:
            opened.commit(*USERS)
            opened.checkpoint()
            opened.commit(*OTHERS)
            assert opened.paths("users/1") == ["users/1", "users/1/friends/2"]
            assert opened.paths("users") == ["users/1", "users/1/friends/2", "users/10"]
            assert opened.paths("users/1/friends", "users/1") == ["users/1", "users/1/friends/2"]
            assert opened.paths("users2", "pets/1") == ["pets/1", "users2/1"]
            assert opened.paths("nothing", "users/1/friends/3") == []
            assert opened.paths() == []

    def test_order_within_a_collection(self, make: Make) -> None:
        """Documents of a collection come in the order of their first put, in each partition."""
        ids = ["b", "a", "10", "9", "é", "c"]
        puts = [Put(f"u/{name}", b"1", "p") for name in ids]
        with session(make) as opened:
            opened.commit(*puts[:3])
            opened.checkpoint()
            opened.commit(*puts[3:], Put("u/a", b"2", "p"))
            assert [record.path for record in opened.records()] == [f"u/{name}" for name in ids]
            opened.commit(Delete("u/b"), Put("u/b", b"3", "p"))
        after = [f"u/{name}" for name in (*ids[1:], "b")]
        with session(make) as again:
            assert [record.path for record in again.records(["u"])] == after
            again.checkpoint()
            assert [record.path for record in again.records()] == after

    def test_move(self, make: Make) -> None:
        """A move takes plain documents of its source at and under its path, and no others."""
        puts = [
            *(Put(p.path, p.value, "a") for p in USERS),
            Put("users/1/friends/3", b"6", "c"),
            Put("users/1/friends/4", b'"c2U="', "a", True),
        ]
        check_everywhere(
            make,
            [puts, [Move("users/1", "a", "b")]],
            [
                row("users/1", b"1", "b"),
                row("users/1/friends/2", b"2", "b"),
                row("users/10", b"3", "a"),
                row("users/1/friends/3", b"6", "c"),
                row("users/1/friends/4", b'"c2U="', "a", True),
            ],
        )

    def test_move_there_and_back(self, make: Make) -> None:
        """Moves in a row, over checkpoints, and of everything, end where the last one says."""
        with session(make) as opened:
            opened.commit(*(Put(p.path, p.value, "a") for p in USERS))
            opened.checkpoint()
            opened.commit(Move("users", "a", "b"), Move("users/1", "b", "c"))
            opened.checkpoint()
            opened.commit(Move("", "c", "a"), Move("users/10", "b", "a"), Put("x/1", b"7", "b"))
            wanted = [*(row(p.path, p.value, "a") for p in USERS), row("x/1", b"7", "b")]
            assert opened.rows() == sorted(wanted)
        with session(make) as again:
            again.checkpoint()
            assert again.rows() == sorted(wanted)

    def test_move_to_itself_and_of_nothing(self, make: Make) -> None:
        """A move into the same partition, or of what is not there, changes nothing."""
        commits: list[Commit] = [
            [Put("u/1", b"1", "a")],
            [Move("u", "a", "a"), Move("v", "a", "b"), Move("", "x", "y")],
        ]
        check_everywhere(make, commits, [row("u/1", b"1", "a")])

    def test_clear(self, make: Make) -> None:
        """Clearing takes everything before it and nothing after it."""
        commits: list[Commit] = [
            [*USERS, Put("s/1", b'"c2U="', "b", True)],
            [Clear(), Put("u/1", b"9", "b")],
        ]
        check_everywhere(make, commits, [row("u/1", b"9", "b")])

    def test_clear_is_empty(self, make: Make) -> None:
        """A cleared place can be opened and used."""
        check_everywhere(make, [[*USERS], [Clear()]], [])
        check_everywhere(make, [[Put("u/1", b"1")]], [row("u/1", b"1")])

    def test_plain_and_encrypted_are_apart(self, make: Make) -> None:
        """A path may have a plain and an encrypted document in partitions of the same name."""
        puts = [Put("u/1", b"1", "a"), Put("u/1", b'"c2U="', "a", True), Put("u/1", b"2", "b")]
        wanted = [row(*put) for put in puts]
        check_everywhere(make, [puts], wanted)

    def test_metadata(self, make: Make) -> None:
        """The last metadata counts; a batch without leaves it, and any bytes will do."""
        samples = (b'{"resolver":{}}', b"", b"\x00\xff\n", b"[1]", b'{"a": 1}', b"x" * 100_000)
        for metadata in samples:
            with session(make) as opened:
                opened.commit(Put("u/1", b"1"), metadata=b"old")
                opened.commit(metadata=metadata)
                opened.commit(Put("u/1", b"2"))
                assert opened.metadata() == metadata
            with session(make) as again:
                assert again.metadata() == metadata
                again.checkpoint()
            with session(make) as third:
                assert third.metadata() == metadata

    def test_odd_paths(self, make: Make) -> None:
        """Names and ids with quotes, line ends, escapes and other scripts come back."""
        paths = [f"{name}/{name}" for name in ODD_SEGMENTS]
        paths += [f"c/{name}/s/{name}" for name in ODD_SEGMENTS]
        puts = [Put(path, b"%d" % number) for number, path in enumerate(paths)]
        check_everywhere(make, [puts], [row(*put) for put in puts])
        with session(make) as opened:
            for put in puts:
                assert row(*put) in opened.rows([put.path])
            opened.commit(*(Delete(path) for path in paths))
            assert opened.rows() == []

    def test_odd_partitions(self, make: Make) -> None:
        """Any text names a partition, and no two of them are one."""
        puts = [
            Put(f"u/{number}", b"%d" % number, partition, sealed)
            for number, partition in enumerate(ODD_PARTITIONS)
            for sealed in (False, True)
        ]
        check_everywhere(make, [puts], [row(*put) for put in puts])

    def test_values_are_kept_byte_for_byte(self, make: Make) -> None:
        """JSON comes back with the same bytes, whatever its shape."""
        texts = [
            "null", "true", "0", "-0.0", "1e400", "0.1", '""', '"\\u0041\\n"', '"é\u2028"',
            '{"a":1,"a":2}', '{"b":1,"a":2}', '{"":{}}', "[[],{},[[[]]]]", '{"documents":{"x":1}}',
            '"]}\\n"', '{"crc32":"00000000"}', '{"lsn":1,"operations":[]}', f'"{"x" * 70_000}"',
        ]  # fmt: skip
        puts = [Put(f"u/{number}", text.encode()) for number, text in enumerate(texts)]
        check_everywhere(make, [puts], [row(*put) for put in puts])

    def test_big_value(self, make: Make) -> None:
        """A document of several megabytes is kept, beside small ones."""
        big = b'"' + "é😀x".encode() * 400_000 + b'"'
        commits: list[Commit] = [[Put("u/1", big), Put("u/2", b"2")], [Put("u/3", b"3")]]
        check_everywhere(make, commits, [row("u/1", big), row("u/2", b"2"), row("u/3", b"3")])

    def test_many_commits(self, make: Make) -> None:
        """Commits and checkpoints in a row leave what a dict would hold."""
        wanted: dict[str, bytes] = {}
        for number in range(60):
            with session(make) as opened:
                for step in range(3):
                    path, value = f"u/{(number * 7 + step * 3) % 20}", b"%d" % (number * 3 + step)
                    if (number + step) % 5:
                        opened.commit(Put(path, value))
                        wanted[path] = value
                    else:
                        opened.commit(Delete(path))
                        wanted.pop(path, None)
                if number % 7 == 0:
                    opened.checkpoint()
                assert opened.values() == wanted

    def test_load_beside_commits(self, make: Make) -> None:
        """What is being loaded when a commit comes is the state before or after it."""
        with session(make) as opened:
            opened.commit(*(Put(f"u/{number}", b"1") for number in range(600)))
            loading = iter(opened.records())
            first = next(loading)
            opened.commit(Clear())
            assert {bytes(record.value) for record in (first, *loading)} == {b"1"}
            assert opened.records() == []

    def test_second_open_is_refused(self, make: Make) -> None:
        """While it is open, nobody else opens the same place for writing."""
        with session(make) as opened:
            opened.commit(Put("u/1", b"1"))
            other = Session(make())
            try:
                other.open()
            except StoreLockedError:
                pass
            else:
                raise AssertionError("a second open was not refused")
            assert opened.rows() == [row("u/1", b"1")]
