"""Tile extents of new levels: such that whole tiles fill a level, where that goes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._level_shapes import Shape

_BEST: Final = 512
#: A tile of a deep source is decoded whole, so that new tiles are deep as well.
_BEST_DEPTH: Final = 16
_BEST_DEEP_EDGE: Final = 256
_MAX_CELLS: Final = 2**21
#: More channels than this are stored several to a tile if the source does so too:
#: channels that are read together are written to one fragment each.
_MAX_STREAMS: Final = 40


def choose_extents(
    shape: Shape,
    default: Sequence[int],
    source_extents: Sequence[int],
    channel_axis: int | None,
) -> tuple[int, ...]:
    """Return the tile extents for a new level.

    TileDB writes whole tiles as one long stream; a level whose sides are multiples of
    the extents needs nothing else. Extents of 256 to 640 pixels read alike.

    Parameters
    ----------
    shape : tuple of int, (n_axes,)
        Shape of the level, data axis order.
    default : sequence of int, (n_axes,)
        What the storage room would choose.
    source_extents : sequence of int, (n_axes,)
        Tile extents of the level that it is made from.
    channel_axis : int or None
        Position of the channel axis.
    """
    extents = list(default)
    spatial = [axis for axis in range(len(shape)) if axis != channel_axis]
    for axis in spatial[-2:]:
        if default[axis] == _BEST < shape[axis]:
            extents[axis] = fitting_extent(shape[axis])
    for axis in spatial[:-2]:
        if source_extents[axis] > extents[axis] == 1:
            depth = min(source_extents[axis], _BEST_DEPTH)
            extents[axis] = fitting_extent(shape[axis], depth)
            for plane_axis in spatial[-2:]:
                extents[plane_axis] = fitting_extent(shape[plane_axis], _BEST_DEEP_EDGE)
    if channel_axis is not None and source_extents[channel_axis] > 1:
        extents[channel_axis] = max(
            extents[channel_axis], -(-shape[channel_axis] // _MAX_STREAMS)
        )
    edge = _BEST_DEEP_EDGE
    while math.prod(extents) > _MAX_CELLS and edge > 1:
        edge //= 2
        for axis in spatial[-2:]:
            extents[axis] = fitting_extent(shape[axis], edge)
    return tuple(extents)


def fitting_extent(size: int, best: int = _BEST) -> int:
    """Return the extent that leaves the smallest rest of a size.

    It is between half and 1.25 times the best one, and nearest to that among equals.

    >>> fitting_extent(8192), fitting_extent(8208), fitting_extent(8191)
    (512, 513, 546)
    """
    largest = best + best // 4
    if size <= largest:
        return size
    return min(
        range(-(-best // 2), largest + 1), key=lambda e: (size % e, abs(e - best))
    )
