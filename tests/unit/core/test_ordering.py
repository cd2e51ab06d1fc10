"""The total order over all values: what comes before what, and what is equal."""

from __future__ import annotations

import datetime
import enum
import fractions
import ipaddress
import itertools
import operator
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pytest

from grebe.core.ordering import (
    MISSING,
    ascending,
    compare,
    descending,
    is_number,
    prefix_end,
    same_value,
)


class Level(enum.Enum):
    LOW = 1
    HIGH = "high"


class Weekday(enum.IntEnum):
    MONDAY = 1
    TUESDAY = 2


@dataclass
class Address:
    city: str
    zip: int | None = None


@attrs.define
class AttrsAddress:
    city: str
    zip: int | None = None


class StructAddress(msgspec.Struct, order=True):
    city: str
    zip: int | None = None


class ModelAddress(pydantic.BaseModel):
    city: str
    zip: int | None = None


@dataclass(order=True)
class OrderedAddress:
    city: str
    zip: int | None = None


class Pair(NamedTuple):
    left: int
    right: int


UTC = datetime.UTC
EAST = datetime.timezone(datetime.timedelta(hours=5))

LADDER: list[Any] = [
    MISSING,
    None,
    False,
    True,
    float("nan"),
    float("-inf"),
    -(2**70),
    -1.5,
    -1,
    0,
    5e-324,
    Decimal("0.1"),
    0.1,  # a little more than a tenth
    fractions.Fraction(1, 3),
    1,
    Decimal("1.0000000000000000000000000000000001"),
    Decimal("1.0000000000000000000000000000000002"),
    Weekday.TUESDAY,
    2**53,
    2**53 + 1,
    1e300,
    float("inf"),
    "",
    "\x00",
    "A",
    "a",
    "a\x00",
    "aa",
    "ab",
    "b",
    Level.HIGH,
    "\ud800",
    "\udfff",
    "\ue000",
    "\U0010ffff",
    "\U0010ffffa",
    b"",
    b"\x00",
    b"a",
    b"aa",
    b"\xff",
    datetime.date(1969, 12, 31),
    datetime.date(2000, 2, 29),
    datetime.datetime(1969, 12, 31, 23, 59),
    datetime.datetime(2000, 1, 1),
    datetime.datetime(2000, 1, 1, 0, 0, 0, 1),
    datetime.datetime(2000, 1, 1, 3, tzinfo=EAST),  # 22:00 of the day before, in UTC
    datetime.datetime(2000, 1, 1, tzinfo=UTC),
    datetime.time(0, 0, 1),
    datetime.time(0, 0, 1, 5),
    datetime.time(23),
    datetime.timedelta(days=-1),
    datetime.timedelta(microseconds=1),
    uuid.UUID(int=1),
    uuid.UUID(int=2**127),
    [],
    [MISSING],
    [None],
    [1],
    [1, 0],
    [1, 0, 0],
    Pair(1, 1),
    [1, []],
    [2],
    ["a"],
    [[]],
    [[1]],
    {},
    {"a": 1},
    {"a": 1, "b": 0},
    {"a": 2},
    {"b": 0},
    {"b": [1]},
    set(),
    {1},
    frozenset({1, 2}),
    {2},
    ipaddress.ip_address("1.2.3.4"),
    ipaddress.ip_address("10.0.0.0"),
    Address("Bern"),
    Address("Bern", 1),
    Address("Rome", 0),
]
"""Values of all kinds, each less than the next."""


@pytest.mark.parametrize("key", [ascending, descending])
def test_values_of_all_kinds_are_in_one_order(key: Callable[[Any], Any]) -> None:
    """Missing first, then by type, then by value; turned around exactly if descending."""
    wanted = LADDER if key is ascending else LADDER[::-1]
    for (i, left), (j, right) in itertools.product(enumerate(wanted), repeat=2):
        assert (key(left) < key(right)) is (i < j), (left, right)
        assert (key(left) == key(right)) is (i == j), (left, right)


@pytest.mark.parametrize("seed", range(3))
def test_sorting_finds_the_order_whatever_it_begins_with(seed: int) -> None:
    """Shuffled values sort back, in both directions."""
    places = list(range(len(LADDER)))
    random.Random(seed).shuffle(places)
    assert sorted(places, key=lambda place: ascending(LADDER[place])) == list(range(len(LADDER)))
    assert sorted(places, key=lambda p: descending(LADDER[p])) == list(range(len(LADDER)))[::-1]


EQUAL: list[tuple[Any, Any]] = [
    (1, 1.0),
    (1, Decimal("1.00")),
    (0.5, fractions.Fraction(1, 2)),
    (0, -0.0),
    (float("nan"), Decimal("sNaN")),
    (Level.LOW, 1),
    (Level.HIGH, "high"),
    (Weekday.MONDAY, 1.0),
    (b"a", bytearray(b"a")),
    ([1, [2]], (1.0, (2,))),
    (Pair(1, 2), [1, 2]),
    ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}),
    ({1, 2}, frozenset({2.0, 1})),
    (
        datetime.datetime(2000, 1, 1, tzinfo=UTC),
        datetime.datetime(2000, 1, 1, 5, tzinfo=EAST),
    ),
    (Address("Bern"), Address("Bern")),
    (StructAddress("Bern"), StructAddress("Bern")),
]


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal_values_have_equal_keys(left: Any, right: Any) -> None:
    """Numbers of all kinds, enums and their values, lists and tuples, moments in any zone."""
    assert same_value(left, right)
    assert same_value(right, left)
    assert descending(left) == descending(right)
    assert hash(ascending(left)) == hash(ascending(right))
    assert hash(descending(left)) == hash(descending(right))


UNEQUAL: list[tuple[Any, Any]] = [
    (1, True),
    (0, False),
    (0, None),
    (None, MISSING),
    ("1", 1),
    ("", None),
    ([1], [True]),
    ({"a": 1}, {"a": True}),
    ([], {}),
    ("a", b"a"),
    (2**53 + 1, float(2**53)),
    (datetime.date(2000, 1, 1), datetime.datetime(2000, 1, 1)),
    (datetime.datetime(2000, 1, 1), datetime.datetime(2000, 1, 1, tzinfo=UTC)),
    (Address("Bern"), OrderedAddress("Bern")),
    (uuid.UUID(int=1), 1),
]


@pytest.mark.parametrize(("left", "right"), UNEQUAL)
def test_values_of_different_types_are_not_equal(left: Any, right: Any) -> None:
    """A bool is no number, None not missing, a date no moment, at any depth."""
    assert not same_value(left, right)
    assert not same_value(right, left)


KINDS = [Address, AttrsAddress, StructAddress, ModelAddress, OrderedAddress]


@pytest.mark.parametrize("kind", KINDS)
def test_objects_sort_by_their_fields(kind: Any) -> None:
    """Nested models have one order, whether they say so themselves or not, and whatever their
    fields hold."""
    ladder = [kind(city=city, zip=code) for city in ("Bern", "Rome") for code in (None, -1, 3)]
    shuffled = [ladder[place] for place in (3, 0, 5, 1, 4, 2)]
    assert sorted(shuffled, key=ascending) == ladder
    assert sorted(shuffled, key=descending) == ladder[::-1]
    assert same_value(ladder[1], kind(city="Bern", zip=-1))


def test_objects_that_say_what_is_less_are_asked() -> None:
    """A type's own comparison counts, not its fields."""

    class Size:
        def __init__(self, name: str) -> None:
            self.name = name

        def __lt__(self, other: Size) -> bool:
            return "SML".index(self.name) < "SML".index(other.name)

    sizes = [Size("L"), Size("S"), Size("M")]
    assert [size.name for size in sorted(sizes, key=ascending)] == ["S", "M", "L"]
    assert [size.name for size in sorted(sizes, key=descending)] == ["L", "M", "S"]


def test_objects_without_fields_or_order_sort_somehow() -> None:
    """By their repr: always in the same order, and equal only if they are."""
    numbers = [1 + 2j, 3j, 2 + 0j]
    wanted = sorted(numbers, key=repr)
    for shuffled in itertools.permutations(numbers):
        assert sorted(shuffled, key=ascending) == wanted
        assert sorted(shuffled, key=descending) == wanted[::-1]
    assert same_value(3j, 3j)
    assert not same_value(3j, 2 + 0j)


def test_fields_that_do_not_count_for_equality_do_not_sort() -> None:
    """Objects that are equal to Python are equal here."""

    @dataclass
    class Cached:
        name: str
        at: int = field(compare=False)

    assert same_value(Cached("a", 1), Cached("a", 2))
    assert not same_value(Cached("a", 1), Cached("b", 1))


OPERATORS = [operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("operation", OPERATORS)
def test_values_of_one_type_compare(operation: Callable[[Any, Any], bool]) -> None:
    """As Python does where it can: numbers, texts, lists, moments, objects with an order."""
    pairs: list[tuple[Any, Any]] = [
        (1, 2.5),
        (Decimal("1.1"), 1),
        (Weekday.MONDAY, 1),
        ("a", "ab"),
        (False, True),
        ([1], [1, 2]),
        (datetime.date(2000, 1, 1), datetime.date(1999, 1, 1)),
        (ipaddress.ip_address("1.2.3.4"), ipaddress.ip_address("10.0.0.0")),
        (ipaddress.ip_address("1.2.3.4"), ipaddress.ip_address("1.2.3.4")),
    ]
    for left, right in pairs:
        assert compare(operation, left, right) is operation(left, right)
        assert compare(operation, right, left) is operation(right, left)


@pytest.mark.parametrize("operation", OPERATORS)
def test_values_of_different_types_do_not_compare(operation: Callable[[Any, Any], bool]) -> None:
    """Neither is less, nor are they equal; nor is missing or NaN at most itself."""
    nan = float("nan")
    strangers = [(1, "1"), (0, False), (None, 0), ([], {}), ("a", b"a"), (Address("a"), Pair(1, 2))]
    more = [(MISSING, MISSING), (MISSING, 1), (nan, nan), (nan, 1.0)]
    objects = [(ipaddress.ip_address("1.2.3.4"), ipaddress.ip_address("::1"))]
    for left, right in [*strangers, *more, *objects]:
        assert compare(operation, left, right) is False
        assert compare(operation, right, left) is False


def test_none_is_a_value_that_equals_itself() -> None:
    """`>= None` and `<= None` hold for None alone."""
    assert compare(operator.ge, None, None)
    assert not compare(operator.gt, None, None)


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        (1, True),
        (-0.5, True),
        (Decimal("1.5"), True),
        (fractions.Fraction(1, 3), True),
        (Weekday.MONDAY, True),
        (True, False),
        (float("nan"), False),
        (float("inf"), False),
        (Decimal("NaN"), False),
        (Decimal("sNaN"), False),
        (Decimal("-Infinity"), False),
        ("1", False),
        (None, False),
        (MISSING, False),
        ([1], False),
        (1j, False),
    ],
)
def test_what_counts_for_sums(value: Any, counts: bool) -> None:
    """Finite numbers that are no bool."""
    assert is_number(value) is counts


TEXTS = ["", "a", "a\U0010ffff", "a\U0010ffffz", "ab", "abc", "b", "\ud7ff", "\ud800", "\U0010ffff"]


@pytest.mark.parametrize("prefix", ["a", "ab", "a\U0010ffff", "\ud7ff", "\U0010ffff", ""])
def test_texts_with_a_prefix_are_those_before_its_end(prefix: str) -> None:
    """From the prefix itself up to the end, without the end; no end where nothing is behind."""
    end = prefix_end(prefix)
    for text in TEXTS:
        assert text.startswith(prefix) is (prefix <= text and (end is None or text < end))


def test_missing_says_so() -> None:
    """In messages it is called what it is."""
    assert repr(MISSING) == "missing"
