"""What `import grebe` gives, and what it must not import."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType

import grebe

CONTRACT = {
    *("open", "aopen", "Store", "Document", "Collection", "Query", "Snapshot", "Change", "Event"),
    *("Observer", "Subscription", "Transaction", "Persistor", "Batch", "FilePersistor"),
    *("IndexedDBPersistor", "MemoryPersistor", "SqlitePersistor", "RecoveryReport"),
    "PartitionInfo",
    *("GrebeError", "InvalidPathError", "DocumentExistsError", "DocumentNotFoundError"),
    *("DocumentTypeError", "SerializationError", "ConflictError", "StoreClosedError"),
    *("StoreLockedError", "ReadOnlyError", "PersistenceError", "CorruptDataError"),
    *("EncryptionError", "agg", "field"),
}
"""Names of the contract."""

MODULES = {"agg"}
"""Public names that are modules."""


def test_all_is_sorted() -> None:
    """As isort would: constants, classes, functions apart; no name twice."""
    names = grebe.__all__
    assert len(names) == len(set(names))
    assert names == sorted(names, key=lambda name: (not name[0].isupper(), name))


def test_all_is_complete() -> None:
    """Every public name that is not a module is listed, and every one listed is there."""
    public = {
        name
        for name, value in vars(grebe).items()
        if not name.startswith("_") and (not isinstance(value, ModuleType) or name in MODULES)
    }
    assert public == set(grebe.__all__)


def test_the_contract_is_there() -> None:
    """Names of the contract do not change."""
    assert set(grebe.__all__) >= CONTRACT


def test_errors_are_all_exported() -> None:
    """Whoever meets an error can name it."""
    from grebe import errors

    found = {name for name, cls in vars(errors).items() if inspect.isclass(cls)}
    assert found <= set(grebe.__all__)


def test_import_does_not_bring_in_extras() -> None:
    """The command line, testing tools and optional libraries come when they are used."""
    code = (
        "import sys, grebe; "
        "print([m for m in sys.modules if m.split('.')[0] in"
        " ('rich', 'pycountry', 'hypothesis', 'pytest', 'cryptography', 'sqlite3')"
        " or m.startswith(('grebe.cli', 'grebe.testing', 'grebe.bindings'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_package_is_typed() -> None:
    """py.typed is beside the modules."""
    from importlib.resources import files

    assert files(grebe).joinpath("py.typed").is_file()
