"""Grebe: an embedded, in-memory, reactive document store that survives crashes."""

from grebe.core.operation import Batch
from grebe.documents import agg
from grebe.documents.collection import Collection
from grebe.documents.document import Document
from grebe.documents.fields import field
from grebe.documents.query import Query
from grebe.documents.snapshot import Snapshot
from grebe.documents.transaction import Transaction
from grebe.errors import (
    ConflictError,
    CorruptDataError,
    DocumentExistsError,
    DocumentNotFoundError,
    DocumentTypeError,
    EncryptionError,
    GrebeError,
    InvalidPathError,
    PersistenceError,
    ReadOnlyError,
    SerializationError,
    StoreClosedError,
    StoreLockedError,
)
from grebe.persistence.persistor import Persistor
from grebe.persistence.report import PartitionInfo, RecoveryReport
from grebe.persistors.file.persistor import FilePersistor
from grebe.persistors.indexeddb.persistor import IndexedDBPersistor
from grebe.persistors.memory import MemoryPersistor
from grebe.persistors.sqlite.persistor import SqlitePersistor
from grebe.reactive.change import Change, Event
from grebe.reactive.observer import Observer, Subscription
from grebe.store.opening import aopen, open
from grebe.store.store import Store

__all__ = [
    "Batch",
    "Change",
    "Collection",
    "ConflictError",
    "CorruptDataError",
    "Document",
    "DocumentExistsError",
    "DocumentNotFoundError",
    "DocumentTypeError",
    "EncryptionError",
    "Event",
    "FilePersistor",
    "GrebeError",
    "IndexedDBPersistor",
    "InvalidPathError",
    "MemoryPersistor",
    "Observer",
    "PartitionInfo",
    "PersistenceError",
    "Persistor",
    "Query",
    "ReadOnlyError",
    "RecoveryReport",
    "SerializationError",
    "Snapshot",
    "SqlitePersistor",
    "Store",
    "StoreClosedError",
    "StoreLockedError",
    "Subscription",
    "Transaction",
    "agg",
    "aopen",
    "field",
    "open",
]
