"""The fake clock and scheduler: what is due happens, no more, and before `advance` returns."""

from __future__ import annotations

import itertools
import threading

import pytest

import grebe
from grebe.testing import FakeClock, FakeScheduler, OpenStores
from grebe.testing import clock as module
from tests.unit.persistence.fakes import FakePersistor


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_commits_come_when_they_are_due(clock: FakeClock) -> None:
    """One for each interval in which something was written, however long the test takes."""
    fake = FakePersistor()
    with clock.open(fake, commit_interval=0.1) as store:
        for number in range(20):
            store.doc(f"u/{number}").set({})
            clock.advance(0.05)
        assert fake.stored() == [[f"u/{n}", f"u/{n + 1}"] for n in range(0, 20, 2)]
        assert clock.now_s == pytest.approx(1.0)


def test_nothing_comes_before(clock: FakeClock) -> None:
    """Real time does not count."""
    fake = FakePersistor()
    with clock.open(fake, commit_interval=0.001) as store:
        store.doc("u/1").set({})
        clock.advance(0)  # returns when every thread waits for the clock
        assert fake.attempts == 0
        clock.advance(0.001)
        assert fake.attempts == 1


def test_retries_have_their_delays(clock: FakeClock) -> None:
    """0.1 s, then twice as long each time, up to 30 s."""
    fake = FakePersistor()
    fake.broken = OSError("broken")
    with clock.open(fake, commit_interval=0.1) as store:
        store.doc("u/1").set({})
        attempts = []
        while clock.now_s < 100:
            clock.advance(0.1)
            if fake.attempts > len(attempts):
                attempts.append(round(clock.now_s, 1))
        delays = [round(b - a, 1) for a, b in itertools.pairwise(attempts)]
        assert attempts[0] == 0.1
        assert delays[:10] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]
        fake.broken = None


def test_an_explicit_commit_needs_no_time(clock: FakeClock) -> None:
    before = set(threading.enumerate())  # other tests may have left stores open
    fake = FakePersistor()
    with clock.open(fake) as store:
        store.doc("u/1").set({})
        store.commit()
        assert fake.attempts == 1
        clock.advance(3600)
        assert fake.attempts == 1
        store.doc("u/2").set({})
        clock.advance(0.1)
        assert fake.attempts == 2
    begun = set(threading.enumerate()) - before
    assert [thread for thread in begun if thread.name == "grebe-committer"] == []


def test_several_stores_have_one_clock(clock: FakeClock) -> None:
    fakes = [FakePersistor(), FakePersistor()]
    with OpenStores(clock) as open_store:
        for interval, fake in zip((1, 3), fakes, strict=True):
            open_store(fake, commit_interval=interval).doc("u/1").set({})
        clock.advance(1)
        assert [fake.attempts for fake in fakes] == [1, 0]
        clock.advance(2)
        assert [fake.attempts for fake in fakes] == [1, 1]


def test_a_thread_that_hangs_is_an_error(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_MAX_S", 0.05)
    fake = FakePersistor()
    with clock.open(fake) as store:
        store.doc("u/1").set({})
        fake.gate.clear()
        with pytest.raises(TimeoutError, match="busy"):
            clock.advance(1)
        fake.gate.set()


def test_stores_are_checked_when_they_are_closed() -> None:
    """A broken invariant is not passed over."""
    stores = OpenStores()
    store = stores()
    store.doc("u/1").set({})
    node = store._engine.tree.collections["u"]
    node.documents["2"] = node.documents["1"]  # two with one place in the order
    with pytest.raises(AssertionError):
        stores.close()
    store.close()


def test_options_of_all_stores() -> None:
    fake = FakePersistor()
    with OpenStores(commit_interval=3600, partition="p") as open_store:
        store = open_store(fake)
        assert open_store(partition="q").doc("u/1").set({}) is not None
        store.doc("u/1").set({})
        assert list(store.partitions()) == ["p"]
    assert store.closed


def test_a_scheduler_runs_what_comes_meanwhile() -> None:
    scheduler = FakeScheduler()
    store = grebe.open(scheduler=scheduler)
    seen: list[int] = []

    def again(users: object) -> None:
        seen.append(len(store.collection("u")))
        if len(seen) < 3:
            store.doc(f"u/{len(seen)}").set({})

    store.collection("u").observe().subscribe(again)
    store.doc("u/0").set({})
    assert (len(scheduler), seen) == (1, [])
    assert scheduler.run() >= 1
    assert seen == [1, 2, 3]
    assert scheduler.run() == 0
