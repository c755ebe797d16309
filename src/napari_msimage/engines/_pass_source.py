"""Reads a source whose tiles are costly: each tile once per job, its rest kept.

Blocks end just before the borders of tiles, or few pixels before them where sizes have
no whole ratio. Pixels are read up to the borders; the few that are left are kept for
the blocks that follow along each axis.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ._windows import window_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._level_shapes import Shape
    from ._windows import Window


class ReadableLevel(Protocol):
    """What is read here: the stored source, or a given one."""

    dtype: np.dtype[Any]

    def read(
        self, window: Window, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the pixels of a window, in the memory of `out` if that goes."""
        ...


def block_ranges(
    bounds: tuple[int, int], step: int, snap: int, sizes: tuple[int, int], coarse: int
) -> list[tuple[int, int]]:
    """Cut a range of the root along one axis into blocks.

    Parameters
    ----------
    bounds : (int, int)
        Half-open range, multiples of `coarse`.
    step : int
        Root pixels of a block, if it need not end at tiles of the source.
    snap : int
        Source pixels of whole tiles that a block ends with, 0 if it need not.
    sizes : (int, int)
        Size of the source and of the root along the axis.
    coarse : int
        Root pixels per pixel of the coarsest level; blocks are multiples of it.

    Returns
    -------
    list of (int, int)
        Half-open ranges, in order, that cover `bounds`.
    """
    start, stop = bounds
    if not snap:
        return [(at, min(at + step, stop)) for at in range(start, stop, step)]
    n, m = sizes
    first, last = start * n // m // snap, -(-stop * n // m) // snap
    ends = (k * snap * m // n // coarse * coarse for k in range(first, last + 1))
    inner = sorted({end for end in ends if start < end < stop})
    return list(pairwise([start, *inner, stop]))


def longest_block(
    step: int, snap: int, sizes: tuple[int, int], coarse: int, length: int
) -> int:
    """Return the most root pixels of a block that `block_ranges` makes of a length."""
    if not snap:
        return min(step, length)
    n, m = sizes
    return min(length, coarse * max(1, -(-snap * m // (n * coarse))))


class SourceTiles:
    """Reads boxes of a source, block after block in row-major order.

    Parameters
    ----------
    level : ReadableLevel
        The source.
    extents : tuple of int, (n_axes,)
        Its tile extents.
    snaps : sequence of bool, (n_axes,)
        Along which axes blocks end at tiles; see `block_ranges`.
    overlaps : sequence of bool, (n_axes,)
        Along which axes a pixel of the source may belong to two blocks.
    window : Window
        All that is read in the end, in source pixels, half-open.
    """

    def __init__(
        self,
        level: ReadableLevel,
        extents: Shape,
        snaps: Sequence[bool],
        overlaps: Sequence[bool],
        window: Window,
    ) -> None:
        self._level = level
        self._extents = extents
        self._snaps = tuple(snaps)
        self._overlaps = tuple(overlaps)
        self._stops = tuple(stop for _, stop in window)
        #: What is left over, by axis and place: where it begins, and its pixels.
        self._kept: dict[tuple[Any, ...], tuple[int, npt.NDArray[Any]]] = {}
        self._buffer = np.empty(0, level.dtype)
        self._fresh = np.empty(0, level.dtype)

    def read(self, box: Window) -> npt.NDArray[Any]:
        """Return the pixels of a box; they are valid until the next call."""
        whole = tuple(
            (a, min(-(-b // extent) * extent, stop) if snaps else b)
            for (a, b), extent, snaps, stop in zip(
                box, self._extents, self._snaps, self._stops, strict=True
            )
        )
        size = math.prod(window_shape(whole))
        if self._buffer.size < size:
            self._buffer = np.empty(size, self._level.dtype)
        pixels = self._buffer[:size].reshape(window_shape(whole))
        self._fill(0, whole, box, pixels)
        return pixels[tuple(slice(0, b - a) for a, b in box)]

    def _fill(
        self, axis: int, whole: Window, box: Window, out: npt.NDArray[Any]
    ) -> None:
        """Fill `out` with the pixels of `whole`, kept ones along an axis first."""
        if axis == len(whole):
            self._read(whole, out)
            return
        if not self._snaps[axis]:
            self._fill(axis + 1, whole, box, out)
            return
        start, end = whole[axis]
        place = (axis, *whole[:axis], *whole[axis + 1 :])
        had = start
        low, kept = self._kept.pop(place, (start, None))
        if kept is not None and low <= start <= low + kept.shape[axis]:
            had = min(low + kept.shape[axis], end)
            _rows(out, axis, 0, had - start)[...] = _rows(
                kept, axis, start - low, had - low
            )
        if had < end:
            rest = (*whole[:axis], (had, end), *whole[axis + 1 :])
            self._fill(axis + 1, rest, box, _rows(out, axis, had - start, end - start))
        first = max(start, box[axis][1] - self._overlaps[axis])
        if first < end and box[axis][1] < self._stops[axis]:
            self._kept[place] = (
                first,
                _rows(out, axis, first - start, end - start).copy(),
            )

    def _read(self, window: Window, out: npt.NDArray[Any]) -> None:
        if out.flags.c_contiguous:
            pixels = self._level.read(window, out)
        else:
            if self._fresh.size < out.size:
                self._fresh = np.empty(out.size, self._level.dtype)
            fresh = self._fresh[: out.size].reshape(out.shape)
            pixels = self._level.read(window, fresh)
        if pixels is not out:
            out[...] = pixels


def _rows(
    pixels: npt.NDArray[Any], axis: int, start: int, stop: int
) -> npt.NDArray[Any]:
    return pixels[(slice(None),) * axis + (slice(start, stop),)]
