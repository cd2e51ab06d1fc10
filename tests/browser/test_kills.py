"""The whole browser is killed in the middle of commits: no acknowledged one is lost, none is half.

A kill may leave half a write in Chromium's own files, for which it deletes a database two lives
later: so there are two copies, and tests that damage one of them.

Each life of the browser opens the database that the last one left, checks that it holds exactly the
state of one commit, not older than the last acknowledged, and goes on writing until it is killed.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.browser import conftest
from tests.browser.chromium import Chromium, Page
from tests.conftest import rounds

pytestmark = pytest.mark.timeout(600)

LIVES = 3
ACKNOWLEDGEMENTS_MAX = 40

WRITE = """
import asyncio, json, random
import grebe, js

SIZES = [10, 10, 10, 1_000, 30_000, 300_000]
store = await grebe.aopen("indexeddb:kills", checkpoint_bytes=200_000, commit_interval=3600)

def state():
    marks = {doc.path: doc.data["n"] for doc in store.collection("marks").get()}
    steps = sorted(doc.data["n"] for doc in store.collection("steps").get())
    texts = {doc.data["n"] for doc in store.collection("texts").get()}
    return [marks, steps, sorted(texts), store.recovery.clean, list(store.recovery.messages)]

async def write(seed, n):
    chance = random.Random(seed)
    for name in "abc":
        store.collection("marks").doc(name)
    while True:
        n += 1
        with store.batch():
            # Three partitions and a text of some size: one commit.
            for name in "abc":
                store.collection(f"marks", partition=lambda snap: snap.id).doc(name).set({"n": n})
            store.collection("steps", partition="steps").doc(str(n)).set({"n": n})
            text = "x" * chance.choice(SIZES)
            store.collection("texts", partition="texts").doc("1").set({"n": n, "text": text})
        await store.acommit()
        js.acknowledged(str(n))

found = state()
found
"""


def check(found: list[object], acknowledged: int) -> int:
    """Check that this is the state of one commit; return its number."""
    marks, steps, texts, clean, messages = found
    assert isinstance(marks, dict)
    assert clean, messages
    numbers = set(marks.values())
    if not numbers:
        assert (steps, texts, acknowledged) == ([], [], 0)
        return 0
    assert len(marks) == 3
    assert len(numbers) == 1, f"half a commit: {marks}"
    number = int(numbers.pop())
    assert steps == list(range(1, number + 1))
    assert texts == [number]
    assert number >= acknowledged, f"commit {acknowledged} was acknowledged, {number} found"
    return number


def live(chromium: Chromium, url: str) -> Page:
    page = chromium.page(url)
    page.call("Runtime.addBinding", name="acknowledged")
    return page


def read_until_killed(chromium: Chromium, page: Page, last: int) -> int:
    """Read acknowledgements: `last` of them, then kill, and take those that were on their way."""
    number = 0
    for _ in range(last):
        number = int(chromium.wait("Runtime.bindingCalled", page.session)["payload"])
    chromium.kill()
    return number


@pytest.mark.slow
@pytest.mark.parametrize("seed", rounds(1))
def test_kills_in_the_middle_of_commits(
    seed: int, start: conftest.Start, site: conftest.parts.Site, tmp_path: Path
) -> None:
    """Commits of five documents in five partitions, some with compactions, and SIGKILL."""
    chance = random.Random(seed)
    print(f"seed {seed}")
    url = f"{site.url}page.html?wheels=own&wheels=wheels"
    acknowledged, healed, profile = 0, 0, tmp_path / "profile"
    for life in range(LIVES + 1):
        chromium = start(profile)
        page = live(chromium, url)
        found = page.python(WRITE)
        number = check(found, acknowledged)
        healed += len(found[-1])
        print(f"life {life}: acknowledged {acknowledged}, found {number}", *found[-1])
        acknowledged = number
        if life == LIVES:
            chromium.kill()
            print(f"{LIVES} kills, {healed} copies that the browser had deleted")
            return
        page.start(f"await write({json.dumps(f'{seed} {life}')}, {number})")
        acknowledged = read_until_killed(chromium, page, chance.randint(1, ACKNOWLEDGEMENTS_MAX))


def logs(profile: Path) -> list[Path]:
    """Return the files that Chromium appends to, of the first and of the second copy."""
    found = (profile / "data/Default/WebStorage").glob("*/IndexedDB/*/*.log")
    first, second = sorted(found, key=lambda path: int(path.parents[2].name))
    return [first, second]


def flip(log: Path) -> None:
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 0xFF
    log.write_bytes(data)


@pytest.mark.slow
def test_a_damaged_copy_follows_the_other(
    start: conftest.Start, site: conftest.parts.Site, tmp_path: Path
) -> None:
    """Chromium deletes a database whose files are damaged. Only if both are, it is told as loss."""
    url = f"{site.url}page.html?wheels=own&wheels=wheels"
    profile, acknowledged = tmp_path / "profile", 0

    def life(*damaged: Path) -> list[object]:
        """Damage files, open, look, write, kill."""
        nonlocal acknowledged
        for log in damaged:
            flip(log)
        chromium = start(profile)
        page = live(chromium, url)
        found: list[object] = page.python(WRITE)
        page.start(f"await write('damaged', {acknowledged})")
        acknowledged = read_until_killed(chromium, page, 5)
        return found

    life()
    for place in (0, 1, 0, 1):
        before = acknowledged
        found = life(logs(profile)[place])
        check(found, before)
        assert "one of the two copies was damaged" in str(found[-1])
    before = acknowledged
    # The beginning of a record, as a kill may leave it: crc32 and length, and nothing behind.
    with logs(profile)[0].open("ab") as log:
        log.write(bytes([1, 2, 3, 4, 1, 0, 1]))
    found = life()
    check(found, before)
    assert found[-1] == []
    before = acknowledged
    found = life()
    check(found, before)
    assert "one of the two copies was damaged" in str(found[-1])
    acknowledged = 0
    found = life(*logs(profile))
    assert found[:4] == [{}, [], [], False]
    assert "has deleted all documents" in str(found[-1])
    before = acknowledged
    check(life(), before)  # told once
