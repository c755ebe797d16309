"""Windows of a level: cut into pieces, mapped between levels, enlarged."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

#: Half-open bounds per axis, in the axis order of the arrays: (start, stop), ...
Window: TypeAlias = tuple[tuple[int, int], ...]


def whole_window(shape: Sequence[int]) -> Window:
    """Return the window of a whole level."""
    return tuple((0, int(n)) for n in shape)


def window_shape(window: Window) -> tuple[int, ...]:
    """Return the pixels per axis of a window."""
    return tuple(stop - start for start, stop in window)


def window_slices(
    window: Window, origin: Sequence[int] | None = None
) -> tuple[slice, ...]:
    """Return the slices of a window, relative to an origin if one is given."""
    offsets = origin or (0,) * len(window)
    return tuple(
        slice(start - at, stop - at)
        for (start, stop), at in zip(window, offsets, strict=True)
    )


def origin_of(window: Window) -> tuple[int, ...]:
    """Return the low corner of a window."""
    return tuple(start for start, _ in window)


def align_window(
    window: Window, extents: Sequence[int], shape: Sequence[int]
) -> Window:
    """Return the window grown to whole tiles."""
    return tuple(
        (start // extent * extent, min(-(-stop // extent) * extent, size))
        for (start, stop), extent, size in zip(window, extents, shape, strict=True)
    )


def tile_windows(
    window: Window, extents: Sequence[int], shape: Sequence[int]
) -> list[Window]:
    """Return the tiles that a window touches, nearest to its middle first."""
    counts = [
        range(start // extent, -(-stop // extent))
        for (start, stop), extent in zip(window, extents, strict=True)
    ]
    middle = [(r.start + r.stop - 1) / 2 for r in counts]
    grid = np.stack(np.meshgrid(*counts, indexing="ij"), -1).reshape(-1, len(window))
    order = np.argsort(((grid - middle) ** 2).sum(axis=1), kind="stable")
    return [
        tuple(
            (int(i) * extent, min((int(i) + 1) * extent, size))
            for i, extent, size in zip(index, extents, shape, strict=True)
        )
        for index in grid[order]
    ]


def split_window(
    window: Window, cost: Callable[[Window], int], max_cost: int
) -> Iterator[Window]:
    """Yield pieces that each cost no more, halving the costliest axis."""
    lengths = window_shape(window)
    if cost(window) <= max_cost or max(lengths) <= 1:
        yield window
        return
    halves = {axis: _halve(window, axis) for axis, n in enumerate(lengths) if n > 1}
    axis = min(halves, key=lambda a: cost(halves[a][0]))
    for half in halves[axis]:
        yield from split_window(half, cost, max_cost)


def _halve(window: Window, axis: int) -> tuple[Window, Window]:
    start, stop = window[axis]
    middle = (start + stop) // 2
    low = (*window[:axis], (start, middle), *window[axis + 1 :])
    high = (*window[:axis], (middle, stop), *window[axis + 1 :])
    return low, high


def map_window(
    window: Window, shape: Sequence[int], other_shape: Sequence[int]
) -> Window:
    """Return the pixels of another level below the pixel centres of a window."""
    return tuple(
        (_below(start, n, m), _below(stop - 1, n, m) + 1)
        for (start, stop), n, m in zip(window, shape, other_shape, strict=True)
    )


def _below(pixel: int, n: int, m: int) -> int:
    """Return the pixel, of m, that covers the centre of a pixel of n."""
    return (2 * pixel + 1) * m // (2 * n)


def enlarge(
    pixels: npt.NDArray[Any],
    window: Window,
    shape: Sequence[int],
    coarse_shape: Sequence[int],
) -> npt.NDArray[Any]:
    """Show a window of a coarser level at the size of a finer one (nearest pixel).

    Parameters
    ----------
    pixels : ndarray
        The coarser level in ``map_window(window, shape, coarse_shape)``.
    window : Window
        The window of the finer level.
    shape, coarse_shape : sequence of int
        Shapes of the finer and the coarser level.

    Returns
    -------
    ndarray
        In the shape of the window.
    """
    coarse = map_window(window, shape, coarse_shape)
    # From the last axis on: what is copied most, whole rows, is copied fastest.
    for axis in reversed(range(len(window))):
        (start, stop), n, m = window[axis], shape[axis], coarse_shape[axis]
        if n != m:
            centres = 2 * np.arange(start, stop, dtype=np.int64) + 1
            pixels = np.take(pixels, centres * m // (2 * n) - coarse[axis][0], axis)
    return pixels


def window_bytes(window: Window, dtype: np.dtype[Any]) -> int:
    """Return the bytes of the pixels of a window."""
    return math.prod(window_shape(window)) * dtype.itemsize
