"""Options of collections: remembered by path, inherited from the nearest that sets them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypedDict

from grebe.core import path as paths
from grebe.core.entry import Home, home_of
from grebe.core.operation import DEFAULT_PARTITION

PartitionOption = str | Callable[[Any], str]
"""A partition's name, or a function of the snapshot that gives it."""

Step = Callable[[Any], Any]
"""Takes the data of one version and returns that of the next."""
Migrate = Mapping[int, Step] | Callable[[Any, int], Any]
"""Steps by the version that they take, or one function `(data, version)` for all of them."""


class Unset(enum.Enum):
    """An option that was not mentioned, as opposed to None, which takes it back."""

    UNSET = "unset"

    def __repr__(self) -> str:
        """Show as in a signature."""
        return "unset"


UNSET: Final = Unset.UNSET


class OptionArguments(TypedDict, total=False):
    """The options of a collection as arguments, apart from its model; for type checkers."""

    version: int | Unset | None
    migrate: Migrate | Unset | None
    partition: PartitionOption | Unset | None
    encrypted: bool | Unset | None
    persist: bool | Unset | None
    depends_on: Callable[[Any], Any] | Unset | None
    indexes: Sequence[str] | Unset | None


@dataclass(slots=True)
class CollectionOptions:
    """What was asked for one collection path; None: not asked."""

    adapter: Any = None
    version: int | None = None
    migrate: Migrate | None = None
    schema: Any = None
    """What `version` and `migrate` say together."""
    partition: PartitionOption | None = None
    encrypted: bool | None = None
    persist: bool | None = None
    depends_on: Callable[[Any], Any] | None = None
    indexes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedOptions:
    """What holds for a collection, inheritance included. Identity changes when any option does."""

    persist: bool
    encrypted: bool
    partition: str
    """The partition, or what applies when `partition_by` cannot tell."""
    partition_by: Callable[[Any], str] | None
    """The collection's own callable, computed for each of its documents."""
    partition_above: str | None
    """Path of the document whose computed partition is inherited; None: `partition` holds."""
    depends_on: Callable[[Any], Any] | None
    home: Home | None = None
    """The home of every document that is saved, if no document and no key has a say in it."""

    def with_home(self) -> ResolvedOptions:
        """Return the same with `home` found out."""
        asked = (self.partition_by, self.partition_above, self.depends_on)
        if asked != (None, None, None) or self.encrypted or not self.persist:
            return self
        return replace(self, home=home_of(self.partition, False, True))


@dataclass(slots=True)
class Options:
    """All options of a store."""

    defaults: CollectionOptions = field(default_factory=CollectionOptions)
    by_path: dict[str, CollectionOptions] = field(default_factory=dict)
    adapters: dict[str, Any] = field(default_factory=dict)
    """The model adapters in `by_path`, where a look-up is enough for every read; those of a schema,
    around the model's, where there is one."""
    schemas: dict[str, Any] = field(default_factory=dict)
    """The schemas in `by_path`."""
    resolved: dict[str, ResolvedOptions] = field(default_factory=dict)
    """What `resolve` has found out since the last change."""

    def set(self, collection: str, given: dict[str, Any]) -> None:
        """Remember the options in `given` that are not UNSET; None takes one back."""
        known = self.by_path.get(collection, _NOTHING)
        changed = {
            name: value
            for name, value in given.items()
            if value is not UNSET and value != getattr(known, name)
        }
        if not changed:
            return
        options = self.by_path.setdefault(collection, CollectionOptions())
        for name, value in changed.items():
            setattr(options, name, value)
        self._look_up(collection, options)
        if all(getattr(options, item.name) is None for item in fields(options)):
            del self.by_path[collection]
        self.resolved.clear()

    def _look_up(self, collection: str, options: CollectionOptions) -> None:
        """Have `adapters` and `schemas` say what the options do."""
        adapter, schema = options.adapter, options.schema
        if schema is None:
            self.schemas.pop(collection, None)
        else:
            self.schemas[collection] = schema
            adapter = schema.adapter(adapter)
        if adapter is None:
            self.adapters.pop(collection, None)
        else:
            self.adapters[collection] = adapter

    def resolve(self, collection: str) -> ResolvedOptions:
        """Return what holds for a collection. A dict look-up after the first time."""
        found = self.resolved.get(collection)
        if found is None:
            found = self.resolved[collection] = self._resolve(collection)
        return found

    def of(self, collection: str) -> CollectionOptions:
        """Return what was asked for a collection path."""
        return self.by_path.get(collection, _NOTHING)

    def indexes(self, collection: str) -> tuple[str, ...] | None:
        """Return the fields that are to be indexed in a collection, or None."""
        options = self.by_path.get(collection)
        return None if options is None else options.indexes

    def sets_partition(self, collection: str) -> bool:
        """Tell whether a collection has a partition option of its own."""
        options = self.by_path.get(collection)
        return options is not None and options.partition is not None

    def _resolve(self, collection: str) -> ResolvedOptions:
        own = self.by_path.get(collection, _NOTHING)
        above_path = paths.parent_collection(collection)
        above = self._root() if above_path is None else self.resolve(above_path)
        partition, partition_by, partition_above = above.partition, None, above.partition_above
        if above.partition_by is not None and above_path is not None:
            partition_above = paths.parent_document(collection)
        if isinstance(own.partition, str):
            partition, partition_above = own.partition, None
        elif own.partition is not None:
            partition_by, partition_above = own.partition, None
        elif above_path is None and callable(self.defaults.partition):
            partition_by = self.defaults.partition
        return ResolvedOptions(
            persist=above.persist if own.persist is None else own.persist,
            encrypted=above.encrypted if own.encrypted is None else own.encrypted,
            partition=partition,
            partition_by=partition_by,
            partition_above=partition_above,
            depends_on=own.depends_on,
        ).with_home()

    def _root(self) -> ResolvedOptions:
        own = self.defaults
        return ResolvedOptions(
            persist=own.persist is not False,
            encrypted=bool(own.encrypted),
            partition=own.partition if isinstance(own.partition, str) else DEFAULT_PARTITION,
            partition_by=None,
            partition_above=None,
            depends_on=None,
        )


_NOTHING = CollectionOptions()
