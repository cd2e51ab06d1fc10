"""Measure Grebe: `python benchmarks/run.py [--quick] [--profile] [NAME...]`.

Prints a table for each benchmark and writes it as JSON to benchmarks/results/. The machine should
have nothing else to do; what is compared is interleaved, so ratios stand more noise than times.
"""

from __future__ import annotations

import argparse
import importlib
import time

import measure

BENCHMARKS = [
    "idle_observers",
    "live_queries",
    "queries",
    "durable_update",
    "bulk",
    "opening",
    "point_read",
    "models",
    "set_without_waiting",
    "group_commit",
    "checkpoint_pauses",
    "disk_use",
    "encryption",
    "sqlite_persistor",
    "memory",
    "peers",
]


def main() -> None:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(description="Measure Grebe.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller stores")
    parser.add_argument(
        "--profile", action="store_true", help="print where the time of Grebe's cases goes"
    )
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        measure.run_case(arguments.case, arguments.profile)
        return
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {BENCHMARKS}")
    settings = measure.Settings(arguments.quick, arguments.profile)
    print(measure.machine())
    for name in arguments.names or BENCHMARKS:
        start = time.perf_counter()
        reports = importlib.import_module(name).run(settings)
        if isinstance(reports, measure.Report):
            reports = [reports]
        for number, report in enumerate(reports, 1):
            measure.show(report)
            if not settings.profile:
                suffix = f"_{number}" if len(reports) > 1 else ""
                measure.save(name + suffix, report, settings)
        print(f"  ({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
