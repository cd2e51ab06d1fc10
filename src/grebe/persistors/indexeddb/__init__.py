"""The store in a browser: documents in IndexedDB, under Pyodide."""
