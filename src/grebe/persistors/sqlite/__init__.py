"""The SQLite persistor: all documents in one database file."""
