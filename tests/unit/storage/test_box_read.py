"""Reading a box straight into a buffer."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tiledb

from napari_msimage.errors import SOMAError, StorageError
from napari_msimage.storage import SOMATileDBContext
from napari_msimage.storage._box_read import read_box


def open_array(uri, **settings):
    ctx = SOMATileDBContext(settings).tiledb_ctx(uri)
    return tiledb.open(uri, "r", ctx=ctx), ctx


@pytest.mark.parametrize("seed", range(8))
def test_box_equals_the_slice(level_uri, pixels, seed):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, pixels.shape)
    stop = rng.integers(start, pixels.shape) + 1
    array, ctx = open_array(level_uri)
    with array:
        out = np.empty(stop - start, pixels.dtype)
        read_box(array, ctx, level_uri, start.tolist(), stop.tolist(), out)
    box = tuple(map(slice, start, stop))
    np.testing.assert_array_equal(out, pixels[box])


def test_cells_never_written_have_the_fill_value(make_level):
    uri = make_level((10, 20), "int16", (5, 5))
    array, ctx = open_array(uri)
    with array:
        out = np.zeros((2, 3), np.int16)
        read_box(array, ctx, uri, (3, 4), (5, 7), out)
    assert (out == -(2**15)).all()


def test_too_little_memory_is_an_error(level_uri, pixels):
    array, ctx = open_array(level_uri, **{"sm.mem.total_budget": 1000})
    with array, pytest.raises(StorageError, match="memory"):
        read_box(array, ctx, level_uri, (0, 0, 0), pixels.shape, np.empty_like(pixels))


def test_array_that_was_removed_is_an_error(level_uri, pixels, tmp_path):
    uri = shutil.copytree(level_uri, tmp_path / "level")
    array, ctx = open_array(str(uri))
    shutil.rmtree(uri)
    with array, pytest.raises(SOMAError, match="Cannot read the array"):
        read_box(array, ctx, str(uri), (0, 0, 0), pixels.shape, np.empty_like(pixels))
