"""Writes the directory that each release adds here: `python -m tests.formats.write`.

Run once for a release; what is there already is never written again. (Until 0.1.0 is out the format
may change, and `--again` writes its directory anew.)
"""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from grebe.core.operation import Batch, Delete, Move, Put
from grebe.persistors.file.persistor import FilePersistor
from tests.unit.persistors.encoded import ODD_PATHS

HERE = Path(__file__).parent
METADATA = (
    b'{"resolver":{"users":["users","archive"],"users/friends":["users"],"gone":["gone"],'
    b'"sealed":["users"],"a":["odd \\\\ \xc3\xa9"]}}'
)

STORED = {
    **{path: (b'{"path":%d}' % number, "odd \\ é") for number, path in enumerate(ODD_PATHS)},
    "users/1": (b'{"name":"John","age":28,"tags":["a","b"]}', "users"),
    "users/1/friends/2": (b'{"since":2001.5,"near":true,"note":null}', "users"),
    "users/3": ('{"name":"Žofie 😀"}'.encode(), "archive"),
}


def write(directory: Path, closed: bool) -> None:
    """Write partitions, plain and encrypted, and commits of every kind that follow them."""
    persistor = FilePersistor(directory, checkpoint_bytes=1 << 40)
    persistor.open()
    first = [Put(path, value, partition) for path, (value, partition) in STORED.items()]
    gone = [Put("users/9", b"9", "users"), Put("gone/1", b"1", "gone")]
    persistor.commit(Batch((*first[:-1], *gone), METADATA))
    persistor.checkpoint()
    persistor.commit(Batch((Put("users/3", STORED["users/3"][0], "users"), Delete("users/9"))))
    persistor.commit(Batch((Move("users/3", "users", "archive"), Delete("gone"))))
    persistor.commit(Batch((Put("sealed/1", b'"c2VhbGVk"', "users", True),), METADATA))
    if closed:
        persistor.checkpoint()
    persistor.close()
    (directory / ".lock").unlink()


def main(again: bool) -> None:
    """Write both directories of this version."""
    for closed in (True, False):
        directory = HERE / version("grebe") / ("closed" if closed else "killed")
        if directory.exists():
            if not again:
                raise SystemExit(f"{directory} exists; a release's directory is never changed")
            shutil.rmtree(directory)
        write(directory, closed)


if __name__ == "__main__":
    main("--again" in sys.argv[1:])
