"""Scans: conditions as one loop over documents, made to measure; and looks at one document.

The closures of conditions.py cost a call for each operator and document, which makes a scan take
three to six times as long as the list comprehension that one would write. So that list
comprehension is written here, and compiled, once for each shape of conditions (decision 16).

Its source is put together from the templates of this module and from names that it makes up (`c0`,
`x0`); fields and constants are arguments, never text. It does what the tests of the conditions do
for plain documents that were read before; for others it raises one of `MISFITS`, and they have to
be tested one by one. There are two kinds of loop: a *strict* one supposes that fields hold values
which compare with the constants; a *lenient* one, slower by a third, does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from grebe.core.entry import Entry
from grebe.core.ordering import MISSING, same_value
from grebe.core.values import ReadOnlyDict, ReadOnlyList, is_plain
from grebe.documents.conditions import (
    All,
    AnyOf,
    Comparison,
    Condition,
    Contains,
    Exists,
    Matches,
    Not,
    OneOf,
    OnField,
    StartsWith,
    getter_of,
)
from grebe.documents.models import PLAIN
from grebe.documents.snapshot import Snapshot

Loop = Callable[[Iterable[Entry]], list[Snapshot[Any]]]
Look = Callable[[str, Entry], tuple[Any, Snapshot[Any], Entry] | None]

MISFITS = (AttributeError, LookupError, TypeError)
"""What a loop raises for documents that are not read, no dicts, or (strict) of another shape."""

FEW = 256
"""Fewer documents are tested one by one: to compile a loop takes as long as some hundred tests."""
PARTS_MAX = 50
"""Conditions and steps of paths in a loop; Python limits how deep they nest."""
_SHAPES_MAX = 256

_IN_SETS = frozenset((str, int, float, type(None)))
"""Types of constants that are found in a set if they are equal, but for bools among the values."""
_NAMES: dict[str, Any] = {
    "BOOL": bool,
    "DICT": ReadOnlyDict,
    "HOLDERS": frozenset((str, ReadOnlyDict, ReadOnlyList)),
    "LIST": ReadOnlyList,
    "MISSING": MISSING,
    "NAN": float("nan"),
    "NUMBERS": frozenset((int, float)),
    "PLAIN": PLAIN,
    "SCALARS": _IN_SETS | {bool},
    "STR": str,
}


_LOOP = """\
def made({names}):
    return lambda entries: [
        view for entry in entries for view in [entry.view] for data in [view._data] if {test}
    ]
"""
_LOOK = """\
def made({names}):
    def look(document_id, entry):
        try:
            view = entry.view
            if view is not None and view._adapter is PLAIN:
                data = view._data
                if data.__class__ is DICT:
                    return ({key}, view, entry) if {test} else None
        except Exception:
            pass  # `other` knows what to do about it
        return other(document_id, entry)
    return look
"""


def loop_of(conditions: Sequence[Condition], lenient: bool) -> Loop | None:
    """Return the loop that selects what meets all conditions; None: there are too many.

    >>> loop = loop_of([Comparison("age", ">=", 18)], lenient=True)
    >>> loop([])
    []
    """
    made = _Source(lenient)
    loop: Loop | None = made.put_into(_LOOP, conditions)
    return loop


def look_of(
    conditions: Sequence[Condition], row_key: Callable[[Any, int], Any] | None, other: Look
) -> Look | None:
    """Return what looks at a single document, as loops do at many; None: as for `loop_of`.

    It gives the row key, the snapshot and the entry of a document that meets all conditions, or
    None. `other` looks at those that are no plain documents which were read before.
    """
    made = _Source(lenient=True)
    key = "entry.order" if row_key is None else "row_key(view, entry.order)"
    form = _LOOK.replace("{key}", key)
    look: Look | None = made.put_into(form, conditions, other=other, row_key=row_key)
    return look


def fields_of(conditions: Iterable[Condition]) -> set[str]:
    """Return the paths of the fields that conditions look at."""
    found = set()
    for condition in conditions:
        if isinstance(condition, OnField):
            found.add(condition.path)
        elif isinstance(condition, Not):
            found |= fields_of((condition.inner,))
        elif isinstance(condition, All | AnyOf):
            found |= fields_of(condition.inner)
    return found


@lru_cache(maxsize=_SHAPES_MAX)
def _compiled(source: str) -> Any:
    names = dict(_NAMES)
    exec(source, names)
    return names["made"]


class _Source:
    """The test of a loop, as it is put together. `data` is the document's dict."""

    def __init__(self, lenient: bool) -> None:
        self.lenient = lenient
        self.constants: list[Any] = []
        self.parts = 0
        self._variables = 0
        self._shared: set[str] = set()
        """Fields that are asked for again, so their values are kept in variables."""
        self._known: dict[str, str] = {}
        """The variables that hold them from here on."""

    def put_into(self, form: str, conditions: Sequence[Condition], **given: Any) -> Any:
        """Return what a form makes of the test that all hold, and of what is given besides.

        None: there are too many conditions.
        """
        test = self.both(conditions) or "True"
        if self.parts > PARTS_MAX:
            return None
        names = [f"c{place}" for place in range(len(self.constants))]
        source = form.format(names=", ".join([*names, *given]), test=test)
        return _compiled(source)(*self.constants, *given.values())

    def constant(self, value: Any) -> str:
        """Return the name of a value."""
        self.constants.append(value)
        return f"c{len(self.constants) - 1}"

    def variable(self) -> str:
        """Return a new name to be bound."""
        self._variables += 1
        return f"x{self._variables}"

    # --- combinations

    def both(self, conditions: Sequence[Condition]) -> str:
        """Return the test that all hold, one after the other."""
        parts = [part for condition in conditions for part in condition.parts()]
        shared, known = self._shared, self._known
        paths = Counter(part.path for part in parts if isinstance(part, OnField))
        tests = []
        self._known = dict(known)
        for part in parts:
            # What is inside of another combination may be skipped, so it binds for itself only.
            is_leaf = isinstance(part, OnField)
            self._shared = {path for path in paths if paths[path] > 1} if is_leaf else set()
            tests.append(self.one(part))
        self._shared, self._known = shared, known
        return " and ".join(tests)

    def one(self, condition: Condition) -> str:
        """Return the test of a condition, in parentheses."""
        self.parts += 1
        if isinstance(condition, All):
            return f"({self.both(condition.inner)})"
        if isinstance(condition, AnyOf):
            return f"({' or '.join(map(self.one, condition.inner))})"
        if isinstance(condition, Not):
            return f"(not {self.one(condition.inner)})"
        write = _WRITERS.get(type(condition))
        test = None if write is None else write(self, condition)
        # As any other condition is tested: with a call.
        return f"({test})" if test else f"({self.constant(condition.test)}(view.data))"

    # --- fields

    def value(self, path: str, lenient: bool | None = None) -> str:
        """Return what gives a field's value, or MISSING; if strict it raises where that is."""
        if path in self._known:
            return self._known[path]
        text = self._value(path.split("."), self.lenient if lenient is None else lenient)
        if path in self._shared:
            name = self._known[path] = self.variable()
            return f"({name} := {text})"
        return text

    def is_alone(self, path: str) -> bool:
        """Tell whether a field is one of the document, and nothing else asks for its value."""
        return "." not in path and path not in self._shared and path not in self._known

    def bound(self, path: str) -> tuple[str, str]:
        """Return what gives a field's value, and a name that it has from then on."""
        text = self.value(path)
        if path in self._known:
            return text, self._known[path]
        name = self.variable()
        return f"({name} := {text})", name

    def _value(self, steps: list[str], lenient: bool) -> str:
        first = self.constant(steps[0])
        text = f"data.get({first}, MISSING)" if lenient else f"data[{first}]"
        for step in steps[1:]:
            self.parts += 1
            above, name = self.variable(), self.constant(step)
            other = f"{self.constant(getter_of(step))}({above})"
            if step.isdecimal():
                place = self.constant(int(step))
                has = f" and {place} < {above}.__len__()" if lenient else ""
                text = (
                    f"({above}[{place}] if ({above} := {text}).__class__ is LIST{has} else {other})"
                )
            elif lenient:
                got = f"{above}.get({name}, MISSING)"
                text = f"({got} if ({above} := {text}).__class__ is DICT else {other})"
            else:
                text = f"{text}[{name}]"
        return text


# --- operators: each returns the test, or None if it takes a call


def _comparison(made: _Source, condition: Comparison) -> str | None:
    symbol, constant = condition.symbol, condition.constant
    if symbol in ("==", "!="):
        equal = _equality(made, condition.path, constant)
        return f"not ({equal})" if equal and symbol == "!=" else equal
    kind = constant.__class__
    if kind is not str and kind is not int and kind is not float:
        return None
    if kind is not str and not made.lenient and made.is_alone(condition.path):
        # No number is less or greater than NaN, so documents without the field fit too.
        value = made.variable()
        given = f"({value} := data.get({made.constant(condition.path)}, NAN))"
    else:
        given, value = made.bound(condition.path)
    name = made.constant(constant)
    if made.lenient:
        alike = "is STR" if kind is str else "in NUMBERS"
        return f"{given}.__class__ {alike} and {value} {symbol} {name}"
    if kind is str:  # nothing else compares with a text
        return f"{given} {symbol} {name}"
    return f"{given} {symbol} {name} and {value}.__class__ is not BOOL"


def _equality(made: _Source, path: str, constant: Any) -> str | None:
    kind = constant.__class__
    if constant is None or kind is bool:
        return f"{made.value(path, _is_flat(path))} is {made.constant(constant)}"
    if kind is str or _is_clear_number(constant):
        return f"{made.value(path, _is_flat(path))} == {made.constant(constant)}"
    if kind is int or kind is float:
        given, value = made.bound(path)
        return f"{given} == {made.constant(constant)} and {value}.__class__ is not BOOL"
    if (kind is dict or kind is list) and is_plain(constant):
        # Python takes True for 1 in there; what is not equal to it is not equal here either.
        given, value = made.bound(path)
        name, same = made.constant(constant), made.constant(same_value)
        return f"{given} == {name} and {same}({value}, {name})"
    return None


def _is_flat(path: str) -> bool | None:
    """Return True, for `lenient`, if looking for the field costs no more than supposing it."""
    return True if "." not in path else None


def _is_clear_number(constant: Any) -> bool:
    """Tell whether no bool is equal to a number."""
    kind = constant.__class__
    return (kind is int or kind is float) and constant != 0 and constant != 1


def _one_of(made: _Source, condition: OneOf) -> str | None:
    constants = condition.constants
    if not _IN_SETS.issuperset(map(type, constants)):
        return None
    given, value = made.bound(condition.path)
    test = f"{given}.__class__ in SCALARS and " if made.lenient else ""
    test += f"{value if made.lenient else given} in {made.constant(frozenset(constants))}"
    if 0 in constants or 1 in constants:
        test += f" and {value}.__class__ is not BOOL"
    return test


def _contains(made: _Source, condition: Contains) -> str | None:
    constant = condition.constant
    if constant.__class__ is str:
        if not made.lenient:
            return f"{made.constant(constant)} in {made.value(condition.path)}"
        holders = "in HOLDERS"
    elif constant is None or _is_clear_number(constant):
        holders = "is LIST"
    else:
        return None
    given, value = made.bound(condition.path)
    return f"{given}.__class__ {holders} and {made.constant(constant)} in {value}"


def _starts_with(made: _Source, condition: StartsWith) -> str:
    if not made.lenient:
        return f"{made.value(condition.path)}.startswith({made.constant(condition.prefix)})"
    given, value = made.bound(condition.path)
    prefix = made.constant(condition.prefix)
    return f"{given}.__class__ is STR and {value}.startswith({prefix})"


def _matches(made: _Source, condition: Matches) -> str:
    search = made.constant(condition.pattern.search)
    if not made.lenient:
        return f"{search}({made.value(condition.path)})"
    given, value = made.bound(condition.path)
    return f"{given}.__class__ is STR and {search}({value})"


def _exists(made: _Source, condition: Exists) -> str:
    return f"{made.value(condition.path, lenient=True)} is not MISSING"


_WRITERS: dict[type[Condition], Callable[[_Source, Any], str | None]] = {
    Comparison: _comparison,
    OneOf: _one_of,
    Contains: _contains,
    StartsWith: _starts_with,
    Matches: _matches,
    Exists: _exists,
}
