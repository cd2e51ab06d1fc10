"""Indexes: the ids of a collection's documents by the value of a field, and the values in order.

Writes only note which documents changed; an index is brought up to date when a query uses it. So
a write does not decode its document, a load of all documents none of them, and many writes of one
document cost one update. All of it happens under the store's lock.

An index is a dict from tokens (bounds.py), which stand for values, to the documents with that
value, as one would keep it by hand. The tokens are sorted when the first query asks for a range or
an order, and kept sorted from then on, in ladders.

A document that the collection's model cannot hold is in `unreadable`; while there is one, queries
look at the documents themselves, and raise what reading it raises, as they would without an index.

Invariants, tested by `check()`:
1. Every document of the collection that is not pending is in each index once, or unreadable.
2. Its token is that of its present data.
3. A group's documents are in the order of insertion, unless its token is in `_unsorted`.
4. The ladders hold the tokens of all groups, save for those in `_touched`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sortedcontainers import SortedList

from grebe.core.bulk import garbage_collection_paused
from grebe.core.entry import Entry
from grebe.core.ordering import MISSING, ascending
from grebe.core.values import ReadOnlyDict
from grebe.documents.bounds import EVERYTHING, Bounds, Span, Token, ladder_of, token_of_key
from grebe.documents.conditions import getter_of
from grebe.documents.models import UNREAD, Adapter
from grebe.errors import DocumentTypeError

if TYPE_CHECKING:
    from grebe.documents.document import Document

Group = Any
"""The documents with one value: the id of the only one, or a dict of ids and insertion numbers."""
_REBUILT_SHARE = 24
"""With more than 1/24 of the tokens of a ladder come or gone, merging all is faster than each."""
_EXACT_TOKENS_MAX = 64
"""So many groups are counted one by one where an estimate would do."""
_MANY = 10_000
_BLOCK = 1000
"""Documents that are decoded at the same time."""


class Index:
    """The documents of a collection by the value of one field."""

    __slots__ = ("_get", "_groups", "_ladders", "_name", "_tokens", "_touched", "_unsorted", "path")

    def __init__(self, path: str) -> None:
        self.path = path
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
                if before == token and self._is_in_place(token, document_id, documents):
                    continue
                group = groups.pop(before)
                if group.__class__ is not str:
                    groups[before] = group
                    self._take(before, document_id)
                elif touched is not None:
                    touched.setdefault(before, True)
            tokens[document_id] = token
            if groups.setdefault(token, document_id) is not document_id:
                self._join(token, document_id, documents)
            elif touched is not None:
                touched.setdefault(token, False)

    def _is_in_place(self, token: Token, document_id: str, documents: Mapping[str, Entry]) -> bool:
        """Tell whether a document was not made again, so that it would be behind its equals."""
        group = self._groups[token]
        if group.__class__ is str:
            return True
        number: int = group[document_id]
        return number == documents[document_id].order

    def _join(self, token: Token, document_id: str, documents: Mapping[str, Entry]) -> None:
        group = self._groups[token]
        if group.__class__ is str:
            group = self._groups[token] = {group: documents[group].order}
        number = documents[document_id].order
        if number < next(reversed(group.values())):
            self._unsorted.add(token)
        group[document_id] = number

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

    # --- looking things up

    def of_value(self, token: Token) -> Collection[str]:
        """Return the documents with a value, in the order of insertion."""
        group: Any = self._groups.get(token, ())
        if group.__class__ is str:
            return (group,)
        if self._unsorted and token in self._unsorted:
            self._unsorted.discard(token)
            group = self._groups[token] = dict(sorted(group.items(), key=_NUMBER))
        found: Collection[str] = group
        return found

    def found(self, bounds: Bounds) -> list[str]:
        """Return the documents within bounds, in any order. O(log n and the documents)."""
        groups = self._groups
        tokens: Iterable[Token] | None = bounds[0]
        if tokens is None:
            tokens = self._tokens_in(bounds, False)
            if len(groups) == len(self._tokens):
                return list(map(groups.__getitem__, tokens))
        found: list[str] = []
        for group in map(groups.get, tokens):
            if group.__class__ is str:
                found.append(group)
            elif group is not None:
                found += group
        return found

    def walk(self, bounds: Bounds, desc: bool) -> Iterator[str]:
        """Yield the documents within bounds, sorted; equals as inserted in both directions."""
        tokens = self._tokens_in(bounds, desc)
        if len(self._groups) == len(self._tokens) and bounds[0] is None:
            return map(self._groups.__getitem__, tokens)
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

    def _tokens_in(self, bounds: Bounds, desc: bool) -> Iterable[Token]:
        tokens, spans = bounds
        if tokens is not None:
            return reversed(tokens) if desc else tokens
        ladders = self._ladders
        if ladders is None or self._touched:
            ladders = self._sorted_tokens()
        if len(ladders) == 1 and bounds is EVERYTHING:
            ladder: Any = next(iter(ladders.values()))
            tokens_of_it: Iterable[Token] = reversed(ladder) if desc else iter(ladder)
            return tokens_of_it
        parts: list[Iterable[Token]] = [
            _part(ladders[span[0]], span, desc) for span in spans if span[0] in ladders
        ]
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
                numbers = list(group.values())
                assert numbers == sorted(numbers), f"index {self.path}: a group is out of order"
        if self._ladders is not None:
            wanted._sorted_tokens()
            assert self._sorted_tokens() == wanted._ladders, f"index {self.path} is out of order"


_NUMBER = itemgetter(1)


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


class Indexes:
    """The indexes of one collection."""

    __slots__ = (
        "_pending",
        "_read",
        "_stale",
        "adapter",
        "behind",
        "by_path",
        "unreadable",
        "version",
    )

    def __init__(
        self, fields: Iterable[str], adapter: Adapter, read: Callable[[str, Entry], Any]
    ) -> None:
        """Index these fields of what `read` makes of a document's id and entry: its data.

        A snapshot that was made with the adapter has that at hand.
        """
        self.by_path = {path: Index(path) for path in fields}
        self.adapter = adapter
        self._read = read
        self.behind = True
        """Whether there is something to catch up with."""
        self._pending: dict[str, Any] = {}
        """Documents to look at, with their data where the write had it at hand."""
        self._stale = True
        """Everything has to be looked at."""
        self.unreadable: set[str] = set()
        self.version = 0
        """How often something changed."""

    def note(self, ids: Iterable[str]) -> None:
        """Note that documents were written, loaded or removed. O(ids)."""
        if not self._stale:
            self.behind = True
            self._pending.update(dict.fromkeys(ids, UNREAD))

    def wrote(self, doc: Document[Any], data: Any) -> None:
        """Note that a document was written. `data`: as its adapter would decode it, or UNREAD."""
        if not self._stale:
            self.behind = True
            own = doc.parent._own_adapter
            self._pending[doc.id] = data if own is None or own is self.adapter else UNREAD

    def catch_up(self, documents: Mapping[str, Entry]) -> None:
        """Bring the indexes up to date. O(what changed since)."""
        pending, self._pending = self._pending, {}
        if self._stale:
            self.unreadable.clear()
            for index in self.by_path.values():
                index.clear()
            pending = dict.fromkeys(documents, UNREAD)
        if pending:
            self._stale = True  # until it is done: reading may raise
            self.version += 1
            with garbage_collection_paused() if len(pending) > _MANY else nullcontext():
                self._take_in(pending, documents)
        self._stale = self.behind = False

    def _take_in(self, pending: dict[str, Any], documents: Mapping[str, Entry]) -> None:
        unread = [key for key, data in pending.items() if data is UNREAD]
        if self.unreadable:
            self.unreadable.difference_update(pending)
        for document_id in unread:
            del pending[document_id]
        indexes = list(self.by_path.values())
        if unread:
            gone = [key for key in unread if key not in documents]
            for index in indexes:
                index.remove(gone)
        for index in indexes:
            index.put(pending, documents)
        for start in range(0, len(unread), _BLOCK):
            # Not all at once, to be decoded at the same time.
            block = self._read_some(unread[start : start + _BLOCK], documents)
            for index in indexes:
                index.put(block, documents)

    def _read_some(self, ids: list[str], documents: Mapping[str, Entry]) -> dict[str, Any]:
        """Return the data of documents that are there; take those out that cannot be read."""
        adapter = self.adapter
        found: dict[str, Any] = {}
        for document_id in ids:
            entry = documents.get(document_id)
            if entry is None:
                continue
            view = entry.view
            if view is not None and view._adapter is adapter and view._data is not UNREAD:
                found[document_id] = view._data
                continue
            try:
                found[document_id] = self._read(document_id, entry)
            except DocumentTypeError:
                self.unreadable.add(document_id)
                for index in self.by_path.values():
                    index.remove((document_id,))
        return found

    def check(self, documents: Mapping[str, Entry]) -> None:
        """Raise AssertionError if an index differs from one made anew."""
        self.catch_up(documents)
        assert self.unreadable <= set(documents), "an unreadable document is gone"
        anew = Indexes(self.by_path, self.adapter, self._read)
        anew.catch_up(documents)
        assert anew.unreadable == self.unreadable, "other documents cannot be read"
        for path, index in self.by_path.items():
            index.check(anew.by_path[path])
