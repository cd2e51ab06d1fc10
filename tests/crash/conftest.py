"""What all crash tests share."""

from __future__ import annotations

import pytest

from grebe.persistors.file import checkpoint


@pytest.fixture(autouse=True)
def small_files_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files that the journals replace go before the new ones, however small they are."""
    monkeypatch.setattr(checkpoint, "LET_GO_BYTES_MIN", 0)
    monkeypatch.setattr(checkpoint, "LET_GO_SHARE", 0)
