"""What an index can say of a condition: which tokens meet it.

A *token* stands for a value: it is the value itself if that is a number or text, else its sort key.
Tokens are equal exactly if the values are, in core/ordering.py. Within a *ladder* they compare:
sort keys below those of numbers, numbers, texts, sort keys above those.
"""

from __future__ import annotations

from typing import Any

from grebe.core.ordering import (
    RANK_DICT,
    RANK_NAN,
    RANK_NONE,
    RANK_NUMBER,
    RANK_TEXT,
    SortKey,
    ascending,
    prefix_end,
)
from grebe.documents.conditions import Comparison, Exists, OneOf, StartsWith

Token = Any
"""A number, a text, or the sort key of another value."""
Cut = tuple[Token, bool]
"""A place between tokens: before one, or (True) behind it."""

_BELOW, _NUMBERS, _TEXTS, _ABOVE = range(4)
"""The ladders: sort keys below those of numbers, numbers, texts, sort keys above those."""


def token_of(value: Any) -> Token:
    """Return what stands for a value in an index.

    >>> token_of("a"), token_of(1.0) == token_of(1), token_of(True), token_of(None)
    ('a', True, (2, 1), (1, 0))
    """
    kind = value.__class__
    return value if kind is int or kind is str else token_of_key(ascending(value))


def token_of_key(key: SortKey) -> Token:
    """Return the token of a value with this sort key."""
    return key[1] if key[0] == RANK_NUMBER or key[0] == RANK_TEXT else key


def ladder_of(token: Token) -> int:
    """Return which ladder holds a token."""
    kind = token.__class__
    if kind is tuple:
        return _BELOW if token[0] < RANK_NUMBER else _ABOVE
    return _TEXTS if kind is str else _NUMBERS


Span = tuple[int, Cut | None, Cut | None]
"""The tokens of a ladder between two cuts; None: from its beginning, up to its end."""
Bounds = tuple[tuple[Token, ...] | None, tuple[Span, ...]]
"""Which documents of an index to look at: those with these values; None: those in these spans.

Both ascend. Plain tuples, because some are made for each query."""

EVERYTHING: Bounds = (None, tuple((ladder, None, None) for ladder in range(4)))
_PRESENT: Bounds = (None, ((_BELOW, ((RANK_NONE,), False), None), *EVERYTHING[1][1:]))

INDEXABLE: frozenset[Any] = frozenset((Comparison, OneOf, StartsWith, Exists))
"""Conditions that an index may answer. By class: isinstance() is slow to ask of records."""


def bounds_of(condition: Any) -> Bounds | None:
    """Return what meets a condition in an index on its field, exactly; None: anything may."""
    asked = condition.__class__
    if asked is Comparison:
        token, symbol = condition.constant, condition.symbol
        kind = token.__class__
        if kind is not int and kind is not str:
            return _bounds_of_key(symbol, condition.key)
        if symbol == "==":
            return (token,), ()
        ladder = _NUMBERS if kind is int else _TEXTS
        if symbol == ">=" or symbol == ">":
            return None, ((ladder, (token, symbol == ">"), None),)
        return None if symbol == "!=" else (None, ((ladder, None, (token, symbol == "<=")),))
    if asked is OneOf:
        kind = condition.kind
        if kind is int or kind is str:  # as most are
            return tuple(sorted({*condition.constants})), ()
        if all(map(_is_indexable, keys := condition.keys)):
            return tuple(map(token_of_key, sorted(keys))), ()
        return None
    if asked is StartsWith:
        prefix = condition.prefix
        end = prefix_end(prefix)
        return None, ((_TEXTS, (prefix, False), None if end is None else (end, False)),)
    return _PRESENT if asked is Exists else None


def _bounds_of_key(symbol: str, key: SortKey) -> Bounds | None:
    """Return what meets a comparison with a value of this sort key."""
    if symbol == "!=" or not _is_indexable(key):
        return None
    token = token_of_key(key)
    if symbol == "==":
        return (token,), ()
    lower = upper = None
    if token is key:  # others share the ladder
        lower, upper = ((key[0],), False), ((key[0] + 1,), False)
    if symbol == ">=" or symbol == ">":
        return None, ((ladder_of(token), (token, symbol == ">"), upper),)
    return None, ((ladder_of(token), lower, (token, symbol == "<=")),)


def _is_indexable(key: SortKey) -> bool:
    """Tell whether bounds made of a key compare with every token: not if its type orders it."""
    rank: int = key[0]
    return RANK_NONE <= rank <= RANK_DICT and rank != RANK_NAN


def intersection(left: Bounds, right: Bounds) -> Bounds:
    """Return what is in both."""
    (tokens, spans), (other_tokens, other_spans) = left, right
    if tokens is None and other_tokens is None:
        if len(spans) == 1 and len(other_spans) == 1:  # as most
            (one,), (other,) = spans, other_spans
            span = _cut(one, other) if one[0] == other[0] else None
            return None, () if span is None else (span,)
        cut = [
            both
            for one in spans
            for other in other_spans
            if one[0] == other[0] and (both := _cut(one, other)) is not None
        ]
        return None, tuple(cut)
    if tokens is not None and other_tokens is not None:
        return tuple(filter(set(other_tokens).__contains__, tokens)), ()
    if tokens is None:
        tokens, spans = other_tokens or (), spans
    else:
        spans = other_spans
    return tuple(token for token in tokens if any(_holds(span, token) for span in spans)), ()


def _cut(one: Span, other: Span) -> Span | None:
    """Return what is in two spans of one ladder."""
    (ladder, lower, upper), (_, other_lower, other_upper) = one, other
    if lower is None or (other_lower is not None and other_lower > lower):
        lower = other_lower
    if upper is None or (other_upper is not None and other_upper < upper):
        upper = other_upper
    if lower is not None and upper is not None and not lower < upper:
        return None
    return ladder, lower, upper


def _holds(span: Span, token: Token) -> bool:
    ladder, lower, upper = span
    return (
        ladder_of(token) == ladder
        and (lower is None or lower <= (token, False))
        and (upper is None or (token, True) <= upper)
    )
