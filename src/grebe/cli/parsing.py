"""What all subcommands share when they declare their arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Commands = argparse._SubParsersAction  # the type has no public name


def described(
    make: Callable[..., argparse.ArgumentParser],
    description: str,
    epilog: str,
    *arguments: str,
    **options: Any,
) -> argparse.ArgumentParser:
    """Make a parser with a description and examples that keep their lines."""
    return make(
        *arguments,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )
