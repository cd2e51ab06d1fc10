"""A real browser for the tests: Chromium, Pyodide and Grebe's own wheel, from this machine only.

`scripts/check browser` installs what is needed. Without it these tests fail; they do not skip.
"""

from __future__ import annotations

import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium, Page

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import browser_parts as parts  # noqa: E402 - in scripts/

WHEELS = "wheels=own&wheels=wheels"
Start = Callable[[Path], Chromium]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[parts.Site]:
    """Serve runtime, wheels and tests. The port stays the same: the origin holds it."""
    if not (parts.PARTS / "stamp").exists() or parts.chromium() is None:
        pytest.fail("the parts for tests in a browser are missing; run scripts/check browser")
    made = tmp_path_factory.mktemp("made")
    parts.build_wheel(made / "own")
    with zipfile.ZipFile(made / "tests.zip", "w") as archive:
        for path in sorted((ROOT / "tests").rglob("*.py")):
            archive.write(path, path.relative_to(ROOT))
    folders = {
        "": ROOT / "tests/browser/site",
        "pyodide": parts.RUNTIME,
        "wheels": parts.WHEELS,
        "wasm-wheels": parts.WASM_WHEELS,
        "own": made / "own",
        "made": made,
        "example": ROOT / "examples/browser",
    }
    with parts.Site(folders) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Start browsers on a profile; all are killed in the end."""
    program = parts.chromium()
    assert program is not None
    started: list[Chromium] = []

    def start_one(profile: Path) -> Chromium:
        started.append(Chromium(program, profile))
        return started[-1]

    yield start_one
    for chromium in started:
        chromium.kill()


@pytest.fixture(scope="session")
def chromium(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Chromium:
    """Return the browser of all tests that do not kill it."""
    return start(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="session")
def page(chromium: Chromium, site: parts.Site) -> Page:
    """Return a page with Grebe, as it is where there is no wheel of msgspec."""
    return chromium.page(f"{site.url}page.html?{WHEELS}&tests")
