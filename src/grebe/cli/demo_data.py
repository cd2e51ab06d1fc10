"""The demo's data: ISO 3166 countries and subdivisions, ISO 639-3 languages, as pycountry has them.

`countries/FR`, `countries/FR/subdivisions/FR-75C`, `languages/fra`; the subdivisions are in the
partition of their countries.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import grebe
from grebe.cli.console import make_table

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
Records = list[dict[str, Any]]
Track = Callable[[Iterable[T], str, int], Iterator[T]]

CHUNK_COUNT = 1000
"""Languages written at once: a step of the progress bar."""


Counts = dict[str, int]
"""Number of records of each kind."""


def load(store: grebe.Store, track: Track[tuple[grebe.Collection[Any], Records, str]]) -> Counts:
    """Write all records, by the caller's batch in one commit, and return how many of each."""
    countries = store.collection("countries", partition="countries")
    languages = store.collection("languages", partition="languages")
    countries_found, parts_found = read("iso3166-1", "3166-1"), read("iso3166-2", "3166-2")
    languages_found = read("iso639-3", "639-3")
    parts: dict[str, Records] = {}
    for part in parts_found:
        parts.setdefault(part["code"].partition("-")[0], []).append(part)
    steps = [(countries, countries_found, "alpha_2")]
    for country, found in parts.items():
        steps.append((countries.doc(country).collection("subdivisions"), found, "code"))
    for start in range(0, len(languages_found), CHUNK_COUNT):
        steps.append((languages, languages_found[start : start + CHUNK_COUNT], "alpha_3"))
    for collection, found, id_field in track(steps, "Loading", len(steps)):
        collection.create_many({record[id_field]: record for record in found})
    return {
        "countries": len(countries_found),
        "subdivisions": len(parts_found),
        "languages": len(languages_found),
    }


def read(name: str, key: str) -> Records:
    """Return the records of one of pycountry's own files."""
    file = importlib.resources.files("pycountry") / "databases" / f"{name}.json"
    records: Records = json.loads(file.read_text(encoding="utf-8"))[key]
    return records


def show(console: Console, store: grebe.Store, counts: Counts) -> None:
    """Print what was loaded, with an example of each."""
    examples = {
        "countries": "countries/FR",
        "subdivisions": "countries/FR/subdivisions/FR-75C",
        "languages": "languages/fra",
    }
    table = make_table("records", "number", "for example", "is", numbers=("number",))
    for kind, count in counts.items():
        found = store.doc(examples[kind]).get()
        table.add_row(kind, f"{count:,}", examples[kind], found.data["name"] if found else "-")
    console.print(table)
