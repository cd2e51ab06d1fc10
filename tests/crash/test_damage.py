"""Every damage: noticed, kept, never served as data, never a traceback from the depths.

The usual run takes a sample, with a printed seed; GREBE_CRASH_ROUNDS=1000 takes every bit of every
byte of every file, and every length.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest

from grebe.core.operation import Put
from grebe.persistors.file import names
from tests.crash.damaged import FAILURES, Damaged, problems_of
from tests.crash.harness import ROUNDS, SEED, report
from tests.crash.oracle import state_of
from tests.crash.specimens import (
    SPECIMENS,
    Files,
    Maker,
    Specimen,
    closed,
    disk_of,
    files_of,
    killed,
    open_in,
    value,
)

FLIPS = 120 * ROUNDS
"""Of each specimen, at most."""
LENGTHS = 40 * ROUNDS


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of warnings would be kept for a failure's report; one test looks at them."""
    log = logging.getLogger("grebe")
    log.disabled = True
    yield
    log.disabled = False


def check(damaged: list[Damaged], what: str) -> None:
    problems: list[str] = []
    wrong = 0
    for one in damaged:
        found = problems_of(one)
        problems += found
        wrong += bool(found)
    report(f"{what}: {len(damaged)} damaged stores, {wrong} wrong (seed {SEED})")
    assert not problems, f"seed {SEED}, {len(problems)} problems\n" + "\n".join(problems[:12])


def specimens() -> Any:
    return pytest.mark.parametrize("name", SPECIMENS)


# --- flipped bits and cut ends


def flip(specimen: Specimen, file: str, position: int, bit: int) -> Damaged:
    data = bytearray(specimen.files[file])
    data[position] ^= 1 << bit
    silent = position >= specimen.tail(file)
    return Damaged(specimen, f"{file}: bit {bit} of byte {position}", {file: bytes(data)}, silent)


def all_bytes(specimen: Specimen) -> list[tuple[str, int]]:
    return [(file, at) for file, data in specimen.files.items() for at in range(len(data))]


def sample_bits(specimen: Specimen, count: int, rng: random.Random) -> Iterator[Damaged]:
    """Yield flips; each small file, which has the delicate bytes, gets as many as a large one."""
    places = all_bytes(specimen)
    if count >= len(places) * 8:
        yield from (flip(specimen, *place, bit) for place in places for bit in range(8))
        return
    if count >= len(places):
        yield from (flip(specimen, *place, rng.randrange(8)) for place in places)
        return
    share = count // len(specimen.files)
    for file, data in specimen.files.items():
        # The number of the format: another one is not always a newer version of Grebe.
        yield flip(specimen, file, data.index(b'"format":') + len(b'"format":'), rng.randrange(4))
        delicate = data.find(b"\n") + 20 if file in specimen.listed else len(data)
        for number in range(share):
            end = delicate if number % 2 else len(data)
            yield flip(specimen, file, rng.randrange(end), rng.randrange(8))


@pytest.mark.slow
@pytest.mark.timeout(60 * max(2, ROUNDS))
@specimens()
def test_flipped_bit(name: str):
    """A flipped bit is noticed and no document is served that was not committed."""
    specimen = SPECIMENS[name]()
    check(list(sample_bits(specimen, FLIPS, random.Random(SEED))), f"{name}, flipped bits")


def cut(specimen: Specimen, file: str, length: int) -> Damaged:
    data = specimen.files[file]
    journals = sorted(name for name in specimen.files if names.journal_number(name) is not None)
    # A journal is begun, at once, with all that an earlier one has.
    whole = specimen.files[journals[0]].count(b"\n") if file in journals[1:] else 1
    lines = data[:length].count(b"\n")
    # If just the last of that is missing, as a whole, it may be a commit that failed.
    ends_whole = data[:length].endswith(b"\n") and lines > 1
    silent = file in journals and lines >= whole - ends_whole
    return Damaged(specimen, f"{file}: cut to {length} bytes", {file: data[:length]}, silent)


@pytest.mark.slow
@pytest.mark.timeout(60 * max(2, ROUNDS))
@specimens()
def test_truncated_file(name: str):
    """A file that ends early is noticed; only a journal may, as a crash leaves it so."""
    specimen = SPECIMENS[name]()
    rng = random.Random(SEED)
    damaged = []
    share = LENGTHS // len(specimen.files)
    for file, data in specimen.files.items():
        usual = {0, 1, data.find(b"\n"), data.find(b"\n") + 1, len(data) - 1, len(data) - 3}
        lengths = usual | set(rng.sample(range(len(data)), min(share, len(data))))
        damaged += [cut(specimen, file, length) for length in sorted(lengths)]
    check(damaged, f"{name}, truncated")


@pytest.mark.slow
def test_several_damaged_files():
    """Damage of several files at once: what is served was committed, and a second open is clean."""
    specimen = killed()
    rng = random.Random(SEED)
    problems = []
    count = 60 * ROUNDS
    for _ in range(count):
        files = dict(specimen.files)
        for file in rng.sample(sorted(files), rng.randrange(2, 4)):
            data = bytearray(files[file])
            for _ in range(rng.randrange(1, 4)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            files[file] = bytes(data)
        fs = disk_of(files)
        what = [name for name in files if files[name] != specimen.files[name]]
        try:
            persistor = open_in(fs)
            state = state_of(persistor)
            persistor.close()
            for path, partition, encrypted, data in state.documents:
                if data not in specimen.values.get((path, partition, encrypted), ()):
                    problems.append(f"{what}: served {path} = {data!r}")
            again = open_in(fs)
            if state_of(again) != state or not again.recovery.clean:
                problems.append(f"{what}: second open {again.recovery}")
            again.close()
        except FAILURES as error:
            problems.append(f"{what}: raised {type(error).__name__}: {error}")
    report(f"several files: {count} stores, {len(problems)} problems (seed {SEED})")
    assert not problems, f"seed {SEED}\n" + "\n".join(problems[:10])


# --- whole files


def other_store() -> Files:
    """Return the files of a store of the same shape with another id."""
    maker = Maker()
    maker.base()
    maker.more()
    maker.persistor.close()
    return files_of(maker.fs)


def whole_files(specimen: Specimen) -> Iterator[Damaged]:
    rng = random.Random(SEED)
    foreign = other_store()
    for file, data in specimen.files.items():
        journal = names.journal_number(file) is not None
        # A journal that is gone is what an orderly close leaves: see docs/durability.md.
        yield Damaged(specimen, f"{file} is gone", {file: None}, silent=journal)
        yield Damaged(specimen, f"{file} is empty", {file: b""})
        yield Damaged(specimen, f"{file} is garbage", {file: rng.randbytes(len(data))})
        yield Damaged(specimen, f"{file} is text", {file: b"\xef\xbb\xbf<html>\n</html>\n"})
        yield Damaged(specimen, f"{file} is zeros", {file: bytes(len(data))})
        yield Damaged(specimen, f"{file} is JSON", {file: b'{"grebe": 1}\n'})
        yield Damaged(specimen, f"{file} is twice in itself", {file: data + data})
        yield Damaged(specimen, f"{file} has a line more", {file: data + b"{}\n"}, journal)
        if file in foreign:
            yield Damaged(specimen, f"{file} of another store", {file: foreign[file]})
        old = specimen.earlier.get(file)
        if old is not None and old != data:
            yield Damaged(specimen, f"{file} of an earlier checkpoint", {file: old})


def swaps(specimen: Specimen) -> Iterator[Damaged]:
    files = sorted(specimen.files)
    for one in files:
        for other in files[files.index(one) + 1 :]:
            swapped = {one: specimen.files[other], other: specimen.files[one]}
            yield Damaged(specimen, f"{one} and {other} swapped", swapped)


@pytest.mark.slow
@specimens()
def test_replaced_file(name: str):
    """A missing, empty, stale, foreign or senseless file is noticed and serves nothing."""
    check(list(whole_files(SPECIMENS[name]())), f"{name}, replaced")


@pytest.mark.slow
@specimens()
def test_swapped_files(name: str):
    """Two files that have each other's name are noticed; the others serve all they have."""
    check(list(swaps(SPECIMENS[name]())), f"{name}, swapped")


def test_everything_of_an_earlier_checkpoint_but_one_file():
    """One file alone newer than all others is no interrupted checkpoint: its journal is missing."""
    specimen = closed()
    old = {name: data for name, data in specimen.earlier.items() if name != "a.json"}
    damaged = Damaged(specimen, "all old but a.json", old)
    persistor = open_in(disk_of(damaged.files))
    state_of(persistor)
    assert not persistor.recovery.clean
    persistor.close()


@pytest.mark.slow
def test_flipped_bit_in_a_large_partition():
    """Of many blocks all but the damaged one are served."""
    maker = Maker()
    maker.commit(*(Put(f"u/{n}", value(n, 0), "large") for n in range(5000)))
    maker.checkpoint()
    specimen = maker.done({})
    rng = random.Random(SEED)
    size = len(specimen.files["large.json"])
    flips = [flip(specimen, "large.json", rng.randrange(size), rng.randrange(8)) for _ in range(6)]
    check(flips, "large partition, flipped bits")
    persistor = open_in(disk_of(flips[0].files))
    assert len(state_of(persistor).documents) >= 5000 - 256
    persistor.close()
