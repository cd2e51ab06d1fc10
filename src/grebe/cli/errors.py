"""What the command line tells its user instead of a traceback, and with which exit code."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot do what was asked; printed as one line.

    Attributes:
        exit_code: what the process ends with.
    """

    exit_code = 1


class UsageError(CommandError):
    """The command was called the wrong way, or without a library that it needs."""

    exit_code = 2
