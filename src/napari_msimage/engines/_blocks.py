"""Cut a level into the blocks in which it is written."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: One write call makes one fragment: 5 to 9 ms each, and reads suffer
#: above 64; blocks of whole tiles round the number up.
_MAX_FRAGMENTS: Final = 48
_MIN_BLOCK_BYTES: Final = 48 * 2**20
_MAX_BLOCK_BYTES: Final = 256 * 2**20
#: Blocks are cut along long axes first, down to this; then where most tiles are.
_PLANE_EDGE: Final = 2048


def plan_blocks(
    shape: Sequence[int], tile_extents: Sequence[int], itemsize: int
) -> list[tuple[slice, ...]]:
    """Cut a level into blocks of whole tiles: few, but small enough for memory.

    Parameters
    ----------
    shape : sequence of int
        Shape of the level.
    tile_extents : sequence of int
        Its tile extents.
    itemsize : int
        Bytes per pixel.

    Returns
    -------
    list of tuple of slice
        Half-open boxes in tile order; together they cover the level once.
    """
    total = math.prod(shape) * itemsize
    budget = min(max(total / _MAX_FRAGMENTS, _MIN_BLOCK_BYTES), _MAX_BLOCK_BYTES)
    tiles = [-(-size // tile) for size, tile in zip(shape, tile_extents, strict=True)]
    splits = [1] * len(shape)
    while True:
        edges = [
            -(-n // parts) * tile
            for n, parts, tile in zip(tiles, splits, tile_extents, strict=True)
        ]
        if math.prod(map(min, edges, shape)) * itemsize <= budget:
            break
        axis = _axis_to_split(edges, tile_extents)
        if axis is None:
            break
        # Skip numbers of parts that would give the same block size again.
        splits[axis] = -(-tiles[axis] // (edges[axis] // tile_extents[axis] - 1))
    starts = [range(0, size, edge) for size, edge in zip(shape, edges, strict=True)]
    return [
        tuple(
            slice(start, min(start + edge, size))
            for start, edge, size in zip(corner, edges, shape, strict=True)
        )
        for corner in product(*starts)
    ]


def _axis_to_split(edges: Sequence[int], tile_extents: Sequence[int]) -> int | None:
    """Choose the longest axis; below `_PLANE_EDGE` the one with the most tiles."""
    counts = [edge // tile for edge, tile in zip(edges, tile_extents, strict=True)]
    splittable = [axis for axis, count in enumerate(counts) if count > 1]
    long = [axis for axis in splittable if edges[axis] > _PLANE_EDGE]
    if long:
        return max(long, key=edges.__getitem__)
    return max(splittable, key=counts.__getitem__, default=None)
