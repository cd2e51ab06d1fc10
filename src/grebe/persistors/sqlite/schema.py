"""The tables, and whose a database is. Format: docs/sqlite.md.

The order of rows is that of `rowid`: a put of a document that is there keeps its row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grebe.errors import PersistenceError

if TYPE_CHECKING:
    from sqlite3 import Connection

APPLICATION_ID = 0x47524542
"""`GREB`: says in the file's header whose it is; `file app.db` shows it."""
FORMAT = 1
"""Kept as `user_version`."""

PAGE_BYTES = 8192
"""Pages larger than SQLite's usual 4096: 100,000 documents at once take a tenth less time."""

TABLES = (
    """
    CREATE TABLE documents (
      path TEXT NOT NULL,
      partition TEXT NOT NULL,
      encrypted INTEGER NOT NULL,
      value NOT NULL,
      PRIMARY KEY (path, partition, encrypted)
    )
    """,
    "CREATE TABLE grebe (name TEXT NOT NULL PRIMARY KEY, value NOT NULL)",
)


def is_new(connection: Connection, where: str) -> bool:
    """Tell whether a database is empty; False if it is Grebe's.

    Raises:
        PersistenceError: it is another program's, or a newer version's. Nothing was changed.
    """
    application_id = _number(connection, "PRAGMA application_id")
    version = _number(connection, "PRAGMA user_version")
    tables = _number(connection, "SELECT count(*) FROM sqlite_master")
    if application_id == APPLICATION_ID:
        if version > FORMAT:
            raise PersistenceError(
                f"{where} was written by a newer version of Grebe (format {version}, known is "
                f"{FORMAT}); nothing was changed, install that version to open it"
            )
        return False
    if application_id or version or tables:
        raise PersistenceError(
            f"{where} is a database of another program; nothing was changed, "
            "name a file that does not exist"
        )
    return True


def create(connection: Connection) -> None:
    """Make the tables of a new database, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for table in TABLES:
        connection.execute(table)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _number(connection: Connection, statement: str) -> int:
    found: int = connection.execute(statement).fetchone()[0]
    return found
