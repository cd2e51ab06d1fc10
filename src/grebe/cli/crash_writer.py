"""The child of the demo: transfers without end, each commit acknowledged on the standard output.

It never ends by itself: its parent kills it, or is gone, which breaks the pipe.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
from typing import NoReturn

import grebe
from grebe.cli import bank

TRANSFERS_MAX = 4
"""Transactions between two commits, at most."""
CHECKPOINT_CHANCE = 0.03
"""For each commit; often enough that kills hit checkpoints too."""


def run(arguments: argparse.Namespace) -> NoReturn:
    """Write until killed; print the version that a commit made durable after it returned."""
    # Ctrl-C reaches all processes of a terminal; the parent answers it, and kills this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pace = random.Random()
    with grebe.open(arguments.directory) as store:
        version = bank.versions_in(store)[0]
        while True:
            for _ in range(pace.randint(1, TRANSFERS_MAX)):
                version += 1
                bank.make_transfer(store, arguments.seed, version)
            store.commit()
            sys.stdout.write(f"{version}\n")
            sys.stdout.flush()
            if pace.random() < CHECKPOINT_CHANCE:
                store.checkpoint()
