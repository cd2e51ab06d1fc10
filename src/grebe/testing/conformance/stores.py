"""A store on the persistor: what a user does, and what a store asks for in doing it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import grebe
from grebe.core.operation import Batch, Record
from grebe.testing.conformance.session import Make, Suite, call, check, equal

NEVER_S = 3600.0


class FailsAtFirst:
    """Passes everything on, but raises at the first commits: before or after they are stored."""

    def __init__(self, inner: grebe.Persistor, *, stored: bool, failures: int = 2) -> None:
        self._inner = inner
        self._stored = stored
        self.failures = failures

    async def open(self) -> None:
        """See Persistor."""
        await call(self._inner.open)

    async def commit(self, batch: Batch) -> None:
        """See Persistor."""
        if self.failures:
            self.failures -= 1
            if self._stored:
                await call(self._inner.commit, batch)
            raise OSError("this commit fails on purpose")
        await call(self._inner.commit, batch)

    async def load(self, paths: Sequence[str] | None) -> Iterable[Record]:
        """See Persistor."""
        found: Iterable[Record] = await call(self._inner.load, paths)
        return list(found)

    async def load_metadata(self) -> bytes | None:
        """See Persistor."""
        found: bytes | None = await call(self._inner.load_metadata)
        return found

    async def close(self) -> None:
        """See Persistor."""
        await call(self._inner.close)


async def opened(persistor: grebe.Persistor, **options: Any) -> grebe.Store:
    """Open a store that commits only when it is told to."""
    return await grebe.aopen(persistor, commit_interval=NEVER_S, **options)


def by_age(snapshot: grebe.Snapshot[Any]) -> str:
    """Return a partition that depends on the document."""
    return "old" if snapshot.data["age"] >= 18 else "young"


class StoresTests(Suite):
    """Through `grebe.aopen`, so that it also runs where nothing can wait but a coroutine."""

    @check
    async def test_store_finds_everything_again(self, make: Make) -> None:
        """Writes of every kind, in one partition after the other, are there after a reopen."""
        async with await opened(make()) as store:
            users = store.collection("users", partition=by_age)
            users.create_many({str(n): {"age": n} for n in range(10, 26)})
            users.doc("10").collection("friends").doc("x").set({"n": 1})
            await store.acommit()
            users.doc("10").update(age=40)
            users.doc("11").delete()
            store.doc("note").set(["a", 1, None])
            with store.batch():
                users.doc("12").update(age=12.5)
                users.doc("25").delete()
            await store.acommit()
            wanted = store.inspect()["documents"]
            partitions = store.partitions()
        async with await opened(make()) as again:
            equal(again.inspect()["documents"], wanted, "documents after a reopen")
            equal(again.partitions(), partitions, "partitions after a reopen")
            again.collection("users", partition="all")
            again.doc("users/10").update(age=41)
            await again.acheckpoint()
            moved = again.partitions()
            equal(set(moved), {"all", "__store__"}, "partitions after a move")
        async with await opened(make()) as third:
            equal(third.partitions(), moved, "partitions after a move and a reopen")
            equal(third.inspect()["documents"]["users/10"], {"age": 41}, "a moved document")

    @check
    async def test_store_loads_subtrees(self, make: Make) -> None:
        """With `hydrate=[...]` only these come, and later the rest."""
        async with await opened(make()) as store:
            for path in ("a/1", "a/1/b/2", "a/10", "c/1"):
                store.collection(path.rpartition("/")[0], partition=path[0]).doc(path[-1]).set({})
            store.doc("a/10").set({})
            everything = sorted(store.inspect()["documents"])
        async with await opened(make(), hydrate=["a/1"]) as store:
            equal(sorted(store.inspect()["documents"]), ["a/1", "a/1/b/2"], "only a/1 loaded")
            await store.ahydrate("a")
            await store.ahydrate()
            equal(sorted(store.inspect()["documents"]), everything, "everything loaded")
        async with await opened(make(), hydrate=False) as store:
            store.doc("a/1").delete()
            await store.acommit()
        async with await opened(make()) as store:
            left = [path for path in everything if f"{path}/"[:4] != "a/1/"]
            equal(sorted(store.inspect()["documents"]), left, "a/1 deleted without being loaded")

    @check
    async def test_store_clears(self, make: Make) -> None:
        """A cleared store is empty, and goes on."""
        async with await opened(make()) as store:
            store.collection("users", partition="p").doc("1").set({})
            await store.acommit()
            await store.aclear()
            store.doc("users/2").set({})
        async with await opened(make()) as again:
            equal(list(again.inspect()["documents"]), ["users/2"], "documents after clearing")

    @check
    async def test_store_tries_again(self, make: Make) -> None:
        """A commit that failed, stored or not, is there once after it is tried again."""
        for stored in (False, True):
            persistor = FailsAtFirst(make(), stored=stored)
            store = await opened(persistor)
            users = store.collection("users", partition="a")
            users.doc("1").set({"n": 1})
            for number in range(persistor.failures):
                try:
                    await store.acommit()
                except grebe.PersistenceError:
                    users.doc(str(number)).set({"n": number + 10})
                    store.collection("users", partition="b" * (number + 1))
                    users.doc("2").set({"n": number + 20})
            await store.aclose()
            wanted = {"users/0": {"n": 10}, "users/1": {"n": 11}, "users/2": {"n": 21}}
            async with await opened(make()) as again:
                found = again.inspect()["documents"]
                equal(found, wanted, f"documents of a commit that failed, stored: {stored}")
                equal(set(again.partitions()), {"bb"}, "partitions of a commit that failed")
                await again.aclear()
