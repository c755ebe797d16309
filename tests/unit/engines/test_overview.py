"""What a display serves: exact pixels in the end, bounded reads all the time."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from napari_msimage.engines import (
    MAX_READ_BYTES,
    Progress,
    TileMaker,
    build_display,
    run,
)
from napari_msimage.engines._overview import BLOCK_BYTES
from napari_msimage.engines._stored_level import PIECE_BYTES
from napari_msimage.errors import StorageError
from napari_msimage.storage import TileCache


@pytest.fixture
def maker():
    maker = TileMaker()
    yield maker
    maker.join()
    names = [t.name for t in threading.enumerate()]
    assert "napari-msimage tiles" not in names


@pytest.fixture
def build(maker):
    displays = []

    def build(levels, *, cache=None, **kwargs):
        display = build_display(
            levels, cache=cache or TileCache(2**28), maker=maker, **kwargs
        )
        displays.append(display)
        return display

    yield build
    for display in displays:
        assert display.close()


@pytest.fixture
def small_limits(monkeypatch):
    """Make images of a few megapixels behave like ones of many gigabytes."""
    pyramid = "napari_msimage.engines._display_pyramid"
    monkeypatch.setattr(f"{pyramid}.MAX_COARSEST_BYTES", 2**14)
    monkeypatch.setattr(f"{pyramid}.MAX_COARSEST_SIDE", 64)
    monkeypatch.setattr(f"{pyramid}.OVERVIEW_SIDE", 32)
    monkeypatch.setattr("napari_msimage.engines._display.MEMORY_BYTES", 2**15)
    monkeypatch.setattr("napari_msimage.engines._display_tiles._TILE_SIDE", 64)
    monkeypatch.setattr("napari_msimage.engines._overview.BLOCK_BYTES", 2**14)
    monkeypatch.setattr("napari_msimage.engines._stored_level.PIECE_BYTES", 2**14)


def blockwise_mean(pixels, shape):
    """Area mean along axes that divide evenly, rounded half upwards; the reference."""
    split = []
    for n, m in zip(pixels.shape, shape, strict=True):
        split += [m, n // m]
    mean = (
        pixels.astype(float)
        .reshape(split)
        .mean(axis=tuple(range(1, 2 * len(shape), 2)))
    )
    return np.floor(mean + 0.5) if pixels.dtype.kind in "ui" else mean


def resampled_mean(pixels, shape):
    """Area mean for any ratio, by integrating and interpolating; the reference."""
    mean = pixels.astype(float)
    for axis, m in enumerate(shape):
        n = mean.shape[axis]
        total = np.insert(np.cumsum(mean, axis=axis), 0, 0, axis=axis)
        edges = np.arange(m + 1) * n / m
        below = np.minimum(np.floor(edges).astype(int), n - 1)
        part = (edges - below).reshape((-1,) + (1,) * (mean.ndim - axis - 1))
        low, high = np.take(total, below, axis), np.take(total, below + 1, axis)
        mean = np.diff(low + (high - low) * part, axis=axis) * m / n
    return mean


def settle(display, maker):
    assert maker.wait_idle(30)
    return display


# Exactness -------------------------------------------------------------------------


SMALL = {
    "even rgb": ((1024, 768, 3), "uint8", True),
    "odd rgb": ((1013, 771, 3), "uint8", True),
    "odd gray": ((1013, 771), "uint16", False),
    "float": ((640, 1000), "float32", False),
    "volume": ((9, 401, 350), "uint16", False),
    "cube": ((66, 71, 80), "uint8", False),
    "row": ((1, 70_000), "int16", False),
    "line": ((70_001,), "int16", False),
}


@pytest.mark.parametrize(("shape", "dtype", "rgb"), SMALL.values(), ids=SMALL)
def test_every_virtual_level_is_the_area_mean(
    shape, dtype, rgb, build, maker, small_limits, CountingLevel
):
    pixels = np.random.default_rng(5).integers(0, 30_000, shape).astype(dtype)
    level = CountingLevel.of(pixels, tile=64, n_colours=3 * rgb)
    display = build([level], rgb=rgb)
    assert len(display.levels) >= 3

    run(display.fill())
    for array in display.levels[1:]:
        for _ in range(2):  # the first time tiles are still missing
            shown = np.asarray(array)
            settle(display, maker)

        expected = resampled_mean(pixels, array.shape)
        tolerance = 1e-3 if dtype == "float32" else 0.5001
        assert np.abs(shown - expected).max() <= tolerance, array
        assert shown.dtype == dtype


def test_rounding_is_exact_where_levels_divide(
    build, maker, small_limits, CountingLevel
):
    pixels = np.random.default_rng(6).integers(0, 256, (1024, 512, 3), np.uint8)
    display = build([CountingLevel.of(pixels, tile=64, n_colours=3)], rgb=True)

    run(display.fill())
    for array in display.levels[1:]:
        np.asarray(array)
        settle(display, maker)
        np.testing.assert_array_equal(
            np.asarray(array), blockwise_mean(pixels, array.shape)
        )


def test_gap_between_stored_levels_is_closed(build, maker, small_limits, CountingLevel):
    pixels = np.random.default_rng(7).integers(0, 256, (1200, 1000), np.uint8)
    coarse = blockwise_mean(pixels, (75, 50)).astype(np.uint8)
    display = build(
        [CountingLevel.of(pixels, tile=64), CountingLevel.of(coarse, tile=64)]
    )
    is_virtual = [not array.is_stored for array in display.levels]

    run(display.fill())
    np.asarray(display.levels[1])
    settle(display, maker)

    assert is_virtual[:3] == [False, True, True]
    np.testing.assert_array_equal(
        np.asarray(display.levels[1]), blockwise_mean(pixels, (600, 500))
    )


def test_other_callers_get_exact_pixels_at_once(build, small_limits, CountingLevel):
    pixels = np.random.default_rng(8).integers(0, 256, (1024, 512), np.uint8)
    display = build([CountingLevel.of(pixels, tile=64)], is_viewer=lambda: False)

    window = display.levels[1][100:300, 7:250]

    expected = blockwise_mean(pixels, display.levels[1].shape)[100:300, 7:250]
    np.testing.assert_array_equal(np.asarray(window), expected)


@pytest.mark.parametrize(
    "key",
    [
        np.s_[3],
        np.s_[-1, 10:20],
        np.s_[..., 5],
        np.s_[5:1:-1, ::7],
        np.s_[4:4],
        np.s_[np.int64(2), np.int64(3) : np.int64(9)],
    ],
    ids=str,
)
def test_indexing_composes_like_numpy(key, build, small_limits, CountingLevel):
    pixels = np.random.default_rng(9).integers(0, 256, (12, 300, 400), np.uint8)
    display = build([CountingLevel.of(pixels, tile=64)])
    array = display.levels[0]

    once, twice = array[key], array[2:9, 10:200:3][key]

    assert once.shape == pixels[key].shape
    np.testing.assert_array_equal(np.asarray(once), pixels[key])
    np.testing.assert_array_equal(np.asarray(twice), pixels[2:9, 10:200:3][key])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (np.s_[12], "out of bounds"),
        (np.s_[0, 0, 0, 0], "too many indices"),
        (np.s_[..., ...], "one ellipsis"),
    ],
    ids=["bounds", "many", "ellipses"],
)
def test_bad_indices_are_refused(key, message, build, CountingLevel):
    array = build([CountingLevel((12, 300, 400))]).levels[0]

    with pytest.raises(IndexError, match=message):
        array[key]


def test_indexing_by_lists_is_refused(build, CountingLevel):
    array = build([CountingLevel((12, 300, 400))]).levels[0]

    with pytest.raises(TypeError, match="only integers, slices"):
        array[[1, 2]]


@pytest.mark.parametrize(
    ("shape", "rgb"),
    [((8191, 9000, 3), True), ((300, 4000, 5000), False), ((40, 30), False)],
    ids=["rgb", "volume", "tiny"],
)
def test_sample_is_small_and_from_all_over(shape, rgb, build, CountingLevel):
    level = CountingLevel(shape, "uint8", n_colours=3 * rgb)
    display = build([level], rgb=rgb)

    sample = display.sample()

    assert sample.shape[1:] == shape[len(shape) - rgb :]
    assert level.nbytes_read == sample.nbytes <= PIECE_BYTES
    assert len(level.reads) == 1 if max(shape) < 512 else len(level.reads) >= 8


# Bounds ----------------------------------------------------------------------------


def look(display, index, window):
    """Ask for a window as napari does: the visible rectangle first, then the plane."""
    slices = tuple(slice(np.int64(a), np.int64(b), 1) for a, b in window)
    return np.asarray(display.levels[index][slices][(slice(None),) * len(window)])


def test_opening_reads_nothing(build, CountingLevel):
    level = CountingLevel((2**20, 2**20, 3), n_colours=3)

    display = build([level], rgb=True)

    assert level.reads == []
    assert display.levels[0].size == 3 * 2**40


def test_a_large_window_is_read_behind_and_shown_from_the_next_level_meanwhile(
    build, maker, CountingLevel
):
    level = CountingLevel((32768, 32768, 3), n_colours=3)
    display = build([level], rgb=True)
    window = ((0, 8192), (0, 4096), (0, 3))

    shown = look(display, 0, window)
    settle(display, maker)
    sharp = look(display, 0, window)

    assert shown.shape == sharp.shape == (8192, 4096, 3)
    assert level.reads_here == []
    assert level.nbytes_read == sharp.nbytes > MAX_READ_BYTES
    np.testing.assert_array_equal(sharp, np.asarray(level[0:8192, 0:4096, 0:3]))


def test_half_of_it_is_read_at_once(build, CountingLevel):
    level = CountingLevel((32768, 32768, 3), n_colours=3)
    display = build([level], rgb=True)

    look(display, 0, ((0, 4096), (0, 4096), (0, 3)))

    assert level.reads_here == [3 * 4096**2]
    assert level.reads_here[0] <= MAX_READ_BYTES


@pytest.mark.parametrize("index", range(6))
def test_a_whole_level_never_reads_more_than_the_limit(
    index, build, maker, CountingLevel
):
    level = CountingLevel((32768, 32768, 3), n_colours=3)
    display = build([level], rgb=True)
    level.gate.clear()
    threading.Timer(0.2, level.gate.set).start()

    pixels = look(display, index, tuple((0, n) for n in display.levels[index].shape))

    assert pixels.shape == display.levels[index].shape
    assert level.reads_here == []
    # Beyond 256 MiB not even the array is made: one zero stands for all.
    assert pixels.strides == (0, 0, 0) or pixels.nbytes <= 4 * MAX_READ_BYTES


def test_what_is_too_large_to_show_is_told(build, CountingLevel):
    display = build([CountingLevel((32768, 32768, 3), n_colours=3)], rgb=True)
    changes = []
    display.subscribe(changes.append)

    look(display, 0, ((0, 32768), (0, 32768), (0, 3)))

    assert [(c.kind, c.level, c.nbytes) for c in changes] == [("refused", 0, 3 * 2**30)]
    assert display.finest_shown_whole() == 3


def test_the_cost_of_tiles_counts_not_the_pixels_shown(build, maker, CountingLevel):
    # A cut along y and z of a volume touches whole tiles for one column of each.
    level = CountingLevel((400, 8192, 8192), "uint16")
    display = build([level])
    level.gate.clear()

    pixels = look(display, 0, ((0, 400), (2000, 4000), (77, 78)))
    level.gate.set()
    settle(display, maker)
    sharp = look(display, 0, ((0, 400), (2000, 4000), (77, 78)))

    assert level.reads_here == []
    assert pixels.shape == sharp.shape == (400, 2000, 1)
    assert level.reads_here == []
    expected = np.asarray(level[0:400, 2000:4000, 77:78])
    np.testing.assert_array_equal(sharp, expected)


def test_each_block_of_background_work_is_small(build, maker, CountingLevel):
    level = CountingLevel((8192, 8192, 3), n_colours=3)
    other = CountingLevel((128, 128, 3), n_colours=3)
    display = build([level, other], rgb=True, n_sharing=2**20)

    look(display, 3, ((0, 512), (0, 512), (0, 3)))  # factor 8: 4096 x 4096 pixels
    settle(display, maker)

    assert level.nbytes_read >= 3 * 4096**2
    assert max(level.reads) <= PIECE_BYTES


# The pass --------------------------------------------------------------------------


def test_pass_reads_each_pixel_once_in_small_blocks_of_whole_tiles(
    build, CountingLevel
):
    level = CountingLevel((6000, 5000, 3), n_colours=3)
    display = build([level], rgb=True)

    steps = list(display.fill())

    assert level.nbytes_read == 6000 * 5000 * 3
    assert max(level.reads) <= BLOCK_BYTES
    assert steps[-1] == Progress(len(steps), len(steps))
    assert [s.done for s in steps] == list(range(1, len(steps) + 1))


def test_overview_fills_in_while_the_pass_runs(build, small_limits, CountingLevel):
    values = np.random.default_rng(4).integers(0, 256, (16, 16), np.uint8)
    pixels = np.kron(values, np.ones((64, 64), np.uint8))
    display = build([CountingLevel.of(pixels, tile=64)])
    overview = np.asarray(display.levels[-1])
    expected = blockwise_mean(pixels, overview.shape)

    shares = [(overview == expected).mean() for _ in display.fill()]

    assert shares[0] < 0.1
    assert 0.4 < shares[len(shares) // 2] < 0.6
    assert shares[-1] == 1


def test_a_block_stands_in_for_those_around_it(build, small_limits, CountingLevel):
    pixels = np.full((1024, 1024), 200, np.uint8)
    display = build([CountingLevel.of(pixels, tile=64)])
    overview = np.asarray(display.levels[-1])
    assert (overview == 0).all()

    next(display.fill())

    assert (overview == 200).all()


def test_the_pass_goes_first_where_one_looks(build, maker, small_limits, CountingLevel):
    level = CountingLevel((4096, 4096), tile=64)
    display = build([level])
    index = [p.in_memory for p in display.plans].index(True)
    n = display.plans[index].shape[0]
    window = ((n // 2, n // 2 + 8), (n // 4, n // 4 + 8))
    look(display, index, window)
    scale = 4096 // n
    engine = display.fill()

    next(engine)
    (y, x) = level.windows[0]

    assert y.start <= window[0][0] * scale < y.stop
    assert x.start <= window[1][0] * scale < x.stop
    engine.close()


def test_listeners_hear_of_each_block(build, small_limits, CountingLevel):
    display = build([CountingLevel((1024, 1024), tile=64)])
    changes = []
    display.subscribe(changes.append)
    first_in_memory = [p.in_memory for p in display.plans].index(True)

    n_blocks = len(list(display.fill()))

    assert [c.kind for c in changes] == ["filled"] * n_blocks
    assert {c.level for c in changes} == {first_in_memory}
    assert display.shows(first_in_memory, changes[0])
    assert not display.shows(first_in_memory - 1, changes[0])


def test_closing_ends_the_pass_after_the_running_block(build, CountingLevel):
    level = CountingLevel((32768, 32768, 3), n_colours=3)
    display = build([level], rgb=True)
    finished = []
    engine = display.fill()
    next(engine)
    level.gate.clear()
    thread = threading.Thread(target=lambda: finished.append(run(engine)))
    thread.start()

    assert not display.close(timeout=0.01)
    level.gate.set()
    assert display.close()
    thread.join(10)

    assert finished == [False]
    assert len(level.reads) <= 2


def test_a_closed_display_can_be_filled_again(build, small_limits, CountingLevel):
    pixels = np.full((1024, 1024), 90, np.uint8)
    display = build([CountingLevel.of(pixels, tile=64)])
    run(display.fill())
    display.close()
    assert not run(display.fill())

    display.open()
    assert run(display.fill())

    first_in_memory = [p.in_memory for p in display.plans].index(True)
    for array in display.levels[first_in_memory:]:
        assert (np.asarray(array) == 90).all()


def test_a_stored_overview_is_shown_until_the_pass_has_come_by(
    build, small_limits, CountingLevel
):
    fine = CountingLevel.of(np.full((2048, 2048), 10, np.uint8), tile=64)
    coarse = CountingLevel.of(np.full((32, 32), 99, np.uint8), tile=64)
    display = build([fine, coarse])
    index = max(i for i, p in enumerate(display.plans) if p.in_memory)

    before = np.asarray(display.levels[index]).copy()
    run(display.fill())

    assert (before == 99).all()
    assert (np.asarray(display.levels[index]) == 10).all()


def test_a_failing_store_is_raised_by_the_pass(build, CountingLevel):
    level = CountingLevel((8192, 8192))
    display = build([level])
    level.get = lambda _: (_ for _ in ()).throw(StorageError("the disk is gone"))

    with pytest.raises(StorageError, match="disk is gone"):
        run(display.fill())


# Tiles -----------------------------------------------------------------------------


def test_missing_tiles_show_the_coarser_level_and_are_made_behind(
    build, maker, CountingLevel
):
    fine = CountingLevel.of(np.full((4096, 4096), 10, np.uint8))
    coarse = CountingLevel.of(np.full((1024, 1024), 99, np.uint8))
    display = build([fine, coarse])
    changes = []
    display.subscribe(changes.append)
    window = ((100, 900), (200, 1300))

    before = look(display, 1, window)
    settle(display, maker)
    after = look(display, 1, window)

    assert (before == 99).all()
    assert (after == 10).all()
    assert fine.threads == {"napari-msimage tiles"}
    assert [(c.kind, c.level) for c in changes] == [("made", 1)] * 6


def test_a_cached_coarser_tile_is_better_than_the_overview(
    build, maker, small_limits, CountingLevel
):
    fine = CountingLevel.of(np.full((2048, 2048), 10, np.uint8), tile=64)
    display = build([fine])
    look(display, 2, ((0, 128), (0, 128)))
    settle(display, maker)
    fine.gate.clear()

    shown = look(display, 1, ((0, 128), (0, 128)))
    fine.gate.set()

    assert (shown == 10).all()


def test_tiles_live_in_the_budget_of_the_cache(build, maker, CountingLevel):
    cache = TileCache(2**28)
    display = build(
        [CountingLevel((8192, 8192)), CountingLevel((1024, 1024))], cache=cache
    )

    for at in range(0, 3072, 512):
        look(display, 1, ((at, at + 1024), (0, 4096)))
        settle(display, maker)

    assert cache.stats().n_tiles > 20
    display.close()
    assert cache.stats().n_tiles == 0


@pytest.mark.parametrize("n_tiles", [0, 1, 2, 5, 9])
def test_a_cache_too_small_for_the_view_makes_no_loop(
    n_tiles, build, maker, CountingLevel
):
    level = CountingLevel((8192, 8192))
    display = build(
        [level, CountingLevel((1024, 1024))], cache=TileCache(n_tiles * 512**2)
    )
    window = ((0, 2048), (0, 2048))  # 16 tiles
    repaints = 0

    def repaint(change):
        nonlocal repaints
        repaints += 1
        if repaints < 100:
            look(display, 1, window)

    display.subscribe(repaint)
    look(display, 1, window)
    settle(display, maker)
    for _ in range(10):
        look(display, 1, window)
        settle(display, maker)

    assert repaints <= n_tiles // 2
    assert len(level.reads) <= n_tiles // 2


def test_two_displays_that_share_a_small_cache_make_no_loop(maker, CountingLevel):
    cache = TileCache(16 * 512**2)
    levels = [CountingLevel((8192, 8192)) for _ in range(3)]
    displays = [
        build_display([level, CountingLevel((1024, 1024))], cache=cache, maker=maker)
        for level in levels
    ]
    window = ((0, 2048), (0, 1024))  # 8 tiles each, 16 fit
    for _ in range(20):
        for display in displays:
            look(display, 1, window)
        assert maker.wait_idle(30)

    assert all(len(level.reads) <= 8 for level in levels)
    assert all(display.close() for display in displays)


def test_moving_on_drops_what_is_no_longer_seen(build, maker, CountingLevel):
    level = CountingLevel((32768, 32768))
    display = build([level, CountingLevel((4096, 4096))])
    level.gate.clear()
    for at in range(0, 12_000, 1000):  # pan while the store is slow
        look(display, 1, ((at, at + 1024), (0, 1024)))
    level.gate.set()
    settle(display, maker)

    # One tile that was begun, and those of the last view.
    assert len(level.reads) <= 1 + 9


def test_tiles_near_the_middle_come_first(build, maker, CountingLevel):
    level = CountingLevel((32768, 32768))
    display = build([level, CountingLevel((4096, 4096))])
    made = []
    level_get = level.get

    def get(key):
        made.append((key[0].start, key[1].start))
        return level_get(key)

    level.get = get
    look(display, 1, ((0, 1536), (0, 1536)))
    settle(display, maker)

    assert made[0] == (1024, 1024)
    assert set(made[-4:]) == {(0, 0), (0, 2048), (2048, 0), (2048, 2048)}


def test_closing_waits_for_one_small_read_only(build, maker, CountingLevel):
    level = CountingLevel((65536, 65536))
    display = build([level, CountingLevel((1024, 1024))], n_sharing=2**20)
    level.gate.clear()
    look(display, 4, ((0, 2048), (0, 2048)))  # factor 16: 64 MiB of pixels a tile
    while not level.n_waiting:
        time.sleep(0.001)

    assert not display.close(timeout=0.01)
    level.gate.set()

    assert display.close()
    assert len(level.reads) == 1
    assert level.reads[0] <= PIECE_BYTES


def test_a_failing_tile_is_told_once_per_view(build, maker, CountingLevel):
    level = CountingLevel((8192, 8192))
    display = build([level, CountingLevel((1024, 1024))])
    level.get = lambda _: (_ for _ in ()).throw(StorageError("the disk is gone"))
    changes = []
    display.subscribe(changes.append)

    for _ in range(5):
        look(display, 1, ((0, 512), (0, 512)))
        settle(display, maker)

    assert [c.kind for c in changes] == ["failed"]
    assert "disk is gone" in str(changes[0].error)


def test_nothing_is_made_for_a_closed_display(build, maker, CountingLevel):
    level = CountingLevel((8192, 8192))
    display = build([level, CountingLevel((1024, 1024))])
    display.close()

    look(display, 1, ((0, 512), (0, 512)))
    settle(display, maker)

    assert level.reads == []


def test_repr_tells_stored_from_virtual(build, CountingLevel):
    display = build([CountingLevel((8192, 8192)), CountingLevel((2048, 2048))])

    assert "(4096, 4096) virtual, (2048, 2048)" in repr(display)
    assert "level 1, virtual" in repr(display.levels[1])


def test_a_pickled_stored_level_is_the_level_itself(tmp_path, small_limits):
    import pickle

    from napari_msimage.engines import build_display
    from napari_msimage.storage import DenseNDArray, LevelArray

    uri = str(tmp_path / "level")
    pixels = np.random.default_rng(3).integers(0, 256, (300, 400), np.uint8)
    with DenseNDArray.create(uri, type=pixels.dtype, shape=pixels.shape) as array:
        array.write((), pixels)
    display = build_display([LevelArray(uri)], rgb=False)
    view = display.levels[0][::-2, 5:].transpose()

    copy = pickle.loads(pickle.dumps(view))

    assert isinstance(copy, LevelArray)
    np.testing.assert_array_equal(np.asarray(copy), pixels[::-2, 5:].T)


def test_a_virtual_level_cannot_be_pickled(build, small_limits, CountingLevel):
    import pickle

    display = build([CountingLevel((1200, 1600))])
    assert not display.levels[-1].is_stored

    with pytest.raises(TypeError, match="made for the display only"):
        pickle.dumps(display.levels[-1])
