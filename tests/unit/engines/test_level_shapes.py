"""Shapes of levels that an image lacks."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_msimage.engines import bytes_in_words
from napari_msimage.engines._level_shapes import (
    is_within,
    ladder,
    shapes_below,
    shapes_between,
    shapes_until,
)
from napari_msimage.engines._level_tiles import (
    TileWish,
    choose_extents,
    fitting_extent,
    tile_wishes,
)

sizes = st.integers(1, 300_000)
shapes = st.tuples(sizes, sizes, sizes)
factors = st.tuples(*[st.sampled_from([1, 2, 3, 4])] * 3).filter(lambda f: max(f) > 1)


@given(start=shapes, factors=factors, n_levels=st.integers(1, 12))
def test_levels_below_nest_and_shrink(start, factors, n_levels):
    found = shapes_below(start, factors, n_levels)

    assert len(found) <= n_levels
    for finer, coarser in pairwise([start, *found]):
        assert finer != coarser
        assert is_within(coarser, finer)
    for finer, coarser in pairwise(found):
        for a, b, f in zip(finer, coarser, factors, strict=True):
            assert a in (b * f, b)


@given(start=shapes, factors=factors, n_levels=st.integers(1, 12))
def test_an_axis_shrinks_by_its_factor_until_it_is_one_pixel(start, factors, n_levels):
    for k, shape in enumerate(shapes_below(start, factors, n_levels), start=1):
        for n, m, f in zip(start, shape, factors, strict=True):
            steps = min(k, int(math.log(n, f) + 1e-9)) if f > 1 else 0
            assert n / f**steps / 1.5 <= m <= max(1, n / f**steps * 1.5)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ((101, 101), [(51, 51)]),
        ((16384, 9000), [(8192, 4504), (4096, 2252), (2048, 1126), (1024, 563)]),
        ((40, 30), []),
    ],
    ids=["half up", "coarsest first", "small"],
)
def test_levels_until_the_longest_side_is_short(start, expected):
    longest = 1100 if max(start) > 1000 else 64
    assert shapes_until(start, (2, 2), longest, [0, 1]) == expected


def test_a_kept_axis_keeps_its_size():
    found = shapes_until((20, 5000, 3000), (1, 2, 2), 512, [1, 2])
    assert [shape[0] for shape in found] == [20] * 4


def test_a_thin_axis_stops_at_one_pixel():
    found = shapes_below((5, 4096, 4096), (2, 2, 2), 5)
    assert [shape[0] for shape in found] == [2, 1, 1, 1, 1]


def test_factors_that_are_not_whole():
    assert shapes_below((1000, 900), (1.5, 1.5), 3) == [
        (667, 600),
        (444, 400),
        (296, 267),
    ]


class TestGaps:
    def test_of_a_visium_image(self):
        found = shapes_between([(20001, 17999), (2000, 1800), (600, 540)], (2, 2))
        assert found == [(8000, 7200), (4000, 3600), (1200, 1080)]

    def test_steps_of_the_factor_are_no_gaps(self):
        assert shapes_between([(4001, 3003), (2000, 1501), (900, 700)], (2, 2)) == []

    def test_an_axis_that_did_not_shrink_stays(self):
        found = shapes_between([(9, 4096, 4096), (9, 512, 512)], (2, 2, 2))
        assert found == [(9, 2048, 2048), (9, 1024, 1024)]

    @given(finer=shapes, steps=st.tuples(*[st.integers(1, 60)] * 3), factors=factors)
    def test_lie_between(self, finer, steps, factors):
        coarser = tuple(max(1, n // k) for n, k in zip(finer, steps, strict=True))
        found = shapes_between(ladder([finer, coarser]), factors)
        for a, b in pairwise([finer, *found, coarser] if found else []):
            assert a != b
            assert is_within(b, a)


def test_ladder_leaves_out_levels_that_are_larger_along_an_axis():
    assert ladder([(100, 50), (90, 60), (50, 25), (50, 25)]) == [(100, 50), (50, 25)]


class TestTiles:
    @given(st.integers(257, 640), st.integers(0, 9))
    def test_a_level_made_by_doubling_is_filled_by_whole_tiles(self, coarsest, k):
        size = coarsest * 2**k
        extent = fitting_extent(size)
        assert size % extent == 0
        assert 256 <= extent <= 640

    @given(st.integers(641, 300_000))
    def test_the_rest_is_thin(self, size):
        assert size % fitting_extent(size) <= max(8, size // 250)

    def test_small_levels_keep_the_default(self):
        assert choose_extents((3, 300, 90), (1, 300, 90), (1, 512, 512), 0) == (
            1,
            300,
            90,
        )

    def test_channels_that_share_tiles_share_them_if_that_is_wanted(self):
        usual = (100, 900, 900), (1, 512, 512), (100, 128, 128), 0
        assert choose_extents(*usual) == (1, 450, 450)
        wish = TileWish(channels=4, edge=128)
        assert choose_extents(*usual, wish) == (4, 150, 150)

    def test_more_channels_to_a_tile_are_tried_last(self):
        wishes = tile_wishes(100, (128, 128), shares_channels=True)
        assert wishes[0] == TileWish()
        tried = [wish.channels for wish in wishes[1:]]
        assert set(tried) <= {1, 2, 4, 5, 10, 20, 25, 50, 100}
        assert tried[0] == 1
        assert 100 in tried

    def test_deep_tiles_make_deep_tiles(self):
        found = choose_extents((500, 4096, 4096), (1, 512, 512), (128, 128, 128), None)
        assert found == (20, 256, 256)


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "0.977 KiB"),
        (999.4 * 1024, "999 KiB"),
        (999.6 * 1024, "0.976 MiB"),
        (5000 * 2**40, "5,000 TiB"),
    ],
)
def test_bytes_in_words(n_bytes, words):
    assert bytes_in_words(n_bytes) == words
