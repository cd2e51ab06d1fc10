"""The format as docs/security.md has it, with `cryptography` and Python alone; nothing of Grebe's
own code makes or opens an envelope here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

import grebe
from grebe.core.operation import Batch, Put
from tests.encryption.sealed import KEY
from tests.encryption.test_store import contents

OpenStore = Callable[..., grebe.Store]

pytestmark = pytest.mark.usefixtures("no_ambient_key")


class Reader:
    """Keys and envelopes by the document."""

    def __init__(self, master: bytes, store_id: bytes) -> None:
        self.id = store_id
        self.check = self.derived(master, b"grebe 1 check")[:16]
        self.sealing = self.derived(master, b"grebe 1 sealing")
        self.paths = self.derived(master, b"grebe 1 paths")
        self.authentication = self.derived(master, b"grebe 1 authentication")

    def derived(self, master: bytes, purpose: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=32, salt=self.id, info=purpose).derive(master)

    def address(self, path: str) -> str:
        segments, found = path.split("/"), []
        for n in range(len(segments)):
            if n % 2 == 0:
                text = b"c\0" + "/".join(segments[: n + 1 : 2]).encode()
            else:
                text = b"d\0" + "/".join(segments[: n + 1]).encode()
            found.append(hmac.digest(self.paths, text, "sha256")[:16].hex())
        return "/".join(found)

    def associated(self, partition: str, address: str) -> bytes:
        name = partition.encode("utf-8", "surrogatepass")
        length = len(name).to_bytes(4, "big")
        return b"grebe sealed document\0\x01" + self.id + length + name + address.encode()

    def open(self, sealed: bytes, partition: str, address: str) -> tuple[str, bytes]:
        assert sealed[0] == 1
        text = AESGCM(self.sealing).decrypt(
            sealed[1:13], sealed[13:], self.associated(partition, address)
        )
        path, _, value = text.partition(b"\0")
        return path.decode(), value

    def seal(self, path: str, value: bytes, partition: str, nonce: bytes) -> bytes:
        associated = self.associated(partition, self.address(path))
        text = path.encode() + b"\0" + value
        return b"\x01" + nonce + AESGCM(self.sealing).encrypt(nonce, text, associated)

    def mac(self, purpose: str, text: bytes) -> str:
        return hmac.digest(
            self.authentication, b"grebe " + purpose.encode() + b"\0" + text, "sha256"
        ).hex()


def key_header(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "__manifest__.json").read_bytes())
    header: dict[str, Any] = found["metadata"]["encryption"]
    return header


DOCUMENTS = {"secrets/1": {"pin": 1234}, "secrets/ü /sub/x": ["deep"], "secrets/2": "text"}


def test_reading_what_grebe_wrote(open_store: OpenStore, directory: Path) -> None:
    """Partition file, journal and manifest of a store, with the document alone."""
    with open_store(directory, encryption_key=KEY, partition="päge") as store:
        store.collection("secrets", encrypted=True)
        for path, value in DOCUMENTS.items():
            store.doc(path).set(value)
    header = key_header(directory)
    reader = Reader(KEY, bytes.fromhex(header["id"]))
    assert header == {"version": 1, "id": reader.id.hex(), "check": reader.check.hex()}
    file = next(directory.glob("*.encrypted.json"))
    found = {}
    for address, text in json.loads(file.read_bytes())["documents"].items():
        path, value = reader.open(base64.b64decode(text), "päge", address)
        assert address == reader.address(path)
        found[path] = json.loads(value)
    assert found == DOCUMENTS
    check_macs(directory, reader)


def check_macs(directory: Path, reader: Reader) -> None:
    manifest = (directory / "__manifest__.json").read_bytes()
    fields = json.loads(manifest)
    bare = re.sub(rb',"mac":"[0-9a-f]{64}","crc32":"[0-9a-f]{8}"', b"", manifest, count=1)
    assert fields["grebe"]["mac"] == reader.mac("manifest", bare)
    listed = [
        [name, p["partition"], *(p[k] for k in ("lsn", "documents", "size", "crc32", "mac"))]
        for name, p in sorted(fields["partitions"].items())
        if p["encrypted"]
    ]
    text = json.dumps(
        [fields["grebe"]["store"], fields["grebe"]["reaches"], listed],
        separators=(",", ":"),
        ensure_ascii=False,
    )
    assert fields["grebe"]["sealed"] == reader.mac("manifest, encrypted part", text.encode())
    for name in fields["partitions"]:
        line, _, rest = (directory / name).read_bytes().partition(b"\n")
        head = json.loads(line.rstrip(b",") + b"}")["grebe"]
        assert head["sha256"] == hashlib.sha256(rest).hexdigest()
        text_of_mac = line[: line.index(b',"mac":')]
        assert (
            head["mac"] == fields["partitions"][name]["mac"] == reader.mac("partition", text_of_mac)
        )


def test_reading_a_journal(open_store: OpenStore, directory: Path) -> None:
    """Its records are sealed and authenticated in the same way."""
    store = open_store(directory, encryption_key=KEY)
    store.collection("secrets", encrypted=True).doc("1").set({"pin": 1234})
    store.commit()
    head, line, *_ = next(directory.glob("journal-*")).read_bytes().splitlines()
    record = json.loads(line)
    reader = Reader(KEY, bytes.fromhex(json.loads(record["metadata"][1:])["encryption"]["id"]))
    [[kind, partition, sealed]] = record["operations"]
    [[address, text]] = sealed.items()
    assert kind == "seal"
    assert reader.open(base64.b64decode(text), partition, address) == (
        "secrets/1",
        b'{"pin":1234}',
    )
    store_id = json.loads(head)["grebe"]["store"].encode()
    assert record["mac"] == reader.mac("record", store_id + b"\0" + line[: line.index(b',"mac":')])


def test_grebe_reads_what_the_document_says(open_store: OpenStore) -> None:
    """A store made with the document alone opens: header, addresses and envelopes."""
    reader = Reader(KEY, bytes(range(16)))
    puts = [
        Put(
            reader.address(path),
            reader.seal(path, json.dumps(value).encode(), "p", bytes([n] * 12)),
            "p",
            True,
        )
        for n, (path, value) in enumerate(DOCUMENTS.items())
    ]
    header = {"version": 1, "id": reader.id.hex(), "check": reader.check.hex()}
    kept = grebe.MemoryPersistor()
    kept.open()
    kept.commit(Batch(puts, json.dumps({"resolver": {}, "encryption": header}).encode()))
    kept.close()
    with open_store(kept, encryption_key=KEY) as store:
        assert contents(store) == DOCUMENTS
        assert store.recovery.clean


def test_passphrase(open_store: OpenStore, directory: Path) -> None:
    """The master key of a passphrase is scrypt's, with the id as salt."""
    with open_store(directory, encryption_key="correct horse ü") as store:
        store.collection("secrets", encrypted=True).doc("1").set(1)
    header = key_header(directory)
    assert header["scrypt"] == [2**17, 8, 1]
    salt = bytes.fromhex(header["id"])
    master = Scrypt(salt=salt, length=32, n=2**17, r=8, p=1).derive("correct horse ü".encode())
    assert Reader(master, salt).check.hex() == header["check"]


def test_known_answers() -> None:
    """Fixed values, so that no change of both sides at once goes unnoticed."""
    reader = Reader(KEY, bytes(range(16)))
    sealed = reader.seal("users/1", b'{"name":"John"}', "users", bytes(range(12)))
    assert reader.check.hex() == CHECK
    assert reader.address("users/1/friends/2") == ADDRESS
    assert sealed.hex() == SEALED
    assert reader.open(sealed, "users", reader.address("users/1")) == (
        "users/1",
        b'{"name":"John"}',
    )


CHECK = "9cf848fab1ad1f1b59f5e8239340815a"
ADDRESS = (
    "1170d002e3a99ff1e2f0f2c78ea759e7/ca16d2709d664e86f1fb52e55cf87fc9/437a9b3f2c793e"
    "450de213a4a7d4f085/1629dcee6b2a8098c016334575402001"
)
SEALED = (
    "01000102030405060708090a0b341f2ce5a0bc5b0ccd6185e98b3100a34e219d5045abe11cb3a3a1"
    "ea503af5c9d31ae8ee9595e1"
)
