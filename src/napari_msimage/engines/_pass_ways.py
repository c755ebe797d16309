"""Ways to make the levels of a pass, where the usual one takes too much."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from ._level_blocks import HEAVY_TILE_BYTES
from ._pass_geometry import Way

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._level_passes import PassRequest

#: Channels made together, in tiles of the source. Less than one tile means that it is
#: decoded for each group.
_GROUPS: Final = (4.0, 2.0, 1.0, 0.5, 1 / 3, 0.25)
#: Blocks that share a deep tile, for thinner bands.
_PARTS: Final = (1, 2, 4, 8)


def has_costly_tiles(request: PassRequest) -> bool:
    """Tell whether tiles of the source are such that it matters which way is taken.

    They hold several channels, are deep, or large.
    """
    channel, extents = request.channel_axis, request.source_extents
    if channel is not None and extents[channel] > 1 < request.source_shape[channel]:
        return True
    tile = math.prod(extents) * request.dtype.itemsize
    return tile >= HEAVY_TILE_BYTES and bool(_deep_axes(request))


def other_ways(request: PassRequest, levels: Sequence[int]) -> Iterator[Way]:
    """Yield the ways that there are besides the usual one.

    Parameters
    ----------
    request : PassRequest
        What is to be made.
    levels : sequence of int
        Which of its levels share a pass.
    """
    axis = _first_spatial(request)
    is_deep = bool(_deep_axes(request))
    for group in (None, *group_sizes(request, levels)):
        for parts in _PARTS if is_deep else _PARTS[:1]:
            yield Way(group, axis, parts=parts)
            yield Way(group, axis, in_pieces=True, parts=parts)


def _first_spatial(request: PassRequest) -> int:
    return 1 if request.channel_axis == 0 and len(request.source_shape) > 1 else 0


def group_sizes(request: PassRequest, levels: Sequence[int]) -> list[int]:
    """Return the numbers of channels that may be made together, fewer than all."""
    channel = request.channel_axis
    if channel is None:
        return []
    n = request.source_shape[channel]
    tile = min(request.source_extents[channel], n)
    if tile == 1:
        return []
    new = math.lcm(*(request.extents[level][channel] for level in levels))
    sizes = {max(1, int(part * tile) // new) * new for part in _GROUPS}
    return sorted((size for size in sizes if size < n), reverse=True)


def _deep_axes(request: PassRequest) -> list[int]:
    """Return the spatial axes, but for the last two, along which tiles are deep."""
    axes = [d for d in range(len(request.source_shape)) if d != request.channel_axis]
    return [axis for axis in axes[:-2] if request.source_extents[axis] > 1]
