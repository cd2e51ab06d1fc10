"""The code of docs/custom_persistors.md, run once."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "custom_persistors.md"


@functools.cache
def namespace() -> dict[str, Any]:
    """Return the names that the page's code makes."""
    text = PAGE.read_text(encoding="utf-8")
    found: dict[str, Any] = {"__name__": "custom_persistors"}
    for match in re.finditer(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, match.start(1))
        # Line numbers in tracebacks are those of the page.
        exec(compile("\n" * line + match[1], str(PAGE), "exec"), found)
    return found
