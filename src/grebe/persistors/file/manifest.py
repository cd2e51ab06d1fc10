r"""The manifest: bytes from what must be there and back. Format: docs/file_format.md, "Manifest".

```
{"grebe":{"format":1,"store":S,"lsn":N,"journal":J,"crc32":H},\n
"metadata":M,\n
"partitions":{\n
FILE:{"partition":P,"encrypted":E,"lsn":L,"documents":D,"size":B,"crc32":C},\n    one line a file
},\n
"removed":[FILE,...]}\n
```
In a store with encrypted documents the format is 2 and the first line has, before its crc32,
`"reaches":R,"sealed":A,"mac":A`; the files' entries end in `"mac":A`. See docs/security.md.
H is the crc32 of the whole file without `,"crc32":H`. J is the highest journal number in use so
far. All commits up to N are in the partition files; those in `removed` became empty, and are
obsolete if they are still there.
"""

from __future__ import annotations

import base64
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from grebe.core import encoding
from grebe.core.text import from_text, to_text
from grebe.errors import CorruptDataError
from grebe.persistence.formats.text import check_format
from grebe.persistors.file.names import MANIFEST

FORMAT = 1
FORMAT_ENCRYPTED = 2
"""Of a store with encrypted documents. Versions that know only 1 would lose what leads to the keys.
"""


@dataclass(frozen=True, slots=True)
class PartitionFile:
    """What the manifest says of a partition file."""

    partition: str
    encrypted: bool
    lsn: int
    documents: int
    size: int
    """Length of the file in bytes."""
    crc32: str
    """Checksum in the file's header, which stands for the whole file."""
    mac: str | None = None
    """MAC in the file's header, if the file was written with the store's key."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What must be in the directory."""

    store: str
    lsn: int = 0
    partitions: dict[str, PartitionFile] = field(default_factory=dict)
    """By file name."""
    removed: tuple[str, ...] = ()
    metadata: bytes | None = None
    journal: int = 0
    """Highest number that a journal has had."""
    reaches: int = 0
    """Commit that the journals reached when it was written: fewer have been taken away."""
    sealed: str | None = None
    """MAC of `sealed_text`; made with the store's key and kept by those who have not got it."""
    mac: str | None = None
    """MAC of all; None if it was written without the key."""
    text: bytes = field(default=b"", compare=False)
    """What `mac` is of."""

    def size_of(self, sides: Container[tuple[str, bool]]) -> int:
        """Return the size of the files of these partitions together."""
        files = self.partitions.values()
        return sum(file.size for file in files if (file.partition, file.encrypted) in sides)


def sealed_text(manifest: Manifest) -> bytes:
    """Return what the manifest says of encrypted documents, for its MAC."""
    files = [
        [file, to_text(p.partition), p.lsn, p.documents, p.size, p.crc32, p.mac]
        for file, p in sorted(manifest.partitions.items())
        if p.encrypted
    ]
    return encoding.encode([manifest.store, manifest.reaches, files])


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the file. O(partitions)."""
    start, rest = encode_around(manifest)
    if manifest.mac is not None:
        start += b',"mac":"%b"' % manifest.mac.encode()
    return start + b',"crc32":"%08x"' % crc32(start + rest) + rest


def encode_around(manifest: Manifest) -> tuple[bytes, bytes]:
    """Return the file before and behind its MAC and checksum; the MAC is of both."""
    encode = encoding.encode
    lines = [
        b"%b:%b"
        % (
            encode(file),
            encode(
                {
                    "partition": to_text(p.partition),
                    "encrypted": p.encrypted,
                    "lsn": p.lsn,
                    "documents": p.documents,
                    "size": p.size,
                    "crc32": p.crc32,
                    **({} if p.mac is None else {"mac": p.mac}),
                }
            ),
        )
        for file, p in manifest.partitions.items()
    ]
    head: dict[str, Any] = {"format": FORMAT, "store": manifest.store, "lsn": manifest.lsn}
    head["journal"] = manifest.journal
    if manifest.sealed is not None:
        head["format"] = FORMAT_ENCRYPTED
        head |= {"reaches": manifest.reaches, "sealed": manifest.sealed}
    start = b'{"grebe":' + encode(head)[:-1]
    rest = b'},\n"metadata":%b,\n"partitions":{\n%b},\n"removed":%b}\n' % (
        encode(_metadata_to_json(manifest.metadata)),
        b",\n".join(lines) + b"\n" if lines else b"",
        encode(list(manifest.removed)),
    )
    return start, rest


def decode_manifest(data: bytes) -> Manifest:
    """Return the manifest that a file's bytes hold.

    Raises:
        CorruptDataError: it is damaged, or of a newer format.
    """
    at = data.find(b',"crc32":"')
    end = at + len(b',"crc32":"xxxxxxxx"')
    found = b',"crc32":"%08x"' % crc32(data[:at] + data[end:])
    if at < 0 or data[at:end] != found:
        raise CorruptDataError(f"{MANIFEST}: the checksum does not match", MANIFEST)
    try:
        fields = encoding.decode(data)
        head = fields["grebe"]
        if head["format"] != FORMAT_ENCRYPTED:
            check_format(head["format"], FORMAT, MANIFEST)
        mac = head.get("mac")
        start = data[:at] if mac is None else data[: data.rfind(b',"mac":"', 0, at)]
        return Manifest(
            store=head["store"],
            lsn=head["lsn"],
            journal=head["journal"],
            partitions={
                file: PartitionFile(
                    from_text(p["partition"]),
                    p["encrypted"],
                    p["lsn"],
                    p["documents"],
                    p["size"],
                    p["crc32"],
                    p.get("mac"),
                )
                for file, p in fields["partitions"].items()
            },
            removed=tuple(fields["removed"]),
            metadata=_metadata_from_json(fields["metadata"]),
            reaches=head.get("reaches", 0),
            sealed=head.get("sealed"),
            mac=mac,
            text=start + data[end:],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptDataError(f"{MANIFEST} is no manifest of Grebe's", MANIFEST) from error


def _metadata_to_json(metadata: bytes | None) -> Any:
    """Return metadata as something readable: JSON if it is that, otherwise base64 in a list."""
    if metadata is None:
        return None
    try:
        value = encoding.decode(metadata)
        if isinstance(value, dict) and encoding.encode(value) == metadata:
            return value
    except (ValueError, RecursionError):
        pass  # some other persistor's user has metadata of his own kind
    return [base64.b64encode(metadata).decode()]


def _metadata_from_json(value: Any) -> bytes | None:
    if value is None:
        return None
    return base64.b64decode(value[0]) if isinstance(value, list) else encoding.encode(value)
