"""Contrast limits from pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_msimage.plugin import _contrast
from napari_msimage.plugin._contrast import find_contrast_limits


class CountingLevel:
    """A level of one value that counts what is read."""

    def __init__(self, shape):
        self.shape = shape
        self.n_read = 0

    def __getitem__(self, box):
        shape = tuple(s.stop - s.start for s in box)
        self.n_read += math.prod(shape)
        return np.arange(math.prod(shape), dtype="uint16").reshape(shape) % 1000


def test_outliers_do_not_count():
    cells = np.random.default_rng(1).integers(100, 200, (300, 400)).astype("uint16")
    cells[0, :5] = 60000
    cells[1, :5] = 0
    assert find_contrast_limits(cells) == (100.0, 199.0)


def test_few_bright_pixels_on_nothing_still_show():
    cells = np.zeros((300, 400), "uint16")
    cells[3, 4] = 700
    assert find_contrast_limits(cells) == (0.0, 700.0)


@pytest.mark.parametrize(
    ("value", "limits"),
    [(0, (0.0, 1.0)), (7, (0.0, 7.0)), (-3, (-3.0, 0.0))],
    ids=["zero", "positive", "negative"],
)
def test_a_constant_image_gets_proper_limits(value, limits):
    assert find_contrast_limits(np.full((5, 6), value, "int16")) == limits


def test_cells_never_written_do_not_count():
    cells = np.full((50, 60), 65535, "uint16")
    cells[:5] = np.arange(60)
    assert find_contrast_limits(cells)[1] < 60


def test_an_image_of_only_fill_values_gets_proper_limits():
    low, high = find_contrast_limits(np.full((5, 6), 65535, "uint16"))
    assert low < high


def test_not_finite_values_do_not_count():
    cells = np.linspace(0, 1, 1000).reshape(10, 100)
    cells[0, :3] = np.nan, np.inf, -np.inf
    low, high = find_contrast_limits(cells)
    assert 0 < low < high < 1


def test_nothing_finite_gives_the_unit_range():
    assert find_contrast_limits(np.full((2, 3), np.nan)) == (0.0, 1.0)


@pytest.mark.parametrize("shape", [(100001, 90007), (301, 40001, 30011), (1, 2**33)])
def test_large_levels_are_sampled(shape):
    level = CountingLevel(shape)
    low, high = find_contrast_limits(level)
    assert 0 <= low < high < 1000
    assert level.n_read <= 1.01 * _contrast._MAX_CELLS
