"""`python -m grebe.cli` is the command `grebe`."""

import sys

from grebe.cli.command import main

sys.exit(main())
