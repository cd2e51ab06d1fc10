"""`grebe dump`: the documents of a store, or of one subtree, as JSON on the standard output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from grebe.cli.errors import CommandError
from grebe.cli.store_target import open_store


def run(arguments: argparse.Namespace) -> int:
    """Print the documents and return the exit code.

    Raises:
        CommandError: nothing is stored at the path.
        GrebeError: the store cannot be read.
    """
    documents = read_documents(arguments.directory, arguments.path)
    if arguments.path is not None and not documents:
        raise CommandError(
            f"{arguments.directory}: nothing is stored at {arguments.path}; "
            "see the paths with `grebe dump` without one"
        )
    if arguments.data:
        sys.stdout.writelines(as_text(data) + "\n" for data in documents.values())
    elif arguments.format == "json":
        sys.stdout.writelines(as_one_object(documents))
    else:
        for path, data in documents.items():
            sys.stdout.write(as_text({"path": path, "data": data}) + "\n")
    return 0


def read_documents(target: str, path: str | None, **options: Any) -> dict[str, Any]:
    """Return path and data of all documents at and under a path; `options` are those of `open`.

    By `inspect()` and not from collection to collection: that way round, data under a document
    which itself does not exist would be missed.
    """
    hydrate = True if path is None else [path]
    with open_store(target, read_only=True, hydrate=hydrate, **options) as store:
        documents: dict[str, Any] = store.inspect()["documents"]
    if path is None:
        return documents
    below = path + "/"
    return {p: data for p, data in documents.items() if p == path or p.startswith(below)}


def as_one_object(documents: dict[str, Any]) -> Iterator[str]:
    """Yield one JSON object, a line for each document."""
    separator = "{\n"
    for path, data in documents.items():
        yield f"{separator}{as_text(path)}: {as_text(data)}"
        separator = ",\n"
    yield "\n}\n" if documents else "{}\n"


def as_text(value: Any) -> str:
    """Return a value as one line of JSON."""
    return json.dumps(value, ensure_ascii=False)
