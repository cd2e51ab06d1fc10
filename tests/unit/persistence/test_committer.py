"""The committer without threads: what is handed out, what comes back."""

from __future__ import annotations

import pytest

from grebe.core.operation import Batch, Delete, Put
from grebe.persistence.committer import BACKOFF_FIRST_S, BACKOFF_MAX_S, Committer


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def committer(calls: list[str]) -> Committer:
    return Committer(lambda: calls.append("work"))


def write(committer: Committer, path: str, value: bytes = b"1") -> None:
    committer.pending.put(Put(path, value))
    committer.wrote()


def test_nothing_waits_at_first(committer: Committer) -> None:
    """There is no attempt, and no empty batch."""
    assert not committer.has_work
    assert committer.begin() is None


def test_an_attempt_holds_what_waits(committer: Committer, calls: list[str]) -> None:
    """In order, and after success nothing waits any more."""
    write(committer, "a/1")
    write(committer, "a/2")
    assert calls == ["work", "work"]
    attempt = committer.begin()
    assert attempt is not None
    assert attempt.batch == Batch((Put("a/1", b"1"), Put("a/2", b"1")))
    assert committer.committing
    assert list(committer.in_flight) == list(attempt.batch.operations)
    committer.succeed(attempt)
    assert not committer.has_work
    assert not committer.committing
    assert committer.durable == committer.written == 2


def test_one_attempt_at_a_time(committer: Committer) -> None:
    """What is written meanwhile waits for the next."""
    write(committer, "a/1")
    first = committer.begin()
    assert first is not None
    write(committer, "a/2")
    assert committer.begin() is None
    committer.succeed(first)
    assert committer.durable == 1
    second = committer.begin()
    assert second is not None
    assert second.batch == Batch((Put("a/2", b"1"),))


def test_a_batch_is_not_split(committer: Committer) -> None:
    """While one is open no attempt begins."""
    committer.open_batches += 1
    write(committer, "a/1")
    assert committer.begin() is None
    committer.open_batches -= 1
    assert committer.begin() is not None


def test_a_failed_attempt_comes_back_in_front(committer: Committer) -> None:
    """Merged with what was written since, coalesced to the last value."""
    write(committer, "a/1")
    write(committer, "a/2")
    assert committer.begin() is not None
    write(committer, "a/3")
    write(committer, "a/1", b"2")
    committer.fail()
    again = committer.begin()
    assert again is not None
    assert again.batch == Batch((Put("a/1", b"2"), Put("a/2", b"1"), Put("a/3", b"1")))
    assert again.upto == 4


def test_a_deletion_behind_a_failed_attempt_covers_it(committer: Committer) -> None:
    """Puts that came back are not given again if they were deleted since."""
    write(committer, "a/1/s/2")
    assert committer.begin() is not None
    committer.pending.delete(Delete("a/1"))
    committer.wrote()
    committer.fail()
    again = committer.begin()
    assert again is not None
    assert again.batch == Batch((Delete("a/1"),))


def test_metadata_goes_with_the_next_attempt_and_comes_back(committer: Committer) -> None:
    """Once; a newer one replaces what a failed attempt held."""
    committer.set_metadata(b"first")
    write(committer, "a/1")
    first = committer.begin()
    assert first is not None
    assert first.batch.metadata == b"first"
    committer.fail()
    second = committer.begin()
    assert second is not None
    assert second.batch.metadata == b"first"
    committer.set_metadata(b"second")
    committer.fail()
    third = committer.begin()
    assert third is not None
    assert third.batch.metadata == b"second"
    committer.succeed(third)
    write(committer, "a/2")
    last = committer.begin()
    assert last is not None
    assert last.batch.metadata is None


def test_writes_that_came_to_nothing_need_no_commit(committer: Committer) -> None:
    """Created and deleted in between: the writes count as durable without a batch."""
    write(committer, "a/1")
    committer.pending.forget("a/1")
    assert committer.begin() is None
    assert committer.durable == committer.written == 1


def test_the_delay_grows_to_its_limit_and_goes(committer: Committer) -> None:
    """Doubled by each failure; none after a success."""
    write(committer, "a/1")
    assert committer.retry_delay_s == 0
    delays = []
    for _ in range(100):
        assert committer.begin() is not None
        committer.fail()
        delays.append(committer.retry_delay_s)
    assert delays[:3] == [BACKOFF_FIRST_S, 2 * BACKOFF_FIRST_S, 4 * BACKOFF_FIRST_S]
    assert delays[-1] == BACKOFF_MAX_S
    attempt = committer.begin()
    assert attempt is not None
    committer.succeed(attempt)
    assert committer.retry_delay_s == 0
