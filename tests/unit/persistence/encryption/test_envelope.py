"""Sealing of single documents: every change of a record is noticed."""

from __future__ import annotations

import pytest

from grebe.core import path as paths
from grebe.core.operation import PutMany, RecordGroup
from grebe.persistence.encryption.envelope import Envelope
from grebe.persistence.encryption.keys import Secret, make_keys

KEY = bytes(range(32))
STORE = bytes(range(16))


def envelope_of(key: bytes = KEY, store: bytes = STORE) -> Envelope:
    return Envelope(make_keys(Secret(key), store))


def group_of(put: PutMany) -> RecordGroup:
    collection = put.paths[0].rpartition("/")[0]
    ids = [path.rpartition("/")[2] for path in put.paths]
    return RecordGroup(collection, ids, put.values, put.partition, True)


def test_round_trip() -> None:
    """Path and value come back, of any names."""
    envelope = envelope_of()
    documents = ["a/1", "a/ü ", "a/\u2028", "a/1/b/" + "x" * 3000]
    for path in documents:
        put = envelope.seal([path], [b'{"v":1}'], "p\ud83d")
        found, refused = envelope.unseal(group_of(put))
        assert refused == []
        assert next(record for group in found for record in group.records())[:2] == (
            path,
            b'{"v":1}',
        )


def test_addresses_keep_the_shape_of_paths() -> None:
    """Subtrees stay subtrees; equal ids and names elsewhere are not told."""
    envelope = envelope_of()
    deep = envelope.address("users/1/friends/2")
    assert paths.is_under(deep, envelope.address("users/1"))
    assert paths.is_under(deep, envelope.address("users"))
    assert paths.names(deep.rpartition("/")[0]) == envelope.names_address("users/friends")
    assert envelope.address("users/1").split("/")[1] != envelope.address("posts/1").split("/")[1]
    assert envelope.address("a/a").split("/")[0] != envelope.address("a/a").split("/")[1]


def test_each_sealing_is_another() -> None:
    """A fresh nonce each time: equal documents do not look alike."""
    envelope = envelope_of()
    sealed = envelope.seal(["a/1"] * 500, [b"1"] * 500, "p").values
    assert len({value[1:13] for value in sealed}) == len(set(sealed)) == 500


@pytest.mark.slow
def test_every_bit_counts() -> None:
    """A record with any one bit changed is refused, and so is any part of one."""
    envelope = envelope_of()
    put = envelope.seal(["secrets/1"], [b'{"pin":1234,"note":"some text"}'], "p")
    good, group = put.values[0], group_of(put)
    for bit in range(len(good) * 8):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        assert envelope.unseal(group._replace(values=[bytes(changed)])) == ([], [put.paths[0]])
    for end in range(len(good)):
        assert envelope.unseal(group._replace(values=[good[:end]])) == ([], [put.paths[0]])
        assert envelope.unseal(group._replace(values=[good[end + 1 :]])) == ([], [put.paths[0]])


def test_a_record_is_bound_to_its_place() -> None:
    """Another address, partition, store or key does not open it."""
    envelope = envelope_of()
    put = envelope.seal(["a/1", "a/2"], [b"1", b"2"], "p")
    group = group_of(put)
    assert len(envelope.unseal(group)[1]) == 0
    assert len(envelope.unseal(group._replace(values=put.values[::-1]))[1]) == 2
    assert len(envelope.unseal(group._replace(partition="q"))[1]) == 2
    assert len(envelope_of(store=bytes(16)).unseal(group)[1]) == 2
    assert len(envelope_of(key=bytes(32)).unseal(group)[1]) == 2
