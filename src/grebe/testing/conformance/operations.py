"""What deletions, moves and clearing do, and in which order."""

from __future__ import annotations

from grebe.core.operation import Clear, Delete, Move, Put
from grebe.testing.conformance.samples import OTHERS, USERS
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

SEALED = b'"c2U="'


class OperationsTests(Suite):
    """Everything but puts."""

    @check
    async def test_operations_apply_in_order(self, make: Make) -> None:
        """Of a batch, the later operation counts."""
        await check_everywhere(
            make,
            [[Put("u/1", b"1"), Delete("u/1"), Put("u/1", b"2"), Put("u/2", b"3"), Delete("u/2")]],
            [row("u/1", b"2")],
        )

    @check
    async def test_delete_recursive(self, make: Make) -> None:
        """A recursive deletion takes the document and all under it, and nothing beside it."""
        beside = Put("users/1!", b"6"), Put("users/1 /friends/2", b"7"), Put("users/1é", b"8")
        commits: list[Commit] = [[*USERS, *OTHERS, *beside], [Delete("users/1")]]
        kept = [USERS[2], *OTHERS, *beside]
        await check_everywhere(make, commits, [row(*put) for put in kept])

    @check
    async def test_delete_collection(self, make: Make) -> None:
        """A recursive deletion of a collection takes all in it, and no other's documents."""
        commits: list[Commit] = [[*USERS, *OTHERS], [Delete("users")]]
        await check_everywhere(make, commits, [row(*put) for put in OTHERS])

    @check
    async def test_delete_under_a_missing_document(self, make: Make) -> None:
        """What is under a document goes with it, though the document itself is not there."""
        commits: list[Commit] = [[Put("u/1/v/2", b"1"), Put("u/2", b"2")], [Delete("u/1")]]
        await check_everywhere(make, commits, [row("u/2", b"2")])

    @check
    async def test_delete_alone(self, make: Make) -> None:
        """A deletion that is not recursive leaves what is under the document."""
        commits: list[Commit] = [[*USERS], [Delete("users/1", recursive=False)]]
        await check_everywhere(
            make, commits, [row("users/1/friends/2", b"2"), row("users/10", b"3")]
        )

    @check
    async def test_delete_collection_alone(self, make: Make) -> None:
        """Of a collection, that takes its own documents and not those under them."""
        commits: list[Commit] = [[*USERS], [Delete("users", recursive=False)]]
        await check_everywhere(make, commits, [row("users/1/friends/2", b"2")])

    @check
    async def test_delete_in_all_partitions(self, make: Make) -> None:
        """A deletion takes the documents of every partition, the encrypted ones too."""
        puts = [Put("u/1", b"1", "a"), Put("u/2", b"2", "b"), Put("u/3", SEALED, "b", True)]
        commits: list[Commit] = [puts, [Delete("u"), Put("u/4", b"4", "c")]]
        await check_everywhere(make, commits, [row("u/4", b"4", "c")])

    @check
    async def test_delete_of_nothing(self, make: Make) -> None:
        """Deleting what is not there changes nothing."""
        commits: list[Commit] = [
            [*USERS],
            [Delete("users/2"), Delete("dogs"), Delete("users/1/enemies"), Delete("users/1/f")],
        ]
        await check_everywhere(make, commits, [row(*put) for put in USERS])

    @check
    async def test_move(self, make: Make) -> None:
        """A move takes plain documents of its source at and under its path, and no others."""
        puts = [
            *(Put(p.path, p.value, "a") for p in USERS),
            Put("users/1/friends/3", b"6", "c"),
            Put("users/1/friends/4", SEALED, "a", True),
        ]
        rows = [
            row("users/1", b"1", "b"),
            row("users/1/friends/2", b"2", "b"),
            row("users/10", b"3", "a"),
            row("users/1/friends/3", b"6", "c"),
            row("users/1/friends/4", SEALED, "a", True),
        ]
        await check_everywhere(make, [puts, [Move("users/1", "a", "b")]], rows)

    @check
    async def test_move_over_another(self, make: Make) -> None:
        """What is moved to where there is one of its path replaces it."""
        commits: list[Commit] = [
            [Put("u/1", b"1", "a"), Put("u/1", b"2", "b")],
            [Move("u", "a", "b")],
        ]
        await check_everywhere(make, commits, [row("u/1", b"1", "b")])

    @check
    async def test_move_there_and_back(self, make: Make) -> None:
        """Moves in a row, over checkpoints, and of everything, end where the last one says."""
        async with session(make) as opened:
            await opened.commit(*(Put(p.path, p.value, "a") for p in USERS))
            await opened.checkpoint()
            await opened.commit(Move("users", "a", "b"), Move("users/1", "b", "c"))
            await opened.checkpoint()
            await opened.commit(
                Move("", "c", "a"), Move("users/10", "b", "a"), Put("x/1", b"7", "b")
            )
            wanted = [*(row(p.path, p.value, "a") for p in USERS), row("x/1", b"7", "b")]
            compare(await opened.rows(), wanted, "at once")
        async with session(make) as again:
            await again.checkpoint()
            compare(await again.rows(), wanted, "after a checkpoint")

    @check
    async def test_move_to_itself_and_of_nothing(self, make: Make) -> None:
        """A move into the same partition, or of what is not there, changes nothing."""
        commits: list[Commit] = [
            [Put("u/1", b"1", "a")],
            [Move("u", "a", "a"), Move("v", "a", "b"), Move("", "x", "y")],
        ]
        await check_everywhere(make, commits, [row("u/1", b"1", "a")])

    @check
    async def test_clear(self, make: Make) -> None:
        """Clearing takes everything before it and nothing after it."""
        commits: list[Commit] = [
            [*USERS, Put("s/1", SEALED, "b", True)],
            [Clear(), Put("u/1", b"9", "b")],
        ]
        await check_everywhere(make, commits, [row("u/1", b"9", "b")])

    @check
    async def test_clear_is_empty(self, make: Make) -> None:
        """A cleared place can be opened and used."""
        await check_everywhere(make, [[*USERS], [Clear()]], [])
        await check_everywhere(make, [[Put("u/1", b"1")]], [row("u/1", b"1")])
