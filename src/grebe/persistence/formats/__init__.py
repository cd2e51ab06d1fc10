"""Bytes from commits and documents and back, with checksums: shared by persistors. No I/O."""
