"""The conformance suite and unit tests, run by pytest inside the page."""

from __future__ import annotations

import pytest

from tests.browser import conftest
from tests.browser.chromium import Chromium, Page

pytestmark = pytest.mark.timeout(240)

RUN = """
import asyncio, contextlib, io, os, sys, threading, js, pytest
os.chdir("/tests")
if "/tests" not in sys.path:
    sys.path.insert(0, "/tests")
with open("pytest.ini", "w") as ini:
    ini.write("[pytest]\\nfilterwarnings = error\\nmarkers = slow: takes long\\n")
loop, real_run = asyncio.get_running_loop(), asyncio.run


def needs_more(text):
    return next((what for sign, what in SIGNS.items() if sign in text), None)


class Plugin:
    def __init__(self):
        self.passed, self.failed, self.left_out = 0, [], []

    def leave_out(self, report, where):
        why = needs_more(str(report.longrepr)) if report.failed else None
        if why is not None:
            self.left_out.append(f"{where}: {why}")
            report.outcome, report.longrepr = "skipped", (str(where), 0, why)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector):
        return self.leave_out((yield), collector.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        return self.leave_out((yield), item.nodeid)

    def pytest_runtest_logstart(self, nodeid, location):
        js.console.debug(nodeid)  # to be found in the error if it hangs

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.append(f"{report.nodeid}: {report.longreprtext}")
        elif report.passed and report.when == "call":
            self.passed += 1


def run(coroutine):
    asyncio._set_running_loop(loop)
    try:
        return real_run(coroutine)
    finally:
        asyncio._set_running_loop(None)


def wait(condition, timeout=None):
    # Nobody can wake it: it would stand still for ever, and the page with it.
    raise RuntimeError("can't start new thread, so waiting is of no use")


threading.Condition.wait = wait
plugin, output = Plugin(), io.StringIO()
options = ["-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--tb=short"]
if HIDE_THE_LOOP:
    asyncio.run = run
    asyncio._set_running_loop(None)
try:
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = pytest.main([*options, *ARGUMENTS], plugins=[plugin])
finally:
    asyncio._set_running_loop(loop)
    asyncio.run = real_run
[int(code), plugin.passed, plugin.failed, plugin.left_out, output.getvalue()]
"""
"""A page's event loop always runs, and broadcasts wait for its next turn. Tests of what happens
without one are shown none, except within `asyncio.run`."""

SIGNS = {
    "can't start new thread": "threads",
    "emscripten does not support processes": "processes",
    "[Errno 52] Function not implemented": "processes",
    "No module named 'hypothesis'": "Hypothesis",
    "No module named 'keyring'": "a keyring",
    "No module named 'cryptography'": "a wheel of cryptography",
    "needs the package cryptography": "a wheel of cryptography",
}
"""What a page does not have, by how a test that needs it fails. Such tests are counted apart."""

IN_A_PAGE = [
    *("tests/unit/core", "tests/unit/documents", "tests/unit/reactive"),
    *("tests/unit/store/test_store.py", "tests/unit/store/test_hydration.py"),
    *("tests/unit/store/test_following.py", "tests/unit/store/test_placement.py"),
    *("tests/unit/persistence/test_committer.py", "tests/unit/persistence/test_operation_log.py"),
    *("tests/unit/persistence/test_contents.py", "tests/unit/persistence/test_resolver.py"),
]
"""Tests of what has nothing to do with threads, processes or directories."""

BROADCAST, STORE = "tests/unit/reactive/test_broadcast.py", "tests/unit/store/test_store.py"
NOT_THESE = [
    f"{BROADCAST}::test_a_write_of_another_thread_is_told_there",
    f"{BROADCAST}::test_a_broadcast_of_one_thread_does_not_split_the_batch_of_another",
    f"{BROADCAST}::test_broadcast_waits_for_the_thread_that_delivers",
    "tests/unit/reactive/test_stream.py::test_writes_of_another_thread_arrive",
    f"{STORE}::test_closing_ends_the_threads",
    f"{STORE}::test_a_target_is_open_once",  # the page's own file system has no locks
]


def run(page: Page, *arguments: str, hide_the_loop: bool = False) -> tuple[int, list[str]]:
    """Run pytest in the page; return how many tests passed, and which need more than a page."""
    given = f"ARGUMENTS, HIDE_THE_LOOP, SIGNS = {list(arguments)!r}, {hide_the_loop}, {SIGNS}\n"
    code, passed, failed, left_out, output = page.python(given + RUN)
    assert (code, failed) == (0, []), output[-6000:]
    print(passed, "passed; left out:", *left_out, sep="\n")
    return passed, left_out


@pytest.fixture(scope="module")
def page_with_msgspec(chromium: Chromium, site: conftest.parts.Site) -> Page:
    """Return a page that has a wheel of msgspec, too."""
    return chromium.page(f"{site.url}page.html?{conftest.WHEELS}&wheels=wasm-wheels&tests")


def test_conformance(page: Page) -> None:
    """The suite passes over the real IndexedDB, without msgspec."""
    passed, left_out = run(page, "tests/in_page/conformance.py")
    assert passed > 50
    assert left_out == []


def test_unit_tests(page_with_msgspec: Page) -> None:
    """What does not need threads, processes or a disk passes in the page, with msgspec."""
    deselected = [f"--deselect={test}" for test in NOT_THESE]
    passed, left_out = run(page_with_msgspec, *IN_A_PAGE, *deselected, hide_the_loop=True)
    assert passed > 900
    assert len(left_out) < passed / 10
