"""What a disk may hold after a power failure: only what was synced is sure.

A disk is a tree of nodes (files, directories) as it was last synced, and the changes since then in
the order in which they were issued. A power failure leaves an image: the synced tree with some of
the changes. Which ones is up to the model:

- `kill`: all of them; the process died, the system did not.
- `ordered`: those before some moment; of the write at that moment perhaps only a part.
- `weak`: any of them, in any combination; writes also in part, or with zeros or garbage in place of
  data. This is all that `fsync` promises, and what a correct program relies on.

The name of a file is an entry of its directory: it lasts when the directory is synced, not when
the file is.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

ROOT = 0
"""Number of the root directory."""

Image = Mapping[str, bytes | None]
"""What is on a disk: contents by path; None for a directory."""

MODELS = ("kill", "ordered", "weak")


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes written to a file; not on the disk for sure."""

    node: int
    offset: int
    data: bytes
    stuck: bool = False
    """A sync failed: the system takes the bytes for written now, and no later sync writes them."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file was emptied."""

    node: int


@dataclass(frozen=True, slots=True)
class Entries:
    """A directory's entries were changed, together: names with their nodes, None if removed."""

    node: int
    entries: tuple[tuple[str, int | None], ...]


Change = Write | Truncate | Entries


@dataclass(frozen=True, slots=True)
class Disk:
    """The synced tree and the changes since. Immutable, so one can be kept for each moment."""

    files: Mapping[int, bytes] = field(default_factory=dict)
    directories: Mapping[int, Mapping[str, int]] = field(default_factory=lambda: {ROOT: {}})
    changes: tuple[Change, ...] = ()

    def changed(self, change: Change) -> Disk:
        """Return the disk with one more change."""
        return replace(self, changes=(*self.changes, change))

    def synced(self, node: int) -> Disk:
        """Return the disk after a node was synced. O(changes)."""
        files, directories = dict(self.files), dict(self.directories)
        kept: list[Change] = []
        for change in self.changes:
            if change.node != node or (isinstance(change, Write) and change.stuck):
                kept.append(change)
                continue
            if isinstance(change, Truncate):
                kept = [other for other in kept if other.node != node]
            _apply(change, files, directories)
        return Disk(files, directories, tuple(kept))

    def sync_failed(self, node: int) -> Disk:
        """Return the disk after the sync of a file failed: its pages count as clean."""
        changes = (
            replace(change, stuck=True)
            if isinstance(change, Write) and change.node == node
            else change
            for change in self.changes
        )
        return replace(self, changes=tuple(changes))

    def settled(self) -> Disk:
        """Return the disk with all changes, as programs see it. O(size)."""
        files, directories = dict(self.files), dict(self.directories)
        for change in self.changes:
            _apply(change, files, directories)
        return Disk(files, directories)

    def image(self, choice: tuple[Change | None, ...] | None = None) -> Image:
        """Return what is on the disk with the chosen changes; None: with all. O(size)."""
        files, directories = dict(self.files), dict(self.directories)
        for change in self.changes if choice is None else choice:
            if change is not None:
                _apply(change, files, directories)
        image: dict[str, bytes | None] = {}
        waiting = [("", ROOT)]
        while waiting:
            above, node = waiting.pop()
            for name, child in directories[node].items():
                path = f"{above}/{name}"
                if child in directories:
                    image[path] = None
                    waiting.append((path, child))
                else:
                    image[path] = files.get(child, b"")
        return image

    def images(self, model: str, rng: random.Random, count_max: int) -> Iterator[Image]:
        """Yield what a power failure at this moment may leave; images may come twice.

        All of them if there are at most `count_max`; otherwise the plain ones and a sample.
        """
        if model == "kill":
            yield self.image()
        elif model == "ordered":
            for choice in self._prefixes():
                yield self.image(choice)
        elif model == "weak":
            for choice in self._choices(rng, count_max):
                yield self.image(choice)
        else:
            raise ValueError(f"model= is one of {', '.join(MODELS)}, not {model!r}")

    def _prefixes(self) -> Iterator[tuple[Change | None, ...]]:
        for end in range(len(self.changes) + 1):
            yield self.changes[:end]
            if end < len(self.changes):
                torn = self.changes[end]
                if isinstance(torn, Write):
                    for cut in sorted({1, len(torn.data) // 2, len(torn.data) - 1}):
                        yield (*self.changes[:end], replace(torn, data=torn.data[:cut]))

    def _choices(self, rng: random.Random, count_max: int) -> Iterator[tuple[Change | None, ...]]:
        variants = [_variants(change) for change in self.changes]
        combinations = 1
        for some in variants:
            combinations *= len(some)
        if combinations <= count_max:
            yield from itertools.product(*variants)
            return
        kept = self.changes
        nothing: tuple[Change | None, ...] = (None,) * len(kept)
        yield kept
        yield nothing
        plain = [
            (*base[:at], variant, *base[at + 1 :])
            for base in (kept, nothing)
            for at, some in enumerate(variants)
            for variant in some
        ]
        rng.shuffle(plain)
        yield from plain[: count_max // 2]
        for _ in range(count_max - min(len(plain), count_max // 2)):
            yield tuple(rng.choice(some) for some in variants)


def _variants(change: Change) -> list[Change | None]:
    """Return what may have become of a change that was not synced."""
    if not isinstance(change, Write):
        found: list[Change | None] = [change, None]
        if isinstance(change, Entries) and len(change.entries) > 1:
            # A rename of which only the new name arrived; the old one is still there too.
            found.append(replace(change, entries=change.entries[-1:]))
        return found
    data, half, length = change.data, len(change.data) // 2, len(change.data)
    torn = {
        data[:half],
        data[:-1],
        bytes(length),
        data[:half] + bytes(length - half),
        bytes(half) + data[half:],
        data[:half] + b"\xa5\n{" * length,
        b"\xa5" * length,
    }
    return [change, None, *(replace(change, data=some) for some in sorted(torn - {data}))]


def _apply(
    change: Change, files: dict[int, bytes], directories: dict[int, Mapping[str, int]]
) -> None:
    if isinstance(change, Truncate):
        files[change.node] = b""
    elif isinstance(change, Write):
        old = files.get(change.node, b"")
        gap = bytes(max(0, change.offset - len(old)))
        end = change.offset + len(change.data)
        files[change.node] = old[: change.offset] + gap + change.data + old[end:]
    else:
        entries = dict(directories.get(change.node, {}))
        for name, child in change.entries:
            if child is None:
                entries.pop(name, None)
            else:
                entries[name] = child
        directories[change.node] = entries
