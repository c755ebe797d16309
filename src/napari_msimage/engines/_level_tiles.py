"""Tile extents of new levels: such that whole tiles fill a level, where that goes."""

from __future__ import annotations

import dataclasses
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
#: Tiles of fewer cells take longer to read, for all that is done once for each.
_FEW_CELLS: Final = 2**16
_LEAST_CELLS: Final = 2**14
_EDGES: Final = (256, 128, 64, 32)
_DEPTHS: Final = (8, 4)
#: Channels that are made together get a fragment each, or each few of them.
_MAX_STREAMS: Final = 60
_MAX_LAYOUTS: Final = 14


@dataclasses.dataclass(frozen=True, slots=True)
class TileWish:
    """How large the tiles of new levels shall be; None for the usual size."""

    channels: int | None = None
    """Extent along the channel axis."""
    edge: int | None = None
    """Extent along the last two spatial axes, at most about this."""
    depth: int | None = None
    """Extent along the spatial axes before those, at most about this."""


def tile_wishes(
    n_channels: int, spatial_source_extents: Sequence[int], *, shares_channels: bool
) -> list[TileWish]:
    """Return sizes of tiles to try one after the other, the best to read first.

    Where tiles of the source hold many channels, or are deep, levels with the usual
    tiles may take too much memory or too many fragments to make.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    spatial_source_extents : sequence of int, (n_spatial,)
        Tile extents of the source along its spatial axes.
    shares_channels : bool
        Whether tiles of the source hold several channels.
    """
    if not shares_channels:
        edges = [TileWish(edge=edge) for edge in _EDGES[1:3]]
        if math.prod(spatial_source_extents[:-2]) == 1:
            return [TileWish(), *edges]
        depths = [TileWish(edge=e, depth=d) for d in _DEPTHS for e in _EDGES[:2]]
        return [TileWish(), *edges[:1], *depths]
    depth = min(_BEST_DEPTH, math.prod(spatial_source_extents[:-2]))
    wishes = []
    for channels in range(1, n_channels + 1):
        if n_channels % channels or 1 < channels < n_channels / _MAX_STREAMS:
            continue
        for edge in (_BEST, *_EDGES):
            cells = channels * depth * edge * edge
            if _LEAST_CELLS <= cells <= _MAX_CELLS:
                cost = channels * max(1, _FEW_CELLS / cells)
                wishes.append((cost, -edge, TileWish(channels, edge)))
    wishes.sort(key=lambda one: one[:2])
    found = [wish for *_, wish in wishes]
    # tiles of all channels take the least memory
    last = [wish for wish in found[_MAX_LAYOUTS:] if wish.channels == n_channels]
    return [TileWish(), *found[:_MAX_LAYOUTS], *last]


def choose_extents(
    shape: Shape,
    default: Sequence[int],
    source_extents: Sequence[int],
    channel_axis: int | None,
    wish: TileWish | None = None,
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
    wish : TileWish, optional
        Other sizes than the usual ones.
    """
    wish = wish or TileWish()
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
    if channel_axis is not None and wish.channels is not None:
        extents[channel_axis] = max(extents[channel_axis], wish.channels)
    if wish.depth is not None:
        for axis in spatial[:-2]:
            if extents[axis] > wish.depth:
                extents[axis] = fitting_extent(shape[axis], wish.depth)
    if wish.edge is not None:
        for axis in spatial[-2:]:
            if extents[axis] > wish.edge:
                extents[axis] = fitting_extent(shape[axis], wish.edge)
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
