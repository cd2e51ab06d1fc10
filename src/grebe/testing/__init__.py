"""For tests of Grebe and of programs that use it. See docs/testing.md.

Fixtures for pytest are in `grebe.testing.fixtures`, which needs it.
"""

from grebe.persistors.file.filesystem import OsFileSystem
from grebe.testing.clock import FakeClock, FakeScheduler
from grebe.testing.conformance import PersistorConformance
from grebe.testing.disk import MODELS, Disk, Image
from grebe.testing.faults import CHANGING, Call, Fault, FaultyFileSystem
from grebe.testing.simulated import SimulatedFileSystem
from grebe.testing.stores import OpenStores

__all__ = [
    "CHANGING",
    "MODELS",
    "Call",
    "Disk",
    "FakeClock",
    "FakeScheduler",
    "Fault",
    "FaultyFileSystem",
    "Image",
    "OpenStores",
    "OsFileSystem",
    "PersistorConformance",
    "SimulatedFileSystem",
]
