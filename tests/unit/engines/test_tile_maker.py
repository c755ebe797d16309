"""Jobs in the background: order, dropping, and a thread that ends by itself."""

from __future__ import annotations

import threading

import pytest

from napari_msimage.engines import TileMaker
from napari_msimage.engines._tile_maker import Job


class Owner:
    """Someone whose jobs note their names; the job "slow" waits until it may go on."""

    def __init__(self, done):
        self.done = done
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.was_stopped = None

    def job(self, name):
        def work(is_stopped):
            if name == "slow":
                self.begun.set()
                self.go_on.wait(10)
                self.was_stopped = is_stopped()
            self.done.append(name)

        return Job(name, work)

    def jobs(self, *names):
        return [self.job(name) for name in names]


@pytest.fixture
def maker():
    maker = TileMaker()
    yield maker
    maker.join()
    assert maker._thread is None


@pytest.fixture
def done():
    return []


def start_slow(maker, owner, *more):
    maker.request(owner, owner.jobs("slow", *more))
    assert owner.begun.wait(10)


def test_jobs_are_done_in_order(maker, done):
    owner = Owner(done)

    maker.request(owner, owner.jobs("a", "b", "c"))

    assert maker.wait_idle(10)
    assert done == ["a", "b", "c"]


def test_the_latest_request_comes_first(maker, done):
    busy, first, second = Owner(done), Owner(done), Owner(done)
    start_slow(maker, busy)
    maker.request(first, first.jobs("a", "b"))
    maker.request(second, second.jobs("c"))
    busy.go_on.set()

    assert maker.wait_idle(10)
    assert done == ["slow", "c", "a", "b"]


def test_a_new_request_replaces_what_is_left_of_the_last(maker, done):
    owner = Owner(done)
    start_slow(maker, owner, "a", "b")
    maker.request(owner, owner.jobs("b", "c"))
    owner.go_on.set()

    assert maker.wait_idle(10)
    assert owner.was_stopped
    assert done == ["slow", "b", "c"]


def test_a_running_job_that_is_still_wanted_goes_on(maker, done):
    owner = Owner(done)
    start_slow(maker, owner, "a")
    maker.request(owner, owner.jobs("a", "slow"))
    owner.go_on.set()

    assert maker.wait_idle(10)
    assert not owner.was_stopped
    assert done == ["slow", "a"]


def test_a_stopped_job_that_is_wanted_again_is_begun_anew(maker, done):
    owner = Owner(done)
    start_slow(maker, owner)
    maker.request(owner, [])
    maker.request(owner, owner.jobs("slow"))
    owner.go_on.set()

    assert maker.wait_idle(10)
    assert done == ["slow", "slow"]


def test_dropping_waits_for_the_running_job_of_the_owner_only(maker, done):
    busy, other = Owner(done), Owner(done)
    start_slow(maker, busy, "a")
    maker.request(other, other.jobs("b"))

    assert maker.drop(other)
    assert not maker.drop(busy, timeout=0.01)
    busy.go_on.set()

    assert maker.drop(busy)
    assert done == ["slow"]


def test_the_thread_ends_with_the_work_and_starts_again(maker, done):
    owner = Owner(done)
    for name in "ab":
        maker.request(owner, owner.jobs(name))
        assert maker.wait_idle(10)
        maker.join()
        assert maker._thread is None

    assert done == ["a", "b"]


def test_a_job_that_fails_does_not_stop_the_next_request(maker, done, monkeypatch):
    owner = Owner(done)
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args))

    def fail(_):
        msg = "a bug"
        raise RuntimeError(msg)

    maker.request(owner, [Job("bad", fail), *owner.jobs("never")])
    assert maker.wait_idle(10)
    maker.request(owner, owner.jobs("a"))

    assert maker.wait_idle(10)
    assert done == ["a"]
    assert [str(args.exc_value) for args in told] == ["a bug"]
