"""The command `grebe`: one module a subcommand, on top of the public API only."""

from grebe.cli.command import main

__all__ = ["main"]
