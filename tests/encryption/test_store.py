"""Encrypted collections as a user sees them."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grebe
from tests.encryption.sealed import KEY, OTHER_KEY, Secrets, found_in

OpenStore = Callable[..., grebe.Store]

pytestmark = pytest.mark.usefixtures("no_ambient_key")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def contents(store: grebe.Store) -> dict[str, Any]:
    """Return everything that is in memory."""
    tree = store._engine.tree
    return {place.path: store.doc(place.path).get().data for place in tree.walk()}  # type: ignore[union-attr]


def test_round_trip(open_store: OpenStore, directory: Path) -> None:
    """Encrypted documents come back, beside plain ones, and are counted."""
    with open_store(directory, encryption_key=KEY) as store:
        store.collection("secrets", encrypted=True).doc("1").set({"pin": 1234})
        store.doc("users/1").set({"age": 28})
        wanted = contents(store)
    assert names(directory)[-2:] == ["__store__.encrypted.json", "__store__.json"]
    with open_store(directory, encryption_key=KEY) as store:
        assert contents(store) == wanted
        assert store.recovery.clean
        assert store.partitions()["__store__"].encrypted_documents == 1


def test_options_are_inherited_and_overridden(open_store: OpenStore, directory: Path) -> None:
    """By store, collection and subcollection; the nearest that says something wins."""
    with open_store(directory, encryption_key=KEY, encrypted=True) as store:
        users = store.collection("users")
        users.doc("1").set(1)
        users.doc("1").collection("posts", encrypted=False).doc("1").set(1)
        users.doc("1").collection("posts").doc("1").collection("notes").doc("1").set(1)
        users.doc("1").collection("keys").doc("1").set(1)
        store.collection("open", encrypted=False).doc("1").set(1)
        store.doc("open/1").collection("hidden", encrypted=True).doc("1").set(1)
        found = {p.path: p.leaf.home.encrypted for p in store._engine.tree.walk()}
    assert found == {
        "users/1": True,
        "users/1/posts/1": False,
        "users/1/posts/1/notes/1": False,
        "users/1/keys/1": True,
        "open/1": False,
        "open/1/hidden/1": True,
    }
    with open_store(directory, encryption_key=KEY) as store:
        assert {p.path: p.leaf.home.encrypted for p in store._engine.tree.walk()} == found


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "unloaded"])
@pytest.mark.parametrize("to", [True, False], ids=["encrypt", "decrypt"])
def test_changing_the_option_moves_at_the_next_write(
    open_store: OpenStore, directory: Path, to: bool, loaded: bool
) -> None:
    """Also of equal data; until then a document stays where it is. Nothing is there twice."""
    with open_store(directory, encryption_key=KEY) as store:
        store.collection("c", encrypted=not to).create_many({"a": 1, "b": 2, "d": 3})
    with open_store(directory, encryption_key=KEY, hydrate=loaded) as store:
        moved = store.collection("c", encrypted=to)
        moved.doc("a").set(1)
        moved.doc("b").set(20)
        moved.create_many({"e": 4, "f": 5})
        store.commit()
    with open_store(directory, encryption_key=KEY) as store:
        assert contents(store) == {"c/a": 1, "c/b": 20, "c/d": 3, "c/e": 4, "c/f": 5}
        sides = {p.path: p.leaf.home.encrypted for p in store._engine.tree.walk()}
        assert sides == {"c/a": to, "c/b": to, "c/d": not to, "c/e": to, "c/f": to}
        for path in sides:
            store.doc(path).delete()
    with open_store(directory, encryption_key=KEY) as store:
        assert contents(store) == {}


def test_a_move_between_sides_is_one_commit(open_store: OpenStore, directory: Path) -> None:
    """Both halves are in one batch: what a crash leaves has the document once."""
    batches: list[Any] = []
    store = open_store(directory, encryption_key=KEY, on_commit=batches.append)
    store.doc("c/a").set(1)
    store.commit()
    store.collection("c", encrypted=True).doc("a").set(1)
    store.commit()
    assert [type(operation).__name__ for operation in batches[1].operations] == ["Delete", "Put"]


def test_no_plain_remnant_after_the_next_checkpoint(open_store: OpenStore, directory: Path) -> None:
    """Neither value nor id nor the collection's name stays in a current file."""
    secrets = Secrets(50)
    with open_store(directory, encryption_key=KEY) as store:
        name = secrets.names[0]
        collection = store.collection(name)
        for document_id, value in zip(secrets.ids, secrets.values, strict=True):
            collection.doc(document_id).set({"v": value})
        store.checkpoint()
        assert len(found_in(directory, secrets.all())) >= 2 * secrets.count
        store.collection(name, encrypted=True)
        for document_id, value in zip(secrets.ids, secrets.values, strict=True):
            collection.doc(document_id).set({"v": value})
        store.checkpoint()
        assert found_in(directory, secrets.all()) == []
    assert found_in(directory, secrets.all()) == []


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "unloaded"])
def test_changing_the_partition_seals_anew(
    open_store: OpenStore, directory: Path, loaded: bool
) -> None:
    """A sealed document is bound to its partition; those that are not loaded move too."""
    with open_store(directory, encryption_key=KEY, partition="a") as store:
        secrets = store.collection("secrets", encrypted=True)
        secrets.create_many({"1": 1, "2": 2})
        secrets.doc("1").collection("sub").doc("x").set("deep")
        store.collection("plain").doc("1").set("plain")
    with open_store(directory, encryption_key=KEY, partition="a", hydrate=loaded) as store:
        store.collection("secrets", encrypted=True, partition="b").doc("3").set(3)
        store.commit()
    assert "a.encrypted.json" not in names(directory)
    with open_store(directory, encryption_key=KEY) as store:
        assert contents(store) == {
            "secrets/1": 1,
            "secrets/1/sub/x": "deep",
            "secrets/2": 2,
            "secrets/3": 3,
            "plain/1": "plain",
        }
        assert store.partitions()["b"].encrypted_documents == 4
        assert store.recovery.clean


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "unloaded"])
def test_deleting(open_store: OpenStore, directory: Path, loaded: bool) -> None:
    """A document takes what is under it along, plain and encrypted."""
    with open_store(directory, encryption_key=KEY) as store:
        users = store.collection("users")
        users.create_many({"1": 1, "10": 10})
        users.doc("1").collection("secrets", encrypted=True).create_many({"a": 1, "b": 2})
        users.doc("10").collection("secrets", encrypted=True).doc("a").set(3)
    with open_store(directory, encryption_key=KEY, hydrate=loaded) as store:
        store.doc("users/1").delete()
    with open_store(directory, encryption_key=KEY) as store:
        assert contents(store) == {"users/10": 10, "users/10/secrets/a": 3}


def test_loading_paths(open_store: OpenStore, directory: Path) -> None:
    """Subtrees are found by the addresses of their paths."""
    with open_store(directory, encryption_key=KEY) as store:
        secrets = store.collection("secrets", encrypted=True)
        secrets.create_many({"1": 1, "2": 2})
        secrets.doc("1").collection("sub").doc("x").set(3)
    with open_store(directory, encryption_key=KEY, hydrate=["secrets/1"]) as store:
        assert contents(store) == {"secrets/1": 1, "secrets/1/sub/x": 3}
        store.hydrate("secrets")
        assert len(contents(store)) == 3


def test_readers_follow(open_store: OpenStore, directory: Path) -> None:
    """A reader beside a writer sees encrypted documents come, change and go."""
    writer = open_store(directory, encryption_key=KEY)
    secrets = writer.collection("secrets", encrypted=True)
    secrets.create_many({"1": 1, "2": 2})
    secrets.doc("2").collection("sub").doc("x").set(3)
    writer.commit()
    reader = open_store(directory, encryption_key=KEY, read_only=True)
    blind = open_store(directory, read_only=True)
    assert contents(reader) == {"secrets/1": 1, "secrets/2": 2, "secrets/2/sub/x": 3}
    secrets.doc("1").set(10)
    secrets.doc("2").delete()
    secrets.doc("3").set(30)
    writer.commit()
    reader.refresh()
    assert contents(reader) == {"secrets/1": 10, "secrets/3": 30}
    writer.collection("secrets", encrypted=False).doc("3").set(30)
    secrets.doc("1").delete()
    writer.checkpoint()
    reader.refresh()
    blind.refresh()
    assert contents(reader) == contents(blind) == {"secrets/3": 30}


def test_the_wrong_key(open_store: OpenStore, directory: Path) -> None:
    """EncryptionError at opening, and not a byte is changed."""
    with open_store(directory, encryption_key=KEY) as store:
        store.collection("secrets", encrypted=True).doc("1").set(1)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    for wrong in (OTHER_KEY, "a passphrase", lambda: OTHER_KEY):
        with pytest.raises(grebe.EncryptionError, match="wrong"):
            grebe.open(directory, encryption_key=wrong)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    with open_store(directory, encryption_key=lambda: KEY) as store:
        assert contents(store) == {"secrets/1": 1}


def test_without_the_key(open_store: OpenStore, directory: Path) -> None:
    """What is plain opens, what is encrypted raises, and nothing of it is lost."""
    with open_store(directory, encryption_key=KEY) as store:
        store.collection("secrets", encrypted=True).create_many({"1": 1, "2": 2})
        store.doc("users/1").set(1)
    with open_store(directory) as store:
        secrets = store.collection("secrets", encrypted=True)
        assert contents(store) == {"users/1": 1}
        accesses: list[Callable[[], object]] = [
            secrets.get,
            secrets.count,
            secrets.first,
            secrets.observe,
            secrets.exists,
            secrets.doc("1").get,
            secrets.doc("1").exists,
            secrets.doc("1").observe,
            secrets.where(bool).get,
            lambda: len(secrets),
            lambda: list(secrets),
            lambda: "1" in secrets,
            lambda: secrets.doc("1").set(9),
            lambda: secrets.doc("1").create(9),
            lambda: secrets.doc("1").update(a=1),
            lambda: secrets.create_many([1]),
            lambda: secrets.replace({"1": 9}),
            lambda: store.run_transaction(lambda tx: tx.get(secrets.doc("1"))),
            lambda: store.run_transaction(lambda tx: tx.set(secrets.doc("1"), 9)),
            secrets.delete,
            secrets.doc("1").delete,
            store.clear,
        ]
        for access in accesses:
            with pytest.raises(grebe.EncryptionError, match="key"):
                access()
        store.doc("users/1").set(2)
        store.doc("users/2").set({"x": "y" * 100})
        store.checkpoint()
    with pytest.raises(grebe.EncryptionError, match="GREBE_KEY"):
        grebe.open(directory, require_key=True)
    with open_store(directory, encryption_key=KEY, require_key=True) as store:
        found = contents(store)
        assert found.pop("users/2") is not None
        assert found == {"secrets/1": 1, "secrets/2": 2, "users/1": 2}


def test_written_in_plain_without_the_key(
    open_store: OpenStore, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The encrypted document counts, and the plain one goes at the next commit."""
    with open_store(directory, encryption_key=KEY) as store:
        store.collection("secrets", encrypted=True).doc("1").set("sealed")
    with open_store(directory) as store:
        store.doc("secrets/1").set("plain")
    with caplog.at_level(logging.WARNING), open_store(directory, encryption_key=KEY) as store:
        assert contents(store) == {"secrets/1": "sealed"}
        store.collection("secrets", encrypted=True).doc("1").delete()
    assert "in plain too" in caplog.text
    with open_store(directory, encryption_key=KEY) as store:
        assert contents(store) == {}


def test_no_key_at_all(open_store: OpenStore, directory: Path) -> None:
    """A clear error, at the first write or at opening, and nothing in plain on disk."""
    store = open_store(directory)
    with pytest.raises(grebe.EncryptionError, match="GREBE_KEY"):
        store.collection("secrets", encrypted=True).doc("1").set("plainvalue-qzxj")
    store.close()
    with pytest.raises(grebe.EncryptionError, match="GREBE_KEY"):
        grebe.open(directory, encrypted=True)
    with pytest.raises(grebe.EncryptionError, match="GREBE_KEY"):
        grebe.open(directory, require_key=True)
    assert found_in(directory, ["plainvalue-qzxj"]) == []


def test_in_memory(open_store: OpenStore) -> None:
    """A store that keeps nothing needs no key."""
    store = open_store(encrypted=True)
    store.collection("a", partition="p").doc("1").set(1)
    store.collection("a", partition="q").doc("1").set(1)
    assert store.partitions() == {"q": grebe.PartitionInfo(1, 1, 1)}


def test_not_persisted(open_store: OpenStore, directory: Path) -> None:
    """An encrypted collection that is only in memory needs no key either."""
    with open_store(directory) as store:
        store.collection("a", encrypted=True, persist=False).doc("1").set(1)
        store.collection("b", encrypted=True).doc("1").set(1, persist=False)
        assert len(contents(store)) == 2


def test_other_persistors(open_store: OpenStore) -> None:
    """Every persistor gets sealed bytes and addresses only."""
    kept = grebe.MemoryPersistor()
    with open_store(kept, encryption_key=KEY) as store:
        secrets = store.collection("secrets", encrypted=True)
        secrets.doc("ident").set("qzxj")
        secrets.doc("ident").collection("subcollection").doc("x").set("qzxj")
        store.doc("plain/1").set(1)
    records = list(kept.load(None))
    everything = repr(records) + repr([r.value for r in records]) + repr(kept.load_metadata())
    assert not any(text in everything for text in ("secrets", "ident", "qzxj", "subcollection"))
    with open_store(kept, encryption_key=KEY) as store:
        assert len(contents(store)) == 3
    with pytest.raises(grebe.EncryptionError):
        grebe.open(kept, encryption_key=OTHER_KEY)


def test_nothing_is_shown(
    open_store: OpenStore, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No key and no data in repr, inspect, errors, logs, nor in tracebacks with their locals."""
    passphrase = "correct horse qzxj"
    seen: list[str] = []

    def note(error: BaseException) -> None:
        seen.extend([repr(error), str(error)])
        seen.extend(traceback.format_exception(error))
        # The frames of the library; those of the test hold what the test holds.
        frames = traceback.TracebackException.from_exception(error, capture_locals=True)
        seen.extend(str(f.locals) for f in frames.stack if "/grebe/" in f.filename)

    with caplog.at_level(logging.DEBUG), open_store(directory, encryption_key=KEY) as store:
        secrets = store.collection("secrets", encrypted=True)
        snapshot = secrets.doc("1").set({"pin": "qzxj"})
        seen += [repr(snapshot), repr(store), repr(store.inspect()), repr(store._engine.encryption)]
        seen += [repr(store._lifecycle._sealed), repr(store._engine.encryption.envelope)]
        seen += [repr(store._engine.encryption._source)]
        pending = store._engine.committer
        assert pending is not None
        seen.append(repr(list(pending.pending)))
        store.commit()
    for wrong in (OTHER_KEY, passphrase):
        try:
            grebe.open(directory, encryption_key=wrong)
        except grebe.EncryptionError as error:
            note(error)
    text = "\n".join([*seen, caplog.text])
    assert len(seen) > 10
    for secret in (KEY, OTHER_KEY):
        assert repr(secret)[2:20] not in text
        assert secret.hex() not in text
    assert "qzxj" not in text


def test_the_search_finds(tmp_path: Path) -> None:
    """The search of the other tests can fail: in plain, in base64 at each alignment, in hex."""
    secrets = Secrets(3)
    for n in range(3):
        text = b"x" * n + secrets.values[n].encode() + b"yyy"
        for name, data in (
            ("plain", text),
            ("base64", base64.b64encode(text)),
            ("hex", text.hex().encode()),
        ):
            (tmp_path / name).write_bytes(b"some" + data)
            assert found_in(tmp_path, secrets.all()) == [(name, secrets.values[n])]
            (tmp_path / name).unlink()
