"""Every error that Grebe raises on purpose.

GrebeError
 ├─ InvalidPathError (ValueError)        a path or id that cannot be one
 ├─ DocumentExistsError                  create() of a document that is there
 ├─ DocumentNotFoundError (KeyError)     replace(), update(), modify(), edit() of one that is not
 ├─ DocumentTypeError (TypeError)        stored data that the wanted model cannot hold
 ├─ SerializationError (TypeError)       data that JSON, or the model, cannot carry unchanged
 ├─ ConflictError                        a transaction whose documents changed meanwhile
 ├─ StoreClosedError                     any use of a store after close()
 ├─ StoreLockedError                     another process (or store) writes the same data
 ├─ ReadOnlyError                        a write to a store opened with read_only=True
 ├─ PersistenceError (OSError)           the data could not be read from or written to its place
 │   └─ CorruptDataError                 bytes that are not what was written
 └─ EncryptionError                      no key, a wrong key, or no library for it

A message says what, where and what to do; it never shows a document's data or a key.
"""

from __future__ import annotations


class GrebeError(Exception):
    """Base of all errors of this package."""


class InvalidPathError(GrebeError, ValueError):
    """A path or path segment that no document or collection can have."""


class DocumentExistsError(GrebeError):
    """The document to be created exists already.

    Attributes:
        path: path of the document.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} already exists; use set() to replace it")
        self.path = path


class DocumentNotFoundError(GrebeError, KeyError):
    """The document to be changed does not exist.

    Attributes:
        path: path of the document.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} does not exist; use create() or set() to make it")
        self.path = path

    # KeyError would print the repr of the message.
    __str__ = Exception.__str__


class DocumentTypeError(GrebeError, TypeError):
    """Stored data does not fit the model through which it is read; it stays as it is.

    Attributes:
        path: path of the document.
        field: place in its data, such as `$.address.zip`; `$` is the whole.
        stored: type of what is there, or "missing".
        wanted: what the model wants there.
    """

    def __init__(
        self,
        message: str,
        path: str,
        *,
        field: str = "$",
        stored: str | None = None,
        wanted: str | None = None,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.field = field
        self.stored = stored
        self.wanted = wanted


class SerializationError(GrebeError, TypeError):
    """Data that cannot be stored, because JSON or the model cannot carry it unchanged.

    Attributes:
        path: path of the document.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class ConflictError(GrebeError):
    """A document that the transaction read or wrote was changed by somebody else.

    Attributes:
        path: path of the document.
    """

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} changed while the transaction ran; nothing was applied, "
            "run it again or use run_transaction()"
        )
        self.path = path


class StoreClosedError(GrebeError):
    """The store was used after it was closed."""

    def __init__(self, what: str = "the store") -> None:
        super().__init__(f"{what} is closed; open the store again to use it")


class StoreLockedError(GrebeError):
    """Somebody else has the store open for writing.

    Attributes:
        pid: process id of the holder, or None if it could not be read.
    """

    def __init__(self, where: str, pid: int | None, holder: str = "another process") -> None:
        if pid is not None:
            holder = f"process {pid}"
        super().__init__(
            f"{where} is open for writing in {holder}; close it there, "
            "or open it here with read_only=True"
        )
        self.pid = pid


class ReadOnlyError(GrebeError):
    """A write to a store that was opened for reading only."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} was opened with read_only=True; open it without to write")


class PersistenceError(GrebeError, OSError):
    """Reading or writing the persisted data failed; the cause is chained."""

    # OSError would print the error number and file name that it was given, not the message.
    __str__ = Exception.__str__


class CorruptDataError(PersistenceError):
    """Bytes that are not what Grebe wrote there.

    Attributes:
        file: name of the file, without its directory.
    """

    def __init__(self, message: str, file: str | None = None) -> None:
        super().__init__(message)
        self.file = file


class EncryptionError(GrebeError):
    """Encryption is wanted but cannot be done, or the key does not fit."""
