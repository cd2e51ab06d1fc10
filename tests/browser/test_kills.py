"""The whole browser is killed in the middle of commits: no acknowledged one is lost, none is half.

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
    return [marks, steps, sorted(texts), store.recovery.clean]

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
    marks, steps, texts, clean = found
    assert isinstance(marks, dict)
    assert clean
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
    acknowledged, profile = 0, tmp_path / "profile"
    for life in range(LIVES + 1):
        chromium = start(profile)
        page = live(chromium, url)
        number = check(page.python(WRITE), acknowledged)
        print(f"life {life}: acknowledged {acknowledged}, found {number}")
        acknowledged = number
        if life == LIVES:
            chromium.kill()
            return
        page.start(f"await write({json.dumps(f'{seed} {life}')}, {number})")
        acknowledged = read_until_killed(chromium, page, chance.randint(1, ACKNOWLEDGEMENTS_MAX))


@pytest.mark.slow
def test_what_the_browser_deletes_as_damaged_is_told_of(
    start: conftest.Start, site: conftest.parts.Site, tmp_path: Path
) -> None:
    """Chromium deletes a database whose files are damaged: the store is empty, but not clean."""
    url = f"{site.url}page.html?wheels=own&wheels=wheels"
    profile = tmp_path / "profile"
    chromium = start(profile)
    page = live(chromium, url)
    assert check(page.python(WRITE), 0) == 0
    page.start('await write("damaged", 0)')
    read_until_killed(chromium, page, 20)
    (log,) = (profile / "data/Default/IndexedDB").glob("*/*.log")
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 0xFF
    log.write_bytes(data)

    chromium = start(profile)
    page = live(chromium, url)
    assert page.python(WRITE) == [{}, [], [], False]
    assert "has deleted all documents" in page.python("store.recovery.messages[0]")
    assert check(page.python("await store.aclose()\n" + WRITE), 0) == 0, "told once"
    chromium.kill()
