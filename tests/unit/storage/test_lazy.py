"""LevelArray: like numpy, read only when converted, each tile once, nothing else."""

from __future__ import annotations

import copy
import gc
import math
import multiprocessing
import pickle
import shutil
import threading
import time
import uuid

import numpy as np
import pytest
import tiledb
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_msimage.errors import (
    ArgumentError,
    ArgumentTypeError,
    DoesNotExistError,
    FormatError,
    LevelIndexError,
    StorageError,
)
from napari_msimage.storage import (
    LevelArray,
    SOMATileDBContext,
    TileCache,
    tile_cache,
)
from napari_msimage.storage import _tile_reads as tile_reads
from napari_msimage.storage._array_pool import PooledArray, open_handles

TILE = (1, 32, 48)
TILE_BYTES = math.prod(TILE) * 2


class Reads:
    """Every box that is read from TileDB, in order."""

    def __init__(self):
        self.boxes = []
        self.before = lambda: None

    def tiles(self, tile=TILE):
        """Return every tile that was touched, once per read that touched it."""
        touched = []
        for start, stop in self.boxes:
            numbers = [
                range(a // e, (b - 1) // e + 1)
                for a, b, e in zip(start, stop, tile, strict=True)
            ]
            grid = np.meshgrid(*numbers, indexing="ij")
            touched += list(zip(*(axis.ravel().tolist() for axis in grid), strict=True))
        return touched

    @property
    def cells(self):
        return sum(
            math.prod(b - a for a, b in zip(start, stop, strict=True))
            for start, stop in self.boxes
        )


@pytest.fixture
def reads(monkeypatch):
    log = Reads()
    read_box = PooledArray.read_box

    def spy(self, start, stop, out):
        log.before()
        read_box(self, start, stop, out)
        log.boxes.append((tuple(start), tuple(stop)))

    monkeypatch.setattr(PooledArray, "read_box", spy)
    return log


@pytest.fixture
def cache():
    return TileCache(2**26)


@pytest.fixture
def level(level_uri, cache):
    # Closed here: pytest holds on to what fixtures return until after the last check.
    level = LevelArray(level_uri, cache=cache)
    yield level
    level.close()


def touched_tiles(key, shape, tile=TILE):
    """Return the tiles that hold the cells of a selection, by brute force."""
    numbers = np.indices(shape)
    numbers = [axis[key] // extent for axis, extent in zip(numbers, tile, strict=True)]
    return set(zip(*(axis.ravel().tolist() for axis in numbers), strict=True))


# What napari asks of layer data


def test_attributes(level, level_uri):
    assert level.shape == (3, 97, 130)
    assert level.dtype == np.uint16
    assert level.ndim == 3
    assert level.size == 3 * 97 * 130
    assert level.nbytes == 2 * 3 * 97 * 130
    assert len(level) == 3
    assert level.uri == level_uri
    assert level.chunks == ((1, 1, 1), (32, 32, 32, 1), (48, 48, 34))
    expected = f"LevelArray(shape=(3, 97, 130), dtype=uint16, uri={level_uri!r})"
    assert repr(level) == expected


def test_attributes_follow_the_view(level):
    view = level[1, 10:90:2].T
    assert view.shape == (130, 40)
    assert (view.ndim, view.size, view.nbytes) == (2, 5200, 10400)
    assert view.chunks == ((48, 48, 34), (11, 16, 13))


def test_a_view_without_axes_has_no_length(level):
    with pytest.raises(TypeError, match="without axes"):
        len(level[0, 0, 0])


# Like numpy

positions = st.integers(-200, 200)
steps_ = st.sampled_from([None, 1, 2, 3, 31, 50, 200, -1, -2, -33, -150])
slices = st.builds(slice, st.none() | positions, st.none() | positions, steps_)


@st.composite
def chains(draw):
    """Draw up to three steps, each an index or a transpose, as functions."""
    steps = []
    n_axes = 3
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.integers(0, 3)) == 0:
            order = tuple(draw(st.permutations(range(n_axes))))
            steps.append(("transpose", order))
            continue
        items = []
        for _ in range(draw(st.integers(0, n_axes))):
            pick = draw(st.integers(0, 3)) == 0
            items.append(draw(st.integers(-3, 2)) if pick else draw(slices))
        if draw(st.booleans()):
            items.insert(draw(st.integers(0, len(items))), ...)
        n_axes -= sum(isinstance(item, int) for item in items)
        steps.append(("index", tuple(items)))
    return steps


def apply(steps, array):
    for kind, how in steps:
        array = array[how] if kind == "index" else array.transpose(how)
    return array


BUDGETS = {"all tiles": 2**26, "few tiles": 40 * TILE_BYTES, "none": 0}


@settings(max_examples=400, deadline=None)
@given(chains(), st.sampled_from(sorted(BUDGETS)))
def test_every_chain_of_views_reads_what_numpy_gives(level_uri, pixels, steps, budget):
    level = LevelArray(level_uri, cache=TileCache(BUDGETS[budget]))
    try:
        expected = apply(steps, pixels)
    except IndexError as err:
        with pytest.raises(IndexError, match=r"out of bounds|too many"):
            apply(steps, level)
        assert "out of bounds" in str(err) or "too many" in str(err)  # noqa: PT017
        return
    view = apply(steps, level)
    assert view.shape == np.shape(expected)
    for _ in range(2):  # the second time from the cache, if there is one
        read = np.asarray(view)
        assert read.shape == np.shape(expected)
        assert read.dtype == pixels.dtype
        np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("order", [(), (2, 0, 1), ((1, 2, 0),), (None,)], ids=str)
def test_transpose_takes_what_numpy_takes(level, pixels, order):
    np.testing.assert_array_equal(level.transpose(*order), pixels.transpose(*order))


def test_transpose_takes_an_array_of_axes(level):
    assert level.transpose(np.array([2, 1, 0])).shape == (130, 97, 3)


def test_new_axes_are_supported(level, pixels):
    read = np.asarray(level[None, 1, :, None, ::2])
    np.testing.assert_array_equal(read, pixels[None, 1, :, None, ::2])


def test_one_cell_is_an_array_without_axes(level, pixels):
    read = np.asarray(level[1, -2, 3])
    assert isinstance(read, np.ndarray)
    assert read.shape == ()
    assert read == pixels[1, -2, 3]


def test_iterating_gives_views(level, pixels):
    planes = list(level)
    assert all(isinstance(plane, LevelArray) for plane in planes)
    np.testing.assert_array_equal(planes[2], pixels[2])


def test_errors_are_those_of_the_room(level):
    with pytest.raises(LevelIndexError, match="index 3 is out of bounds for axis 0"):
        level[3]
    with pytest.raises(ArgumentTypeError, match="only integers, slices"):
        level[[0, 1]]
    with pytest.raises(ArgumentError, match="expected each of its 3 axes once"):
        level.transpose(0, 1)


def test_conversion_to_another_type(level, pixels):
    read = np.asarray(level[0], dtype=np.float32)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, pixels[0].astype(np.float32))


def test_conversion_without_a_copy_is_refused(level):
    with pytest.raises(ArgumentError, match=r"copy=False, expected None or True"):
        np.array(level, copy=False)


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS.keys())
def test_result_belongs_to_the_caller(level_uri, pixels, budget):
    level = LevelArray(level_uri, cache=TileCache(budget))
    for view in (level[1, 3:40, 5:60], level.transpose(1, 2, 0), level[0, 0, 0]):
        read = np.asarray(view)
        assert read.flags.writeable
        assert read.flags.c_contiguous
        assert read.base is None
        read[...] = 0
    np.testing.assert_array_equal(level, pixels)


# What is read, counted


def test_opening_and_indexing_read_nothing(level_uri, reads):
    level = LevelArray(level_uri, cache=TileCache(2**26))
    view = level[:, ::2].T[3:, 1, None][..., 0]
    assert (view.shape, view.dtype, view.chunks) is not None
    assert repr(view)
    assert reads.boxes == []


def test_a_huge_level_costs_nothing_until_pixels_are_asked_for(make_level, reads):
    level = LevelArray(make_level((1, 2**18, 2**18), "uint8", (1, 512, 512)))
    assert level.nbytes == 64 * 2**30
    assert sum(level.chunks[1]) == 2**18
    assert reads.boxes == []
    corner = np.asarray(level[0, -5:, -7:])
    np.testing.assert_array_equal(corner, np.full((5, 7), 255, np.uint8))
    assert reads.tiles((1, 512, 512)) == [(0, 511, 511)]


def test_a_window_reads_its_tiles_in_one_request(level, reads):
    np.asarray(level[:, 10:50, 10:60])
    assert reads.boxes == [((0, 0, 0), (3, 64, 96))]


KEYS = {
    "window": np.s_[:, 10:50, 10:60],
    "channel": np.s_[1],
    "cell": np.s_[2, 96, 129],
    "line": np.s_[0, 40],
    "step": np.s_[:, ::7, 3::11],
    "large step": np.s_[::2, ::70, ::100],
    "backwards": np.s_[::-1, 60:20:-3, ::-129],
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
@pytest.mark.parametrize("budget", [2**26, 0], ids=["cached", "not cached"])
def test_exactly_the_tiles_touched_are_read_each_once(level_uri, reads, key, budget):
    np.asarray(LevelArray(level_uri, cache=TileCache(budget))[key])
    tiles = reads.tiles()
    assert len(tiles) == len(set(tiles))
    assert set(tiles) == touched_tiles(key, (3, 97, 130))


def test_without_a_cache_exactly_the_cells_are_read(level_uri, reads):
    level = LevelArray(level_uri, cache=TileCache(0))
    np.asarray(level[1:, 10:50, 10:60])
    assert reads.cells == 2 * 40 * 50


def test_a_second_read_decodes_nothing(level, cache, reads):
    np.asarray(level[:, 10:50, 10:60])
    np.asarray(level[::-1, 60:20:-1, :90].T)
    assert len(reads.boxes) == 1
    assert cache.stats().misses == 12


def test_panning_decodes_each_tile_once(level, reads):
    seen = set()
    for offset in range(0, 60, 4):
        key = np.s_[:, offset : offset + 30, offset : offset + 50]
        np.asarray(level[key])
        seen |= touched_tiles(key, level.shape)
    tiles = reads.tiles()
    assert len(tiles) == len(set(tiles))
    assert set(tiles) == seen


def test_levels_of_one_store_share_the_cache_and_the_handle(level_uri, cache, reads):
    before = open_handles()
    first, second = (LevelArray(level_uri, cache=cache) for _ in range(2))
    assert open_handles() == before + 1
    np.asarray(first[0])
    np.asarray(second[0])
    assert cache.stats().misses == 4 * 3
    assert len(set(reads.tiles())) == len(reads.tiles())


def test_the_default_cache_is_that_of_the_process(level_uri):
    before = tile_cache().stats()
    tile_cache().evict(level_uri)
    np.asarray(LevelArray(level_uri)[0, 0, 0])
    assert tile_cache().stats().misses == before.misses + 1
    tile_cache().evict(level_uri)


def test_a_request_over_half_of_the_budget_is_not_cached(level_uri, reads):
    n_tiles = 3 * 4 * 3
    cache = TileCache(n_tiles * TILE_BYTES)
    level = LevelArray(level_uri, cache=cache)
    np.asarray(level)
    assert cache.stats().n_tiles == 0
    assert reads.cells == level.size
    np.asarray(level[0])
    assert cache.stats().n_tiles == 12


def test_tiles_large_for_the_budget_are_not_cached(level_uri, reads):
    cache = TileCache(8 * TILE_BYTES - 1)
    np.asarray(LevelArray(level_uri, cache=cache)[0, 3:5, 3:5])
    assert cache.stats().misses == 0
    assert reads.cells == 4


def test_read_past_the_cache_keeps_nothing(level, cache, pixels, reads):
    np.testing.assert_array_equal(level[0].read(cached=False), pixels[0])
    assert reads.cells == 97 * 130
    assert cache.stats().misses == 0


def test_large_requests_are_cut_at_tile_borders(level_uri, pixels, reads, monkeypatch):
    monkeypatch.setattr(tile_reads, "_BUFFER_BYTES", 4 * TILE_BYTES)
    for budget in (2**26, 0):
        reads.boxes.clear()
        level = LevelArray(level_uri, cache=TileCache(budget))
        np.testing.assert_array_equal(level[:, 5:, ::-1], pixels[:, 5:, ::-1])
        assert len(reads.boxes) > 9
        tiles = reads.tiles()
        assert len(tiles) == len(set(tiles)) == 36
        assert all(
            math.prod(b - a for a, b in zip(start, stop, strict=True)) * 2
            <= 4 * TILE_BYTES
            for start, stop in reads.boxes
        )


def test_tiles_reach_beyond_a_flat_level(save_level, pixels, reads):
    uri = save_level(pixels, (128, 128, 128))
    level = LevelArray(uri, cache=TileCache(2**26))
    assert level.chunks == ((3,), (97,), (128, 2))
    np.testing.assert_array_equal(level[1, :, 100:], pixels[1, :, 100:])
    np.testing.assert_array_equal(level[2, :, 100:], pixels[2, :, 100:])
    assert reads.boxes == [((0, 0, 0), (3, 97, 130))]


def test_swarms_of_tiny_tiles_are_read_in_blocks(save_level, reads):
    values = np.random.default_rng(3).integers(0, 255, (2, 3, 300, 260), np.uint8)
    uri = save_level(values, (4, 4, 4, 4))
    cache = TileCache(2**26)
    level = LevelArray(uri, cache=cache)
    assert level.chunks[2][:2] == (4, 4)
    np.testing.assert_array_equal(
        level[1, 2, 100:300, 50:250], values[1, 2, 100:300, 50:250]
    )
    assert cache.stats().misses < 30
    assert len(reads.boxes) == 1


def test_empty_views_read_nothing(level, reads):
    assert np.asarray(level[:, 5:5]).shape == (3, 0, 130)
    assert np.asarray(level[2:1, None]).shape == (0, 1, 97, 130)
    assert reads.boxes == []


def test_reads_of_more_than_the_limit_are_refused(make_level, reads):
    level = LevelArray(make_level((1, 2**18, 2**18), "uint8", (1, 512, 512)))
    with pytest.raises(ArgumentError, match=r"64\.0 GiB; at most 8 GiB.*smaller part"):
        np.asarray(level)
    assert reads.boxes == []


def test_sizes_beyond_64_bits_are_refused_too(make_level, reads):
    level = LevelArray(make_level((2, 2**40, 2**40), "uint8", (1, 512, 512)))
    assert level.size == 2**81
    with pytest.raises(ArgumentError, match="GiB are read at once"):
        np.asarray(level)
    assert reads.boxes == []


# Threads


def test_threads_that_ask_together_decode_a_tile_once(level, pixels, reads):
    n_threads = 6
    start = threading.Barrier(n_threads)
    failures = []

    def read(offset):
        start.wait(10)
        for shift in range(0, 40, 8):
            key = np.s_[:, shift : shift + 40, offset : offset + 60]
            try:
                np.testing.assert_array_equal(level[key], pixels[key])
            except AssertionError as err:
                failures.append(err)

    threads = [threading.Thread(target=read, args=(5 * i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    tiles = reads.tiles()
    assert len(tiles) == len(set(tiles))


def test_threads_read_right_while_tiles_come_and_go(level_uri, pixels):
    cache = TileCache(30 * TILE_BYTES)
    level = LevelArray(level_uri, cache=cache)
    failures = []

    def read(seed):
        rng = np.random.default_rng(seed)
        for _ in range(40):
            y, x = (int(n) for n in rng.integers(0, 60, 2))
            key = np.s_[seed % 3, y : y + 50, x : x + 60]
            if not np.array_equal(level[key], pixels[key]):
                failures.append(key)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        cache.clear()
        cache.evict(level_uri)
        level.close()
        time.sleep(0.002)
    assert failures == []
    assert cache.stats().nbytes <= cache.max_bytes


def test_waiting_threads_try_again_when_the_reader_fails(level, pixels, reads):
    failed, waiting = threading.Event(), threading.Event()
    errors, results = [], []

    def fail_once():
        if not failed.is_set():
            waiting.wait(10)
            failed.set()
            raise StorageError("disk on fire")

    reads.before = fail_once

    def first():
        with pytest.raises(StorageError, match="disk on fire") as caught:
            np.asarray(level[0])
        errors.append(caught)

    thread = threading.Thread(target=first)
    thread.start()
    while not level._cache._claims:
        time.sleep(0.001)
    other = threading.Thread(target=lambda: results.append(np.asarray(level[0])))
    other.start()
    while not level._cache.stats().waits:
        time.sleep(0.001)
    waiting.set()
    thread.join(10)
    other.join(10)
    assert len(errors) == 1
    np.testing.assert_array_equal(results[0], pixels[0])


# Snapshots and handles


def test_writes_show_after_refresh_in_all_views(save_level, overwrite, pixels, cache):
    uri = save_level(pixels, TILE)
    level = LevelArray(uri, cache=cache)
    view = level[1, ::2]
    np.testing.assert_array_equal(view, pixels[1, ::2])
    overwrite(uri, pixels + 1)
    np.testing.assert_array_equal(view, pixels[1, ::2])
    level.refresh()
    np.testing.assert_array_equal(view, pixels[1, ::2] + 1)
    np.testing.assert_array_equal(level, pixels + 1)


def test_a_level_opened_after_a_write_shows_it(save_level, overwrite, pixels, cache):
    uri = save_level(pixels, TILE)
    old = LevelArray(uri, cache=cache)
    np.asarray(old)
    overwrite(uri, pixels + 1)
    np.testing.assert_array_equal(LevelArray(uri, cache=cache), pixels + 1)
    np.testing.assert_array_equal(old, pixels)


def test_opening_again_finds_the_tiles_of_before(level_uri, cache, reads):
    np.asarray(LevelArray(level_uri, cache=cache)[0])
    gc.collect()
    np.asarray(LevelArray(level_uri, cache=cache)[0])
    assert len(reads.boxes) == 1


def test_timestamps_show_the_past(save_level, overwrite, pixels, cache):
    uri = save_level(pixels, TILE, timestamp=1000)
    overwrite(uri, pixels + 1, timestamp=2000)
    past = LevelArray(uri, cache=cache, timestamp_ms=1500)
    assert past.timestamp_ms == 1500
    np.testing.assert_array_equal(past, pixels)
    np.testing.assert_array_equal(LevelArray(uri, cache=cache), pixels + 1)


def test_refresh_of_a_replaced_level_says_what_changed(save_level, pixels):
    uri = save_level(pixels, TILE)
    level = LevelArray(uri, cache=TileCache(2**26))
    shutil.rmtree(uri)
    save_level(pixels[:, :50], TILE)
    level.refresh()
    with pytest.raises(
        StorageError, match=r"\(3, 97, 130\).*now it has.*\(3, 50, 130\)"
    ):
        np.asarray(level[0, 0])


def test_a_removed_level_says_so(save_level, pixels):
    uri = save_level(pixels, TILE)
    level = LevelArray(uri, cache=TileCache(2**26))
    shutil.rmtree(uri)
    with pytest.raises(DoesNotExistError, match=r"moved or removed"):
        np.asarray(level)
    level.close()
    with pytest.raises(DoesNotExistError, match=r"moved or removed"):
        np.asarray(level)


def test_levels_in_memory_are_read_too(save_level, pixels, cache):
    context = SOMATileDBContext()
    uri = f"mem://{uuid.uuid4()}"
    with tiledb.scope_ctx(context.tiledb_ctx(uri)):
        save_level(pixels, TILE, uri=uri)
    level = LevelArray(uri, context=context, cache=cache)
    np.testing.assert_array_equal(level[0], pixels[0])
    np.testing.assert_array_equal(level[0, ::2], pixels[0, ::2])
    assert cache.stats().misses == 12


def test_an_array_that_is_no_level_is_refused(make_level):
    with pytest.raises(FormatError, match="cannot be a level"):
        LevelArray(make_level((5, 7), "uint8", (4, 4), attribute="other"))


def test_views_share_one_handle_which_goes_with_the_last(level_uri, cache):
    before = open_handles()
    level = LevelArray(level_uri, cache=cache)
    view = level[0].T
    assert open_handles() == before + 1
    del level
    np.asarray(view)
    assert open_handles() == before + 1
    del view
    gc.collect()
    assert open_handles() == before


def test_close_frees_the_handle_and_reading_opens_it_again(level, pixels):
    before = open_handles()
    level.close()
    level.close()
    assert open_handles() == before - 1
    np.testing.assert_array_equal(level[1], pixels[1])


def test_pickled_by_address_at_the_same_snapshot(save_level, overwrite, pixels):
    uri = save_level(pixels, TILE)
    context = SOMATileDBContext({"sm.compute_concurrency_level": 1})
    view = LevelArray(uri, context=context)[1:, ::-3].T
    data = pickle.dumps(view)
    assert len(data) < 2000
    overwrite(uri, pixels + 1)
    again = pickle.loads(data)
    assert (again.shape, again.dtype, again.chunks) == (
        view.shape,
        view.dtype,
        view.chunks,
    )
    np.testing.assert_array_equal(again, pixels[1:, ::-3].T)
    again.refresh()
    np.testing.assert_array_equal(again, pixels[1:, ::-3].T + 1)
    tile_cache().evict(uri)


def test_pickling_holds_no_handle(level_uri):
    before = open_handles()
    data = pickle.dumps(LevelArray(level_uri)[0])
    gc.collect()
    assert open_handles() == before
    view = pickle.loads(data)
    assert open_handles() == before
    assert view.shape == (97, 130)


def test_deep_copies_read_the_same(level, pixels):
    np.testing.assert_array_equal(copy.deepcopy(level[0]), pixels[0])


def test_works_in_a_spawned_process(level_uri, pixels):
    view = LevelArray(level_uri)[2, 10:20, ::-7]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        read = pool.apply(np.asarray, (view,))
    np.testing.assert_array_equal(read, pixels[2, 10:20, ::-7])


def test_cells_are_read_into_memory_of_the_caller(level_uri, pixels):
    with LevelArray(level_uri) as level:
        view = level[1:, 5:40, ::2]
        out = np.empty(view.shape, view.dtype)
        assert view.read(cached=False, out=out) is out
        np.testing.assert_array_equal(out, pixels[1:, 5:40, ::2])
        with pytest.raises(ArgumentError, match="expected a C-contiguous array of"):
            view.read(out=out[:-1])
        with pytest.raises(ArgumentError, match="out has shape"):
            view.read(out=np.asfortranarray(out))
