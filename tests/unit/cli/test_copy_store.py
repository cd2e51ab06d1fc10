"""`grebe copy`: what it says, and what it refuses."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import grebe
from tests.conftest import rounds
from tests.unit.cli.conftest import Run, bytes_of, documents_of


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    with grebe.open(directory) as store:
        store.collection("users", partition="users").create_many(
            {str(n): {"n": n} for n in range(1200)}
        )
    return directory


def test_there_and_back(run: Run, source: Path, tmp_path: Path) -> None:
    url, back = f"sqlite:///{tmp_path}/app.db", tmp_path / "back"
    assert run("copy", source, url).startswith("copied 1,200 documents, ")
    assert (
        run("copy", source, url) == f"{url} was a whole copy already: 1,200 documents, compared\n"
    )
    run("copy", url, back)
    assert documents_of(back) == documents_of(source)
    assert "and compared\n" in run("copy", back, tmp_path / "third")


def test_json(run: Run, source: Path, tmp_path: Path) -> None:
    found = json.loads(run("copy", source, tmp_path / "target", "--json"))
    assert found.pop("bytes") > 10_000
    assert found == {
        "source": str(source),
        "target": str(tmp_path / "target"),
        "documents": 1200,
        "encrypted_documents": 0,
        "present": 0,
    }


def test_beside_a_writer(run: Run, tmp_path: Path) -> None:
    """The last commit of one that is open is copied."""
    with grebe.open(tmp_path / "source") as store:
        store.doc("a").set(1)
        store.commit()
        store.doc("b").set(2)
        assert run("copy", tmp_path / "source", tmp_path / "target").startswith(
            "copied 1 document,"
        )


def test_a_damaged_source(run: Run, source: Path, tmp_path: Path) -> None:
    """Is refused: a copy of a part would not be whole."""
    file = source / "users.json"
    file.write_bytes(file.read_bytes().replace(b'"n":7}', b'"n":8}'))
    before = bytes_of(source)
    assert "checksum" in run("copy", source, tmp_path / "target", code=1)
    assert bytes_of(source) == before
    assert not (tmp_path / "target").exists()


def test_wrong_places(run: Run, source: Path, tmp_path: Path) -> None:
    run("copy", source, source, code=2)
    run("copy", source, f"{source}/../source", code=2)
    run("copy", source, source / "inner", code=2)
    run("copy", source, f"sqlite:///{source}/app.db", code=2)
    run("copy", source, "memory:", code=2)
    run("copy", tmp_path / "nothing", tmp_path / "target", code=2)
    run("copy", source, "redis://x", code=2)
    run("copy", f"sqlite:///{tmp_path}/none.db", tmp_path / "target", code=1)
    assert not (tmp_path / "target").exists()


TOLD = """
import sys
from grebe.cli import copy_store, main
from grebe.persistence import copying

def told(batches, count):
    for batch in batches:
        print("batch", flush=True)
        sys.stdin.readline()  # so that it is where the parent thinks when it is killed
        yield batch

copying.BATCH_DOCUMENTS = 20
copy_store._track = told
sys.exit(main(["copy", *sys.argv[1:]]))
"""
KILLS = 3


@pytest.mark.slow
@pytest.mark.parametrize("target", ["target", "sqlite:///app.db"])
def test_kills(source: Path, tmp_path: Path, target: str) -> None:
    """Killed in random batches and run again until it ends: all documents, each once."""
    command = [sys.executable, "-c", TOLD, str(source), target]
    place = target.replace("///", f"///{tmp_path}/") if "://" in target else tmp_path / target
    for seed in rounds(1):
        chance = random.Random(seed)
        for _ in range(KILLS):
            pipe = subprocess.PIPE
            with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                for _ in range(chance.randrange(1, 60 // KILLS)):
                    assert process.stdout.readline() == b"batch\n"
                    process.stdin.write(b"go on\n")
                    process.stdin.flush()
                process.kill()
            with pytest.raises(grebe.PersistenceError, match="interrupted"):
                grebe.open(place)
        done = subprocess.run(
            command, cwd=tmp_path, input="go on\n" * 60, capture_output=True, text=True, check=True
        )
        said = done.stdout.splitlines()[-1]
        assert "1,200 documents" in said
        assert "were there from an earlier try" in said
        with grebe.open(place) as store:
            assert store.inspect()["documents"] == {f"users/{n}": {"n": n} for n in range(1200)}
            assert [doc.id for doc in store.collection("users")] == [str(n) for n in range(1200)]
        sys.stdout.write(f"\n{target}: {KILLS} kills, then: {said} (seed {seed})\n")
        for file in tmp_path.iterdir():
            if file != source:
                shutil.rmtree(file) if file.is_dir() else file.unlink()
