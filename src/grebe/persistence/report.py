"""What opening a store found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What opening found and did. Replaying the journal and a torn tail are ordinary."""

    clean: bool = True
    """False only if something was damaged."""
    quarantined: tuple[str, ...] = ()
    """Names under which damaged files are kept."""
    salvaged: int = 0
    """Documents saved from damaged files."""
    lost: int = 0
    """Documents that damaged files should have held and that could not be saved."""
    journal_records_replayed: int = 0
    """Commits that were in the journal only: the store was not closed."""
    torn_bytes_dropped: int = 0
    """Bytes of commits that a crash cut off; they were never acknowledged."""
    messages: tuple[str, ...] = ()
    """What happened, in words."""


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """What is in a partition, as far as it is loaded."""

    documents: int = 0
    """Number of documents, the encrypted ones included."""
    encrypted_documents: int = 0
    bytes: int = 0
    """Size of the documents' JSON."""
