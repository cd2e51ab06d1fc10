"""IndexedDB in a real Chromium: opening, and commits of one document, by the size of the store.

    python benchmarks/browser.py [--documents 10000 100000] [--msgspec] [--one-copy]

Needs what `scripts/check browser` installs. Prints a table in milliseconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import browser_parts  # noqa: E402
from tests.browser.chromium import Chromium, Page  # noqa: E402

COMMITS = 200

FILL = """
import asyncio, time, grebe

def document(n):
    return {"id": n, "name": f"person number {n}", "email": f"person{n}@example.com", "age": n % 90,
            "active": n % 2 == 0, "score": n / 7, "tags": ["alpha", "beta", "gamma"],
            "address": {"street": "Long Street 12", "city": "Basel", "zip": "4051",
                        "country": "Switzerland"}}

async def timed(awaitable):
    begin = time.perf_counter()
    await awaitable
    return 1000 * (time.perf_counter() - begin)

async def longest_pause(awaitable):
    # How long the page stands still at most while this goes on.
    longest, last, done = 0.0, time.perf_counter(), False
    async def tick():
        nonlocal longest, last
        while not done:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
    ticking = asyncio.create_task(tick())
    took = await timed(awaitable)
    done = True
    await ticking
    return took, 1000 * longest

store = await grebe.aopen(f"indexeddb:bench {N}", commit_interval=3600, checkpoint_bytes=10**9)
store.collection("people").create_many({str(n): document(n) for n in range(N)})
found = [await timed(store.acommit()), *await longest_pause(store.acheckpoint())]
await store.aclose()
found
"""

WORK = """
import statistics, asyncio, time, grebe
found = []
begin = time.perf_counter()
store = await grebe.aopen(f"indexeddb:bench {N}", commit_interval=3600)
found.append(1000 * (time.perf_counter() - begin))
people = store.collection("people")
assert len(people) == N
begin = time.perf_counter()
ages = sum(person.data["age"] for person in people)
found.append(1000 * (time.perf_counter() - begin))
times = []
for n in range(COMMITS):
    people.doc(str(n * 7919 % N)).update(age=n)
    begin = time.perf_counter()
    await store.acommit()
    times.append(1000 * (time.perf_counter() - begin))
times.sort()
found += [statistics.median(times), times[int(0.95 * COMMITS)], times[-1]]
begin = time.perf_counter()
await store.aclose()
found
"""

ROWS = [
    "first commit of all", "compaction of all", "longest standstill in it", "opening",
    "reading every document once", "commit of one document, p50", "p95", "slowest",
]  # fmt: skip


NO_BUCKETS = "void Object.defineProperty(navigator, 'storageBuckets', {value: undefined})"


def measure(chromium: Chromium, url: str, count: int, one_copy: bool) -> list[float]:
    """Fill a store in one page, and open and change it in another."""
    first: Page = chromium.page(url)
    first.evaluate(NO_BUCKETS if one_copy else "0")
    filled = first.python(f"N = {count}\n{FILL}")
    first.close()
    second = chromium.page(url)
    second.evaluate(NO_BUCKETS if one_copy else "0")
    worked = second.python(f"N, COMMITS = {count}, {COMMITS}\n{WORK}")
    second.close()
    return [*filled, *worked]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--msgspec", action="store_true", help="with the wheel of msgspec")
    parser.add_argument("--one-copy", action="store_true", help="as in browsers without buckets")
    arguments = parser.parse_args()
    browser_parts.prepare()
    program = browser_parts.chromium()
    assert program is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        browser_parts.build_wheel(folder / "own")
        folders = {
            "": ROOT / "tests/browser/site",
            "pyodide": browser_parts.RUNTIME,
            "wheels": browser_parts.WHEELS,
            "wasm-wheels": browser_parts.WASM_WHEELS,
            "own": folder / "own",
        }
        with browser_parts.Site(folders) as site:
            threading.Thread(target=site.serve_forever, daemon=True).start()
            chromium = Chromium(program, folder / "profile")
            url = f"{site.url}page.html?wheels=own&wheels=wheels"
            url += "&wheels=wasm-wheels" if arguments.msgspec else ""
            one = arguments.one_copy
            columns = [measure(chromium, url, count, one) for count in arguments.documents]
            chromium.kill()
            site.shutdown()
    print("| ms |", *(f" {count:,} |" for count in arguments.documents))
    for row, values in zip(ROWS, zip(*columns, strict=True), strict=True):
        print(f"| {row} |", *(f" {value:,.1f} |" for value in values))


if __name__ == "__main__":
    main()
