"""Tiles of exported pixels, in the order in which TIFF stores them."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._export_blocks import bands
from ._export_threads import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ._export_writers import ExportPixels
    from ._windows import Window

#: Edge of the tiles.
_TILE: Final = 512
#: Edges of tiles are multiples of it.
_TILE_STEP: Final = 16
#: Bytes read at a time.
_READ_BYTES: Final = 12 * 2**20
#: Rows of tiles that are larger are read in parts; `bands` would read parts of blocks.
_ROW_BYTES: Final = 18 * 2**20


def most_tile_shape(shape: Sequence[int], row_axis: int) -> tuple[int, int]:
    """Return the largest height and width of tiles: smaller ones for small planes.

    Parameters
    ----------
    shape : sequence of int
        Of the pixels, in the order in which they are stored.
    row_axis : int
        Axis of the rows; columns follow.
    """
    rows, columns = (
        -(-n // _TILE_STEP) * _TILE_STEP for n in shape[row_axis : row_axis + 2]
    )
    return min(_TILE, rows), min(_TILE, columns)


def tile_shape(pixels: ExportPixels, row_axis: int) -> tuple[int, int]:
    """Return height and width of the tiles.

    Where blocks of the source are as wide as the pixels, tiles are as low as it takes
    to read a row of them at once: a part of it takes as long as all.

    Parameters
    ----------
    pixels : ExportPixels
        In the order in which they are stored.
    row_axis : int
        Axis of the rows; columns follow.
    """
    most, width = most_tile_shape(pixels.shape, row_axis)
    height = _TILE
    columns = pixels.grid[row_axis + 1]
    if columns.extent >= columns.size:
        while height > _TILE_STEP and _row_bytes(pixels, row_axis, height) > _ROW_BYTES:
            height //= 2
    return min(height, most), width


def tiles(
    pixels: ExportPixels, row_axis: int, size: tuple[int, int]
) -> Iterator[npt.NDArray[Any]]:
    """Yield all tiles, plane by plane, each in row-major order.

    Parameters
    ----------
    pixels : ExportPixels
        Its axes before `row_axis` number planes, C order.
    row_axis : int
        Axis of the rows; columns follow.
    size : (int, int)
        Height and width of the tiles.

    Yields
    ------
    ndarray, (height, width, ...)
        The axes from `row_axis` on; less at the ends of rows and columns.
    """
    height, width = size
    if _row_bytes(pixels, row_axis, height) <= _ROW_BYTES:
        parts = bands(pixels, row_axis, height, _READ_BYTES)
    else:
        parts = _parts_of_rows(pixels, row_axis, size)
    for part in parts:
        for left in range(0, part.shape[1], width):
            yield np.ascontiguousarray(part[:, left : left + width])


def _row_bytes(pixels: ExportPixels, row_axis: int, height: int) -> int:
    """Return the bytes of a row of tiles."""
    n_rows, *others = pixels.shape[row_axis:]
    return min(height, n_rows) * math.prod(others) * pixels.dtype.itemsize


def _parts_of_rows(
    pixels: ExportPixels, row_axis: int, size: tuple[int, int]
) -> Iterator[npt.NDArray[Any]]:
    """Yield rows of tiles in parts, some tiles each, read ahead by a few threads."""
    height, width = size
    n_rows, n_columns, *others = pixels.shape[row_axis:]
    tile_bytes = height * width * math.prod(others) * pixels.dtype.itemsize
    step = max(1, _READ_BYTES // tile_bytes) * width
    rest: Window = tuple((0, n) for n in others)

    def windows() -> Iterator[Window]:
        for plane in np.ndindex(pixels.shape[:row_axis]):
            lead = tuple((i, i + 1) for i in plane)
            for top, left in itertools.product(
                range(0, n_rows, height), range(0, n_columns, step)
            ):
                rows = (top, min(top + height, n_rows))
                columns = (left, min(left + step, n_columns))
                yield (*lead, rows, columns, *rest)

    for part in in_order(windows(), pixels.read):
        yield part.reshape(part.shape[row_axis:])
