"""Encryption at rest: keys, sealed documents, and the layer that seals what persistors get."""
