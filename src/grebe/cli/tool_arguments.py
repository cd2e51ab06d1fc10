"""The arguments of the tools for a store: verify, repair, stats, compact, export and copy."""

from __future__ import annotations

import argparse

from grebe.cli.parsing import Commands, described

VERIFY_EXAMPLES = """\
Reads every byte of every file and changes nothing. Works beside a running writer. A store that was
not closed is no damage: the commits in its journal are replayed at the next opening.

exit codes: 0 clean, 1 damage found or a file cannot be read, 2 wrong usage or no store there,
130 interrupted

examples:
  grebe verify app-data
  grebe verify app-data --json | jq .damaged
"""
REPAIR_EXAMPLES = """\
Without --apply it is a dry run, which says what would be done and changes nothing. Every damaged
file is kept as NAME.corrupt-N before it is replaced; nothing is ever deleted.

A partition file that is whole JSON though its checksums do not hold is taken as mended by hand:
its documents are taken as they are, and it is sealed anew. Checksums cannot tell an edit from bytes
that rotted into other valid JSON; if nobody edited the file, use --no-mend, which keeps only the
blocks whose checksums hold.

exit codes: 0 nothing to do, or repaired with nothing lost; 1 documents or commits are lost, or
would be, or it could not be done (a writer has the store open, the disk fails); 2 wrong usage or no
store there; 3 a dry run found work to do that loses nothing; 130 interrupted

examples:
  grebe repair app-data                                what would be done
  grebe repair app-data --apply                        do it, then verify
"""
STATS_EXAMPLES = """\
Changes nothing, and works beside a running writer. Of a damaged store it counts what can be read.

exit codes: 0 good, 1 a file cannot be read, 2 wrong usage or no store there, 130 interrupted

examples:
  grebe stats app-data
  grebe stats app-data --json | jq .disk_bytes
"""
COMPACT_EXAMPLES = """\
Folds the journal into the partition files, as closing a store does. Refuses to touch a damaged
store: see `grebe repair`.

exit codes: 0 done, 1 it could not be done (a writer has the store open, it is damaged, the disk
fails), 2 wrong usage or no store there, 130 interrupted

examples:
  grebe compact app-data
  grebe compact app-data --json
"""
EXPORT_EXAMPLES = """\
The file appears whole or not at all. Works beside a running writer, and holds its last commit.
Refuses to export a damaged store, which would be incomplete: see `grebe repair`.

exit codes: 0 written, 1 it could not be written, or nothing is stored at PATH, or the store is
damaged; 2 wrong usage, no store there, or FILE exists and --force was not given; 130 interrupted

examples:
  grebe export app-data everything.jsonl               {"path": ..., "data": ...}, one a line
  grebe export app-data fr.json --path countries/FR    one JSON object {path: data}
"""

ROTATE_KEY_EXAMPLES = """\
Seals all encrypted documents anew, in one commit: if it is interrupted, exactly one of the two keys
opens the store. Passphrases are read from the terminal without echo, or taken from the environment:
GREBE_KEY is the present one and GREBE_NEW_KEY the new one, either a passphrase or `hex:` and the 64
digits of a key. They are never arguments. Copies of damaged files (NAME.corrupt-N) and backups stay
under the old key.

exit codes: 0 done, 1 it could not be done (wrong key, a writer has the store open, it is damaged),
2 wrong usage, 130 interrupted

examples:
  grebe rotate-key app-data                            asks for both, the new one twice
  grebe rotate-key sqlite:///app.db
"""


COPY_EXAMPLES = """\
SOURCE and TARGET are directories or URLs (sqlite:///app.db). The copy has all documents in their
order and partitions, encrypted ones as they are; only a directory needs their key for that (from
GREBE_KEY or the keyring). Works beside a running writer of SOURCE, and copies its last commit.

TARGET must be empty. A copy that was interrupted goes on where it was when the command is run
again, and cannot be opened as a store before it is whole. In the end everything is read again and
compared.

exit codes: 0 copied, or it was a whole copy already; 1 it could not be done (TARGET holds something
else, SOURCE is damaged, a disk fails); 2 wrong usage or no store there, 130 interrupted

examples:
  grebe copy app-data sqlite:///app.db
  grebe copy sqlite:///app.db app-data
"""


def add_tools(commands: Commands[argparse.ArgumentParser]) -> None:
    """Declare all of them."""
    _add(commands, "verify", "check every byte of a store, and change nothing", VERIFY_EXAMPLES)
    _add_repair(commands)
    _add(commands, "stats", "say what a store holds, and what it takes on disk", STATS_EXAMPLES)
    _add(commands, "compact", "fold the journal into the partition files", COMPACT_EXAMPLES)
    _add_export(commands)
    _add_rotate_key(commands)
    _add_copy(commands)


def _add_rotate_key(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "change the key of a store with encrypted documents"
    parser = described(commands.add_parser, text, ROTATE_KEY_EXAMPLES, "rotate-key", help=text)
    parser.set_defaults(module="rotate_key")
    parser.add_argument("target", metavar="DIR", help="directory, or URL, of the store")


def _add(
    commands: Commands[argparse.ArgumentParser], name: str, text: str, examples: str
) -> argparse.ArgumentParser:
    parser = described(commands.add_parser, text, examples, name, help=text)
    parser.set_defaults(module=name)
    parser.add_argument("directory", metavar="DIR", help="directory of the store")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    return parser


def _add_repair(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "salvage a damaged store, or seal a file mended by hand (a dry run by default)"
    parser = _add(commands, "repair", text, REPAIR_EXAMPLES)
    parser.add_argument("--apply", action="store_true", help="do it; otherwise only say what")
    parser.add_argument(
        "--no-mend",
        dest="mend",
        action="store_false",
        help="do not take files that are whole JSON for mended by hand",
    )


def _add_export(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "write the documents of a store to a file"
    parser = described(commands.add_parser, text, EXPORT_EXAMPLES, "export", help=text)
    parser.set_defaults(module="export")
    parser.add_argument("directory", metavar="DIR", help="store to read")
    parser.add_argument("file", metavar="FILE", help="file to write")
    parser.add_argument("--path", metavar="PATH", help="only this and all below it")
    parser.add_argument(
        "--format",
        choices=("jsonl", "json"),
        help="a line for each document, or one object of path to data "
        "(default: json if FILE ends in .json, otherwise jsonl)",
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")


def _add_copy(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "copy a store, from a directory to SQLite for instance, and compare"
    parser = described(commands.add_parser, text, COPY_EXAMPLES, "copy", help=text)
    parser.set_defaults(module="copy_store")
    parser.add_argument("source", metavar="SOURCE", help="store to read")
    parser.add_argument("target", metavar="TARGET", help="empty place; made if need be")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
