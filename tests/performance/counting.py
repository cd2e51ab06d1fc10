"""What an operation costs, counted: the same on a busy machine as on an idle one.

Bytecode instructions show loops in Python, allocated memory shows copies that one call into C
makes, bytes and syncs show the disk. Only the calling thread is counted.
"""

from __future__ import annotations

import math
import sys
import threading
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from grebe.persistors.file.filesystem import NewFile, OsFileSystem

WARM_UPS = 3
"""Calls before the one that counts: caches are filled, and the interpreter has specialised."""


@dataclass(frozen=True)
class Cost:
    """What one call did."""

    steps: int
    """Bytecode instructions."""
    memory: int
    """Bytes that were allocated at the same time, at most."""
    written: int = 0
    syncs: int = 0


class CountingFileSystem(OsFileSystem):
    """Counts bytes written and syncs."""

    def __init__(self) -> None:
        self.written = 0
        self.syncs = 0

    def create(self, path: str) -> NewFile:
        return _CountingFile(super().create(path), self)

    def sync_directory(self, path: str) -> None:
        self.syncs += 1
        super().sync_directory(path)


class _CountingFile:
    def __init__(self, file: NewFile, fs: CountingFileSystem) -> None:
        self._file = file
        self._fs = fs
        self.close = file.close

    def write(self, data: bytes) -> None:
        self._fs.written += len(data)
        self._file.write(data)

    def reserve(self, size: int) -> None:
        # Not counted: it is made for many commits, and when it comes depends on their number.
        self._file.reserve(size)

    def sync(self) -> None:
        self._fs.syncs += 1
        self._file.sync()


def cost_of(
    operation: Callable[[], Any],
    fs: CountingFileSystem | None = None,
    *,
    warm_ups: int = WARM_UPS,
) -> Cost:
    """Return what a call costs that has been made before."""
    for _ in range(warm_ups):
        operation()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        operation()
        memory = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    written, syncs = (fs.written, fs.syncs) if fs is not None else (0, 0)
    steps = _steps_of(operation)
    if fs is not None:
        written, syncs = fs.written - written, fs.syncs - syncs
    return Cost(steps, memory, written, syncs)


def _steps_of(operation: Callable[[], Any]) -> int:
    return (_steps_monitored if sys.version_info >= (3, 12) else _steps_traced)(operation)


def _steps_traced(operation: Callable[[], Any]) -> int:
    steps = 0

    def step(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal steps
        steps += event == "opcode"
        return step

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        operation()
    finally:
        sys.settrace(before)
    return steps


def _steps_monitored(operation: Callable[[], Any]) -> int:
    """Do as `_steps_traced`, which misses most instructions from Python 3.12 on."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]  # new in 3.12
    tool, instruction = monitoring.PROFILER_ID, monitoring.events.INSTRUCTION
    me = threading.get_ident()
    steps = 0

    def step(_code: Any, _offset: int) -> None:
        nonlocal steps
        steps += threading.get_ident() == me

    monitoring.use_tool_id(tool, "grebe")
    try:
        monitoring.register_callback(tool, instruction, step)
        monitoring.set_events(tool, instruction)
        operation()
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, instruction, None)
        monitoring.free_tool_id(tool)
    return steps


def exponent(costs: Mapping[int, float]) -> float:
    """Return how a cost grows with the size: 0 not at all, 1 linearly (least squares)."""
    logs = [(math.log(size), math.log(max(cost, 1))) for size, cost in costs.items()]
    x_mean, y_mean = (sum(axis) / len(logs) for axis in zip(*logs, strict=True))
    above = sum((x - x_mean) * (y - y_mean) for x, y in logs)
    return above / sum((x - x_mean) ** 2 for x, _ in logs)
