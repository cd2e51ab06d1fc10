"""`grebe rotate-key`: seals everything encrypted anew, under another key.

Keys come from a terminal, without echo, or from the environment; never from arguments, which other
users of the machine can see.
"""

from __future__ import annotations

import argparse
import os
import re
import sys

from grebe.cli.asking import ask
from grebe.cli.errors import UsageError
from grebe.cli.inspection import counted
from grebe.cli.store_target import open_store

PRESENT, NEW = "GREBE_KEY", "GREBE_NEW_KEY"
_HEX_KEY = re.compile(r"hex:([0-9a-fA-F]{64})")


def run(arguments: argparse.Namespace) -> int:
    """Ask for the keys, change to the new one, and return the exit code.

    Raises:
        UsageError: there is neither a terminal nor the environment to take the keys from.
        GrebeError: the present key is wrong, or the store cannot be written.
    """
    present = os.environ.get(PRESENT)
    if present is None:
        present = _ask("Present passphrase (empty: from the system's keyring): ")
    with open_store(
        arguments.target,
        encryption_key=_key(present) if present else None,
        require_key=True,
        on_corruption="raise",
    ) as store:
        new = os.environ.get(NEW) or _ask_twice()
        store.rotate_key(_key(new))
        count = sum(info.encrypted_documents for info in store.partitions().values())
    sealed = counted(count, "encrypted document")
    sys.stdout.write(f"{arguments.target}: {sealed} sealed under the new key\n")
    return 0


def _key(text: str) -> bytes | str:
    """Return the key that a text stands for: `hex:` and 64 digits, or a passphrase."""
    match = _HEX_KEY.fullmatch(text)
    return bytes.fromhex(match[1]) if match else text


def _ask_twice() -> str:
    new = _ask("New passphrase: ")
    if not new:
        raise UsageError("the new passphrase is empty; nothing was changed")
    if _ask("New passphrase, once more: ") != new:
        raise UsageError("the new passphrases differ; nothing was changed")
    return new


def _ask(prompt: str) -> str:
    return ask(prompt, f"set {PRESENT} and {NEW}")
