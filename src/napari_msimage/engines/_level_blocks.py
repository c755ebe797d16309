"""Blocks of a job: how much is read at a time, and what memory that takes."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING, Final

from ._downsample import Downsampler
from ._pass_source import longest_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._level_shapes import Shape
    from ._pass_geometry import PassGeometry
    from ._windows import Window


#: Decoded tiles of the source that TileDB holds at a time, if a single one is not more:
#: about twice this. Set where tiles are heavy (``sm.mem.tile_upper_memory_limit``).
READ_BYTES: Final = 16 * 2**20
#: Whole tiles are written this much at a time; pieces that they do not fill, at once.
WRITE_BYTES: Final = 4 * 2**20
#: Bytes that TileDB takes to write one, at most: it copies tiles, and compresses them.
_WRITING: Final = 4
HEAVY_TILE_BYTES: Final = 2 * 2**20


class BlockSizer:
    """Chooses the blocks that jobs go through their boxes in.

    Parameters
    ----------
    geometry : PassGeometry
        The levels of the pass.
    """

    def __init__(self, geometry: PassGeometry) -> None:
        self._geometry = geometry
        self._request = geometry.request
        self._limits = geometry.limits

    def snap(self, job: Shape) -> Shape:
        """Return the source pixels of whole tiles that a block shall end with.

        Blocks are one tile, or more of small ones; 0 along axes where that is not so.
        """
        one, request = self._geometry, self._request
        snap = []
        for axis, (n, m) in enumerate(zip(request.source_shape, one.root, strict=True)):
            extent = request.source_extents[axis]
            least = -(-one.coarsest[axis] * n // (m * extent)) * extent
            is_free = one.way.in_pieces or axis >= one.band_axis
            is_cut = axis == one.band_axis and one.way.parts > 1
            snap.append(least if is_free and not is_cut else 0)
        for axis in range(len(job) - 1, -1, -1):
            if snap[axis]:
                size = one.nbytes(
                    self._fresh_lengths(self.step(job, tuple(snap)), snap)
                )
                snap[axis] *= max(1, self._limits.block_bytes // size)
        return tuple(snap)

    def _snapped_step(self, job: Shape, snap: Shape) -> Shape:
        """Return the most root pixels of a block that ends at tiles of the source."""
        one, request = self._geometry, self._request
        step = []
        for axis, length in enumerate(job):
            sizes = request.source_shape[axis], one.root[axis]
            usual = self._leading_step(axis, length)
            if axis == one.band_axis and one.way.parts > 1:
                coarse = one.coarsest[axis]
                part = self._tile_step(axis) // one.way.parts // coarse * coarse
                usual = min(length, max(coarse, part))
            step.append(
                longest_block(usual, snap[axis], sizes, one.coarsest[axis], length)
            )
        return tuple(step)

    def _leading_step(self, axis: int, length: int) -> int:
        """Return the root pixels of a block along an axis before the band axis."""
        one = self._geometry
        if axis == self._request.channel_axis and one.joins_channels:
            return min(length, one.group)
        tiles = one.streamed_extents[0] if one.n_streamed else one.coarsest
        return min(length, tiles[axis])

    def step(self, job: Shape, snap: Shape = ()) -> Shape:
        """Return the root pixels of a block: whole tiles of the source if possible."""
        if snap:
            return self._snapped_step(job, snap)
        one, axis = self._geometry, self._geometry.band_axis
        coarse = one.coarsest
        step = [self._leading_step(d, n) for d, n in enumerate(job[:axis])]
        step += [min(job[d], self._tile_step(d)) for d in range(axis, len(job))]
        # Not below one tile of the source, which would be decoded again and again.
        while self.decoded_bytes(step) > self._limits.read_bytes:
            halved = {d: self._halved(step[d], d) for d in range(axis, len(job))}
            axes = [d for d in halved if halved[d] < step[d]]
            if not axes:
                break
            d = max(axes, key=lambda d: step[d] // coarse[d])
            step[d] = halved[d]
        if not one.is_whole(axis):
            # Blocks share tiles: rows that are read ahead are kept for the next one.
            wide = [*step[:axis], coarse[axis], *job[axis + 1 :]]
            if self.decoded_bytes(wide) <= self._limits.read_bytes:
                rows = max(1, self._limits.block_bytes // self._source_bytes(wide))
                wide[axis] = min(coarse[axis] * rows, job[axis])
                return tuple(wide)
        return self._grown(step, job, axis)

    def _halved(self, length: int, axis: int) -> int:
        """Return about half of a length, or all of it if that is less than a tile."""
        coarse = self._geometry.coarsest[axis]
        half = -(-length // 2 // coarse) * coarse
        n, m = self._request.source_shape[axis], self._geometry.root[axis]
        is_tile = half * n >= self._request.source_extents[axis] * m
        return half if half and is_tile else length

    def _grown(self, step: list[int], job: Shape, axis: int) -> Shape:
        """Return a step made longer, along the last axes first, while it is small."""
        for d in range(len(step) - 1, axis - 1, -1):
            count = min(
                self._limits.block_bytes // self._source_bytes(step),
                self._limits.read_bytes // self.decoded_bytes(step),
            )
            step[d] = min(step[d] * max(1, count), job[d])
            if step[d] < job[d]:
                break
        return tuple(step)

    def _tile_step(self, axis: int) -> int:
        """Return the root pixels of about one tile of the source, or more."""
        one = self._geometry
        n, m = self._request.source_shape[axis], one.root[axis]
        extent, coarse = self._request.source_extents[axis], one.coarsest[axis]
        if not one.is_whole(axis):
            return coarse * max(1, round(extent * m / n / coarse))
        in_root = one.source_tile(axis)
        aligned = math.lcm(in_root, coarse)
        most = 4 * max(in_root, coarse)
        return aligned if aligned <= most else coarse * -(-in_root // coarse)

    # Memory

    def _source_bytes(self, step: Sequence[int]) -> int:
        return self._geometry.nbytes(self._source_lengths(step))

    def _source_lengths(self, step: Sequence[int]) -> list[int]:
        ratios = zip(step, self._request.source_shape, self._geometry.root, strict=True)
        return [-(-k * n // m) for k, n, m in ratios]

    def decoded_bytes(self, step: Sequence[int]) -> int:
        """Return the bytes of all tiles of the source that a block touches."""
        cells = 1
        for axis, length in enumerate(self._source_lengths(step)):
            extent = self._request.source_extents[axis]
            n = self._request.source_shape[axis]
            shared = not self._geometry.is_whole(axis) or length % extent != 0
            n_tiles = min(-(-length // extent) + shared, -(-n // extent))
            cells *= n_tiles * extent
        return cells * self._request.dtype.itemsize

    def block_bytes(self, step: Shape, snap: Shape) -> int:
        """Return an upper estimate of the memory that it takes to make a block."""
        one, request = self._geometry, self._request
        downsampler = Downsampler(
            request.method,
            request.dtype,
            request.source_shape,
            [request.shapes[i] for i in one.levels],
        )
        working = downsampler.working_bytes(tuple((0, n) for n in step))
        if not snap:
            # pixels that are given take no buffer besides
            copies = 1 if request.keeps_tiles_whole else 2
            read = self._read_bytes(step)
            return read + copies * self._source_bytes(step) + working
        fresh = self._fresh_lengths(step, snap)
        return (
            self._tile_memory(self._tiles_bytes(fresh, snap))
            + one.nbytes(fresh)
            + one.nbytes(self._buffer_lengths(step, snap))
            + working
        )

    def _fresh_lengths(self, step: Shape, snap: Sequence[int]) -> list[int]:
        """Return the source pixels that are read at a time."""
        return [
            min(k or length, n)
            for k, length, n in zip(
                snap, self._touched(step), self._request.source_shape, strict=True
            )
        ]

    def _buffer_lengths(self, step: Shape, snap: Sequence[int]) -> list[int]:
        """Return the source pixels of a block with what is kept of those before."""
        return [
            min(k + self._n_left(axis, k) if k else length, n)
            for axis, (k, length, n) in enumerate(
                zip(snap, self._touched(step), self._request.source_shape, strict=True)
            )
        ]

    def _touched(self, step: Shape) -> list[int]:
        """Return the source pixels that a block touches at most, whole or in part."""
        return [
            length + (not self._geometry.is_whole(axis))
            for axis, length in enumerate(self._source_lengths(step))
        ]

    def _n_left(self, axis: int, snap: int) -> int:
        """Return the source pixels between the end of a block and that of its tiles."""
        one = self._geometry
        n, m = self._request.source_shape[axis], one.root[axis]
        coarse = one.coarsest[axis]
        if one.is_whole(axis) and snap % (coarse * n // m) == 0:
            return 0
        return -(-coarse * n // m) + 1

    def left_bytes(self, job: Shape, step: Shape, snap: Shape) -> int:
        """Return the bytes of pixels that are kept for blocks that follow."""
        if not snap:
            return 0
        one = self._geometry
        buffers, lengths = self._buffer_lengths(step, snap), self._source_lengths(job)
        total = 0
        for axis, k in enumerate(snap):
            if k and step[axis] < job[axis]:
                after = [
                    n if not p else n + n // p * self._n_left(d, p)
                    for d, (n, p) in enumerate(zip(lengths, snap, strict=True))
                ]
                total += one.nbytes(
                    [*buffers[:axis], self._n_left(axis, k), *after[axis + 1 :]]
                )
        return total

    def _tiles_bytes(self, lengths: Sequence[int], snap: Sequence[int]) -> int:
        """Return the bytes of all tiles that a part of the source touches."""
        cells = 1
        for k, length, extent, n in zip(
            snap,
            lengths,
            self._request.source_extents,
            self._request.source_shape,
            strict=True,
        ):
            shared = not k and length % extent != 0
            cells *= min(-(-length // extent) + shared, -(-n // extent)) * extent
        return cells * self._request.dtype.itemsize

    def held_bytes(self, job: Shape, step: Shape, *, is_edge: bool) -> int:
        """Return the bytes of what a job keeps until it is written."""
        one, axis = self._geometry, self._geometry.band_axis
        total = written = 0
        for position, factors in enumerate(one.factors[: one.n_streamed]):
            extents = one.streamed_extents[position]
            lengths = [n // f for n, f in zip(job, factors, strict=True)]
            band = [*extents[: axis + 1], *lengths[axis + 1 :]]
            if is_edge or one.way.in_pieces:
                total += one.nbytes(lengths)
                written = max(written, self._piece_writing(lengths, extents))
            elif one.way.is_usual and one.n_streams == 1:
                rows = -(-step[axis] // factors[axis] // extents[axis]) + 3
                if self._request.keeps_tiles_whole and self._rolls(step, job):
                    rows = 4  # a band is filled, and written, before the next one
                total += one.nbytes(band) * rows
            else:
                length = max(1, step[axis] // factors[axis])
                rows = _n_touched(length, extents[axis])
                total += one.nbytes(band) * rows * one.n_streams
                at_once = max(WRITE_BYTES, one.nbytes(extents))
                written = max(written, _WRITING * min(one.nbytes(band), at_once))
        return total + written

    def _piece_writing(self, lengths: Sequence[int], extents: Shape) -> int:
        """Return the bytes that TileDB takes to write a piece, besides its pixels."""
        if self._request.keeps_tiles_whole:
            return 0  # pieces are large and few there, and sources larger
        nbytes, tile = map(self._geometry.nbytes, (lengths, extents))
        if any(n % e for n, e in zip(lengths, extents, strict=True)):
            return min(_WRITING * nbytes, nbytes // 2 + 5 * tile + 2 * WRITE_BYTES)
        return _WRITING * min(nbytes, max(WRITE_BYTES, tile))

    def _read_bytes(self, step: Sequence[int]) -> int:
        """Return the bytes of decoded tiles that are held at a time."""
        return self._tile_memory(self.decoded_bytes(step))

    def _tile_memory(self, decoded: int) -> int:
        tile = self._geometry.nbytes(self._request.source_extents)
        if tile < HEAVY_TILE_BYTES or self._request.keeps_tiles_whole:
            return decoded
        # of TileDB: compressed ones beside them, and what is not given back at once
        return min(3 * decoded, 2 * max(READ_BYTES, tile) + 4 * tile)

    # Decodings

    def n_decoded(self, boxes: Sequence[Window], step: Shape, snap: Shape) -> float:
        """Return how many times a tile of the source is decoded, on average."""
        if not boxes:
            return 0.0
        request, root = self._request, self._geometry.root
        lengths = [max(b - a for a, b in ends) for ends in zip(*boxes, strict=True)]
        continuous = [k > 0 for k in snap] or [False] * len(root)
        if not snap and self._rolls(step, lengths):
            continuous[self._geometry.band_axis] = True
        stored = 1
        for n, extent in zip(request.source_shape, request.source_extents, strict=True):
            stored *= -(-n // extent)

        @functools.cache
        def along(axis: int, bounds: tuple[int, int]) -> int:
            start, stop = bounds
            length = stop - start if continuous[axis] else step[axis]
            return sum(
                self._n_tiles(axis, at, min(at + length, stop))
                for at in range(start, stop, length)
            )

        return sum(math.prod(itertools.starmap(along, enumerate(b))) for b in boxes) / (
            stored
        )

    def _rolls(self, step: Shape, job: Sequence[int]) -> bool:
        """Whether blocks take over rows that were read for the one before."""
        axis = self._geometry.band_axis
        tail = zip(step[axis + 1 :], job[axis + 1 :], strict=True)
        return all(k >= n for k, n in tail)

    def _n_tiles(self, axis: int, start: int, stop: int) -> int:
        """Return the tiles of the source that a part of the root touches."""
        n, m = self._request.source_shape[axis], self._geometry.root[axis]
        extent = self._request.source_extents[axis]
        last = -(-stop * n // m)
        return -(-last // extent) - start * n // m // extent


def _n_touched(length: int, extent: int) -> int:
    """Return the tiles that are touched at a time by parts that follow each other."""
    if extent % length == 0:
        return 1
    return -(-length // extent) + (length % extent != 0)
