"""What all crash tests share."""

from __future__ import annotations

import pytest

from grebe.persistors.file import remainder


@pytest.fixture(autouse=True)
def small_files_leave_remainders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files replaced by their remainders, however small they are and however much that is."""
    monkeypatch.setattr(remainder, "ROOM_BYTES", 0)
    monkeypatch.setattr(remainder, "ROOM_SHARE", 0)
    monkeypatch.setattr(remainder, "LEFT_OUT_SHARE_MIN", 0)
