"""Opening the store that the user named."""

from __future__ import annotations

from typing import Any

import grebe
from grebe.cli.errors import UsageError


def open_store(target: str, **options: Any) -> grebe.Store:
    """Open a store by the directory, or URL, that the user gave.

    Raises:
        UsageError: it names no place on disk.
        GrebeError: the store cannot be opened.
    """
    if target == "memory:":
        raise UsageError("a store in memory ends with this command; give a directory")
    try:
        return grebe.open(target, **options)
    except grebe.GrebeError:
        raise
    except ValueError as error:  # no persistor for this URL
        raise UsageError(str(error)) from error
