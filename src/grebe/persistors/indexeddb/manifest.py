r"""The manifest: bytes from what must be in the database and back.

```
{"grebe":{"format":1,"store":S,"lsn":N,"next":K},"metadata":M,
"chunks":[[NUMBER,PARTITION,ENCRYPTED,DOCUMENTS,SIZE,CRC32],...],"crc32":C}\n    (one line)
```
C is the crc32 of what is before `,"crc32":`. All commits up to N are in the chunks, and no chunk is
there that is not listed: they are replaced in the transaction that replaces the manifest. K is the
number of the next chunk, as none is used twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from grebe.core import encoding
from grebe.core.text import from_text, to_text
from grebe.errors import CorruptDataError
from grebe.persistence.contents import Side
from grebe.persistence.formats.text import check_format, metadata_from_text, metadata_to_text

FORMAT = 1
NAME = "the manifest"
_CHECKSUM_LENGTH = len(b',"crc32":"xxxxxxxx"}\n')


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the manifest says of a chunk."""

    side: Side
    documents: int
    size: int
    """Length of the value in bytes."""
    crc32: str
    """Checksum in the chunk's header, which stands for the whole."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What must be in the database."""

    store: str
    chunks: dict[int, Chunk]
    """By number, in the order of their documents."""
    lsn: int = 0
    metadata: bytes | None = None
    next: int = 1
    """Number of the next chunk."""

    def of(self, side: Side) -> list[int]:
        """Return the numbers of a side's chunks."""
        return [number for number, chunk in self.chunks.items() if chunk.side == side]

    def sides(self) -> list[Side]:
        """Return the sides that have chunks, in the order of those."""
        return list(dict.fromkeys(chunk.side for chunk in self.chunks.values()))


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the value. O(chunks)."""
    metadata = manifest.metadata
    fields = {
        "grebe": {
            "format": FORMAT,
            "store": manifest.store,
            "lsn": manifest.lsn,
            "next": manifest.next,
        },
        "metadata": None if metadata is None else metadata_to_text(metadata),
        "chunks": [
            [number, to_text(c.side[0]), c.side[1], c.documents, c.size, c.crc32]
            for number, c in manifest.chunks.items()
        ],
    }
    start = encoding.encode(fields)[:-1]
    return start + b',"crc32":"%08x"}\n' % crc32(start)


def decode_manifest(data: bytes) -> Manifest:
    """Return the manifest that a value holds.

    Raises:
        CorruptDataError: it is damaged.
        PersistenceError: it is of another format.
    """
    start = data[:-_CHECKSUM_LENGTH]
    if data[len(start) :] != b',"crc32":"%08x"}\n' % crc32(start):
        raise CorruptDataError(f"{NAME}: the checksum does not match", NAME)
    try:
        fields = encoding.decode(start + b"}")
        head, metadata = fields["grebe"], fields["metadata"]
        check_format(head["format"], FORMAT, NAME)
        return Manifest(
            store=head["store"],
            chunks={
                number: Chunk((from_text(name), encrypted), documents, size, checksum)
                for number, name, encrypted, documents, size, checksum in fields["chunks"]
            },
            lsn=head["lsn"],
            metadata=None if metadata is None else metadata_from_text(metadata),
            next=head["next"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptDataError(f"{NAME} is none of Grebe's", NAME) from error
