"""Who stores the data, and the classes that a persistor deals with."""

from grebe.core.operation import (
    Batch,
    Clear,
    Delete,
    Move,
    Operation,
    Put,
    Record,
    RecordGroup,
)
from grebe.persistence.persistor import Persistor
from grebe.persistors.file.persistor import FilePersistor
from grebe.persistors.indexeddb.persistor import IndexedDBPersistor
from grebe.persistors.memory import MemoryPersistor
from grebe.persistors.sqlite.persistor import SqlitePersistor

__all__ = [
    "Batch",
    "Clear",
    "Delete",
    "FilePersistor",
    "IndexedDBPersistor",
    "MemoryPersistor",
    "Move",
    "Operation",
    "Persistor",
    "Put",
    "Record",
    "RecordGroup",
    "SqlitePersistor",
]
