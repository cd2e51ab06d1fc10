"""Secrets from a terminal, without echo. They are never arguments, which other users can see."""

from __future__ import annotations

import getpass
import sys
import warnings

from grebe.cli.errors import UsageError


def ask(prompt: str, otherwise: str) -> str:
    """Return what is typed.

    Raises:
        UsageError: there is no terminal; `otherwise` says what to do then.
    """
    try:
        with warnings.catch_warnings():
            # It would go on with an echo.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt, stream=sys.stderr)
    except (getpass.GetPassWarning, EOFError) as error:
        raise UsageError(f"there is no terminal to read it from; {otherwise}") from error
