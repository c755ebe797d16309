"""Timestamps of one write session."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from napari_msimage.storage import _clock
from napari_msimage.storage._clock import WriteClock


def test_writes_side_by_side_share_the_timestamp():
    clock = WriteClock(100)
    boxes = itertools.product(range(0, 12, 4), range(0, 15, 5))
    assert {clock.for_box("u", (y, x), (y + 4, x + 5)) for y, x in boxes} == {100}


@pytest.mark.parametrize("seed", range(5))
def test_overlapping_writes_get_later_timestamps_as_in_the_plain_rule(seed):
    rng, clock, earlier = np.random.default_rng(seed), WriteClock(100), []
    for _ in range(60):  # more than the first allocation
        start = rng.integers(0, 9, 3)
        stop = start + rng.integers(1, 4, 3)
        expected = 100
        for first, last, stamp in earlier:
            if (start < last).all() and (first < stop).all():
                expected = max(expected, stamp + 1)
        assert clock.for_box("u", start, stop) == expected
        earlier.append((start, stop, expected))


def test_arrays_and_names_do_not_disturb_each_other():
    clock = WriteClock(100)
    assert clock.for_box("u", (0,), (5,)) == clock.for_box("v", (0,), (5,)) == 100
    assert clock.for_names("u", ["a", "b"]) == clock.for_names("v", ["a"]) == 100
    assert clock.for_names("u", ["c"]) == 100
    assert clock.for_names("u", ["c", "a"]) == 101
    assert clock.for_names("u", ["c"]) == 102


def test_names_follow_what_was_really_written():
    clock = WriteClock(100)
    clock.for_names("u", ["a"])
    clock.note_names("u", ["a"], 107)
    assert clock.for_names("u", ["a"]) == 108


def test_last_possible_timestamp_is_not_passed():
    clock = WriteClock(2**64 - 1)
    for _ in range(3):
        assert clock.for_box("u", (0,), (5,)) == 2**64 - 1


def test_new_session_wins_over_the_one_before():
    clock = WriteClock(100)
    clock.for_box("u", (0,), (5,))
    clock.restart(100, 100)
    assert clock.for_box("u", (4,), (6,)) == 101


def test_session_that_goes_back_in_time_stays_there():
    clock = WriteClock(100)
    clock.for_box("u", (0,), (5,))
    clock.for_names("u", ["a"])
    clock.restart(50, 50)
    assert clock.for_box("u", (0,), (5,)) == clock.for_names("u", ["a"]) == 50


def test_present_includes_what_the_session_wrote():
    future = 4_000_000_000_000
    assert WriteClock(future).present_ms == future
    assert abs(WriteClock(5).present_ms - time.time() * 1000) < 5000


def test_settling_waits_for_the_wall_clock():
    clock = WriteClock(None)
    for _ in range(20):
        last = clock.for_box("u", (0,), (5,))
    clock.settle()
    assert _clock.now_ms() > last


def test_settling_with_an_explicit_time_does_not_wait():
    clock = WriteClock(4_000_000_000_000)
    clock.for_box("u", (0,), (5,))
    start = time.monotonic()
    clock.settle()
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("back_ms", [50, 3_600_000])
def test_settling_does_not_wait_for_a_clock_that_was_set_back(monkeypatch, back_ms):
    clock = WriteClock(None)
    clock.for_box("u", (0,), (5,))
    real = _clock.now_ms
    monkeypatch.setattr(_clock, "now_ms", lambda: real() - back_ms)
    start = time.monotonic()
    clock.settle()
    assert time.monotonic() - start < 1


def test_threads_get_one_timestamp_each_for_one_box():
    clock, stamps = WriteClock(100), []

    def write():
        for _ in range(50):
            stamps.append(clock.for_box("u", (0, 0), (5, 5)))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stamps) == list(range(100, 300))


def test_thousands_of_writes_stay_cheap():
    clock = WriteClock(100)
    for i in range(3000):
        clock.for_box("u", (2 * i, 0), (2 * i + 2, 4))
    boxes = clock._boxes["u"]
    assert boxes._count == 3000
    # the storage doubles: a dozen allocations, not thousands
    assert len(boxes._stamp) == 4096


@pytest.mark.parametrize("explicit", [5000, None])
def test_branch_knows_what_was_written_and_goes_its_own_way(explicit):
    clock = WriteClock(explicit)
    base = clock.for_box("a", [0], [20])
    clock.for_names("g", ["k"])
    branch = clock.branch()
    assert branch.is_explicit == clock.is_explicit
    assert branch.for_box("a", [5], [9]) == base + 1
    assert branch.for_names("g", ["k"]) == base + 1
    assert clock.for_box("a", [5], [9]) == base + 1
    assert clock.for_names("g", ["k"]) == base + 1
    branch.restart(None, base + 1000)
    assert (clock.base_ms, branch.base_ms) == (base, base + 1000)
