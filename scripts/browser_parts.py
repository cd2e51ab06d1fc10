"""What tests and examples in a browser need: Chromium, the Pyodide runtime, wheels for it.

Kept in `.venv/browser`, which nothing else cleans up. Standard library only, as environment.py.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

import environment
from environment import SetupError, say

PARTS = environment.ENVIRONMENT / "browser"
RUNTIME = PARTS / "pyodide"
WHEELS = PARTS / "wheels"
WASM_WHEELS = PARTS / "wasm-wheels"

PYODIDE = "314.0.7"
"""CPython 3.14 for browsers. Only the core of it: packages come from PyPI, as wheels."""
PYODIDE_SHA256 = "66b7949e5a0cba2250b586d7e368bf12fb482800748d182c4618254b685ffaa0"
PURE = ["sortedcontainers>=2.4", "pytest>=8.3"]
"""What Grebe and its tests need in the page; with what those need."""
COMPILED = ["msgspec>=0.20", "pydantic>=2.11", "attrs"]
"""What Grebe uses there when it is present; with what those need."""
ABI = ["--python-version", "3.14", "--implementation", "cp", "--abi", "cp314", "--abi", "none"]
ABI += ["--platform", "pyemscripten_2026_0_wasm32", "--platform", "any"]
ANY = ["--python-version", "3.14", "--implementation", "py", "--abi", "none", "--platform", "any"]

CHROMIUM_NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
CHROMIUM_PLACES = [
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
]


def prepare(need_chromium: bool = True) -> None:
    """Have `.venv/browser` hold the runtime and the wheels, and the machine a Chromium.

    Costs nothing when they are there.

    Raises:
        SetupError: it is not possible here.
    """
    if need_chromium and chromium() is None:
        install_chromium()
    stamp = PARTS / "stamp"
    wanted = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(PARTS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    fetch_runtime()
    say("fetch wheels for the browser")
    download(WHEELS, *ANY, *PURE)
    download(WASM_WHEELS, *ABI, *COMPILED)
    stamp.write_text(wanted, encoding="utf-8")


def chromium() -> str | None:
    """Return the path of a Chromium or Chrome; GREBE_CHROMIUM names one."""
    named = os.environ.get("GREBE_CHROMIUM")
    if named:
        return named
    found = filter(None, map(shutil.which, CHROMIUM_NAMES))
    return next(found, None) or next(filter(os.path.exists, CHROMIUM_PLACES), None)


def install_chromium() -> None:
    """Install Debian's. Raises SetupError."""
    apt = shutil.which("apt-get")
    if apt is None:
        raise SetupError(
            "there is no Chromium for the tests in a browser, and no apt-get to install it with; "
            "install Chromium or Chrome, or name it: GREBE_CHROMIUM=/path/to/chrome"
        )
    say("install Chromium")
    # Not needed by the superuser, who often has no sudo.
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["install", "--yes", "-qq", "--no-install-recommends", "chromium"]
    for arguments in (["update", "-qq"], install):
        done = subprocess.run(
            [*sudo, apt, *arguments], env=quiet, check=False, stdout=subprocess.DEVNULL
        )
        if done.returncode:
            raise SetupError(
                f"apt-get {arguments[0]} failed, see above; install Chromium yourself, "
                "or name one: GREBE_CHROMIUM=/path/to/chrome"
            )
    if chromium() is None:
        raise SetupError("Debian's package chromium is installed, but there is no chromium")


def fetch_runtime() -> None:
    """Unpack Pyodide's npm package, checked. Raises SetupError."""
    npm = shutil.which("npm")
    if npm is None:
        raise SetupError("npm is needed to fetch the Pyodide runtime; install Node.js")
    say(f"fetch Pyodide {PYODIDE}")
    command = [npm, "pack", "--silent", f"pyodide@{PYODIDE}", "--pack-destination", str(PARTS)]
    if subprocess.run(command, cwd=PARTS, check=False, stdout=subprocess.DEVNULL).returncode:
        raise SetupError(f"npm pack pyodide@{PYODIDE} failed, see above; is there a network?")
    package = PARTS / f"pyodide-{PYODIDE}.tgz"
    if hashlib.sha256(package.read_bytes()).hexdigest() != PYODIDE_SHA256:
        raise SetupError(
            f"pyodide@{PYODIDE} is not the package that scripts/browser_parts.py expects"
        )
    RUNTIME.mkdir()
    with tarfile.open(package) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            if content is not None:
                (RUNTIME / Path(member.name).name).write_bytes(content.read())


def download(folder: Path, *arguments: str) -> None:
    """Have pip fetch wheels. Raises SetupError."""
    command = [environment.program("python"), "-m", "pip", "download", "--quiet"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(folder)]
    if subprocess.run([*command, *arguments], check=False).returncode:
        raise SetupError(f"pip download {' '.join(arguments)} failed, see above")


def build_wheel(folder: Path) -> Path:
    """Return Grebe's own wheel, made of the sources as they are. Raises SetupError."""
    command = [environment.program("hatchling"), "build", "--target", "wheel"]
    command += ["--directory", str(folder)]
    done = subprocess.run(command, cwd=environment.ROOT, check=False, capture_output=True)
    wheels = sorted(folder.glob("grebe-*.whl"))
    if done.returncode or not wheels:
        raise SetupError(f"Grebe's wheel could not be made: {done.stderr.decode()}")
    return wheels[-1]


class Site(http.server.ThreadingHTTPServer):
    """Serves files on this machine only: folders by the first part of the path."""

    daemon_threads = True

    def __init__(self, folders: dict[str, Path], port: int = 0) -> None:
        """Listen on a port; 0 takes a free one. "" is the folder of all other paths."""
        self.folders = folders
        super().__init__(("127.0.0.1", port), _Files)

    @property
    def url(self) -> str:
        """Where it is, with the last slash."""
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Files(http.server.SimpleHTTPRequestHandler):
    """Answers with a file."""

    extensions_map = {  # noqa: RUF012 - the name and the kind are the base's
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }
    server: Site

    def translate_path(self, path: str) -> str:
        """Return the file of a path; one that does not exist if it would be outside."""
        first, _, rest = urlsplit(path).path.lstrip("/").partition("/")
        folders = self.server.folders
        folder, name = (folders[first], rest) if first in folders else (folders[""], first)
        place = (folder / name).resolve()
        return str(place if place.is_relative_to(folder.resolve()) else folder / "no such file")

    def list_directory(self, path: str) -> None:  # type: ignore[override]
        """Answer with the names of the wheels in a folder, for loading them all."""
        names = json.dumps(sorted(entry.name for entry in Path(path).glob("*.whl"))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(names)))
        self.end_headers()
        self.wfile.write(names)

    def end_headers(self) -> None:
        """Let the browser keep what never changes, so that pages load faster."""
        kept = self.path.startswith("/pyodide/")
        self.send_header("Cache-Control", "max-age=86400" if kept else "no-store")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
