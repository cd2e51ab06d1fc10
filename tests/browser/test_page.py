"""What only a browser does: tabs, quotas, pages that go away, calls that block or cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.browser import conftest
from tests.browser.chromium import Chromium, Page

URL = "page.html?wheels=own&wheels=wheels"


@pytest.fixture(scope="module")
def second_page(chromium: Chromium, site: conftest.parts.Site) -> Page:
    """Return another tab."""
    return chromium.page(f"{site.url}{URL}")


@pytest.fixture
def page_without_python(chromium: Chromium, site: conftest.parts.Site) -> Iterator[Page]:
    """Return another tab of the site, for JavaScript alone."""
    opened = chromium.page(f"{site.url}nothing.html")
    yield opened
    opened.close()


def test_the_public_api_is_there(page: Page) -> None:
    """Everything is imported without threads, processes or compiled libraries."""
    found = page.python("""
import grebe, sys
[sys.platform, sorted(name for name in grebe.__all__ if not hasattr(grebe, name)),
 [name for name in ("msgspec", "sqlite3", "cryptography") if name in sys.modules]]
""")
    assert found == ["emscripten", [], []]


def test_the_guide_runs(page: Page) -> None:
    """The Python on docs/browser.md, `await` at the top as on a page."""
    guide = (conftest.ROOT / "docs/browser.md").read_text(encoding="utf-8")
    for code in re.findall(r"^```py\n(.*?)^```", guide, flags=re.DOTALL | re.MULTILINE):
        page.python(code)
    found = page.python("""
async with await grebe.aopen("indexeddb:notes") as store:
    found = store.doc("users/1").get().data
found
""")
    assert found == {"name": "John"}


def test_what_is_written_is_committed_by_itself(page: Page) -> None:
    """By a task, also what an event handler wrote; nobody awaits anything."""
    found = page.python("""
import asyncio, grebe, js
from pyodide.ffi import create_once_callable

committed = asyncio.Event()
store = await grebe.aopen(
    "indexeddb:by itself", commit_interval=0.01, on_commit=lambda batch: committed.set())
js.setTimeout(create_once_callable(lambda: store.doc("users/1").set({"age": 28})), 0)
await committed.wait()
await store.aclose()
async with await grebe.aopen("indexeddb:by itself", hydrate=False) as store:
    await store.ahydrate("users")
    found = store.doc("users/1").get().data
found
""")
    assert found == {"age": 28}


def test_blocking_calls_suspend_where_the_browser_can(page: Page) -> None:
    """Under runPythonAsync they wait; other tasks of the page run meanwhile."""
    found = page.python("""
import asyncio, grebe
ticks = 0
async def tick():
    global ticks
    while True:
        ticks += 1
        await asyncio.sleep(0)
task = asyncio.create_task(tick())
with grebe.open("indexeddb:blocking") as store:
    store.doc("users/1").set({"age": 28})
    store.commit()
    store.checkpoint()
    store.hydrate()
with grebe.open("indexeddb:blocking") as store:
    found = [store.doc("users/1").get().data, ticks > 0]
    store.clear()
    found.append(len(store.collection("users")))
task.cancel()
found
""")
    assert found == [{"age": 28}, True, 0]


def test_other_persistors_work_in_the_page(page: Page) -> None:
    """In its own file system, which lives as long as the page; checkpoints are made at close."""
    found = page.python("""
import grebe, os
with grebe.open("/data/files", checkpoint_bytes=1000) as store:
    for n in range(100):
        store.doc(f"users/{n}").set({"text": "x" * 100})
        store.commit()
with grebe.open("/data/files") as store:
    found = [len(store.collection("users")), store.recovery.clean]
found.append(sorted(os.listdir("/data/files")))
kept = grebe.MemoryPersistor()
async with await grebe.aopen(kept) as store:
    store.doc("a/1").set(1)
async with await grebe.aopen(kept) as store:
    found.append(store.doc("a/1").get().data)
found
""")
    assert found == [100, True, [".lock", "__manifest__.json", "__store__.json"], 1]


def test_encryption_is_refused_not_ignored(page: Page) -> None:
    """There is no library for it: the write raises, and nothing is stored in plain."""
    found = page.python("""
import grebe
said = []
async with await grebe.aopen("indexeddb:secret", encryption_key=b"k" * 32) as store:
    try:
        store.collection("secrets", encrypted=True).doc("1").set({"pin": 1234})
    except grebe.EncryptionError as error:
        said.append(str(error))
try:
    await grebe.aopen("indexeddb:secret", encrypted=True, encryption_key=b"k" * 32)
except grebe.EncryptionError as error:
    said.append(str(error))
async with await grebe.aopen("indexeddb:secret") as store:
    found = [len(store.collection("secrets")), said]
found
""")
    assert found[0] == 0
    assert ["grebe[encryption]" in said for said in found[1]] == [True, True], found


def test_a_worker_will_do(page: Page) -> None:
    """A dedicated worker has all that is needed, and is another holder of the lock."""
    found = page.evaluate("""new Promise((resolve, reject) => {
        const worker = new Worker("/worker.mjs", { type: "module" });
        worker.onmessage = (event) => { worker.terminate(); resolve(event.data); };
        worker.onerror = (event) => reject(new Error(event.message));
    })""")
    assert found == "28"
    found = page.python("""
import grebe
async with await grebe.aopen("indexeddb:worker") as store:
    found = store.doc("users/1").get().data
found
""")
    assert found == {"age": 28}


def test_migrations_go_on_in_a_task(page: Page) -> None:
    """In the background, awaited, and blocking where the browser can suspend."""
    found = page.python("""
import asyncio, grebe

def count(data):
    return {**data, "n": data["n"] + 1}

async def versions(number):
    async with await grebe.aopen("indexeddb:migrations") as store:
        steps = {version: count for version in range(1, number)}
        users = store.collection("users", version=number, migrate=steps)
        if number == 2:
            while store.migrations()["users"].current < 1000:
                await asyncio.sleep(0)
        elif number == 3:
            await store.amigrate()
        else:
            store.migrate()
        return [store.migrations()["users"].current, users.doc("7").get().data]

async with await grebe.aopen("indexeddb:migrations") as store:
    store.collection("users", version=1).create_many({str(n): {"n": n} for n in range(1000)})
[await versions(2), await versions(3), await versions(4)]
""")
    assert found == [[1000, {"n": 8}], [1000, {"n": 9}], [1000, {"n": 10}]]


def test_blocking_calls_name_the_asynchronous_ones(page: Page) -> None:
    """In an event handler nothing can wait: the error says what to await; nothing is lost."""
    found = page.python("""
import asyncio, grebe, js
from pyodide.ffi import create_once_callable

store = await grebe.aopen("indexeddb:handler", commit_interval=3600)
said, done = [], asyncio.get_running_loop().create_future()

def handler():
    store.doc("users/1").set({"age": 28})
    calls = [store.commit, store.checkpoint, store.hydrate, store.clear, store.close,
             lambda: grebe.open("indexeddb:handler 2")]
    for call in calls:
        try:
            call()
        except RuntimeError as error:
            said.append(str(error).partition("use ")[2].partition(" (a")[0])
    with grebe.open(grebe.MemoryPersistor()) as other:  # this one need not wait
        other.doc("a/1").set(1)
        other.commit()
    done.set_result(None)

js.setTimeout(create_once_callable(handler), 0)
await done
await store.acommit()
found = [said, store.doc("users/1").get().data]
await store.aclose()
found
""")
    assert found == [
        [
            "await store.acommit()",
            "await store.acheckpoint()",
            "await store.ahydrate()",
            "await store.aclear()",
            "await store.aclose()",
            "await grebe.aopen(...)",
        ],
        {"age": 28},
    ]


def test_a_second_tab_is_refused_and_may_read(page: Page, second_page: Page) -> None:
    """One writer, by a Web Lock; it is free when the tab is closed."""
    page.python("""
import grebe
store = await grebe.aopen("indexeddb:tabs")
store.doc("users/1").set({"age": 28})
await store.acommit()
""")
    found = second_page.python("""
import grebe
try:
    await grebe.aopen("indexeddb:tabs")
except grebe.StoreLockedError as error:
    said = str(error)
reader = await grebe.aopen("indexeddb:tabs", read_only=True)
[said, reader.doc("users/1").get().data]
""")
    assert found[0].startswith("indexeddb:tabs is open for writing in another tab or worker")
    assert found[1] == {"age": 28}
    page.python("store.doc('users/1').update(age=29)\nawait store.aclose()")
    found = second_page.python("""
reader.refresh()
await reader.aclose()
async with await grebe.aopen("indexeddb:tabs") as store:
    found = [reader.closed, store.doc("users/1").get().data]
found
""")
    assert found == [True, {"age": 29}]


def test_a_full_quota_loses_nothing(chromium: Chromium, site: conftest.parts.Site) -> None:
    """The commit raises PersistenceError; with room again everything is stored."""
    # Another origin: the browser asks only now and then how much room one has left.
    url = site.url.replace("127.0.0.1", "localhost")
    origin = url.rstrip("/")
    page = chromium.page(f"{url}{URL}")
    page.call("Storage.overrideQuotaForOrigin", origin=origin, quotaSize=100_000)
    page.python("""
import errno, grebe
store = await grebe.aopen("indexeddb:quota", commit_interval=3600)
store.doc("users/1").set({"age": 28})
await store.acommit()
""")
    found = page.python("""
store.doc("users/2").set({"text": "x" * 5_000_000})
try:
    await store.acommit()
    said = None
except grebe.PersistenceError as error:
    said = [error.errno == errno.ENOSPC, "quota" in str(error)]
[said, len(store.collection("users"))]
""")
    page.call("Storage.overrideQuotaForOrigin", origin=origin)
    assert found == [[True, True], 2]
    found = page.python("""
await store.aclose()
async with await grebe.aopen("indexeddb:quota") as store:
    found = [len(store.collection("users")), store.recovery.clean]
found
""")
    page.close()
    assert found == [2, True]


DELETE = """(async () => {
    for (const name of NAMES) await navigator.storageBuckets.delete(name);
    return null;
})()"""


def test_another_tab_may_delete_the_database(page: Page, page_without_python: Page) -> None:
    """It does not have to wait; the store says so, and keeps what is in memory."""
    names = page.python("""
import grebe
store = await grebe.aopen("indexeddb:deleted", commit_interval=3600)
store.doc("users/1").set({"age": 28})
await store.acommit()
list(store._lifecycle._persistor._database._places._buckets.values())
""")
    page_without_python.evaluate(DELETE.replace("NAMES", json.dumps(names)))
    found = page.python("""
store.doc("users/2").set({"age": 29})
said = []
for _ in range(2):
    try:
        await store.acommit()
    except grebe.PersistenceError as error:
        said.append("was deleted by the browser or by another tab" in str(error))
[said, len(store.collection("users"))]
""")
    assert found == [[True, True], 2]


@pytest.mark.parametrize("place", [0, 1])
def test_another_tab_may_delete_one_copy(page: Page, page_without_python: Page, place: int) -> None:
    """The next commit makes it anew."""
    names = page.python("""
import grebe
store = await grebe.aopen("indexeddb:half deleted", commit_interval=3600)
store.doc("users/1").set({"age": 28})
await store.acommit()
list(store._lifecycle._persistor._database._places._buckets.values())
""")
    page_without_python.evaluate(DELETE.replace("NAMES", json.dumps(names[place : place + 1])))
    page.python("""
store.doc("users/2").set({"age": 29})
await store.acommit()
await store.aclose()
""")
    page_without_python.evaluate(DELETE.replace("NAMES", json.dumps(names[1 - place : 2 - place])))
    found = page.python("""
async with await grebe.aopen("indexeddb:half deleted") as store:
    found = [len(store.collection("users")), store.recovery.clean]
    await store.aclear()
found
""")
    assert found == [2, True]


def test_a_browser_without_buckets_has_one_copy(page: Page) -> None:
    """Where it has them later it moves; a database of an earlier version does so too."""
    made = """
import grebe, js
async with await grebe.aopen("indexeddb:old") as store:
    store.doc("users/1").set({"age": 28})
    await store.acheckpoint()
async with await grebe.aopen("indexeddb:old") as store:
    found = store.doc("users/1").get().data
found
"""
    page.evaluate(
        "void Object.defineProperty(navigator, 'storageBuckets',"
        " {value: undefined, configurable: true})"
    )
    assert page.python(made) == {"age": 28}
    page.evaluate("void delete navigator.storageBuckets")
    found = page.python("""
found = []
for _ in range(2):
    names = [database.name for database in await js.indexedDB.databases()]
    async with await grebe.aopen("indexeddb:old") as store:
        found.append(["old" in names, store.doc("users/1").get().data, store.recovery.clean])
found
""")
    assert found == [[True, {"age": 28}, True], [False, {"age": 28}, True]]


def test_a_connection_that_was_closed_is_made_again(page: Page) -> None:
    """As after a versionchange that led to nothing."""
    found = page.python("""
import grebe
store = await grebe.aopen("indexeddb:lost", commit_interval=3600)
store.doc("users/1").set({"age": 28})
await store.acommit()
for copy in store._lifecycle._persistor._database._copies:
    copy._connection.close()  # behind its back
store.doc("users/2").set({"age": 29})
try:
    await store.acommit()
    said = None
except grebe.PersistenceError as error:
    said = "closed" in str(error)
await store.acommit()
await store.aclose()
async with await grebe.aopen("indexeddb:lost") as store:
    found = [said, len(store.collection("users"))]
found
""")
    assert found == [True, 2]


def test_a_page_that_goes_away_commits(second_page: Page, site: conftest.parts.Site) -> None:
    """Best effort: what was written just before is issued in `pagehide`, and then stored."""
    second_page.python("""
import grebe
store = await grebe.aopen("indexeddb:leaving", commit_interval=3600)
store.collection("users").create_many({str(n): {"age": n} for n in range(500)})
None
""")
    second_page.go(f"{site.url}{URL}")
    found = second_page.python("""
import grebe
async with await grebe.aopen("indexeddb:leaving") as store:
    found = [len(store.collection("users")), store.recovery.journal_records_replayed]
found
""")
    assert found == [500, 1]


def test_a_foreign_database_is_left_alone(page: Page) -> None:
    """One of the same name that somebody else made is refused, and not changed."""
    page.evaluate("""new Promise((resolve) => {
        const request = indexedDB.open("foreign", 1);
        request.onupgradeneeded = () => request.result.createObjectStore("things");
        request.onsuccess = () => { request.result.close(); resolve(null); };
    })""")
    said = page.python("""
import grebe
try:
    await grebe.aopen("indexeddb:foreign")
except grebe.PersistenceError as error:
    said = str(error)
said
""")
    assert "is not of Grebe; use another name" in said


def test_a_newer_database_says_so(page: Page) -> None:
    """One of a later version is not damaged."""
    page.evaluate("""new Promise((resolve) => {
        const request = indexedDB.open("newer", 2);
        request.onsuccess = () => { request.result.close(); resolve(null); };
    })""")
    said = page.python("""
import grebe
try:
    await grebe.aopen("indexeddb:newer")
except grebe.PersistenceError as error:
    said = str(error)
said
""")
    assert "made by a newer version of Grebe" in said


def test_a_reader_makes_no_database(page: Page) -> None:
    """A missing store is an error for read_only, and is still missing after it."""
    found = page.python("""
import grebe, js
try:
    await grebe.aopen("indexeddb:missing", read_only=True)
except grebe.PersistenceError as error:
    said = str(error)
[said, "missing" in [d.name for d in await js.indexedDB.databases()]]
""")
    assert "does not exist" in found[0]
    assert found[1] is False
