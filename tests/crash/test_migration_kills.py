"""A migration is killed at random moments, again and again, and completes in the end.

GREBE_CRASH_ROUNDS multiplies documents and kills; with 10 they are 50,000 and ten at least.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

import grebe
from tests.crash import migrators
from tests.crash.harness import ROUNDS, SEED, report

DOCUMENTS = 5_000 * ROUNDS
KILLS = max(3, ROUNDS)
BATCHES = DOCUMENTS // 500


def kill_once(target: str, chance: random.Random) -> int:
    """Have a migration killed some time after some batch; return how many are acknowledged."""
    batches = chance.randrange(max(1, BATCHES // KILLS))
    delay_s = chance.uniform(0, 0.02)
    with migrators.start(target) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(1 + batches)]
        try:
            process.wait(delay_s)
        except subprocess.TimeoutExpired:
            process.kill()
        lines += process.stdout.read().splitlines(keepends=True)
    assert process.returncode != 0, lines
    whole = [int(line) for line in lines if line.endswith(b"\n") and line[:1].isdigit()]
    return max(whole, default=0)


def check(target: str) -> int:
    """Check that each document is whole, and old or new; return how many are new."""
    with grebe.open(target, read_only=True) as store:
        assert store.recovery.clean
        found = {user.id: user.data for user in store.collection("users")}
    assert found.keys() == set(map(str, range(DOCUMENTS)))
    new = 0
    for document_id, data in found.items():
        number = int(document_id)
        if "$version" in data:
            new += 1
            expected = {"$version": migrators.VERSION, **migrators.new_document(number)}
        else:
            expected = migrators.old_document(number)
        assert data == expected
    return new


@pytest.mark.slow
@pytest.mark.timeout(60 + 20 * KILLS)
@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_killed_migrations(tmp_path: Path, kind: str) -> None:
    """Every document is of the old or the new version after each kill, and new at the end."""
    place = tmp_path / "data"
    target = f"sqlite:///{place.as_posix()}" if kind == "sqlite" else str(place)
    with grebe.open(target) as store:
        users = store.collection("users", partition="users")
        users.create_many({str(n): migrators.old_document(n) for n in range(DOCUMENTS)})
    chance = random.Random(SEED)
    new = [0]
    for _ in range(KILLS):
        acknowledged = kill_once(target, chance)
        found = check(target)
        assert found >= max(acknowledged, new[-1]), f"seed {SEED}: {acknowledged} lost"
        assert found % 500 == 0 or found == DOCUMENTS, "a batch in part"
        new.append(found)
    with grebe.open(target) as store:
        migrators.users_of(store)
        assert store.migrate()["users"].current == DOCUMENTS
    assert check(target) == DOCUMENTS
    report(f"{kind}: {DOCUMENTS} documents, {KILLS} kills, new after each: {new[1:]} (seed {SEED})")
