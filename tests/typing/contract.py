"""What a type checker must infer; checked by mypy, never run. An unused `ignore` is an error."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, assert_type

import attrs
import msgspec
import pydantic

import grebe
from grebe import Change, Collection, Document, Event, Observer, Query, Snapshot, agg, field


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


class UserDict(TypedDict):
    name: str


class UserTuple(NamedTuple):
    name: str


@attrs.define
class UserAttrs:
    name: str


class UserStruct(msgspec.Struct):
    name: str


class UserModel(pydantic.BaseModel):
    name: str


def from_json(data: Any) -> bytes:
    return bytes(data)


def to_json(data: bytes) -> list[int]:
    return list(data)


assert_type(store.collection("d", model=UserDict), Collection[UserDict])
assert_type(store.collection("t", model=UserTuple), Collection[UserTuple])
assert_type(store.collection("a", model=UserAttrs), Collection[UserAttrs])
assert_type(store.collection("s", model=UserStruct), Collection[UserStruct])
assert_type(store.collection("m", model=UserModel), Collection[UserModel])
assert_type(store.collection("b", from_json=from_json, to_json=to_json), Collection[bytes])
assert_type(store.collection("n", model=int), Collection[int])
assert_type(store.collection("x", model=None, version=None), Collection[Any])


def add_age(user: dict[str, Any]) -> dict[str, Any]:
    return {**user, "age": 0}


def migrate(user: Any, version: int) -> Any:
    return user if version > 1 else {**user, "age": 0}


versioned = store.collection("v", model=User, version=2, migrate={1: add_age}, indexes=["age"])
assert_type(versioned, Collection[User])
assert_type(
    store.collection("w", model=UserModel, version=2, migrate=migrate).first(),
    Snapshot[UserModel] | None,
)
with versioned.order_by("age").limit(3).observe() as some:
    some.subscribe_changes(lambda changes: assert_type(changes, list[Change[User]]))
assert_type(versioned.create_many([User("a", 1)]), Sequence[Snapshot[User]])
for progress in store.migrate().values():
    assert_type(progress.waiting, int)
store.collection("v", model=User, version="2")  # type: ignore[call-overload]  # a number is wanted
store.collection("v", model=User, verson=2)  # type: ignore[call-overload]  # no such option

# --- queries

condition = field("age") >= 18
everyone = users.where(condition, ~(field("address.city") == "Rome") | field("name").exists())
everyone = everyone.where(lambda user: user.data.age > 3, field("tags").contains("x"))
assert_type(everyone, Query[User])
assert_type(users.where(field("age").in_([1, 2]) & (field("name") != None)), Query[User])  # noqa: E711
assert_type(everyone.order_by("age", field("name"), desc=True), Query[User])
assert_type(everyone.order_by(key=lambda user: user.data.name).limit(3).offset(1), Query[User])
assert_type(everyone.get(), Sequence[Snapshot[User]])
assert_type(everyone.get()[0].data.age, int)
assert_type(everyone.first(), Snapshot[User] | None)
assert_type(everyone.count(), int)
assert_type(everyone.explain().index, str | None)
assert_type(everyone.explain().examined, int)
total = everyone.aggregate(
    n=agg.count(), age=agg.avg(field("age")), name=agg.max(lambda user: user.id)
)
assert_type(total.get(), dict[Any, Any])
assert_type(everyone.group_by("age", "name").aggregate(n=agg.count()).get(), dict[Any, Any])
assert_type(store.collection_group("friends").where(condition), Query[Any])
with total.observe() as amounts:
    assert_type(amounts.get(), dict[Any, Any])


def place(changes: list[Change[User]]) -> None:
    for change in changes:
        assert_type(change.index, int | None)
        assert_type(change.prev_index, int | None)
        assert_type(change.event, Event)
        assert_type(change.data, User | None)


with everyone.observe() as ordered:
    ordered.subscribe_changes(place)
everyone.limit("3")  # type: ignore[arg-type]  # a number is wanted
everyone.where(18)  # type: ignore[arg-type]  # a condition is wanted
everyone.order_by(18)  # type: ignore[arg-type]  # a field is wanted
everyone.aggregate(n=1)  # type: ignore[arg-type]  # what agg.count() and the like return
everyone.where(lambda user: user.data.nme == "x")  # type: ignore[attr-defined]  # no such field
field("name").starts_with(1)  # type: ignore[arg-type]  # a text is wanted
