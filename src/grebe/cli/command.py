"""The command line itself: arguments to a subcommand, its errors to one line and an exit code.

Exit codes: 0 good, 1 an error of the store or of the input, 2 wrong usage or a missing extra,
130 interrupted by Ctrl-C; a subcommand with others has them in its help. Subcommands are imported
when they run: each has `run(arguments)`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import io
import os
import sys
from collections.abc import Sequence

import grebe
from grebe.cli.errors import CommandError
from grebe.cli.parsing import Commands, described
from grebe.cli.records import FORMATS
from grebe.cli.tool_arguments import add_tools

EXAMPLES = """\
examples:
  grebe demo                                           load data, kill a writer, check
  grebe import languages.csv --into app-data --collection languages --id code
  grebe dump app-data countries/FR                     a document and all below it
  grebe dump app-data languages --data > languages.jsonl
  grebe verify app-data                                check every byte, change nothing
"""
IMPORT_EXAMPLES = """\
Everything is imported, as one commit, or nothing. Records without --id get random ids.

A JSON file holds an array of records, an object of id to record, or an object with one key that
holds the array. A JSON Lines file holds one record a line. The first line of a CSV file names the
fields; all values are text.

With --format loon it is a directory (or loon.db) of the Dart package Loon: all its collections, in
partitions with the names of its stores. What was encrypted is encrypted under the store's own key
(GREBE_KEY or the keyring), unless --decrypt is given. The key of Loon's files is never an argument:
it comes from --key-file, from GREBE_LOON_KEY or from the terminal.

examples:
  grebe import people.json --into app-data --collection people --id email
  grebe import friends.csv --into app-data --collection people/ann/friends --id name
  curl ... | grebe import - --format jsonl --into app-data --collection log
  grebe import loon --format loon --into app-data      Loon's directory, or its loon.db
"""
DUMP_EXAMPLES = """\
Works beside a running writer, and shows its last commit.

examples:
  grebe dump app-data                                  {"path": ..., "data": ...}, one a line
  grebe dump app-data countries/FR                     a document and all below it
  grebe dump app-data languages --data                 data only, for `grebe import`
  grebe dump app-data --format json > everything.json  one JSON object {path: data}
"""
DEMO_EXAMPLES = """\
A child process writes transactions over several partitions and is killed, again and again. Each
time the store must open with a whole commit, no older than the last one acknowledged.

examples:
  grebe demo                                           in a temporary directory, removed after
  grebe demo demo-data --kills 20                      keeps the directory, to look inside
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    `argv` are the arguments behind the command's name, by default those of the process.

    Raises:
        SystemExit: after --help and --version, and with code 2 for arguments that make no sense.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A pipe's encoding is the locale's on some systems; documents are not limited to it.
            stream.reconfigure(encoding="utf-8")
    arguments = _parser().parse_args(argv)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except CommandError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        _discard_output()
        return 0
    except (grebe.GrebeError, OSError) as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    return code


def _run(arguments: argparse.Namespace) -> int:
    module = importlib.import_module(f"grebe.cli.{arguments.module}")
    code: int = module.run(arguments)
    return code


def _fail(message: str, exit_code: int) -> int:
    line = " ".join(message.split())
    print(f"grebe: {line}", file=sys.stderr)  # noqa: T201 - the command's own output
    return exit_code


def _discard_output() -> None:
    """Let the interpreter flush at exit although nobody reads (`grebe dump | head`)."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(descriptor, sys.stdout.fileno())
    finally:
        os.close(descriptor)


def _parser() -> argparse.ArgumentParser:
    parser = described(
        argparse.ArgumentParser,
        "A document store in a directory of JSON files that survives crashes.",
        EXAMPLES,
        prog="grebe",
    )
    version = importlib.metadata.version("grebe")
    parser.add_argument("--version", action="version", version=f"grebe {version}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_import(commands)
    _add_dump(commands)
    add_tools(commands)
    # Without `help` it is not listed: only the demo calls it, to have somebody to kill.
    writer = commands.add_parser("crash-writer")
    writer.set_defaults(module="crash_writer")
    writer.add_argument("directory")
    writer.add_argument("--seed", type=int, required=True)
    return parser


def _add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "load the ISO lists, watch them, and kill a writer to prove that nothing breaks"
    parser = described(commands.add_parser, text, DEMO_EXAMPLES, "demo", help=text)
    parser.set_defaults(module="demo")
    parser.add_argument("directory", metavar="DIR", nargs="?", help="where to keep the data")
    parser.add_argument("--kills", type=_count, default=5, help="how often (default: 5)")
    parser.add_argument("--seed", type=int, help="of what is random (default: a random one)")


def _add_import(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "load a JSON, JSON Lines or CSV file into a collection, or the data of Loon"
    parser = described(commands.add_parser, text, IMPORT_EXAMPLES, "import", help=text)
    parser.set_defaults(module="import_file")
    parser.add_argument(
        "file",
        metavar="FILE",
        help="what to import; - is the standard input; Loon's directory",
    )
    parser.add_argument("--into", metavar="DIR", required=True, help="store; made if need be")
    parser.add_argument(
        "--collection", metavar="NAME", help="name or path of the collection (not for loon)"
    )
    parser.add_argument("--id", metavar="FIELD", help="field that holds the id of a record")
    parser.add_argument("--format", choices=(*FORMATS, "loon"), help="default: by the name")
    parser.add_argument("--partition", metavar="NAME", help="partition for the collection")
    parser.add_argument(
        "--replace", action="store_true", help="overwrite documents that exist already"
    )
    loon = parser.add_argument_group("for --format loon, the data of the Dart package Loon")
    loon.add_argument(
        "--key-file", metavar="FILE", help="key of its encrypted files (or GREBE_LOON_KEY)"
    )
    loon.add_argument(
        "--decrypt", action="store_true", help="store what was encrypted as plain documents"
    )
    loon.add_argument("--slash", metavar="TEXT", help="what to write for / in names and ids")


def _add_dump(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "print the documents of a store as JSON"
    parser = described(commands.add_parser, text, DUMP_EXAMPLES, "dump", help=text)
    parser.set_defaults(module="dump")
    parser.add_argument("directory", metavar="DIR", help="store to read")
    parser.add_argument("path", metavar="PATH", nargs="?", help="only this and all below it")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--format",
        choices=("jsonl", "json"),
        default="jsonl",
        help="a line for each document (default), or one object of path to data",
    )
    shape.add_argument("--data", action="store_true", help="data without paths, one a line")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 0 or more")
    return int(text)
