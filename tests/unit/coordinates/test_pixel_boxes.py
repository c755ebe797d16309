"""Which pixels of a level a region covers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_msimage.coordinates import pixel_box
from napari_msimage.errors import RegionError


@pytest.mark.parametrize(
    ("lower", "upper", "level", "expected"),
    [
        ((0, 0), (10, 20), (10, 20), ((0, 10), (0, 20))),
        ((2, 3), (4, 5), (10, 20), ((2, 4), (3, 5))),
        ((2.2, 3.7), (4.1, 5.5), (10, 20), ((2, 5), (3, 6))),
        ((-5, 15), (3, 100), (10, 20), ((0, 3), (15, 20))),
        ((2, 4), (6, 8), (5, 10), ((1, 3), (2, 4))),
        ((3, 5), (7, 9), (3, 7), ((0, 3), (1, 4))),
    ],
)
def test_partly_covered_pixels_are_included(lower, upper, level, expected):
    assert pixel_box(lower, upper, (10, 20), level) == expected


@pytest.mark.parametrize("off", [1e-7, -1e-7, 9e-7, -9e-7])
def test_bounds_near_an_edge_of_a_pixel_are_on_it(off):
    box = pixel_box((2 + off, 3 + off), (4 + off, 6 - off), (10, 20), (10, 20))
    assert box == ((2, 4), (3, 6))


@pytest.mark.parametrize(("off", "expected"), [(1.1e-6, 5), (-1.1e-6, 4)])
def test_bounds_farther_from_an_edge_are_not(off, expected):
    assert pixel_box((2,), (4 + off,), (10,), (10,)) == ((2, expected),)


def test_snapping_is_in_pixels_of_the_level():
    # 4e-6 of the finest level are 1e-6 of this one.
    assert pixel_box((0,), (8 + 3.9e-6,), (16,), (4,)) == ((0, 2),)
    assert pixel_box((0,), (8 + 4.4e-6,), (16,), (4,)) == ((0, 3),)


@pytest.mark.parametrize(
    ("low", "high", "pixel"),
    [(3.2, 3.4, 3), (3 - 1e-8, 3 + 1e-7, 3), (10 - 1e-7, 10 - 1e-8, 9), (0, 1e-9, 0)],
)
def test_a_region_within_a_pixel_gives_that_pixel(low, high, pixel):
    assert pixel_box((low,), (high,), (10,), (10,)) == ((pixel, pixel + 1),)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bounds_that_are_not_finite_are_refused(bad):
    with pytest.raises(RegionError, match="along y; expected finite numbers"):
        pixel_box((bad, 0), (4, 4), (10, 10), (10, 10), axis_names=("y", "x"))
    with pytest.raises(RegionError, match="expected finite numbers"):
        pixel_box((0, 0), (4, bad), (10, 10), (10, 10))


@pytest.mark.parametrize("high", [2, 1])
def test_a_region_without_extent_is_refused(high):
    with pytest.raises(RegionError, match="no extent along x: it runs from 2"):
        pixel_box((0, 2), (4, high), (10, 10), (10, 10), axis_names=("y", "x"))


@pytest.mark.parametrize(
    ("low", "high"), [(10, 12), (20, 30), (-5, 0), (-5, -1), (10 - 1e-7, 30)]
)
def test_a_region_outside_says_where_it_is_and_where_the_image_is(low, high):
    with pytest.raises(RegionError, match=r"y .* to .*lies outside .*y 0 to 10, x 0"):
        pixel_box((low, 0), (high, 4), (10, 8), (5, 4), axis_names=("y", "x"))


def test_a_region_with_other_axes_is_refused():
    with pytest.raises(RegionError, match="2 spatial axes"):
        pixel_box((0, 0, 0), (1, 1, 1), (10, 10), (10, 10))


sizes = st.integers(1, 2**31)


@given(st.data(), sizes)
def test_whole_pixels_of_a_level_give_themselves(data, level_size):
    """Whatever the ratio of the levels, though the bounds are rounded numbers."""
    finest = data.draw(st.integers(level_size, min(2**31, level_size * 64)))
    start = data.draw(st.integers(0, level_size - 1))
    stop = data.draw(st.integers(start + 1, level_size))
    low, high = start * finest / level_size, stop * finest / level_size
    assert pixel_box((low,), (high,), (finest,), (level_size,)) == ((start, stop),)


@given(
    st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.integers(1, 900), st.integers(1, 900)
)
def test_the_box_is_the_smallest_one_that_covers(low, extent, finest, level_size):
    high = low + extent
    scale = level_size / finest
    covered = [
        i
        for i in range(level_size)
        if i + 1 > low * scale + 2e-6 and i < high * scale - 2e-6
    ]
    touched = [
        i
        for i in range(level_size)
        if i + 1 > low * scale - 2e-6 and i < high * scale + 2e-6
    ]
    try:
        ((start, stop),) = pixel_box((low,), (high,), (finest,), (level_size,))
    except RegionError:
        assert not covered
        return
    assert set(covered) <= set(range(start, stop)) <= set(touched)
    assert 0 <= start < stop <= level_size


@given(st.floats(-np.pi, np.pi), st.integers(0, 50), st.integers(1, 50))
def test_a_rotation_and_back_adds_no_pixel(angle, start, size):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[start, start], [start + size, start + size]], float)
    back = corners @ turn.T @ turn
    box = pixel_box(back[0], back[1], (200, 200), (200, 200))
    assert box == ((start, start + size),) * 2
