#!/usr/bin/env python3
"""Serve the to-do list to browsers on this machine, and on no other.

Fetches the Pyodide runtime when first run (with npm), and makes Grebe's wheel of these sources.
"""

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))

import browser_parts  # noqa: E402 - in scripts/
import environment  # noqa: E402


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    port = parser.parse_args().port
    with tempfile.TemporaryDirectory() as made:
        try:
            environment.prepare("check")
            browser_parts.prepare(need_chromium=False)
            browser_parts.build_wheel(Path(made))
        except environment.SetupError as error:
            print(f"serve.py: {error}", file=sys.stderr)
            return 1
        folders = {
            "": HERE,
            "pyodide": browser_parts.RUNTIME,
            "wheels": browser_parts.WHEELS,
            "own": Path(made),
        }
        # The browser keeps documents by address and port: another port is another list.
        with browser_parts.Site(folders, port) as site:
            print(f"The to-do list is at {site.url}index.html; Ctrl-C ends it", flush=True)
            try:
                site.serve_forever()
            except KeyboardInterrupt:
                return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
