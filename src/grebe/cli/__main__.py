"""`python -m grebe.cli` is the command `grebe`."""

import sys

from grebe.cli.command import main

if __name__ == "__main__":
    sys.exit(main())
