"""The SQLite persistor beyond the conformance suite: the file, other programs, what can fail."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import grebe
from grebe.core.operation import Batch, Clear, Delete, Move, Operation, Put, PutMany
from grebe.errors import (
    CorruptDataError,
    PersistenceError,
    ReadOnlyError,
    StoreLockedError,
)
from grebe.persistence.contents import Contents
from grebe.persistors.sqlite.persistor import SqlitePersistor
from tests.conftest import rounds

OpenStore = Callable[..., grebe.Store]
SHORT_S = 0.05


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def opened(file: Path) -> Iterator[SqlitePersistor]:
    persistor = SqlitePersistor(file, lock_timeout_s=SHORT_S)
    persistor.open()
    yield persistor
    persistor.close()


def fill(file: Path, count: int = 50) -> None:
    with grebe.open(f"sqlite:///{file}") as store:
        store.collection("users").create_many(
            {f"{number}": {"n": number, "pad": "x" * 300} for number in range(count)}
        )


def sql(file: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def put(*paths: str) -> Batch:
    return Batch([Put(path, b'{"n":1}') for path in paths])


def refused(file: Path, error: type[Exception], match: str, **options: object) -> None:
    """Opening must fail so, leave the file and what is beside it as they were, and hold no lock."""
    before = {name: (file.parent / name).read_bytes() for name in os.listdir(file.parent)}
    for _ in range(2):
        with pytest.raises(error, match=match) as caught:
            SqlitePersistor(file, lock_timeout_s=SHORT_S, **options).open()
        assert str(file) in str(caught.value)
    after = {name: (file.parent / name).read_bytes() for name in os.listdir(file.parent)}
    assert after == before


# --- the file, for others


def test_plain_sql_sees_the_documents(file: Path) -> None:
    """Values are JSON text, sealed ones blobs; `json_extract` works, also beside the open store."""
    with grebe.open(f"sqlite:///{file}") as store:
        store.collection("users", partition="people").doc("1").set({"name": "Jöhn", "age": 28})
        store.doc("x").set([1, 2])
        store.commit()
        (row,) = sql(
            file,
            "SELECT path, partition, typeof(value), json_extract(value, '$.name')"
            " FROM documents WHERE json_extract(value, '$.age') > 18",
        )
        assert row == ("users/1", "people", "text", "Jöhn")
    assert sql(file, "SELECT path, value FROM documents ORDER BY path") == [
        ("root/x", "[1,2]"),
        ("users/1", '{"name":"Jöhn","age":28}'),
    ]


def test_sealed_documents_are_blobs(opened: SqlitePersistor, file: Path) -> None:
    opened.commit(
        Batch([Put("k/1", b"\x00\xff", "p", True), PutMany(["k/2"], [b"\xfe"], "p", True)])
    )
    assert sql(file, "SELECT path, value FROM documents ORDER BY path") == [
        ("k/1", b"\x00\xff"),
        ("k/2", b"\xfe"),
    ]
    assert [record.value for record in opened.load(None)] == [b"\x00\xff", b"\xfe"]


def test_it_is_durable(opened: SqlitePersistor, file: Path) -> None:
    """A write-ahead log, and a sync at each commit."""
    assert sql(file, "PRAGMA journal_mode") == [("wal",)]
    assert opened._database is not None
    assert opened._database._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_the_file_says_whose_it_is(file: Path) -> None:
    fill(file)
    assert sql(file, "PRAGMA application_id") == [(int.from_bytes(b"GREB", "big"),)]
    assert sql(file, "PRAGMA user_version") == [(1,)]


def test_order_outlives_vacuum(file: Path) -> None:
    """What another program does to tidy up leaves the order of documents."""
    with grebe.open(f"sqlite:///{file}") as store:
        store.collection("u").create_many({name: {} for name in "zaybxc"})
        store.doc("u/y").delete()
        store.doc("u/z").set({"new": 1})
    sql(file, "VACUUM")
    with grebe.open(f"sqlite:///{file}") as store:
        assert [doc.id for doc in store.collection("u")] == list("zabxc")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with grebe.open(f"sqlite:///{tmp_path}/deep/er/app.db") as store:
            store.doc("x").set(1)
            store.commit()
            names = os.listdir(tmp_path / "deep/er")
            modes = [stat.S_IMODE(os.stat(tmp_path / "deep/er" / name).st_mode) for name in names]
            assert {"app.db", "app.db-wal", "app.db-shm"} <= set(names)
            assert set(modes) == {0o600}
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(tmp_path / "deep").st_mode) == 0o700


def test_a_closed_store_is_one_file(file: Path) -> None:
    """The log is folded in; only the lock file stays beside it."""
    fill(file, 3000)
    assert sorted(os.listdir(file.parent)) == ["app.db", "app.db-lock"]
    assert sql(file, "SELECT count(*) FROM documents") == [(3000,)]


def test_the_log_is_folded_in_while_it_is_open(file: Path) -> None:
    """However many commits there are, the log does not grow with them."""
    log = file.with_name("app.db-wal")
    sizes = []
    with grebe.open(f"sqlite:///{file}", commit_interval=3600) as store:
        for number in range(60):
            for row in range(100):
                store.doc(f"u/{row * 37}").set({"n": number, "pad": "x" * 1000})
            store.commit()
            persistor = store._lifecycle._persistor
            assert isinstance(persistor, SqlitePersistor)
            assert persistor._database is not None
            persistor._database._background.join()
            sizes.append(log.stat().st_size)
    assert max(sizes) < 4_000_000
    assert sizes[-1] == sizes[30]


# --- URLs


def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes are for a relative path, four for one from the root; nothing is decoded."""
    monkeypatch.chdir(tmp_path)
    with grebe.open("sqlite:///odd%20name?#.db") as store:
        store.doc("x").set(1)
        assert repr(store) == "<Store SqlitePersistor('odd%20name?#.db'): 1 documents>"
    assert (tmp_path / "odd%20name?#.db").is_file()
    with grebe.open(f"sqlite:///{tmp_path}/odd%20name?#.db") as store:
        assert store.doc("x").get() is not None


@pytest.mark.parametrize(
    "url", ["sqlite:", "sqlite://", "sqlite:///", "sqlite:app.db", "sqlite://host/app.db"]
)
def test_urls_without_a_file(url: str) -> None:
    with pytest.raises(ValueError, match="names no file"):
        grebe.open(url)


def test_memory_is_refused() -> None:
    with pytest.raises(ValueError, match=r"grebe\.open\(\)"):
        grebe.open("sqlite:///:memory:")


# --- not Grebe's


def test_another_programs_database(file: Path) -> None:
    sql(file, "CREATE TABLE t (a)")
    refused(file, PersistenceError, "another program")
    refused(file, PersistenceError, "another program", read_only=True)


def test_another_programs_database_with_a_log(file: Path) -> None:
    """Not even its log is folded in."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE t (a)")
        before = file.read_bytes(), file.with_name("app.db-wal").read_bytes()
        with pytest.raises(PersistenceError, match="another program"):
            grebe.open(f"sqlite:///{file}")
        assert (file.read_bytes(), file.with_name("app.db-wal").read_bytes()) == before


def test_a_newer_versions_database(file: Path) -> None:
    fill(file)
    sql(file, "PRAGMA user_version = 2")
    refused(file, PersistenceError, "newer version of Grebe")
    refused(file, PersistenceError, "newer version", read_only=True)


def test_no_database(file: Path) -> None:
    file.write_text("dear diary, " * 100)
    refused(file, CorruptDataError, "is damaged, or no SQLite database")
    refused(file, CorruptDataError, "is damaged, or no SQLite database", read_only=True)


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(PersistenceError, match="could not be opened"):
        SqlitePersistor(tmp_path).open()


def test_an_empty_file_becomes_a_database(file: Path) -> None:
    file.touch()
    fill(file, 1)
    assert sql(file, "SELECT count(*) FROM documents") == [(1,)]


# --- damage


@pytest.mark.parametrize("where", ["header", "truncated", "schema", "pages"])
def test_damage_is_refused(file: Path, where: str) -> None:
    """What SQLite notices is an error that names the file; the file stays as it was."""
    fill(file, 500)
    data = bytearray(file.read_bytes())
    if where == "header":
        data[:16] = b"x" * 16
    elif where == "truncated":
        del data[len(data) // 2 // 8192 * 8192 :]
    elif where == "schema":
        data[100:108] = b"\xff" * 8
    else:
        for start in range(8192, len(data), 8192):
            data[start : start + 64] = b"\xff" * 64
    file.write_bytes(data)
    for options in ({}, {"read_only": True}):
        with pytest.raises(CorruptDataError, match=r"damaged") as caught:
            grebe.open(f"sqlite:///{file}", **options)
        assert caught.value.file == "app.db"
        assert "x" * 20 not in str(caught.value)
        assert file.read_bytes() == data


def test_rows_that_are_not_ours_are_damage(file: Path) -> None:
    fill(file, 3)
    sql(file, "UPDATE documents SET path = x'ff' WHERE path = 'users/1'")
    with pytest.raises(CorruptDataError, match=r"app\.db: a row"):
        grebe.open(f"sqlite:///{file}")
    sql(file, "UPDATE documents SET path = CAST(x'752fff' AS TEXT) WHERE path = x'ff'")
    with pytest.raises(CorruptDataError):
        grebe.open(f"sqlite:///{file}")


def test_metadata_that_is_not_ours_is_damage(file: Path) -> None:
    fill(file, 3)
    sql(file, "UPDATE grebe SET value = '[' WHERE name = 'metadata'")
    with pytest.raises(CorruptDataError):
        grebe.open(f"sqlite:///{file}")


# --- locks


def test_a_second_store_is_refused_at_once(file: Path) -> None:
    """In this process and in another; it names who has it, and both can be opened later."""
    with grebe.open(f"sqlite:///{file}") as store:
        store.doc("x").set(1)
        with pytest.raises(StoreLockedError) as caught:
            grebe.open(f"sqlite:///{file}")
        assert caught.value.pid == os.getpid()
        code = f"import grebe; grebe.open('sqlite:///{file}')"
        other = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert f"StoreLockedError: {file} is open for writing in process {os.getpid()}" in (
            other.stderr
        )
    with grebe.open(f"sqlite:///{file}") as store:
        assert store.doc("x").get() is not None


def test_another_program_writes_at_opening(file: Path) -> None:
    fill(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        persistor = SqlitePersistor(file, lock_timeout_s=SHORT_S)
        with pytest.raises(StoreLockedError, match="is open for writing in another process"):
            persistor.open()
    persistor.open()
    persistor.close()


def test_another_program_writes_meanwhile(open_store: OpenStore, file: Path) -> None:
    """The commit fails and loses nothing; when the other is done it works."""
    errors: list[BaseException] = []
    persistor = SqlitePersistor(file, lock_timeout_s=SHORT_S)
    store = open_store(persistor, on_error=errors.append)
    store.doc("x").set({"n": 1})
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(PersistenceError, match="another program is writing to it"):
            store.commit()
        other.execute("ROLLBACK")
    assert len(errors) == 1
    store.commit()
    assert sql(file, "SELECT path FROM documents") == [("root/x",)]


# --- a disk that is full, fails, or may not be written


def test_full(open_store: OpenStore, file: Path) -> None:
    """Nothing of the batch is stored, memory has it all, and with room again it is stored."""
    persistor = SqlitePersistor(file)
    store = open_store(persistor)
    store.doc("u/0").set({"n": 0})
    store.commit()
    assert persistor._database is not None
    connection = persistor._database._connection
    connection.execute("PRAGMA max_page_count = 12")
    store.collection("u").create_many({str(n): {"pad": "x" * 3000} for n in range(1, 50)})
    with pytest.raises(PersistenceError, match="the disk is full") as caught:
        store.commit()
    assert caught.value.errno == 28
    assert sql(file, "SELECT path FROM documents") == [("u/0",)]
    assert len(store.collection("u")) == 50
    connection.execute("PRAGMA max_page_count = 100000")
    store.commit()
    assert sql(file, "SELECT count(*) FROM documents") == [(50,)]


FULL_DISK = """
import resource, signal, sys
import grebe

store = grebe.open(f"sqlite:///{sys.argv[1]}", commit_interval=3600)
store.doc("u/0").set({"n": 0})
store.commit()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
store.collection("u").create_many({str(n): {"pad": "x" * 3000} for n in range(1, 50)})
try:
    store.commit()
except grebe.PersistenceError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with grebe.open(f"sqlite:///{sys.argv[1]}", read_only=True) as reader:
    print(len(reader.collection("u")))
store.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_write_that_the_system_refuses(file: Path) -> None:
    """The system itself refuses to let the file grow, in the middle of a commit."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(file)], capture_output=True, text=True, check=True
    )
    message, seen = done.stdout.splitlines()
    assert message.startswith(f"{file} could not be written to:")
    assert seen == "1"
    assert sql(file, "SELECT count(*) FROM documents") == [(50,)]
    assert sql(file, "PRAGMA integrity_check") == [("ok",)]


AS_NOBODY = """
import os, sys
sys.path[:] = {path!r}
import grebe
import grebe.persistors.sqlite.database  # before the rights to read Python itself are given up
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
url = "sqlite:///" + sys.argv[1]
with grebe.open(url, read_only=True) as reader:
    print(len(reader.collection("users")))
try:
    grebe.open(url)
except grebe.PersistenceError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.parametrize("killed", [False, True])
def test_read_only(killed: bool) -> None:
    """Who may not write can read, also where nothing can be made beside it, and do no more."""
    directory = tempfile.mkdtemp()
    file = Path(directory) / "app.db"
    persistor = SqlitePersistor(file)
    try:
        with grebe.open(persistor) as store:
            store.collection("users").create_many({str(n): {} for n in range(7)})
            store.commit()
            for name in os.listdir(directory):
                os.chmod(Path(directory) / name, 0o444)
            if not killed:
                store.close()
            os.chmod(directory, 0o555)
            before = file.read_bytes()
            code = AS_NOBODY.format(path=[p for p in sys.path if p])
            done = subprocess.run(
                [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False
            )
            assert done.stderr == "", done.stderr
            seen, message = done.stdout.splitlines()
            assert seen == "7"
            assert message.startswith(f"{file} could not be opened")
            assert file.read_bytes() == before
    finally:
        os.chmod(directory, 0o700)
        for name in os.listdir(directory):
            os.remove(Path(directory) / name)
        os.rmdir(directory)


def test_a_write_to_a_reader(file: Path) -> None:
    fill(file)
    with grebe.open(f"sqlite:///{file}", read_only=True) as reader:
        with pytest.raises(ReadOnlyError):
            reader.doc("x").set(1)
        reader.commit()
        reader.checkpoint()
    persistor = SqlitePersistor(file, read_only=True)
    persistor.open()
    with pytest.raises(ReadOnlyError):
        persistor.commit(put("x/1"))
    persistor.close()


def test_a_reader_needs_a_store(file: Path) -> None:
    with pytest.raises(PersistenceError, match="does not exist"):
        grebe.open(f"sqlite:///{file}", read_only=True)
    assert os.listdir(file.parent) == []


# --- a reader beside a writer


def test_refresh(file: Path) -> None:
    """A reader sees the commit at its opening, then what came since, as ordinary changes."""
    url = f"sqlite:///{file}"
    with grebe.open(url) as writer:
        writer.doc("u/1").set({"n": 1})
        writer.doc("u/2").set({"n": 2})
        writer.commit()
        with grebe.open(url, read_only=True) as reader:
            told: list[object] = []
            with reader.collection("u").observe() as live:
                live.subscribe_changes(
                    lambda changes: told.append([(c.event.value, c.id) for c in changes])
                )
                reader.refresh()
                writer.doc("u/1").delete()
                writer.doc("u/3").set({"n": 3})
                writer.commit()
                assert len(reader.collection("u")) == 2
                reader.refresh()
                reader.refresh()
                assert [sorted(changes) for changes in told] == [[("added", "3"), ("removed", "1")]]
                writer.collection("u", partition="other").doc("2").set({"n": 2})
                writer.checkpoint()
                reader.refresh()
                assert set(reader.partitions()) == set(writer.partitions()) == {"other"}


def test_a_reader_that_stays_does_not_hold_up_the_writer(file: Path) -> None:
    """Neither commits nor the folding of the log wait for it."""
    url = f"sqlite:///{file}"
    with grebe.open(url) as writer:
        with grebe.open(url, read_only=True) as reader:
            for n in range(5):
                writer.collection("u").create_many({f"{n}-{i}": {} for i in range(600)})
                writer.commit()
            writer.checkpoint()
            reader.refresh()
            assert len(reader.collection("u")) == 3000
        writer.doc("x").set(1)


# --- semantics


def test_like_the_reference(opened: SqlitePersistor) -> None:
    """Random operations leave what `Contents` holds, the reference for all persistors."""
    names = ["a", "b/1", "b/1/c/2", "b/10", "b", "b/1/c", "b/1/c/é", "a/x", "b/1!", "b0/1", "a/x/y"]
    documents = [name for name in names if name.count("/") % 2]
    for seed in rounds(40):
        chance = random.Random(seed)
        wanted, number = Contents(), 0
        opened.commit(Batch([Clear()]))
        for _ in range(12):
            parts: list[Operation | PutMany] = []
            for _ in range(chance.randrange(1, 5)):
                number += 1
                side = chance.choice("pq"), chance.random() < 0.2
                parts.append(
                    chance.choice(
                        [
                            Put(chance.choice(documents), b"%d" % number, *side),
                            PutMany(documents[:3], [b"%d" % number] * 3, *side),
                            Delete(chance.choice(names), chance.random() < 0.6),
                            Move(chance.choice([*names, ""]), *chance.choice(["pq", "qp", "pp"])),
                        ]
                    )
                )
            opened.commit(Batch(parts))
            for part in parts:
                wanted.apply(part, 1)
            assert sorted(opened.load(None)) == sorted(wanted.records()), f"seed {seed}"
            path = chance.choice(names)
            assert sorted(opened.load([path])) == sorted(wanted.records(path)), f"seed {seed}"


def test_a_batch_that_fails_leaves_nothing(opened: SqlitePersistor) -> None:
    opened.commit(put("u/1"))
    with pytest.raises(TypeError, match="object is no operation; nothing was stored"):
        opened.commit(Batch([Put("u/2", b"2"), object()]))  # type: ignore[list-item]
    opened.commit(put("u/3"))
    assert [record.path for record in opened.load(None)] == ["u/1", "u/3"]


def test_an_interrupted_batch_leaves_nothing(opened: SqlitePersistor) -> None:
    """Ctrl-C in a commit: it is rolled back, and the next one works."""

    def values() -> Iterator[bytes]:
        yield b"1"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.commit(Batch([PutMany(["u/1", "u/2"], values())]))  # type: ignore[arg-type]
    opened.commit(put("u/3"))
    assert [record.path for record in opened.load(None)] == ["u/3"]


def test_loads_and_commits_from_many_threads(opened: SqlitePersistor) -> None:
    """A load sees one commit, whatever goes on."""
    stop, failed = threading.Event(), []

    def load() -> None:
        while not stop.is_set():
            values = {record.value for record in opened.load(["u"])}
            if len(values) > 1:
                failed.append(values)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(100):
        opened.commit(Batch([Put(f"u/{i}", b"%d" % number) for i in range(30)]))
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []


def test_hydrate_reads_subtrees(file: Path) -> None:
    with grebe.open(f"sqlite:///{file}") as store:
        for path in ("a/1", "a/1/b/2", "a/10", "c/1"):
            store.doc(path).set({"path": path})
    with grebe.open(f"sqlite:///{file}", hydrate=["a/1"]) as store:
        assert sorted(store.inspect()["documents"]) == ["a/1", "a/1/b/2"]
        store.hydrate("a", "a/1", "c/1")
        assert len(store.inspect()["documents"]) == 4


CHILD = """
import os, sys
import grebe

url = "sqlite:///" + sys.argv[1]
store = grebe.open(url, commit_interval=60)
store.doc("users/1").set({"by": "parent"})
store.commit()
if os.fork() == 0:
    try:
        store.doc("users/1").set({"by": "child"})
    except grebe.StoreClosedError:
        sys.exit(0)
    os._exit(1)
assert os.wait()[1] == 0
store.doc("users/2").set({"by": "parent"})
store.commit()
with grebe.open(url, read_only=True) as reader:
    assert len(reader.collection("users")) == 2
store.doc("users/3").set({"by": "parent"})
store.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_leaves_it_alone(file: Path) -> None:
    """The child's exit, which closes all that it has, takes nothing from the parent."""
    subprocess.run([sys.executable, "-c", CHILD, str(file)], check=True)
    assert sql(file, "SELECT count(*) FROM documents") == [(3,)]
    assert sql(file, "PRAGMA integrity_check") == [("ok",)]


def test_it_is_imported_when_it_is_used() -> None:
    """`import grebe` works where there is no sqlite3, and opening says what is missing."""
    code = (
        "import sys; sys.modules['sqlite3'] = None; import grebe\n"
        "p = grebe.SqlitePersistor('nowhere.db')\n"
        "try: p.open()\n"
        "except grebe.PersistenceError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.sep
    )
    assert done.stdout.startswith("this Python has no sqlite3; install it")
