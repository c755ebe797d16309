"""Reading a selection of cells: from cached tiles, or exactly the cells asked for."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from ..errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ._array_pool import PooledArray
    from ._selection import Selection
    from ._tile_cache import TileCache, TileGroup, TileKey

    Tile: TypeAlias = tuple[int, ...]

#: More than this is refused: it would not fit in the memory of most machines.
MAX_READ_BYTES: Final = 8 * 2**30
#: Size of one request to TileDB; tiles that are read together are freed together.
_BUFFER_BYTES: Final = 16 * 2**20
#: A larger tile is not cached: it would push out too many others.
_MAX_TILE_BYTES: Final = 64 * 2**20
#: tiledbsoma's default for four axes is 256 cells a tile, which makes thousands of
#: tiles per screen: levels of so many, so small tiles are cached in blocks of tiles.
_SMALL_TILE_CELLS: Final = 1024
_MANY_TILES: Final = 4096
_BLOCK_CELLS: Final = 2**15
_FEW_CHANNELS: Final = 16


def read_selection(
    array: PooledArray,
    selection: Selection,
    cache: TileCache,
    out: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """Read the cells of a selection.

    Tiles are read whole, once, and kept in the cache, unless they are many or large
    measured by its budget: then only the cells between the first and the last position
    are read, and nothing is kept.

    Parameters
    ----------
    array : PooledArray
        The open array.
    selection : Selection
        Within its shape.
    cache : TileCache
        With a budget of 0 nothing is kept.
    out : ndarray, optional
        Where the cells go: in the shape of the selection, C-contiguous, of the
        array's type.

    Returns
    -------
    ndarray
        `out`, or an array of the caller's own, writeable and C-contiguous.

    Raises
    ------
    ArgumentError
        If the result is larger than `MAX_READ_BYTES`, or `out` does not fit.
    DoesNotExistError, StorageError
        See `PooledArray.read_box`.
    """
    dtype = array.facts.dtype
    nbytes = selection.size * dtype.itemsize
    if nbytes > MAX_READ_BYTES:
        msg = (
            f"Reading {selection.shape!r} cells of {array.uri!r} would take "
            f"{nbytes / 2**30:,.1f} GiB; at most {MAX_READ_BYTES / 2**30:g} GiB are "
            "read at once. Index a smaller part, or use a coarser level."
        )
        raise ArgumentError(msg)
    # In the order of the view, so that a viewer can upload interleaved channels as
    # they are: numpy takes 7 times longer to interleave them afterwards.
    result = np.empty(selection.shape, dtype) if out is None else out
    if (result.shape, result.dtype) != (selection.shape, dtype) or not (
        result.flags.c_contiguous
    ):
        msg = (
            f"out has shape {result.shape} and type {result.dtype}; expected a "
            f"C-contiguous array of {selection.shape} and {dtype}"
        )
        raise ArgumentError(msg)
    if not selection.size:
        return result
    ranges = selection.sorted_ranges
    extents = block_extents(array.facts.shape, array.facts.tile_extents)
    cells = selection.in_array_order(result)
    if _is_cacheable(array, ranges, extents, cache.max_bytes):
        _read_cached(array, ranges, extents, cache, cells)
    else:
        _read_exactly(array, ranges, extents, cells)
    return result


@functools.lru_cache(maxsize=256)
def block_extents(
    shape: tuple[int, ...], tile_extents: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the extents of the blocks that are read and kept: one tile, or several.

    Parameters
    ----------
    shape, tile_extents : tuple of int, (n_dims,)
        Data axis order.
    """
    extents = [min(e, n) for e, n in zip(tile_extents, shape, strict=True)]
    n_tiles = math.prod(-(-n // e) for e, n in zip(extents, shape, strict=True))
    if math.prod(tile_extents) >= _SMALL_TILE_CELLS or n_tiles <= _MANY_TILES:
        return tuple(extents)
    # The last two axes are the ones that a viewer pans along.
    last = range(len(shape))[-2:]
    while math.prod(extents) < _BLOCK_CELLS:
        growing = [dim for dim in last if extents[dim] < shape[dim]]
        if not growing:
            break
        extents[min(growing, key=lambda dim: extents[dim])] *= 2
    return tuple(extents)


def _is_cacheable(
    array: PooledArray, ranges: Sequence[range], extents: Sequence[int], budget: int
) -> bool:
    itemsize = array.facts.dtype.itemsize
    if math.prod(extents) * itemsize > min(_MAX_TILE_BYTES, budget // 8):
        return False
    touched = itemsize
    for r, extent, size in zip(ranges, extents, array.facts.shape, strict=True):
        if r.step > extent:
            touched *= len(r) * extent
        else:
            touched *= (
                min((r[-1] // extent + 1) * extent, size) - r[0] // extent * extent
            )
    return touched <= budget // 2


# From tiles ---------------------------------------------------------------------


def _read_cached(
    array: PooledArray,
    ranges: Sequence[range],
    extents: Sequence[int],
    cache: TileCache,
    out: npt.NDArray[Any],
) -> None:
    """Fill `out` from whole tiles, reading and keeping those that are missing."""
    uri, snapshot, shape = array.uri, array.snapshot, array.facts.shape
    fresh: set[TileKey] = set()

    def make(keys: list[TileKey]) -> Iterator[TileGroup]:
        max_cells = _BUFFER_BYTES // out.itemsize
        for first, last in group_tiles([key[2] for key in keys], extents, max_cells):
            start = tuple(t * e for t, e in zip(first, extents, strict=True))
            stop = tuple(
                min((t + 1) * e, n)
                for t, e, n in zip(last, extents, shape, strict=True)
            )
            buffer = np.empty(
                [b - a for a, b in zip(start, stop, strict=True)], out.dtype
            )
            array.read_box(start, stop, buffer)
            # Straight from the buffer: one copy where tile by tile would be many.
            _paste(buffer, start, ranges, out)
            tiles = {
                (uri, snapshot, tile): buffer[_slices_in(tile, first, extents)]
                for tile in _tiles_between(first, last)
            }
            fresh.update(tiles)
            yield tiles, buffer.nbytes

    parts = [_parts_by_tile(*each) for each in zip(ranges, extents, strict=True)]
    keys = [(uri, snapshot, tile) for tile in itertools.product(*parts)]
    for key, tile in cache.get_many(keys, make).items():
        if key not in fresh:
            here, there = zip(
                *(part[t] for part, t in zip(parts, key[2], strict=True)), strict=True
            )
            _copy(out[here], tile[there])


def _parts_by_tile(positions: range, extent: int) -> dict[int, tuple[slice, slice]]:
    """Map each tile that holds positions to where they go and where they are in it."""
    found = {}
    at = 0
    while at < len(positions):
        tile = positions[at] // extent
        end = _count_below(positions, (tile + 1) * extent)
        first = positions[at] - tile * extent
        last = positions[end - 1] - tile * extent
        found[tile] = (slice(at, end), slice(first, last + 1, positions.step))
        at = end
    return found


def _count_below(positions: range, bound: int) -> int:
    return len(range(positions.start, min(bound, positions.stop), positions.step))


def group_tiles(
    tiles: Sequence[Tile], extents: Sequence[int], max_cells: int
) -> list[tuple[Tile, Tile]]:
    """Cover tiles by few boxes of neighbours that hold exactly these tiles.

    Parameters
    ----------
    tiles : sequence of tuple of int, (n_dims,)
        Tile numbers, each tile once, last dimension fastest.
    extents : sequence of int, (n_dims,)
        Cells per tile.
    max_cells : int
        A box of more than one tile holds no more cells than this.

    Returns
    -------
    list of (first, last)
        Tile numbers of the corners, both inclusive.
    """
    left = dict.fromkeys(tiles)
    tile_cells = math.prod(extents)
    boxes = []
    while left:
        first = next(iter(left))
        last = list(first)
        n_tiles = 1
        for dim in reversed(range(len(first))):
            length = 1
            while (n_tiles * (length + 1)) * tile_cells <= max_cells:
                low, high = list(first), list(last)
                low[dim] = high[dim] = last[dim] + 1
                if not all(tile in left for tile in _tiles_between(low, high)):
                    break
                last[dim] += 1
                length += 1
            n_tiles *= length
        for tile in _tiles_between(first, last):
            del left[tile]
        boxes.append((first, tuple(last)))
    return boxes


def _tiles_between(first: Sequence[int], last: Sequence[int]) -> Iterator[Tile]:
    return itertools.product(
        *(range(a, b + 1) for a, b in zip(first, last, strict=True))
    )


def _slices_in(tile: Tile, first: Tile, extents: Sequence[int]) -> tuple[slice, ...]:
    return tuple(
        slice((t - f) * e, (t - f + 1) * e)
        for t, f, e in zip(tile, first, extents, strict=True)
    )


def _paste(
    cells: npt.NDArray[Any],
    start: Sequence[int],
    ranges: Sequence[range],
    out: npt.NDArray[Any],
) -> None:
    """Copy the positions that lie within a box of cells to their places."""
    here, there = [], []
    for positions, low, n in zip(ranges, start, cells.shape, strict=True):
        a, b = _count_below(positions, low), _count_below(positions, low + n)
        here.append(slice(a, b))
        there.append(
            slice(positions[a] - low, positions[b - 1] - low + 1, positions.step)
        )
    _copy(out[tuple(here)], cells[tuple(there)])


def _copy(target: npt.NDArray[Any], cells: npt.NDArray[Any]) -> None:
    """Copy cells, one channel at a time where `target` interleaves few channels."""
    # numpy makes the axis with the smallest stride its innermost loop.
    fastest = min(
        (axis for axis in range(target.ndim) if target.shape[axis] > 1),
        key=lambda axis: abs(target.strides[axis]),
        default=0,
    )
    n = target.shape[fastest] if target.ndim else 1
    if 1 < n <= _FEW_CHANNELS and fastest != target.ndim - 1:
        target, cells = np.moveaxis(target, fastest, 0), np.moveaxis(cells, fastest, 0)
        for at in range(n):
            target[at] = cells[at]
    else:
        target[...] = cells


# Past the cache -----------------------------------------------------------------


def _read_exactly(
    array: PooledArray,
    ranges: Sequence[range],
    extents: Sequence[int],
    out: npt.NDArray[Any],
) -> None:
    """Fill `out` by boxes of cells, cut at tile borders, each tile in one box only."""
    for spans in _spans(ranges, extents, _BUFFER_BYTES // out.itemsize):
        start = tuple(r[a] for r, (a, _) in zip(ranges, spans, strict=True))
        stop = tuple(r[b - 1] + 1 for r, (_, b) in zip(ranges, spans, strict=True))
        target = out[tuple(slice(a, b) for a, b in spans)]
        shape = tuple(b - a for a, b in zip(start, stop, strict=True))
        if target.shape == shape and target.flags.c_contiguous:
            array.read_box(start, stop, target)
        else:
            cells = np.empty(shape, out.dtype)
            array.read_box(start, stop, cells)
            _copy(target, cells[tuple(slice(None, None, r.step) for r in ranges)])


def _spans(
    ranges: Sequence[range], extents: Sequence[int], max_cells: int
) -> Iterator[tuple[tuple[int, int], ...]]:
    """Cut the positions into boxes of about `max_cells` cells, as [first, stop) each.

    Boxes are long along the last dimensions, and end at tile borders; where steps
    jump over tiles, no box reaches from one side of the jump to the other.
    """
    n_tiles = [
        1 if r.step > e else r[-1] // e - r[0] // e + 1
        for r, e in zip(ranges, extents, strict=True)
    ]
    lengths = [min(e, r[-1] - r[0] + 1) for r, e in zip(ranges, extents, strict=True)]
    room = max(1, max_cells // math.prod(lengths))
    per_box = [1] * len(ranges)
    for dim in reversed(range(len(ranges))):
        per_box[dim] = min(n_tiles[dim], room)
        room //= per_box[dim]
    return itertools.product(
        *(
            list(_spans_along(r, e, n))
            for r, e, n in zip(ranges, extents, per_box, strict=True)
        )
    )


def _spans_along(positions: range, extent: int, n: int) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(positions):
        end = _count_below(positions, (positions[at] // extent + n) * extent)
        yield at, end
        at = end
