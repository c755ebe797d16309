"""Tiles of TIFF: all pixels in order, however wide the image is, and none twice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_msimage.engines import (
    ExportSource,
    _export_blocks,
    _export_tiles,
    export_region,
)

CHANNEL = "soma_channel"
SIZES = {CHANNEL: 3, "z": 2, "y": 100, "x": 1300}


class Pixels:
    """Exported pixels that note the windows that are read."""

    def __init__(self, pixels, extents, firsts):
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.grid = tuple(map(_export_blocks.AxisGrid, self.shape, extents, firsts))
        self.windows = []
        self._pixels = pixels

    def read(self, window, out=None):
        self.windows.append(window)
        return self._pixels[tuple(slice(*bounds) for bounds in window)]


class Shaped(Pixels):
    """Pixels of which nothing but the shape is asked."""

    def __init__(self, shape, extents, dtype="uint8"):
        empty = np.broadcast_to(np.zeros((), dtype), shape)
        super().__init__(empty, extents, (0,) * len(shape))


@given(st.data())
@settings(deadline=None)
def test_tiles_are_all_pixels_in_order(data):
    n_lead, n_last = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 1))
    shape = tuple(data.draw(st.integers(1, 40)) for _ in range(2))
    shape = (*(2, 3)[:n_lead], *shape, *(3,) * n_last)
    extents = tuple(data.draw(st.integers(1, 40)) for _ in shape)
    firsts = tuple(data.draw(st.integers(0, 9)) for _ in shape)
    pixels = np.arange(math.prod(shape), dtype="uint16").reshape(shape)
    height, width = (data.draw(st.integers(1, 20)) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_export_tiles, "_ROW_BYTES", data.draw(st.integers(0, 2000)))
        patch.setattr(_export_tiles, "_READ_BYTES", data.draw(st.integers(1, 2000)))
        given_pixels = Pixels(pixels, extents, firsts)
        found = list(_export_tiles.tiles(given_pixels, n_lead, (height, width)))
    expected = [
        plane[top : top + height, left : left + width]
        for plane in pixels.reshape(-1, *shape[n_lead:])
        for top in range(0, len(plane), height)
        for left in range(0, plane.shape[1], width)
    ]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)
    read = sum(
        math.prod(stop - start for start, stop in w) for w in given_pixels.windows
    )
    assert read == pixels.size


@pytest.mark.parametrize(
    "axes",
    [("z", "y", "x"), (CHANNEL, "y", "x"), ("y", "x", CHANNEL), ("y", CHANNEL, "x")],
    ids="-".join,
)
@pytest.mark.parametrize("is_rgb", [False, True])
def test_rows_that_are_read_in_parts(tmp_path, monkeypatch, axes, is_rgb):
    monkeypatch.setattr(_export_tiles, "_ROW_BYTES", 1000)
    monkeypatch.setattr(_export_tiles, "_READ_BYTES", 1000)
    shape = [SIZES[name] for name in axes]
    pixels = np.random.default_rng(0).integers(0, 255, shape, "uint8")
    n = sum(name != CHANNEL for name in axes)
    source = ExportSource(
        "demo", (pixels,), axes, np.eye(n + 1), (None,) * n, is_rgb=is_rgb
    )
    path = export_region(source, tmp_path / "a.tif")[0]
    rows, columns = axes.index("y"), axes.index("x")
    last = [i for i in range(rows, len(axes)) if is_rgb and axes[i] == CHANNEL]
    first = [i for i in range(len(axes)) if i not in (rows, columns, *last)]
    expected = pixels.transpose([*first, rows, columns, *last])
    assert np.array_equal(tifffile.imread(path), expected)


def test_parts_of_wide_rows_are_whole_blocks_of_the_source():
    pixels = Shaped((1024, 1_000_000), (512, 512))
    assert _export_tiles.tile_shape(pixels, 0) == (512, 512)
    for _ in _export_tiles.tiles(pixels, 0, (512, 512)):
        pass
    edges = {
        bound for window in pixels.windows for bounds in window for bound in bounds
    }
    assert all(edge % 512 == 0 for edge in edges - {1_000_000})
    largest = max(math.prod(b - a for a, b in window) for window in pixels.windows)
    assert largest <= 12 * 2**20


@pytest.mark.parametrize(
    ("shape", "extents", "dtype", "size"),
    [
        ((8192, 8192, 3), (512, 512, 3), "uint8", (512, 512)),
        ((60000, 60000, 3), (512, 512, 3), "uint8", (512, 512)),
        ((60000, 60000, 3), (16, 60000, 3), "uint8", (64, 512)),
        ((100, 10**7), (1, 10**7), "float64", (16, 512)),
        ((50, 10**7), (1, 10**7), "uint8", (16, 512)),
        ((50, 20), (50, 20), "uint8", (64, 32)),
    ],
)
def test_tiles_are_low_where_blocks_of_the_source_are_wide(shape, extents, dtype, size):
    assert _export_tiles.tile_shape(Shaped(shape, extents, dtype), 0) == size
