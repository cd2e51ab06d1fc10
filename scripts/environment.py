"""The virtual environment `.venv` of this repository: made, filled, and kept as long as it fits.

Nothing but the standard library, and syntax that older Pythons can read: they should be told which
version is needed, not shown a SyntaxError.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON_MIN = (3, 11)

INSTALL = {
    "demo": ["--editable", ".[demo]"],
    # An editable install, then the group: it asks for grebe itself with the extra of the demo.
    "benchmark": ["--editable", ".", "--group", "benchmarks"],
    "check": ["--editable", ".", "--group", "dev"],
}
"""What pip installs for each purpose."""


class SetupError(Exception):
    """The environment cannot be made; the message says what to do."""


def prepare(purpose: str, fast: bool = False) -> None:
    """Have `.venv` hold what `purpose` needs, a key of INSTALL.

    Costs nothing while pyproject.toml and the interpreter are as they were; `fast` does not even
    ask whether they are.

    Raises:
        SetupError: it is not possible here.
    """
    if sys.version_info < PYTHON_MIN:
        raise SetupError(f"Python {_dotted(PYTHON_MIN)} or newer is needed; run this with it")
    stamp = ENVIRONMENT / f".grebe-{purpose}"
    wanted = _fingerprint()
    if stamp.exists() and _usable() and (fast or stamp.read_text(encoding="utf-8") == wanted):
        return
    if not _usable():
        _create()
    say("install what is needed into .venv")
    # The pip that comes with Python may be too old to know --group.
    pip("--upgrade", "pip>=25.1")
    pip(*INSTALL[purpose])
    stamp.write_text(wanted, encoding="utf-8")


def program(name: str) -> str:
    """Return the path of a program that is installed in the environment."""
    folder, suffix = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
    return str(ENVIRONMENT / folder / (name + suffix))


def pip(*arguments: str) -> None:
    """Have the environment's pip install something. Raises SetupError."""
    command = [program("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*command, *arguments], cwd=ROOT, check=False).returncode:
        raise SetupError(
            f"pip install {' '.join(arguments)} failed, see above; is there a network? "
            "Then remove .venv and try again"
        )


def say(step: str) -> None:
    """Print what is being done."""
    print(f"==> {step}", flush=True)


def _create() -> None:
    """Make the environment, in place of one that does not work."""
    # Debian leaves these out of its python3 package.
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        package = f"python{_dotted(sys.version_info[:2])}-venv"
        raise SetupError(
            "this Python cannot make virtual environments; on Debian or Ubuntu: "
            f"apt-get install {package}"
        )
    say("make the virtual environment .venv")
    command = [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)]
    if subprocess.run(command, check=False).returncode:
        raise SetupError(f"{ENVIRONMENT} could not be made, see above")


def _usable() -> bool:
    """Tell whether there is an environment with a Python that starts and is new enough."""
    python = program("python")
    if not os.path.exists(python):
        return False
    test = f"import sys; sys.exit(sys.version_info < {PYTHON_MIN!r})"
    return subprocess.run([python, "-c", test], check=False).returncode == 0


def _fingerprint() -> str:
    """Return what an environment depends on, as text."""
    project = (ROOT / "pyproject.toml").read_bytes()
    # The place counts: an editable install points to it, and a checkout can be moved.
    return f"{hashlib.sha256(project).hexdigest()} {ROOT}\n"


def _dotted(version: tuple) -> str:  # type: ignore[type-arg]
    return ".".join(map(str, version))
