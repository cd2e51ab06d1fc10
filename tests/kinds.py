"""One model of each kind, all with the same fields; for tests that hold for every kind."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic


class Role(enum.Enum):
    ADMIN = "admin"
    GUEST = "guest"


Extra = int | str | None


@dataclass
class Address:
    city: str
    zip: str = "4000"


@dataclass
class DataUser:
    name: str
    age: int = 0
    role: Role = Role.GUEST
    born: datetime.datetime | None = None
    token: uuid.UUID | None = None
    price: Decimal | None = None
    address: Address | None = None
    tags: list[str] = field(default_factory=list)
    extra: Extra = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenUser:
    name: str
    age: int = 0
    role: Role = Role.GUEST
    born: datetime.datetime | None = None
    token: uuid.UUID | None = None
    price: Decimal | None = None
    address: Address | None = None
    tags: list[str] = field(default_factory=list)
    extra: Extra = None


class _DictName(TypedDict):
    name: str


class DictUser(_DictName, total=False):
    age: int
    role: Role
    born: datetime.datetime | None
    token: uuid.UUID | None
    price: Decimal | None
    address: Address | None
    tags: list[str]
    extra: Extra


class TupleUser(NamedTuple):
    name: str
    age: int = 0
    role: Role = Role.GUEST
    born: datetime.datetime | None = None
    token: uuid.UUID | None = None
    price: Decimal | None = None
    address: Address | None = None
    tags: list[str] = []  # noqa: RUF012 - what a NamedTuple has for a default factory
    extra: Extra = None


@attrs.define
class AttrsUser:
    name: str
    age: int = 0
    role: Role = Role.GUEST
    born: datetime.datetime | None = None
    token: uuid.UUID | None = None
    price: Decimal | None = None
    address: Address | None = None
    tags: list[str] = attrs.field(factory=list)
    extra: Extra = None


class StructUser(msgspec.Struct):
    name: str
    age: int = 0
    role: Role = Role.GUEST
    born: datetime.datetime | None = None
    token: uuid.UUID | None = None
    price: Decimal | None = None
    address: Address | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    extra: Extra = None


class PydanticAddress(pydantic.BaseModel):
    city: str
    zip: str = "4000"


class PydanticUser(pydantic.BaseModel):
    name: str
    age: int = 0
    role: Role = Role.GUEST
    born: datetime.datetime | None = None
    token: uuid.UUID | None = None
    price: Decimal | None = None
    address: PydanticAddress | None = None
    tags: list[str] = pydantic.Field(default_factory=list)
    extra: Extra = None


@pydantic.dataclasses.dataclass
class PydanticDataUser:
    name: str
    age: int = 0
    role: Role = Role.GUEST
    born: datetime.datetime | None = None
    token: uuid.UUID | None = None
    price: Decimal | None = None
    address: Address | None = None
    tags: list[str] = dataclasses.field(default_factory=list)
    extra: Extra = None


class OwnUser:
    """A class of no kind, with functions of its own."""

    def __init__(self, name: str, age: int = 0, **more: Any) -> None:
        self.name, self.age = name, age
        self.tags = more.pop("tags", [])
        self.role = more.pop("role", Role.GUEST)
        self.more = more

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.__dict__.get("more", {}).get(name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnUser) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def own_to_json(user: OwnUser) -> Any:
    more = msgspec.to_builtins(user.more)
    named = {"name": user.name, "age": user.age, "tags": user.tags, "role": user.role.value}
    return {**named, **more}


_OWN_TYPES: dict[str, Any] = {
    "born": datetime.datetime,
    "token": uuid.UUID,
    "price": Decimal,
    "address": Address,
}


def own_from_json(data: Any) -> OwnUser:
    if not isinstance(data.get("age", 0), int):
        raise TypeError
    data["role"] = Role(data.get("role", "guest"))
    for name, kind in _OWN_TYPES.items():
        if data.get(name) is not None:
            data[name] = msgspec.convert(data[name], kind)
    return OwnUser(**data)


@dataclass(frozen=True)
class KindOfModel:
    """A kind of model: how its collection is asked for, and its instances made and read."""

    name: str
    options: dict[str, Any]
    make: Callable[..., Any]
    address: Callable[..., Any] = Address
    is_dict: bool = False
    checks_stored: bool = True
    """Whether unknown fields and wrong types are found by Grebe, not by the user's functions."""

    def read(self, data: Any, name: str) -> Any:
        return data[name] if self.is_dict else getattr(data, name)

    def full(self, name: str = "Jöhn") -> Any:
        """Return an instance with a value in every field."""
        return self.make(
            name=name,
            age=28,
            role=Role.ADMIN,
            born=datetime.datetime(2000, 2, 29, 12, 30, 15, 123456, tzinfo=datetime.UTC),
            token=uuid.UUID(int=7),
            price=Decimal("12.50"),
            address=self.address(city="Bern"),
            tags=["a", "b"],
            extra="x",
        )


KINDS = [
    KindOfModel("dataclass", {"model": DataUser}, DataUser),
    KindOfModel("frozen", {"model": FrozenUser}, FrozenUser),
    KindOfModel("typeddict", {"model": DictUser}, DictUser, is_dict=True),
    KindOfModel("namedtuple", {"model": TupleUser}, TupleUser),
    KindOfModel("attrs", {"model": AttrsUser}, AttrsUser),
    KindOfModel("struct", {"model": StructUser}, StructUser),
    KindOfModel("pydantic", {"model": PydanticUser}, PydanticUser, PydanticAddress),
    KindOfModel("pydantic-dataclass", {"model": PydanticDataUser}, PydanticDataUser),
    KindOfModel(
        "functions",
        {"from_json": own_from_json, "to_json": own_to_json},
        OwnUser,
        checks_stored=False,
    ),
]
