"""File names: injective, and the same on every system."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from grebe.persistors.file import names

# Any str at all is a partition's name: lone surrogates, NUL and line ends too.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
# The first example builds tables of characters, which takes seconds on a busy machine.
SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PLAIN = re.compile(r"[a-z0-9_%-]+(\.encrypted)?\.json")
OURS = {names.MANIFEST, names.LOCK, "__manifest__.encrypted.json"}
WINDOWS = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(10))}


@SETTINGS
@given(ANY_TEXT, st.booleans())
@example("", False)
@example("../../etc/passwd", False)
@example("C:\\x", True)
@example("a" * 5000, True)
@example("\ud83d\ude00", False)
def test_every_name_is_a_safe_file_name(partition: str, encrypted: bool):
    """A file name has only characters that every system allows, is short, and is not reserved."""
    name = names.partition_file(partition, encrypted)
    assert PLAIN.fullmatch(name)
    assert len(name + names.TEMPORARY_SUFFIX) <= 255
    assert name not in OURS
    assert name.split(".")[0] not in WINDOWS
    assert names.journal_number(name) is None


@SETTINGS
@given(st.lists(ANY_TEXT, min_size=2, max_size=20, unique=True))
@example(["a", "A", "%41", "%61", "a.json", "a.encrypted", "a.encrypted.json"])
@example(["con", "%63on", "%2563on", "CON", "con.json", "__manifest__", "%5f_manifest__"])
@example(["é", "e\u0301", "É", "\u0131", "I", "i", "ß", "ss", "\u212a", "k"])
@example(["", "%", "%-", " ", ".", "..", "~", "\0", "\n"])
@example(["😀", "\ud83d\ude00", "\ud83d", "\\ud83d", "\ude00"])
@example(["x" * 300, "x" * 301, "x" * 299 + "y", "X" * 300, "x" * 118 + "%-" + "0" * 40])
@example(["x" * 159, "x" * 160, "x" * 161])
def test_names_are_injective_whatever_the_case(partitions: list[str]):
    """Two partitions have two files, also where a file system ignores case, encrypted or not."""
    found = [names.partition_file(p, e).casefold() for p in partitions for e in (False, True)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("reserved", sorted(WINDOWS | {"__manifest__"}))
def test_reserved_names_are_escaped(reserved: str):
    """What Windows, or Grebe itself, uses for something else is no file of a partition."""
    assert names.partition_file(reserved).startswith("%")


@SETTINGS
@given(st.integers(min_value=0, max_value=10**15))
def test_journal_numbers_round_trip(number: int):
    """A journal's file name gives its number back; other names give none."""
    name = names.journal_file(number)
    assert names.journal_number(name) == number
    assert names.journal_number(name + names.TEMPORARY_SUFFIX) is None
    assert names.journal_number("x" + name) is None
