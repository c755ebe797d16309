"""Coarser levels of labels: each pixel is one of those that it covers, never a mean.

It is the one that holds the centre of the area, of two the lower: what the levels that
are made with the method "stride" hold too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._windows import Window, origin_of, window_slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._overview import MemoryLevel
    from ._stored_level import StoredLevel


def nearest_pixels(n_in: int, n_out: int, start: int, stop: int) -> npt.NDArray[Any]:
    """Return which finer pixels coarser ones ``[start, stop)`` are.

    Parameters
    ----------
    n_in, n_out : int
        Pixels of the finer and of the coarser level along the axis.
    start, stop : int
        Pixels of the coarser level.

    Returns
    -------
    ndarray of int64, (stop - start,)
        Rising.
    """
    twice_centres = 2 * np.arange(start, stop, dtype=np.int64) + 1
    return (twice_centres * n_in - 1) // (2 * n_out)


def nearest_window(
    pixels: npt.NDArray[Any],
    source: Window,
    window: Window,
    source_shape: Sequence[int],
    shape: Sequence[int],
) -> npt.NDArray[Any]:
    """Return a window of a coarser level, picked from pixels of the finer one.

    Parameters
    ----------
    pixels : ndarray
        The finer level in `source`, which covers the window.
    source, window : Window
        Windows of the finer and of the coarser level.
    source_shape, shape : sequence of int, (n_axes,)
        Shapes of the two levels.
    """
    origin = origin_of(source)
    for axis, (start, stop) in enumerate(window):
        rows = nearest_pixels(source_shape[axis], shape[axis], start, stop)
        pixels = np.take(pixels, rows - origin[axis], axis)
    return pixels


class NearestFiller:
    """Fills one level in memory with pixels of the finer one, block by block.

    Parameters
    ----------
    source : StoredLevel
        What the pass reads.
    level : MemoryLevel
        The level to fill.
    """

    def __init__(self, source: StoredLevel, level: MemoryLevel) -> None:
        self._level = level
        self._source_shape = source.shape
        self._rows = [
            nearest_pixels(n, m, 0, m)
            for n, m in zip(source.shape, level.shape, strict=True)
        ]
        self._middle: Any = 0

    def sums_of(self, pixels: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
        """Return a block as `add` takes it: as it is."""
        return pixels

    def add(self, pixels: npt.NDArray[Any], window: Window) -> None:
        """Write the pixels whose centre lies in a block."""
        outputs = self._inside(window)
        self._level.buffer[window_slices(outputs)] = nearest_window(
            pixels, window, outputs, self._source_shape, self._level.shape
        )
        self._middle = pixels[tuple(n // 2 for n in pixels.shape)]

    def mean_in(self, window: Window) -> Any:
        """Return what stands for the block that was added last: its middle pixel."""
        return self._middle

    def stand_in(self, window: Window, value: Any) -> None:
        """Fill the pixels of a block that was not read yet."""
        self._level.buffer[window_slices(self._inside(window))] = value

    def _inside(self, window: Window) -> Window:
        """Return the pixels of the level whose centre lies in a window."""
        return tuple(
            (int(np.searchsorted(rows, start)), int(np.searchsorted(rows, stop)))
            for rows, (start, stop) in zip(self._rows, window, strict=True)
        )
