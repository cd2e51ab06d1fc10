"""The store: opens, wires and closes the parts; the only package that knows them all."""

from grebe.store.opening import aopen, open
from grebe.store.store import Store

__all__ = ["Store", "aopen", "open"]
