"""An index: the documents of a collection by the value of a field, and the values in order.

It is a dict from tokens (bounds.py), which stand for values, to the documents with that value, as
one would keep it by hand. Of several documents it holds the entries, so that an answer need not
look each up. The tokens are sorted when the first query asks for a range or an order, and kept
sorted from then on, in ladders. When it is brought up to date is in indexes.py.

Invariants, tested by `check()`:
1. A group's documents are in the order of insertion, unless its token is in `_unsorted`.
2. The ladders hold the tokens of all groups, save for those in `_touched`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import attrgetter
from typing import Any

from sortedcontainers import SortedList

from grebe.core.entry import Entry
from grebe.core.ordering import MISSING, ascending
from grebe.core.values import ReadOnlyDict
from grebe.documents.bounds import EVERYTHING, Bounds, Span, Token, ladder_of, token_of_key
from grebe.documents.conditions import getter_of

Group = Any
"""The documents with one value: the id of the only one, or a dict of ids and entries."""
_REBUILT_SHARE = 24
"""With more than 1/24 of the tokens of a ladder come or gone, merging all is faster than each."""
_EXACT_TOKENS_MAX = 64
"""So many groups are counted one by one where an estimate would do."""


class Index:
    """The documents of a collection by the value of one field."""

    __slots__ = (
        "_get",
        "_groups",
        "_ladders",
        "_name",
        "_tokens",
        "_touched",
        "_unsorted",
        "documents",
        "path",
    )

    def __init__(self, path: str) -> None:
        self.path = path
        self.documents: Mapping[str, Entry] = {}
        """All of the collection, as of when it was brought up to date."""
        self._get = getter_of(path)
        self._name = path if "." not in path else None
        self._tokens: dict[str, Token] = {}
        """By document."""
        self._groups: dict[Token, Group] = {}
        self._unsorted: set[Token] = set()
        self._ladders: dict[int, Any] | None = None
        """Those that hold something; None: nobody has asked for an order yet."""
        self._touched: dict[Token, bool] = {}
        """Tokens that came or went since the ladders were right: whether they are in there."""

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self._tokens)

    def __contains__(self, document_id: str) -> bool:
        """Tell whether it has a document."""
        return document_id in self._tokens

    # --- keeping it

    def clear(self) -> None:
        """Take all documents out."""
        self._tokens.clear()
        self._groups.clear()
        self._unsorted.clear()
        self._touched.clear()
        self._ladders = None

    def put(self, changed: Mapping[str, Any], documents: Mapping[str, Entry]) -> None:
        """Set the values of documents by their data. O(documents).

        `documents` are all of the collection; those that are gone have been taken out before.
        """
        name, get, tokens, groups = self._name, self._get, self._tokens, self._groups
        touched = None if self._ladders is None else self._touched
        for document_id, data in changed.items():
            if name is not None and data.__class__ is ReadOnlyDict:
                token = data.get(name, MISSING)
            else:
                token = get(data)
            kind = token.__class__
            if kind is not int and kind is not str:
                token = token_of_key(ascending(token))
            before = tokens.get(document_id, MISSING)
            if before is not MISSING:
                group = groups[before]
                if group.__class__ is not str:
                    if before == token and _stays(group, document_id, documents[document_id]):
                        continue
                    self._take(before, document_id)
                elif before == token:
                    continue
                else:
                    del groups[before]
                    if touched is not None:
                        touched.setdefault(before, True)
            tokens[document_id] = token
            group = groups.setdefault(token, document_id)
            if group is not document_id:
                self._join(token, group, document_id, documents)
            elif touched is not None:
                touched.setdefault(token, False)

    def _join(
        self, token: Token, group: Group, document_id: str, documents: Mapping[str, Entry]
    ) -> None:
        if group.__class__ is str:
            group = self._groups[token] = {group: documents[group]}
        entry = documents[document_id]
        if entry.order < next(reversed(group.values())).order:
            self._unsorted.add(token)
        group[document_id] = entry

    def remove(self, ids: Iterable[str]) -> None:
        """Take documents out that may be in it. O(documents)."""
        for document_id in ids:
            token = self._tokens.pop(document_id, MISSING)
            if token is not MISSING:
                self._take(token, document_id)

    def _take(self, token: Token, document_id: str) -> None:
        group = self._groups[token]
        if group.__class__ is not str:
            del group[document_id]
            size = len(group)
            if size > 1:
                # A dict keeps the places of what was removed, and looks at them.
                if not size & 63 and group.__sizeof__() > 2_000 + 500 * size:
                    self._groups[token] = dict(group)
                return
            if size == 1:
                (self._groups[token],) = group
                self._unsorted.discard(token)
                return
        del self._groups[token]
        if self._ladders is not None:
            self._touched.setdefault(token, True)

    @property
    def is_shared(self) -> bool:
        """Whether several documents have the same value. O(1)."""
        return len(self._groups) < len(self._tokens)

    def let_go(self, ids: Iterable[str]) -> None:
        """Hold of old documents only the place in their groups; they will be put or removed."""
        tokens, groups = self._tokens, self._groups
        for document_id in ids:
            group = groups.get(tokens.get(document_id, MISSING))
            if group.__class__ is dict:
                entry: Entry = group[document_id]
                group[document_id] = Entry(b"", entry.order, entry.home)

    # --- looking things up

    def of_value(self, token: Token) -> Collection[str]:
        """Return the documents with a value, in the order of insertion."""
        group: Any = self._groups.get(token, ())
        if group.__class__ is str:
            return (group,)
        if self._unsorted and token in self._unsorted:
            self._unsorted.discard(token)
            group = self._groups[token] = dict(sorted(group.items(), key=_number))
        found: Collection[str] = group
        return found

    def entries_of_one(self, token: Token, stop: int | None) -> Iterable[Entry]:
        """Give the documents with a value, as inserted; only the first `stop`. O(those)."""
        group: Any = self._groups.get(token)
        if group.__class__ is dict:
            if self._unsorted:
                group = self.of_value(token)
            return group.values() if stop is None else islice(group.values(), stop)
        return () if group is None or stop == 0 else (self.documents[group],)

    def entries(self, bounds: Bounds, stop: int | None) -> Iterable[Entry]:
        """Give the documents within bounds, as inserted; of one value only the first `stop`.

        O(log n and the documents).
        """
        tokens: Sequence[Token] | None = bounds[0]
        if tokens is None:
            tokens = list(self._tokens_in(bounds, False))
            if len(self._groups) == len(self._tokens) and len(tokens) != 1:
                groups, documents = self._groups, self.documents
                found = [documents[groups[token]] for token in tokens]
                found.sort(key=_ORDER)
                return found
        return self.entries_of_one(tokens[0], stop) if len(tokens) == 1 else self.entries_of(tokens)

    def entries_of(self, tokens: Iterable[Token], stop: int | None = None) -> list[Entry]:
        """Give the documents with these values, as inserted. O(values and documents)."""
        documents = self.documents
        found: list[Entry] = []
        last, are_sorted = -1, not self._unsorted
        for group in map(self._groups.get, tokens):
            if group.__class__ is dict:
                size = len(found)
                found += group.values()
                # One behind the other, as where values ascend: to see that takes as long as two
                # documents take to be sorted.
                if are_sorted:
                    are_sorted = found[size].order > last
                    last = found[-1].order
            elif group is not None:
                found.append(documents[group])
                are_sorted = False
        if not are_sorted and len(found) > 1:
            found.sort(key=_ORDER)
        return found

    def first_entries(self, bounds: Bounds, stop: int | None) -> Iterable[Entry]:
        """Give the first `stop` documents within bounds, sorted; equals as inserted."""
        return map(self.documents.__getitem__, islice(self.walk(bounds, False), stop))

    def last_entries(self, bounds: Bounds, stop: int | None) -> Iterable[Entry]:
        """Give the last `stop` documents within bounds, the last first; equals as inserted."""
        return map(self.documents.__getitem__, islice(self.walk(bounds, True), stop))

    def ids(self, read: Read, what: Any, stop: int | None) -> list[str]:
        """Return the ids of what one of the methods above gives for the same arguments."""
        if read is Index.first_entries or read is Index.last_entries:
            return list(islice(self.walk(what, read is Index.last_entries), stop))
        if read is Index.entries_of_one:
            return list(islice(self.of_value(what), stop))
        tokens = what if read is Index.entries_of else list(self._tokens_in(what, False))
        found = list(chain.from_iterable(map(self.of_value, tokens)))
        if len(tokens) == 1:
            return found[:stop]
        documents = self.documents
        return sorted(found, key=lambda document_id: documents[document_id].order)

    def walk(self, bounds: Bounds, desc: bool) -> Iterator[str]:
        """Yield the documents within bounds, sorted; equals as inserted in both directions."""
        tokens, groups = self._tokens_in(bounds, desc), self._groups
        if bounds[0] is None and len(groups) == len(self._tokens):
            return map(groups.__getitem__, tokens)
        return chain.from_iterable(map(self.of_value, tokens))

    def count(self, bounds: Bounds, exactly: bool = True) -> int:
        """Return the number of documents within bounds, or about.

        O(log n) if all values differ, else O(values within bounds).
        """
        groups = self._groups
        if bounds[0] is None:
            size = sum(map(self._size, bounds[1]))
            if len(groups) == len(self._tokens):
                return size
            if not exactly and size > _EXACT_TOKENS_MAX:
                return size * len(self._tokens) // len(groups)
        found = map(groups.get, self._tokens_in(bounds, False))
        return sum([1 if group.__class__ is str else len(group or ()) for group in found])

    def _tokens_in(self, bounds: Bounds, desc: bool) -> Any:
        tokens, spans = bounds
        if tokens is not None:
            return reversed(tokens) if desc else tokens
        ladders = self._ladders
        if ladders is None or self._touched:
            ladders = self._sorted_tokens()
        if len(spans) == 1:
            ladder = ladders.get(spans[0][0])
            return () if ladder is None else _part(ladder, spans[0], desc)
        if bounds is EVERYTHING and len(ladders) == 1:
            (ladder,) = ladders.values()
            return reversed(ladder) if desc else iter(ladder)
        parts = [_part(ladders[span[0]], span, desc) for span in spans if span[0] in ladders]
        if len(parts) == 1:
            return parts[0]
        return chain.from_iterable(reversed(parts) if desc else parts)

    def _size(self, span: Span) -> int:
        ladder = self._sorted_tokens().get(span[0])
        if ladder is None:
            return 0
        _, lower, upper = span
        start, stop = 0, len(ladder)
        if lower is not None:
            start = (ladder.bisect_right if lower[1] else ladder.bisect_left)(lower[0])
        if upper is not None:
            stop = (ladder.bisect_right if upper[1] else ladder.bisect_left)(upper[0])
        return max(0, stop - start)

    def _sorted_tokens(self) -> dict[int, Any]:
        """Return the ladders, brought up to date. O(log n) for each token that came or went."""
        ladders = self._ladders
        if ladders is not None and not self._touched:
            return ladders
        if ladders is None:
            changed = dict.fromkeys(self._groups, False)
            ladders = self._ladders = {}
        else:
            changed, self._touched = self._touched, {}
        come: dict[int, list[Token]] = {}
        gone: dict[int, list[Token]] = {}
        for token, was_there in changed.items():
            if was_there != (token in self._groups):
                (gone if was_there else come).setdefault(ladder_of(token), []).append(token)
        for name in come.keys() | gone.keys():
            ladder = ladders.setdefault(name, SortedList())
            _change(ladder, come.get(name, []), gone.get(name, []))
            if not ladder:
                del ladders[name]
        return ladders

    def check(self, wanted: Index) -> None:
        """Raise AssertionError if it differs from one made anew."""
        assert self._tokens == wanted._tokens, f"index {self.path} is out of date"
        assert self._groups == wanted._groups, f"index {self.path} has other groups"
        for token, group in self._groups.items():
            if group.__class__ is not str and token not in self._unsorted:
                numbers = [entry.order for entry in group.values()]
                assert numbers == sorted(numbers), f"index {self.path}: a group is out of order"
        if self._ladders is not None:
            wanted._sorted_tokens()
            assert self._sorted_tokens() == wanted._ladders, f"index {self.path} is out of order"


Read = Callable[[Index, Any, int | None], Iterable[Entry]]
"""A method of Index that gives documents: which of them, and how many at most."""


def _stays(group: Group, document_id: str, entry: Entry) -> bool:
    """Have a document stay in its group, unless it was made again: it is behind others then."""
    if group[document_id].order != entry.order:
        return False
    group[document_id] = entry
    return True


_ORDER = attrgetter("order")


def _number(item: tuple[str, Entry]) -> int:
    return item[1].order


def _part(ladder: Any, span: Span, desc: bool) -> Any:
    _, lower, upper = span
    if lower is None and upper is None:
        return reversed(ladder) if desc else iter(ladder)
    low, includes_low = (None, True) if lower is None else (lower[0], not lower[1])
    high, includes_high = (None, True) if upper is None else upper
    return ladder.irange(low, high, (includes_low, includes_high), desc)


def _change(ladder: Any, come: list[Token], gone: list[Token]) -> None:
    """Add tokens to a sorted list and remove others. They are sorted, to stay near in memory."""
    if (len(come) + len(gone)) * _REBUILT_SHARE > len(ladder):
        left = set(gone)
        kept = [token for token in ladder if token not in left] if left else list(ladder)
        kept += sorted(come)
        ladder.clear()
        ladder.update(kept)
        return
    gone.sort()
    come.sort()
    for token in gone:
        ladder.remove(token)
    for token in come:
        ladder.add(token)
