"""No key and no keyring of the machine that runs the tests."""

from __future__ import annotations

import keyring
import keyring.backends.fail
import pytest


@pytest.fixture
def no_ambient_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have neither GREBE_KEY nor a usable keyring, as on a headless server."""
    monkeypatch.delenv("GREBE_KEY", raising=False)
    before = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())
    monkeypatch.setattr(keyring.core, "_keyring_backend", keyring.get_keyring())
    assert before is not None
