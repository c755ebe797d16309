"""Blocks in which exported pixels are read: along the blocks of their source."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._export_threads import in_order
from ._windows import window_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ._export_writers import ExportPixels
    from ._windows import Window

#: Blocks of a source that are so many times too large are read in parts.
_MOST_TIMES: Final = 4.0
_MOST_TIMES_OF_ROWS: Final = 1.5


@dataclasses.dataclass(frozen=True, slots=True)
class AxisGrid:
    """Where the blocks of a source lie along an axis of exported pixels."""

    size: int
    """Exported pixels."""
    extent: int
    """Pixels of each block of the source."""
    first: int = 0
    """Where the exported pixels begin in the source."""

    def cuts(self, extent: int) -> list[tuple[int, int]]:
        """Return half-open ranges that end at multiples of an extent in the source."""
        first = (self.first // extent + 1) * extent - self.first
        edges = range(first, self.size, extent)
        return list(zip([0, *edges], [*edges, self.size], strict=True))

    @property
    def whole(self) -> int:
        """An extent without a cut."""
        return self.first + self.size


def blocks(
    pixels: ExportPixels,
    max_bytes: int,
    *,
    n_whole: int = 0,
    n_single: int = 0,
    most_times: float = _MOST_TIMES,
) -> list[Window]:
    """Return windows that cover all pixels, none twice, in C order.

    They end where blocks of the source end, so that each of these is read once.

    Parameters
    ----------
    pixels : ExportPixels
        What is going to be read.
    max_bytes : int
        Most bytes of one window, if blocks of the source are not larger.
    n_whole : int
        Number of last axes that windows span, whatever that takes.
    n_single : int
        Number of first axes along which windows have one pixel.
    most_times : float
        Blocks of the source that are so many times too large are read in parts.
    """
    grid, itemsize = pixels.grid, pixels.dtype.itemsize
    n_axes = len(grid)
    extents = [axis.extent for axis in grid]
    for i in range(n_single):
        extents[i] = 1
    for i in range(n_axes - n_whole, n_axes):
        extents[i] = grid[i].whole
    sizes = [min(e, axis.size) for e, axis in zip(extents, grid, strict=True)]
    free = range(n_single, n_axes - n_whole)
    while free and math.prod(sizes) * itemsize > most_times * max_bytes:
        axis = max(free, key=sizes.__getitem__)
        if sizes[axis] == 1:
            break
        extents[axis] = sizes[axis] = -(-sizes[axis] // 2)
    for axis in reversed(free):
        rest = math.prod(n for i, n in enumerate(sizes) if i != axis)
        most = max_bytes // max(1, rest * itemsize)
        extents[axis] *= max(1, most // extents[axis])
        sizes[axis] = min(extents[axis], grid[axis].size)
        if sizes[axis] < grid[axis].size:
            break
        extents[axis] = grid[axis].whole
    return list(_products([a.cuts(e) for a, e in zip(grid, extents, strict=True)]))


def _products(cuts: Sequence[list[tuple[int, int]]]) -> Iterator[Window]:
    if not cuts:
        yield ()
        return
    for first in cuts[0]:
        for rest in _products(cuts[1:]):
            yield (first, *rest)


def bands(
    pixels: ExportPixels, row_axis: int, height: int, max_bytes: int
) -> Iterator[npt.NDArray[Any]]:
    """Yield all pixels in bands of rows, plane by plane, read ahead by a few threads.

    Parameters
    ----------
    pixels : ExportPixels
        What is read; its axes before `row_axis` number planes, C order.
    row_axis : int
        Axis of the rows.
    height : int
        Rows of a band; the last one of a plane may have fewer.
    max_bytes : int
        Of what is read at once, roughly.

    Yields
    ------
    ndarray, (height, ...)
        The axes from `row_axis` on.
    """
    n_rows = pixels.shape[row_axis]
    n_whole = len(pixels.shape) - 1 - row_axis
    # Whole rows of a wide image are much; to decode blocks twice costs less than
    # what is done with the pixels.
    choose = functools.partial(
        blocks, pixels, max_bytes, n_whole=n_whole, most_times=_MOST_TIMES_OF_ROWS
    )
    windows = choose()
    if not all(_is_in_order(window, pixels.shape, row_axis) for window in windows):
        windows = choose(n_single=row_axis)
    kept: list[npt.NDArray[Any]] = []
    n_kept = n_seen = 0
    for block in in_order(windows, pixels.read):
        for rows in block.reshape(-1, *block.shape[row_axis:]):
            at = 0
            while at < len(rows):
                part = rows[at : at + height - n_kept]
                at += len(part)
                kept.append(part)
                n_kept += len(part)
                n_seen += len(part)
                if n_kept == height or n_seen == n_rows:
                    band = kept[0] if len(kept) == 1 else np.concatenate(kept)
                    # Nothing is held longer than needed: bands can be large.
                    kept, n_kept = [], 0
                    del part
                    yield band
                    del band
            n_seen %= n_rows
        # Views keep all of their block in memory.
        kept = [one.copy() for one in kept]
        del block, rows


def _is_in_order(window: Window, shape: Sequence[int], row_axis: int) -> bool:
    """Tell whether a window has rows of one plane, or whole planes in C order."""
    sizes = window_shape(window)
    axis = next((i for i in range(row_axis) if sizes[i] > 1), row_axis)
    return axis == row_axis or all(
        sizes[i] == shape[i] for i in range(axis + 1, len(shape))
    )
