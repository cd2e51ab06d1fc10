"""What a type checker must infer; checked by mypy, never run. An unused `ignore` is an error."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_type

import grebe
from grebe import Change, Collection, Document, Observer, Snapshot


@dataclass
class User:
    name: str
    age: int


store = grebe.open()
users = store.collection("users", model=User, partition="x")
assert_type(users, Collection[User])
doc = users.doc("1")
assert_type(doc, Document[User])
snap = doc.create(User("a", 1))
assert_type(snap, Snapshot[User])
assert_type(snap.data, User)
got = doc.get()
assert_type(got, Snapshot[User] | None)
q = users.where(lambda s: s.data.age > 3)
for s in q:
    assert_type(s.data.name, str)
with q.observe() as live:
    assert_type(live, Observer[Sequence[Snapshot[User]], User])
    live.subscribe(lambda snaps: [x.data.name for x in snaps])
    live.subscribe_changes(lambda cs: [c.data for c in cs])
plain = store.collection("p", partition="q")
assert_type(plain, Collection[Any])
friends = doc.collection("friends", model=User)
assert_type(friends, Collection[User])


async def f() -> None:
    async for changes in users.stream_changes():
        assert_type(changes, list[Change[User]])
    async for v in doc.stream():
        assert_type(v, Snapshot[User] | None)


with store.transaction() as tx:
    assert_type(tx.get(doc), Snapshot[User] | None)
with doc.edit() as draft:
    assert_type(draft, User)
users.doc("2").set({"a": 1})  # type: ignore[arg-type]  # a User is wanted
