"""A bounded, shared cache: a tile is made once while it fits, no one waits for ever."""

from __future__ import annotations

import gc
import multiprocessing
import threading
import time

import numpy as np
import pytest

from napari_msimage.errors import ArgumentError
from napari_msimage.storage import TileCache, tile_cache
from napari_msimage.storage._tile_cache import default_max_bytes

TILE = 1000


class Maker:
    """Makes tiles of `TILE` bytes, and remembers which."""

    def __init__(self):
        self.made = []

    def tile(self, value):
        self.made.append(value)
        return np.full(TILE, value, np.uint8)

    def group(self, keys):
        """Make all tiles as parts of one buffer."""
        self.made.extend(key[1] for key in keys)
        buffer = np.empty((len(keys), TILE), np.uint8)
        for part, key in zip(buffer, keys, strict=True):
            part[:] = key[1]
        yield dict(zip(keys, buffer, strict=True)), buffer.nbytes


@pytest.fixture
def maker():
    return Maker()


def get(cache, maker, value, uri="a"):
    return cache.get_or_make((uri, value), TILE, lambda: maker.tile(value))


def test_a_tile_is_made_once(maker):
    cache = TileCache(10 * TILE)
    first, second = get(cache, maker, 1), get(cache, maker, 1)
    assert first is second
    assert maker.made == [1]
    assert (cache.stats().hits, cache.stats().misses) == (1, 1)


def test_held_tiles_cannot_be_written_to(maker):
    tile = get(TileCache(10 * TILE), maker, 1)
    with pytest.raises(ValueError, match="read-only"):
        tile[0] = 5


def test_the_least_recently_used_tile_goes_first(maker):
    cache = TileCache(2 * TILE)
    get(cache, maker, 1)
    get(cache, maker, 2)
    get(cache, maker, 1)
    get(cache, maker, 3)
    assert cache.get(("a", 2)) is None
    assert cache.get(("a", 1)) is not None
    assert cache.stats().evictions == 1


def test_the_budget_is_never_exceeded(maker):
    cache = TileCache(3 * TILE + 1)
    for value in range(20):
        get(cache, maker, value)
        assert cache.stats().nbytes <= cache.max_bytes
    assert cache.stats().n_tiles == 3


def test_a_buffer_counts_until_its_last_tile_goes(maker):
    cache = TileCache(4 * TILE)
    cache.get_many([("a", 1), ("a", 2), ("a", 3)], maker.group)
    get(cache, maker, 4)
    assert cache.stats().nbytes == 4 * TILE
    get(cache, maker, 5)
    stats = cache.stats()
    assert (stats.n_tiles, stats.nbytes) == (2, 2 * TILE)


def test_a_tile_over_the_budget_pushes_nothing_out(maker):
    cache = TileCache(2 * TILE)
    get(cache, maker, 1)
    big = cache.get_or_make(("a", "big"), 3 * TILE, lambda: np.zeros(3 * TILE))
    assert big.size == 3 * TILE
    assert cache.get(("a", "big")) is None
    assert cache.get(("a", 1)) is not None


def test_a_budget_of_zero_keeps_nothing(maker):
    cache = TileCache(0)
    assert get(cache, maker, 1)[0] == 1
    assert get(cache, maker, 1)[0] == 1
    assert maker.made == [1, 1]
    assert cache.stats().nbytes == 0


def test_shrinking_the_budget_drops_tiles_at_once(maker):
    cache = TileCache(10 * TILE)
    for value in range(10):
        get(cache, maker, value)
    cache.set_max_bytes(4 * TILE)
    assert cache.stats().nbytes == 4 * TILE
    assert cache.get(("a", 9)) is not None


def test_negative_budget_is_refused():
    with pytest.raises(ArgumentError, match="0 or more, got -1"):
        TileCache(-1)
    with pytest.raises(ArgumentError, match="0 or more, got -5"):
        TileCache(1).set_max_bytes(-5)


def test_evict_drops_an_array_and_what_lies_below(maker):
    cache = TileCache(10 * TILE)
    for uri in ("image", "image/level0", "image2"):
        get(cache, maker, 1, uri)
    cache.evict("image")
    assert cache.get(("image", 1)) is None
    assert cache.get(("image/level0", 1)) is None
    assert cache.get(("image2", 1)) is not None
    assert cache.stats().nbytes == TILE


def test_evict_by_a_finalizer_inside_another_method_does_not_deadlock(maker):
    cache = TileCache(10 * TILE)
    get(cache, maker, 1)
    with cache._lock:  # as if the collector ran while a method holds the lock
        cache.evict("a")
    assert cache.get(("a", 1)) is None


def test_clear_drops_all_and_resets_the_counts(maker):
    cache = TileCache(10 * TILE)
    get(cache, maker, 1)
    cache.clear()
    stats = cache.stats()
    assert (stats.n_tiles, stats.nbytes, stats.misses) == (0, 0, 0)


def test_many_threads_make_a_tile_once(maker):
    cache = TileCache(100 * TILE)
    started, go = threading.Barrier(9), threading.Event()
    results = []

    def slow(value):
        go.wait(10)
        return maker.tile(value)

    def ask():
        started.wait(10)
        results.append(cache.get_or_make(("a", 1), TILE, lambda: slow(1)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert maker.made == [1]
    assert len(results) == 8
    assert all(tile is results[0] for tile in results)


def test_those_who_waited_for_a_failed_maker_try_themselves(maker):
    cache = TileCache(10 * TILE)
    claimed, fail = threading.Event(), threading.Event()
    errors = []

    def failing():
        claimed.set()
        fail.wait(10)
        raise OSError("no such tile")

    def first():
        with pytest.raises(OSError, match="no such tile") as caught:
            cache.get_or_make(("a", 1), TILE, failing)
        errors.append(caught.value)

    waiter_result = []
    thread = threading.Thread(target=first)
    waiter = threading.Thread(target=lambda: waiter_result.append(get(cache, maker, 1)))
    thread.start()
    assert claimed.wait(10)
    waiter.start()
    while not cache.stats().waits:
        time.sleep(0.001)
    fail.set()
    thread.join(10)
    waiter.join(10)
    assert len(errors) == 1
    assert waiter_result[0][0] == 1
    assert maker.made == [1]


def test_tiles_made_before_a_failure_are_kept(maker):
    cache = TileCache(10 * TILE)

    def half(keys):
        yield {keys[0]: maker.tile(keys[0][1])}, TILE
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        cache.get_many([("a", 1), ("a", 2)], half)
    assert cache.get(("a", 1)) is not None
    assert get(cache, maker, 2)[0] == 2


def test_overlapping_requests_in_opposite_order_do_not_deadlock(maker):
    cache = TileCache(1000 * TILE)
    keys = [("a", value) for value in range(100)]
    together = threading.Barrier(4)
    done = []

    def ask(order):
        together.wait(10)
        found = cache.get_many(order, maker.group)
        done.append(all(found[key][0] == key[1] for key in keys))

    orders = [keys, keys[::-1], keys[50:] + keys[:50], keys[::-1]]
    threads = [threading.Thread(target=ask, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert done == [True] * 4
    assert sorted(maker.made) == list(range(100))


def test_waiters_get_a_tile_that_the_budget_cannot_hold(maker):
    cache = TileCache(0)
    claimed, go = threading.Event(), threading.Event()

    def slow():
        claimed.set()
        go.wait(10)
        return maker.tile(1)

    results = []
    ask = [
        threading.Thread(
            target=lambda: results.append(cache.get_or_make(("a", 1), TILE, slow))
        )
        for _ in range(2)
    ]
    ask[0].start()
    assert claimed.wait(10)
    ask[1].start()
    while not cache.stats().waits:
        time.sleep(0.001)
    go.set()
    for thread in ask:
        thread.join(10)
    assert maker.made == [1]
    assert results[0] is results[1]


def test_a_maker_may_ask_for_other_tiles(maker):
    cache = TileCache(10 * TILE)
    made = cache.get_or_make(("b", 1), TILE, lambda: get(cache, maker, 7) + 1)
    assert made[0] == 8
    assert cache.get(("a", 7)) is not None


def test_a_maker_that_asks_for_its_own_tile_is_an_error(maker):
    cache = TileCache(10 * TILE)

    def circular():
        return get(cache, maker, 1)

    with pytest.raises(RuntimeError, match="asks for the tile itself"):
        cache.get_or_make(("a", 1), TILE, circular)
    assert get(cache, maker, 1)[0] == 1


def test_default_budget_is_an_eighth_of_the_memory_within_bounds():
    assert 64 * 2**20 <= default_max_bytes() <= 2**30
    assert tile_cache() is tile_cache()


def test_unused_caches_are_collected(maker):
    cache = TileCache(10 * TILE)
    tile = get(cache, maker, 1)
    del cache
    gc.collect()
    assert tile[0] == 1


def _ask_in_child(cache, queue):
    queue.put(int(cache.get_or_make(("a", 1), TILE, lambda: np.ones(1, int))[0]))


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs os.fork"
)
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_is_not_stuck_with_a_lock_of_its_parent():
    cache = TileCache(10 * TILE)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    with cache._lock:
        child = context.Process(target=_ask_in_child, args=(cache, queue))
        child.start()
    child.join(20)
    stuck = child.is_alive()
    if stuck:
        child.kill()
    assert not stuck
    assert queue.get() == 1
