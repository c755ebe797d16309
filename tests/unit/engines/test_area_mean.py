"""Area means equal the definition, whatever way they are computed."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_msimage.engines._area_mean import (
    AxisMean,
    area_mean,
    block_sums,
    pixel_area,
    to_mean,
)


def weights_by_definition(n_in: int, n_out: int) -> np.ndarray:
    """Overlap of [o, o + 1) * n_in / n_out with [i, i + 1), in exact arithmetic."""
    factor = Fraction(n_in, n_out)
    table = np.zeros((n_out, n_in))
    for o, i in itertools.product(range(n_out), range(n_in)):
        overlap = min((o + 1) * factor, i + 1) - max(o * factor, i)
        table[o, i] = max(0, overlap)
    return table


sizes = st.integers(1, 40).flatmap(
    lambda n_in: st.tuples(st.just(n_in), st.integers(1, n_in))
)


@given(sizes, st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_sums_equal_the_definition(size, seed):
    n_in, n_out = size
    pixels = np.random.default_rng(seed).integers(0, 256, (n_in, 3), np.uint8)

    sums = AxisMean(n_in, n_out).weighted_sum(pixels, 0, 0, (0, n_out), np.float64)

    np.testing.assert_allclose(sums, weights_by_definition(n_in, n_out) @ pixels)


@given(sizes, st.data())
@settings(max_examples=150, deadline=None)
def test_sums_of_neighbouring_blocks_add_up(size, data):
    n_in, n_out = size
    cut = data.draw(st.integers(0, n_in))
    pixels = np.random.default_rng(1).integers(0, 256, (2, n_in, 3), np.uint8)
    mean = AxisMean(n_in, n_out)
    added = np.zeros((2, n_out, 3))

    for start, stop in ((0, cut), (cut, n_in)):
        if start < stop:
            first, last = mean.touched(start, stop)
            added[:, first:last] += mean.weighted_sum(
                pixels[:, start:stop], 1, start, (first, last), np.float64
            )

    whole = mean.weighted_sum(pixels, 1, 0, (0, n_out), np.float64)
    np.testing.assert_allclose(added, whole)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_fast_way_equals_the_general_way(factor):
    n_out = 7
    pixels = np.random.default_rng(2).integers(0, 2**16, (5, n_out * factor), np.uint16)
    mean = AxisMean(n_out * factor, n_out)

    fast = mean.weighted_sum(pixels, 1, 0, (0, n_out), np.float64)
    # One output more than the block covers keeps the fast way from being taken.
    longer = AxisMean((n_out + 1) * factor, n_out + 1)
    general = longer.weighted_sum(pixels, 1, 0, (0, n_out + 1), np.float64)

    np.testing.assert_array_equal(fast, general[:, :n_out])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_mean_of_whole_blocks_equals_numpy(dtype):
    rng = np.random.default_rng(3)
    pixels = (rng.random((96, 136, 3)) * 250 - 20 * (dtype == "int16")).astype(dtype)

    mean = area_mean(
        pixels, [AxisMean(96, 24), AxisMean(136, 17)], (0, 0), [(0, 24), (0, 17)]
    )

    expected = pixels.reshape(24, 4, 17, 8, 3).astype(float).mean(axis=(1, 3))
    if dtype == "float32":
        np.testing.assert_allclose(mean, expected, rtol=1e-6)
    else:
        np.testing.assert_array_equal(mean, np.floor(expected + 0.5))
    assert mean.dtype == dtype


def test_extreme_values_survive():
    for dtype in ("uint8", "uint16", "int16", "uint32"):
        info = np.iinfo(dtype)
        for value in (info.min, info.max):
            pixels = np.full((64, 66), value, dtype)
            means = [AxisMean(64, 7), AxisMean(66, 9)]
            mean = area_mean(pixels, means, (0, 0), [(0, 7), (0, 9)])
            assert (mean == value).all(), (dtype, value)


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.5, 1), (1.5, 2), (-0.5, 0), (2.49, 2)]
)
def test_halves_are_rounded_upwards(value, rounded):
    sums = np.array([value * 4])

    assert to_mean(sums, 4.0, np.dtype(np.int16)) == rounded


def test_axes_after_the_given_ones_are_kept():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    means = [AxisMean(2, 1), AxisMean(4, 2)]

    sums = block_sums(pixels, means, (0, 0), [(0, 1), (0, 2)])

    np.testing.assert_array_equal(sums[0, 0], pixels[:, :2].sum(axis=(0, 1)))
    assert pixel_area(means) == 4
