"""Contrast limits found in the pixels of the coarsest level."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

#: One cell in a thousand may be darker than black, one brighter than full colour.
_PERCENTILES: Final = (0.1, 99.9)
#: Levels with more cells are sampled: about this many cells in a grid of windows.
_MAX_CELLS: Final = 2**22
_WINDOWS_PER_AXIS: Final = 5


def find_contrast_limits(level: Any) -> tuple[float, float]:
    """Return the values to show as black and as full colour.

    The 0.1 and 99.9 percentiles of the level; its smallest and largest value where
    these are equal. Not-a-numbers, infinities and cells that were never written (the
    fill value: NaN, the lowest signed or the highest unsigned integer) do not count.
    A level of more than 4 million cells is sampled: 5 windows along each axis.

    Parameters
    ----------
    level : array-like
        The coarsest level of one channel, any number of axes.

    Returns
    -------
    tuple of float
        Finite, the first smaller than the second.
    """
    values = _usable_values(_sample(level))
    if values.size == 0:
        return (0.0, 1.0)
    low, high = (float(v) for v in np.percentile(values, _PERCENTILES))
    if low >= high:
        low, high = float(values.min()), float(values.max())
    if low >= high:
        low, high = min(low, 0.0), max(high, 0.0)
    if low >= high:
        high = low + 1.0
    return (low, high)


def _sample(level: Any) -> npt.NDArray[Any]:
    """Return the cells to look at, as one flat array."""
    shape = level.shape
    n_cells = 1
    for size in shape:
        n_cells *= int(size)
    if n_cells <= _MAX_CELLS:
        cells: npt.NDArray[Any] = np.asarray(level)
        return cells.ravel()
    windows = [_windows(int(size), len(shape)) for size in shape]
    return np.concatenate(
        [np.asarray(level[box]).ravel() for box in itertools.product(*windows)]
    )


def _windows(size: int, ndim: int) -> list[slice]:
    """Return windows, half-open, spread evenly along an axis of this size."""
    width = max(1, int(_MAX_CELLS ** (1 / ndim)) // _WINDOWS_PER_AXIS)
    if size <= width * _WINDOWS_PER_AXIS:
        return [slice(0, size)]
    starts = np.linspace(0, size - width, _WINDOWS_PER_AXIS).astype(int)
    return [slice(int(start), int(start) + width) for start in starts]


def _usable_values(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Drop cells that say nothing: not finite, or never written."""
    if values.dtype.kind == "f":
        finite: npt.NDArray[Any] = values[np.isfinite(values)]
        return finite
    info = np.iinfo(values.dtype)
    fill = info.max if values.dtype.kind == "u" else info.min
    written: npt.NDArray[Any] = values[values != fill]
    return written if written.size else values
