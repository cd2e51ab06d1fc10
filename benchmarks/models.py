"""Decoding loaded documents into models of each kind, beside json.loads of the same bytes."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic

import grebe
from measure import Report, Settings, Watch, document, fresh, median

BLOCK = 1_000
"""Documents that one case decodes before the next one has its turn."""


@dataclass
class DataUser:
    name: str
    email: str
    age: int
    city: str
    score: float
    active: bool
    tags: list[str]
    revision: str
    note: str


FIELDS = DataUser.__annotations__
TYPES: dict[str, Any] = {name: eval(kind) for name, kind in FIELDS.items()}
StructUser = msgspec.defstruct("StructUser", list(TYPES.items()))
PydanticUser = pydantic.create_model("PydanticUser", **{n: (t, ...) for n, t in TYPES.items()})
DictUser = TypedDict("DictUser", TYPES)  # type: ignore[misc]
TupleUser = NamedTuple("TupleUser", list(TYPES.items()))  # type: ignore[misc]
AttrsUser = attrs.make_class(
    "AttrsUser", {name: attrs.field(type=kind) for name, kind in TYPES.items()}, slots=True
)

KINDS: dict[str, tuple[Any, Callable[[bytes], Any]]] = {
    "msgspec.Struct": (StructUser, msgspec.json.Decoder(StructUser).decode),
    "dataclass": (DataUser, msgspec.json.Decoder(DataUser).decode),
    "pydantic": (PydanticUser, PydanticUser.model_validate_json),
    "TypedDict": (DictUser, msgspec.json.Decoder(DictUser).decode),
    "NamedTuple (an array)": (TupleUser, msgspec.json.Decoder(TupleUser).decode),
    "attrs": (AttrsUser, msgspec.json.Decoder(AttrsUser).decode),
    "no model": (None, msgspec.json.Decoder().decode),
}
"""Model, and how its library decodes when nobody asks for more."""


def run(settings: Settings) -> Report:
    """Measure each kind in processes of its own."""
    count, runs = settings.pick(100_000, 10_000), settings.pick(3, 2)
    report = Report(
        f"{count:,} loaded documents of 200 bytes, decoded at the first look; "
        f"microseconds each, median of {runs} processes",
        ["", "Grebe", "library alone", "json.loads", "x json.loads"],
        notes=[
            "Grebe: snapshot.data, which also finds fields that the model would lose.",
            "NamedTuple: the same fields, of which the names are not stored.",
        ],
    )
    for name in KINDS:
        found = [
            fresh("models", "decode", settings, kind=name, count=count)
            for _ in range(1 if settings.profile else runs)
        ]
        columns = [median([f[case] for f in found]) for case in ("grebe", "library", "json")]
        ratio = median([f["grebe"] / f["json"] for f in found])
        report.rows.append([name, *columns, ratio])
    return report


def decode(kind: str, count: int) -> Mapping[str, float]:
    """Return microseconds for a document in each case; the cases take turns block by block."""
    model, library = KINDS[kind]
    kept = grebe.MemoryPersistor()
    with grebe.open(kept) as store:
        make = model or dict
        users = store.collection("users", model=model)
        data = (document(number) for number in range(count))
        users.create_many({value["email"]: make(**value) for value in data})
    seconds = {"grebe": 0.0, "library": 0.0, "json": 0.0}
    with grebe.open(kept) as store:
        snapshots: Sequence[Any] = store.collection("users", model=model).get()
        texts = [record.value for record in kept.load(None)]
        for start in range(0, count, BLOCK):
            block = texts[start : start + BLOCK]
            unread = snapshots[start : start + BLOCK]
            gc.collect(0)
            gc.disable()  # what it costs depends on what else is in memory
            with Watch() as watch:
                found = [snapshot.data for snapshot in unread]
            seconds["grebe"] += watch.seconds
            for case, function in (("library", library), ("json", json.loads)):
                with Watch() as watch:
                    found = [function(text) for text in block]
                seconds[case] += watch.seconds
            gc.enable()
            assert len(found) == len(block)
    return {case: total / count * 1e6 for case, total in seconds.items()}
