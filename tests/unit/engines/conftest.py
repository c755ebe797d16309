"""Levels that count what is read, for tests of the display."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest


class CountingLevel:
    """A level of made-up or given pixels that notes every window that is read.

    Parameters
    ----------
    shape : tuple of int
        Its shape; may be far larger than memory.
    dtype : str
        Its type.
    pixels : ndarray, optional
        Its pixels; by default they are computed from their position.
    tile : int
        Tile extent of the last two spatial axes.
    """

    def __init__(self, shape, dtype="uint8", *, pixels=None, tile=512, n_colours=0):
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)
        n_spatial = self.ndim - bool(n_colours)
        extents = ([1] * n_spatial + [tile] * 2)[-n_spatial:] + [1] * bool(n_colours)
        self.chunks = tuple(
            tuple(min(e, n - at) for at in range(0, n, e))
            for e, n in zip(extents, self.shape, strict=True)
        )
        self._pixels = pixels
        self.windows = []
        self.reads = []
        self.reads_here = []
        self.threads = set()
        self.n_waiting = 0
        self.gate = threading.Event()
        self.gate.set()

    @classmethod
    def of(cls, pixels, **kwargs):
        """Return a level with these pixels."""
        return cls(pixels.shape, pixels.dtype, pixels=pixels, **kwargs)

    def __getitem__(self, key):
        return _Window(self, key)

    def get(self, key):
        self.n_waiting += 1
        self.gate.wait(10)
        self.n_waiting -= 1
        self.windows.append(key)
        ranges = [r[k] for r, k in zip(map(range, self.shape), key, strict=True)]
        shape = tuple(map(len, ranges))
        self.reads.append(math.prod(shape) * self.dtype.itemsize)
        self.threads.add(threading.current_thread().name)
        if threading.current_thread() is threading.main_thread():
            self.reads_here.append(self.reads[-1])
        if self._pixels is not None:
            return self._pixels[key].copy()
        value = np.zeros(shape, self.dtype)
        for axis, r in enumerate(ranges):
            steps = np.arange(r.start, r.stop) // (16 * (axis + 1)) % 80
            value += steps.astype(self.dtype).reshape(
                (-1,) + (1,) * (self.ndim - axis - 1)
            )
        return value

    @property
    def nbytes_read(self):
        return sum(self.reads)


class _Window:
    def __init__(self, level, key):
        self._level, self._key = level, key

    def read(self, *, cached=True):
        return self._level.get(self._key)

    def __array__(self, dtype=None, copy=None):
        return self.read()


@pytest.fixture(name="CountingLevel")
def _counting_level():
    """Return the class of levels that count their reads."""
    return CountingLevel
