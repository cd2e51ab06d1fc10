"""`grebe import`: files become documents, all or none, and mistakes are named with their place."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

import grebe
from tests.unit.cli.conftest import Run, bytes_of, documents_of, iso


@pytest.mark.parametrize(
    ("name", "key", "id_field", "count"),
    [
        ("iso3166-1", "3166-1", "alpha_2", 240),
        ("iso3166-2", "3166-2", "code", 5000),
        ("iso639-3", "639-3", "alpha_3", 7900),
    ],
)
@pytest.mark.slow
def test_pycountry_files_come_back_record_by_record(
    run: Run, tmp_path: Path, name: str, key: str, id_field: str, count: int
) -> None:
    """What was imported is what is dumped, in the same order, and every file left is JSON."""
    store = tmp_path / "store"
    records = json.loads(iso(name).read_text(encoding="utf-8"))[key]
    assert len(records) > count
    said = run("import", iso(name), "--into", store, "--collection", "found", "--id", id_field)
    assert f"imported {len(records)} documents" in said
    dumped = [json.loads(line) for line in run("dump", store, "--data").split("\n")[:-1]]
    assert dumped == records
    paths = [json.loads(line)["path"] for line in run("dump", store).split("\n")[:-1]]
    assert paths == [f"found/{record[id_field]}" for record in records]
    for file in store.iterdir():
        json.loads(file.read_bytes())


def test_dump_of_data_imports_again(run: Run, tmp_path: Path) -> None:
    """Dump and import are each other's inverse."""
    run("import", iso("iso3166-1"), "--into", tmp_path / "a", "--collection", "c", "--id", "name")
    (tmp_path / "c.jsonl").write_text(run("dump", tmp_path / "a", "c", "--data"), encoding="utf-8")
    run("import", tmp_path / "c.jsonl", "--into", tmp_path / "b", "--collection", "c", "--id=name")
    assert documents_of(tmp_path / "a") == documents_of(tmp_path / "b")


@pytest.mark.parametrize(
    ("name", "text", "data"),
    [
        ("a.json", '[{"id": "x", "n": 1}, {"id": 7}]', {"x": {"id": "x", "n": 1}, "7": {"id": 7}}),
        ("b.json", '{"k": {"id": "x"}, "l": {"id": "y"}}', {"x": {"id": "x"}, "y": {"id": "y"}}),
        ("c.json", '{"name": [{"id": "x"}]}', {"x": {"id": "x"}}),
        ("d.jsonl", '{"id": "x"}\n\n{"id": "y"}', {"x": {"id": "x"}, "y": {"id": "y"}}),
        ("e.ndjson", '{"id": "\u2028"}\r\n', {"\u2028": {"id": "\u2028"}}),
        (
            "f.csv",
            'id,n\nx,"1,\n2"\n\ny,\n',
            {"x": {"id": "x", "n": "1,\n2"}, "y": {"id": "y", "n": ""}},
        ),
        ("g.CSV", "\ufeffid\r\nx\u2028\r\n", {"x\u2028": {"id": "x\u2028"}}),
    ],
)
def test_formats(run: Run, tmp_path: Path, name: str, text: str, data: dict) -> None:
    """Each format is told by the name of the file; ids stay in the data."""
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    run("import", tmp_path / name, "--into", tmp_path / "s", "--collection", "c", "--id", "id")
    assert documents_of(tmp_path / "s") == {f"c/{key}": value for key, value in data.items()}


def test_object_of_id_to_data_needs_no_id_field(run: Run, tmp_path: Path) -> None:
    """The keys of a JSON object are the ids; a single key with a list of numbers is one too."""
    (tmp_path / "a.json").write_text('{"x": {"n": 1}, "y": [1, 2]}', encoding="utf-8")
    (tmp_path / "b.json").write_text('{"z": [3]}', encoding="utf-8")
    for name in ("a.json", "b.json"):
        run("import", tmp_path / name, "--into", tmp_path / "s", "--collection", "c")
    assert documents_of(tmp_path / "s") == {"c/x": {"n": 1}, "c/y": [1, 2], "c/z": [3]}


def test_records_without_id_get_random_ones(run: Run, tmp_path: Path) -> None:
    """Importing such a file twice makes its documents twice."""
    (tmp_path / "a.jsonl").write_text('{"n": 1}\n{"n": 1}\n', encoding="utf-8")
    for _ in range(2):
        run("import", tmp_path / "a.jsonl", "--into", tmp_path / "s", "--collection", "c")
    documents = documents_of(tmp_path / "s")
    assert list(documents.values()) == [{"n": 1}] * 4
    assert {len(path) for path in documents} == {len("c/") + 21}


def test_standard_input(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash reads the standard input, of which the format has to be said."""
    arguments = ("import", "-", "--into", tmp_path / "s", "--collection", "c", "--id", "a")
    assert "--format" in run(*arguments, code=2)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,2\n")))
    run(*arguments, "--format", "csv")
    assert documents_of(tmp_path / "s") == {"c/1": {"a": "1", "b": "2"}}


def test_partition_and_subcollection(run: Run, tmp_path: Path) -> None:
    """The collection may be a whole path, and goes into the partition that is named."""
    (tmp_path / "a.json").write_text('{"x": {"n": 1}}', encoding="utf-8")
    arguments = ("--into", tmp_path / "s", "--collection", "users/1/friends")
    run("import", tmp_path / "a.json", *arguments, "--partition", "friends")
    found = json.loads((tmp_path / "s" / "friends.json").read_bytes())
    assert found["documents"] == {"users/1/friends/x": {"n": 1}}
    # Data under a document that does not exist is dumped as well.
    assert json.loads(run("dump", tmp_path / "s"))["path"] == "users/1/friends/x"


def test_replace_overwrites_and_keeps_the_rest(run: Run, tmp_path: Path) -> None:
    """With --replace existing documents are set; what is under them and beside them stays."""
    with grebe.open(tmp_path / "s") as store:
        store.doc("c/x").set({"n": 0})
        store.doc("c/x/d/1").set({"below": True})
        store.doc("c/other").set({"n": 5})
    (tmp_path / "a.json").write_text('{"x": {"n": 1}, "y": {"n": 2}}', encoding="utf-8")
    arguments = ("import", tmp_path / "a.json", "--into", tmp_path / "s", "--collection", "c")
    assert "record 1: c/x exists already" in run(*arguments, code=1)
    run(*arguments, "--replace")
    assert documents_of(tmp_path / "s") == {
        "c/x": {"n": 1},
        "c/x/d/1": {"below": True},
        "c/other": {"n": 5},
        "c/y": {"n": 2},
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"id": "1"}\n{"id": "2"\n', "a.jsonl: line 2 is no JSON"),
        ("a.jsonl", '{"id": "1"}\n{"n": 2}\n', "a.jsonl: line 2 has no field 'id'"),
        ("a.jsonl", '{"id": "1"}\n\n{"id": "1"}', "a.jsonl: line 3: the id '1' is also that of "),
        ("a.jsonl", '{"id": "1"}\n[1]', "a.jsonl: line 2 is a list"),
        ("a.jsonl", '{"id": "1"}\n{"id": null}', "line 2: the id in 'id' is a NoneType"),
        ("a.jsonl", '{"id": "1"}\n{"id": true}', "line 2: the id in 'id' is a bool"),
        ("a.jsonl", '{"id": "1"}\n{"id": "2", "id": "3"}', "line 2 is no JSON that can be stored"),
        ("a.jsonl", '{"id": "1"}\n{"id": "a/b"}', "line 2: 'a/b' holds '/'"),
        ("a.jsonl", '{"id": "1"}\n{"id": ""}', "line 2: a path segment is empty"),
        ("a.jsonl", '{"id": "1"}\n{"id": "2", "n": NaN}', "line 2: c/2: $.n is"),
        ("a.jsonl", '{"id": "1"}\n{"id": "2", "n": 9223372036854775808}', "line 2: c/2: $.n"),
        ("a.jsonl", '{"id": "new"}\n{"id": "old"}', "line 2: c/old exists already"),
        ("a.json", '[{"id": "1"}, {"id": 1}]', "a.json: record 2: the id '1' is also that of"),
        ("a.json", '[{"id": "1"}\n {"id": "2"}]', "a.json is no JSON: Expecting ',' delimiter"),
        ("a.json", '"text"', "a.json holds no JSON array or object"),
        ("a.json", "[" * 100_000, "a.json is no JSON that can be stored"),
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", "id,n,n\n", "a.csv: line 1 names a field twice"),
        ("a.csv", "id,n\n1,2\n3\n", "a.csv: line 3 has 1 fields, but the first line names 2"),
        ("a.csv", 'id,n\n1,"2"3\n', "a.csv: line 2 is no CSV"),
        ("a.csv", 'id,n\n1,"2\n', "is no CSV: unexpected end of data"),
        ("a.csv", "no,n\n1,2\n", "a.csv: line 2 has no field 'id'"),
    ],
)
def test_mistakes_name_the_place_and_leave_the_store(
    run: Run, tmp_path: Path, name: str, text: str, message: str
) -> None:
    """A mistake anywhere in the file: one line says where, and not a byte of the store changes."""
    with grebe.open(tmp_path / "s") as store:
        store.doc("c/old").set({"n": 0})
    before = bytes_of(tmp_path / "s")
    (tmp_path / name).write_text(text, encoding="utf-8")
    arguments = ("--into", tmp_path / "s", "--collection", "c", "--id", "id")
    assert message in run("import", tmp_path / name, *arguments, code=1)
    assert bytes_of(tmp_path / "s") == before


def test_a_mistake_makes_no_store(run: Run, tmp_path: Path) -> None:
    """A file that cannot be read leaves no empty store behind."""
    (tmp_path / "latin.csv").write_bytes("id\nx\né\n".encode("latin-1"))
    arguments = ("--into", tmp_path / "s", "--collection", "c")
    assert "line 3 is not UTF-8" in run("import", tmp_path / "latin.csv", *arguments, code=1)
    assert "cannot be read" in run("import", tmp_path / "none.csv", *arguments, code=1)
    assert "--format" in run("import", tmp_path / "a.txt", *arguments, code=2)
    assert not (tmp_path / "s").exists()


def test_a_store_in_use_is_left_alone(run: Run, tmp_path: Path) -> None:
    """A second writer is refused, and told who the first is."""
    (tmp_path / "a.json").write_text('{"x": {"n": 1}}', encoding="utf-8")
    arguments = ("import", tmp_path / "a.json", "--into", tmp_path / "s", "--collection", "c")
    with grebe.open(tmp_path / "s"):
        assert "is open for writing in process" in run(*arguments, code=1)


@pytest.mark.parametrize("target", ["memory:", "redis://x", ""])
def test_targets_that_are_no_directory(run: Run, tmp_path: Path, target: str) -> None:
    """Nothing is imported into a store that ends with the command, or that cannot be opened."""
    (tmp_path / "a.json").write_text('{"x": {"n": 1}}', encoding="utf-8")
    run("import", tmp_path / "a.json", "--into", target, "--collection", "c", code=2)
