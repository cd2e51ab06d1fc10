"""The to-do list of examples/browser, served by its command and used as a person would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import conftest
from tests.browser.chromium import Chromium, Page

EXAMPLE = conftest.ROOT / "examples/browser"
PICTURE = conftest.ROOT / "docs/browser.png"
TASKS = ["Buy milk", "Water the plants", "Kill the browser", "See what is left"]


@pytest.fixture(scope="module")
def address(site: conftest.parts.Site) -> Iterator[str]:
    """Run the command that the documentation names; return the address that it prints."""
    command = [sys.executable, str(EXAMPLE / "serve.py"), "--port", "0"]
    # In a job of a shell's background SIGINT is ignored, and what it starts would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        lines = iter(served.stdout.readline, "")
        found = next(match[0] for line in lines if (match := re.search(r"http://\S+html", line)))
        yield found
        served.send_signal(signal.SIGINT)
        assert served.wait(timeout=30) == 0


def wait_for(page: Page, condition: str) -> None:
    """Wait until a JavaScript condition holds, looking at each frame."""
    page.evaluate(f"""new Promise((resolve) => {{
        const look = () => ({condition}) ? resolve(null) : requestAnimationFrame(look);
        look();
    }})""")


def open_list(chromium: Chromium, address: str) -> Page:
    page = chromium.page(address)
    wait_for(page, "window.started")
    return page


def shown(page: Page) -> list[list[object]]:
    found: list[list[object]] = page.evaluate("""[...document.querySelectorAll("li label")].map(
        (label) => [label.textContent, label.querySelector("input").checked])""")
    return found


def add(page: Page, text: str) -> None:
    """Type a task and press the return key."""
    page.evaluate("document.getElementById('text').focus()")
    page.call("Input.insertText", text=text)
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                  windowsVirtualKeyCode=13)  # fmt: skip


def test_the_list_survives_a_reload(chromium: Chromium, address: str) -> None:
    """Tasks are typed, ticked, saved without a word, and there again; and a picture is taken."""
    page = open_list(chromium, address)
    for text in TASKS:
        add(page, text)
    page.evaluate("document.querySelector('li input').click()")
    wait_for(page, "document.getElementById('left').textContent == '3 of 4 to do'")
    wait_for(page, "document.getElementById('status').textContent == 'Saved'")
    wanted = [[text, number == 0] for number, text in enumerate(TASKS)]
    assert shown(page) == wanted
    picture = page.screenshot()
    assert picture.startswith(b"\x89PNG")
    if not PICTURE.exists() or os.environ.get("GREBE_PICTURES"):
        PICTURE.write_bytes(picture)
    page.go(address)
    wait_for(page, "window.started")
    assert shown(page) == wanted
    page.evaluate("document.getElementById('clear').click()")
    wait_for(page, "document.getElementById('left').textContent == '3 of 3 to do'")
    page.close()


def test_a_second_tab_says_why_it_does_not_work(chromium: Chromium, address: str) -> None:
    first = open_list(chromium, address)
    second = open_list(chromium, address)
    said = second.evaluate("document.getElementById('status').textContent")
    assert "open in another tab" in said
    second.close()
    first.close()


def test_one_line_makes_it_a_script_for_the_desktop(page: Page, tmp_path: Path) -> None:
    """The same script, against a directory and against IndexedDB, gives the same."""
    script = (EXAMPLE / "todo.py").read_text(encoding="utf-8")
    wanted = ["[x] Buy milk", "[ ] Water the plants"]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE / "todo.py")],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-2:] == wanted
    assert (tmp_path / "todo-data" / "todo.json").exists()
    changed = script.replace('TARGET = "todo-data"', 'TARGET = "indexeddb:todo script"')
    pairs = zip(script.splitlines(), changed.splitlines(), strict=True)
    assert sum(here != there for here, there in pairs) == 1
    assert page.python(f"__name__ = 'todo'\n{changed}\nawait main()") == wanted


def test_the_picture_is_in_the_documentation() -> None:
    assert "](browser.png)" in (conftest.ROOT / "docs/browser.md").read_text(encoding="utf-8")
    assert PICTURE.read_bytes().startswith(b"\x89PNG")
