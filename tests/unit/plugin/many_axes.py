"""Layers of many axes, and what is exported of them, for the tests about it."""

from __future__ import annotations

import threading

import dask.array as da
import numpy as np
import zarr
from napari.components import ViewerModel

from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_outline import level_box
from napari_msimage.plugin._region_frame import view_state
from napari_msimage.plugin._region_typed import whole_region

TZYX = (5, 4, 13, 17)


def numbered(shape, dtype=np.uint16):
    """Return an array in which every pixel has another value."""
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def viewer_with(*layers, order=None, step=None):
    viewer = ViewerModel()
    for layer in layers:
        viewer.add_layer(layer)
    if order is not None:
        viewer.dims.order = order
    if step is not None:
        viewer.dims.current_step = step
    viewer.canvas.size = (400, 400)
    viewer.reset_view()
    viewer.scene.camera.zoom /= 2  # everything is on the canvas
    return viewer


def pixels_of(export, region, level=0):
    """Return what is exported of a level."""
    source = export.source
    box = [slice(*bounds) for bounds in level_box(source, region, level)]
    if source.channel_axis is not None:
        n_channels = source.shape(level)[source.channel_axis]
        box.insert(source.channel_axis, slice(0, n_channels))
    return np.asarray(source.levels[level][tuple(box)])


def whole(layer, viewer, level=0, **options):
    """Return all pixels that are left of a layer."""
    export = layers_to_export([layer], view=view_state(viewer), **options)
    return pixels_of(export, whole_region(export.source), level)


class Untouchable:
    """An array-like that cannot be read."""

    def __init__(self, shape):
        self.shape, self.dtype, self.ndim = shape, np.dtype(np.uint8), len(shape)
        self.size = int(np.prod(shape))

    def __getitem__(self, key):
        raise AssertionError("a pixel was read")

    __array__ = __getitem__


class OneByOne:
    """An array-like of another library, which notes what is read, and by whom."""

    def __init__(self, pixels):
        self._pixels = pixels
        self.shape, self.dtype, self.ndim = pixels.shape, pixels.dtype, pixels.ndim
        self.keys = []
        self._lock = threading.Lock()

    def __getitem__(self, key):
        assert self._lock.acquire(blocking=False), "read by two threads at a time"
        try:
            self.keys.append(key)
            return self._pixels[key]
        finally:
            self._lock.release()


def as_zarr(pixels):
    return zarr.array(pixels, chunks=(1, 2, 8, 8))


def as_dask(pixels):
    return da.from_array(pixels, chunks=(2, 2, 8, 8))
