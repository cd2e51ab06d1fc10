"""Where keys come from, and how a wrong one is told."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.backends.null
import pytest

from grebe.errors import CorruptDataError, EncryptionError
from grebe.persistence.encryption import keys as keys_module
from grebe.persistence.encryption.keys import KeyHeader, KeySource, Secret, make_keys, open_keys
from grebe.persistence.encryption.system_keyring import SERVICE

KEY = bytes(range(32))
STORE = bytes(range(16))


class Ring(keyring.backend.KeyringBackend):
    """A keyring in memory."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def use_ring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], Any]]:
    """Set the keyring for a test, and have no key in the environment."""
    monkeypatch.delenv("GREBE_KEY", raising=False)
    before = keyring.get_keyring()

    def use(ring: Any) -> Any:
        keyring.set_keyring(ring)
        return ring

    use(keyring.backends.fail.Keyring())
    yield use
    keyring.set_keyring(before)


def value(found: Secret | None) -> bytes | str | None:
    return None if found is None else found.value


@pytest.mark.usefixtures("use_ring")
def test_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument counts more than the environment; a function is called when needed."""
    monkeypatch.setenv("GREBE_KEY", "from the environment")
    assert value(KeySource(KEY).find("id")) == KEY
    assert value(KeySource(bytearray(KEY)).find("id")) == KEY  # type: ignore[arg-type]
    assert value(KeySource("pass").find("id")) == "pass"
    assert value(KeySource(lambda: "pass").find("id")) == "pass"
    assert value(KeySource(KeySource(KEY)).find("id")) == KEY
    assert value(KeySource().find("id")) == "from the environment"
    monkeypatch.setenv("GREBE_KEY", "hex:" + KEY.hex())
    assert value(KeySource().find("id")) == KEY


@pytest.mark.usefixtures("use_ring")
@pytest.mark.parametrize("wrong", [b"", b"short", bytes(33), ""])
def test_no_keys(wrong: bytes | str) -> None:
    """Wrong lengths are refused without being shown, also from a function."""
    with pytest.raises(EncryptionError):
        KeySource(wrong)
    with pytest.raises(EncryptionError):
        KeySource(lambda: wrong).find("id")
    with pytest.raises(TypeError):
        KeySource(17)  # type: ignore[arg-type]


def test_the_keyring(use_ring: Callable[[Any], Any]) -> None:
    """A key is made at the first use and found again; for another store it is another."""
    ring = use_ring(Ring())
    assert KeySource().find("one") is None
    made = value(KeySource().find_or_make("one"))
    assert base64.b64decode(ring.kept[SERVICE, "one"]) == made
    assert value(KeySource().find("one")) == made
    assert KeySource().find("two") is None


@pytest.mark.parametrize("ring", [keyring.backends.fail.Keyring, keyring.backends.null.Keyring])
def test_no_usable_keyring(use_ring: Callable[[Any], Any], ring: Any) -> None:
    """A clear error that names the other ways, as on a server without a desktop."""
    use_ring(ring())
    assert KeySource().find("one") is None
    with pytest.raises(EncryptionError, match=r"encryption_key=.*GREBE_KEY"):
        KeySource().find_or_make("one")


def test_key_header() -> None:
    """It survives JSON, and tells the right key from a wrong one."""
    keys = make_keys(Secret(KEY), STORE)
    header = KeyHeader.from_dict(keys.header.as_dict())
    assert header == keys.header
    again = open_keys(Secret(KEY), header)
    assert (again.sealing, again.paths, again.authentication) == (
        keys.sealing,
        keys.paths,
        keys.authentication,
    )
    assert len({keys.sealing, keys.paths, keys.authentication, header.check, KEY}) == 5
    for wrong in (Secret(bytes(32)), Secret("pass")):
        with pytest.raises(EncryptionError, match="wrong"):
            open_keys(wrong, header)


def test_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stretched with the parameters that are stored."""
    monkeypatch.setattr(keys_module, "SCRYPT_COST", 2**10)
    keys = make_keys(Secret("correct horse"), STORE)
    assert keys.header.scrypt == (1024, 8, 1)
    monkeypatch.undo()
    assert open_keys(Secret("correct horse"), keys.header).sealing == keys.sealing
    for wrong in (Secret("Correct horse"), Secret(KEY)):
        with pytest.raises(EncryptionError, match="wrong"):
            open_keys(wrong, keys.header)


@pytest.mark.parametrize(
    "change",
    [{"id": "00"}, {"check": "xy"}, {"scrypt": [2**40, 8, 1]}, {"scrypt": []}, {"check": None}],
)
def test_damaged_headers(change: dict[str, Any]) -> None:
    """What is no header is damage, not a wrong key."""
    good = make_keys(Secret(KEY), STORE).header.as_dict()
    with pytest.raises(CorruptDataError):
        KeyHeader.from_dict({**good, **change})
    with pytest.raises(EncryptionError, match="update Grebe"):
        KeyHeader.from_dict({**good, "version": 2})


def test_nothing_is_shown() -> None:
    """No repr holds a key."""
    keys = make_keys(Secret(KEY), STORE)
    for shown in (Secret(KEY), Secret("pass"), KeySource(KEY), KeySource("pass"), keys):
        text = repr(shown)
        assert "pass" not in text.lower().replace("passphrase", "")
        assert repr(KEY)[2:12] not in text
