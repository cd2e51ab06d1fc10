"""What holds for kinds of models beyond the ordinary: misfits, unknown fields, unions, imports."""

from __future__ import annotations

import dataclasses
import datetime
import subprocess
import sys
import threading
from typing import Annotated, Any, Generic, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest

import grebe
from tests.kinds import KINDS, Address, DataUser, KindOfModel, PydanticUser

SECRET = "s3cret"
CHECKED = [kind for kind in KINDS if kind.checks_stored]
OBJECTS = [kind for kind in CHECKED if kind.name != "namedtuple"]


def named(kind: KindOfModel) -> str:
    return kind.name


def stored(store: grebe.Store, value: Any, **options: Any) -> grebe.Document[Any]:
    """Return a document that holds a plain value, read through a model."""
    plain = store.collection("users", **dict.fromkeys(("model", "from_json", "to_json")))
    plain.doc("1").set(value)
    return store.collection("users", **options).doc("1")


def misfit(doc: grebe.Document[Any]) -> grebe.DocumentTypeError:
    """Return the error that reading a document raises, which shows nothing of the data."""
    snapshot = doc.get()
    assert snapshot is not None
    with pytest.raises(grebe.DocumentTypeError) as caught:
        _ = snapshot.data
    assert SECRET not in str(caught.value)
    assert caught.value.path == doc.path
    assert doc.path in str(caught.value)
    assert caught.value.field in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", OBJECTS, ids=named)
@pytest.mark.parametrize(
    ("value", "field", "found", "wanted"),
    [
        ({"name": "x", "age": SECRET}, "$.age", "str", "int"),
        ({"name": 3}, "$.name", "int", "str"),
        ({"name": "x", "role": SECRET}, "$.role", "str", ""),
        ({"name": "x", "born": SECRET}, "$.born", "str", "datetime"),
        ({"name": "x", "token": SECRET}, "$.token", "str", "uuid"),
        ({"name": "x", "address": {"city": 1}}, "$.address.city", "int", "str"),
        ({"name": "x", "address": {}}, "$.address.city", "missing", "a value"),
        ({"age": 1}, "$.name", "missing", "a value"),
        ([SECRET], "$", "list", ""),
        (SECRET, "$", "str", ""),
    ],
)
def test_a_misfit_names_field_stored_and_wanted(
    store: grebe.Store, kind: KindOfModel, value: Any, field: str, found: str, wanted: str
) -> None:
    """For every kind of model; and the document is as it was."""
    error = misfit(stored(store, value, **kind.options))
    assert (error.field, error.stored) == (field, found)
    assert error.wanted
    assert wanted in error.wanted.lower().replace("string", "str").replace("integer", "int")
    plain = store.collection("users", **dict.fromkeys(kind.options))
    assert plain.doc("1").get().data == value


@pytest.mark.parametrize("kind", OBJECTS, ids=named)
@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"name": "x", "nick": SECRET}, "$.nick"),
        ({"nick": None, "name": "x"}, "$.nick"),
        ({"name": "x", "address": {"city": "y", "street": SECRET}}, "$.address.street"),
    ],
)
def test_an_unknown_field_is_a_misfit(
    store: grebe.Store, kind: KindOfModel, value: Any, field: str
) -> None:
    """It would be lost at the next write; so that raises too, and nothing is lost."""
    doc = stored(store, value, **kind.options)
    error = misfit(doc)
    assert (error.field, error.wanted) == (field, "no such field")
    with pytest.raises(grebe.DocumentTypeError):
        doc.update(age=3)
    plain = store.collection("users", **dict.fromkeys(kind.options))
    assert plain.doc("1").get().data == value


def test_more_elements_than_a_named_tuple_has(store: grebe.Store) -> None:
    """It is an array, and knows no names; fewer are fine where there are defaults."""

    class Point(NamedTuple):
        x: int
        y: int = 2

    assert stored(store, [1], model=Point).get().data == Point(1, 2)  # type: ignore[union-attr]
    assert misfit(stored(store, [1, 2, 3], model=Point)).stored == "list"
    assert misfit(stored(store, [], model=Point)).stored == "list"


@pytest.mark.parametrize("kind", OBJECTS, ids=named)
def test_missing_fields_take_their_defaults(store: grebe.Store, kind: KindOfModel) -> None:
    """And stay missing on disk until somebody writes."""
    doc = stored(store, {"name": "x"}, **kind.options)
    assert doc.get().data == kind.make(name="x")  # type: ignore[union-attr]
    assert store.inspect()["documents"]["users/1"] == {"name": "x"}


@pytest.mark.parametrize("kind", CHECKED, ids=named)
def test_update_refuses_a_field_that_there_is_not(store: grebe.Store, kind: KindOfModel) -> None:
    """As a TypeError, by whatever way the model is copied; a wrong value is refused as well."""
    doc = store.collection("users", **kind.options).doc("1")
    doc.set(kind.full())
    with pytest.raises(TypeError):
        doc.update(unknown=1)
    with pytest.raises((grebe.SerializationError, pydantic.ValidationError)):
        doc.update(age="old")
    assert doc.get().data == kind.full()  # type: ignore[union-attr]


def test_fields_that_are_left_out_or_renamed_are_known(store: grebe.Store) -> None:
    """Not everything that is missing when it is encoded again is unknown."""

    class Short(msgspec.Struct, omit_defaults=True, rename="camel"):
        first_name: str
        age: int = 0
        tags: list[str] = []
        more: Any = None

    value = {"firstName": "x", "age": 0, "tags": [], "more": None}
    doc = stored(store, value, model=Short)
    assert doc.get().data == Short("x")  # type: ignore[union-attr]
    assert misfit(stored(store, {**value, "Age": 0}, model=Short)).field == "$.Age"

    class Renamed(pydantic.BaseModel):
        now: int = pydantic.Field(validation_alias=pydantic.AliasChoices("now", "before"))

    assert stored(store, {"before": 1}, model=Renamed).get().data.now == 1  # type: ignore[union-attr]
    assert misfit(stored(store, {"now": 1, "then": 2}, model=Renamed)).field == "$.then"


def test_unknown_fields_are_found_in_lists(store: grebe.Store) -> None:
    """With their place."""

    @dataclasses.dataclass
    class Family:
        members: list[Address]

    globals()["Family"] = Family
    value = {"members": [{"city": "a", "zip": "1"}, {"city": "b", "flat": SECRET}]}
    assert misfit(stored(store, value, model=Family)).field == "$.members[1].flat"


def test_a_pydantic_model_may_keep_what_it_does_not_know(store: grebe.Store) -> None:
    """extra="allow" keeps it, extra="forbid" says so by itself."""

    class Open(pydantic.BaseModel, extra="allow"):
        name: str

    class Closed(pydantic.BaseModel, extra="forbid"):
        name: str

    doc = stored(store, {"name": "x", "nick": "y"}, model=Open)
    assert doc.update(name="z", more=1).data.model_dump() == {"name": "z", "nick": "y", "more": 1}
    assert misfit(stored(store, {"name": "x", "nick": SECRET}, model=Closed)).field == "$.nick"


def test_what_pydantic_models_can_do_works(store: grebe.Store) -> None:
    """Aliases, validators, computed and private attributes, generics, strictness by choice."""
    item = TypeVar("item")

    class Page(pydantic.BaseModel, Generic[item]):
        kind: str = pydantic.Field(alias="type")
        price: Annotated[int, pydantic.Field(ge=0)] = 0
        items: list[item] = []
        _lock: Any = pydantic.PrivateAttr(default_factory=threading.Lock)

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def total(self) -> int:
            return self.price * 2

    pages = store.collection("pages", model=Page[int])
    snapshot = pages.doc("1").set(Page[int](type="a", price=2, items=[1]))
    assert (snapshot.data.kind, snapshot.data.total, snapshot.data.items) == ("a", 4, [1])
    assert store.inspect()["documents"]["pages/1"] == {"type": "a", "price": 2, "items": [1]}
    assert misfit(stored(store, {"type": "a", "price": -1}, model=Page[int])).stored == "int"

    class Lax(pydantic.BaseModel, strict=False):
        age: int

    assert stored(store, {"age": "28"}, model=Lax).get().data.age == 28  # type: ignore[union-attr]


ITEM = TypeVar("ITEM")


@dataclasses.dataclass
class Box(Generic[ITEM]):
    item: ITEM


class StructBox(msgspec.Struct, Generic[ITEM], forbid_unknown_fields=True):
    item: ITEM


@pytest.mark.parametrize("make", [Box, StructBox])
def test_generic_classes(store: grebe.Store, make: Any) -> None:
    """With their arguments, which are checked."""
    doc = stored(store, {"item": 1}, model=make[int])
    assert doc.update(item=2).data == make(2)
    error = misfit(stored(store, {"item": SECRET}, model=make[int]))
    assert (error.field, error.stored, error.wanted) == ("$.item", "str", "int")
    assert "Box[int]" in str(error)
    assert misfit(stored(store, {"item": 1, "more": SECRET}, model=make[int])).field == "$.more"


def test_a_class_that_cannot_be_understood_is_a_type_error(store: grebe.Store) -> None:
    """Of whatever kind, and whatever its library raises."""

    @dataclasses.dataclass
    class Unknown:
        what: "Nowhere"  # type: ignore[name-defined]  # noqa: F821, UP037

    class UnknownModel(pydantic.BaseModel):
        what: "Nowhere"  # type: ignore[name-defined]  # noqa: F821, UP037

    for model in (Unknown, UnknownModel):
        with pytest.raises(TypeError, match=f"{model.__name__} cannot be a model"):
            store.collection("users", model=model)


def test_a_validator_that_quotes_data_is_not_quoted(store: grebe.Store) -> None:
    """Its message may hold data, so only its place is told."""

    def refuse(value: str) -> str:
        raise ValueError(f"{value} is bad")

    class Checked(pydantic.BaseModel):
        name: Annotated[str, pydantic.AfterValidator(refuse)]

    @attrs.define
    class Positive:
        name: str = attrs.field(validator=lambda *given: refuse(given[-1]))

    assert misfit(stored(store, {"name": SECRET}, model=Checked)).field == "$.name"
    assert misfit(stored(store, {"name": SECRET}, model=Positive)).field == "$"


@dataclasses.dataclass
class Cat:
    meows: int


@dataclasses.dataclass
class Dog:
    barks: int


@dataclasses.dataclass
class Owner:
    pet: Cat | Dog
    since: datetime.datetime | str
    more: list[Cat | None] = dataclasses.field(default_factory=list)


def test_unions_that_msgspec_cannot_tell_apart(store: grebe.Store) -> None:
    """pydantic does these: dataclasses of different fields, a moment and a text."""
    owners = store.collection("owners", model=Owner)
    when = datetime.datetime(2020, 1, 1)
    for owner in (Owner(Cat(1), when), Owner(Dog(2), "long ago", [Cat(3), None])):
        assert owners.doc("1").set(owner).data == owner
        store.collection("owners", model=None)
        assert store.collection("owners", model=Owner).doc("1").get().data == owner
    assert owners.doc("1").update(pet=Cat(9)).data.pet == Cat(9)


def test_private_fields_are_refused_at_once(store: grebe.Store) -> None:
    """msgspec leaves them out; better said before anything is written."""

    @attrs.define
    class Hidden:
        _name: str

    with pytest.raises(TypeError, match=r"Hidden cannot be a model: .*_name"):
        store.collection("users", model=Hidden)


def test_a_typed_dict_is_read_only(store: grebe.Store) -> None:
    """As plain data is; edit gives one that can be changed."""

    class User(TypedDict):
        name: str
        tags: list[str]

    users = store.collection("users", model=User)
    data = users.doc("1").set({"name": "x", "tags": ["a"]}).data
    with pytest.raises(TypeError, match="read-only"):
        data["name"] = "y"
    with pytest.raises(TypeError, match="read-only"):
        data["tags"].append("b")
    users.doc("2").set(data)
    with users.doc("2").edit() as draft:
        draft["tags"].append("b")
    assert users.doc("2").get().data == {"name": "x", "tags": ["a", "b"]}
    with pytest.raises(grebe.SerializationError, match="would read back changed"):
        users.doc("1").set({"name": "x", "tags": [], "other": 1})  # type: ignore[typeddict-unknown-key]


class Counted(msgspec.Struct, frozen=True):
    """Counts how often it is made by decoding."""

    name: str
    age: int = 0

    def __post_init__(self) -> None:
        made.append(self.name)


made: list[str] = []


def test_documents_are_decoded_once(store: grebe.Store) -> None:
    """At the write, to see that it reads back; readers, queries and observers share that."""
    users = store.collection("users", model=Counted, partition=lambda s: s.data.name)
    made.clear()
    given = Counted("a")
    with users.where(grebe.field("age") >= 0).observe() as live, users.doc("1").observe():
        seen: list[Any] = []
        live.subscribe(lambda found: seen.extend(s.data for s in found))
        live.subscribe_changes(lambda changes: seen.extend(c.data for c in changes))
        users.doc("1").set(given)
        assert users.doc("1").get() == live.get()[0]
        assert users.order_by("age").first().data == given  # type: ignore[union-attr]
        assert users.sum("age") == 0
    assert seen == [given, given]
    assert made == ["a", "a"]  # the one given, and the one read back


def test_loaded_documents_are_decoded_when_looked_at(
    store: grebe.Store, open_store: Any, tmp_path: Any
) -> None:
    """Once each, and not before."""
    with open_store(tmp_path / "x") as first:
        first.collection("users").create_many({str(n): {"name": str(n)} for n in range(3)})
    second = open_store(tmp_path / "x")
    users = second.collection("users", model=Counted)
    made.clear()
    snapshot = users.doc("1").get()
    assert made == []
    assert snapshot.data == users.doc("1").get().data
    made.pop()  # the one that was given above
    assert [s.data.name for s in users.where(grebe.field("age") == 0)] == ["0", "1", "2"]
    assert [s.data.name for s in users.order_by("name")] == ["0", "1", "2"]
    assert sorted(made) == ["0", "2"]


def modules_after(code: str) -> set[str]:
    """Return which of the optional libraries a program has imported at its end."""
    code += "\nimport sys\nprint(*{'pydantic', 'attr', 'attrs', 'cattrs'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_libraries_are_imported_when_a_model_of_theirs_is_used() -> None:
    """Not by `import grebe`, nor for a dataclass."""
    code = """
import dataclasses, grebe
@dataclasses.dataclass
class User:
    name: str
grebe.open().collection("users", model=User).doc("1").set(User("x"))
"""
    assert modules_after(code) == set()


def test_a_model_is_shared_by_those_who_ask_for_it(store: grebe.Store) -> None:
    """So that they share decoded documents: the same class, or the same pair of functions."""
    for options in ({"model": DataUser}, {"model": PydanticUser}, KINDS[-1].options):
        first = store.collection("users", **options)
        assert store.collection("users", **options)._adapter() is first._adapter()
