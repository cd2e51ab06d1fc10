"""For tests of Grebe and of programs that use it: file systems that fail, a conformance suite."""

from grebe.testing.conformance import PersistorConformance
from grebe.testing.disk import MODELS, Disk, Image
from grebe.testing.faults import CHANGING, Call, Fault, FaultyFileSystem
from grebe.testing.simulated import SimulatedFileSystem

__all__ = [
    "CHANGING",
    "MODELS",
    "Call",
    "Disk",
    "Fault",
    "FaultyFileSystem",
    "Image",
    "PersistorConformance",
    "SimulatedFileSystem",
]
