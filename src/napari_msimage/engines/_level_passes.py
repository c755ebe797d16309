"""Passes over the source: which levels are made together, and in which boxes.

TileDB streams whole tiles, in tile order, into one fragment. A job makes a box of the
finest level of its pass, its *root*, and what belongs to it of the coarser ones. It
goes through its box in *blocks*; a *band* is a row of whole tiles of one level, and is
written as soon as the blocks have filled it. So memory depends on the bands and blocks
of the jobs that run, and the number of fragments on the number of jobs, neither on the
size of the image. Small levels are kept in memory and written at the end.
"""

from __future__ import annotations

import dataclasses
import math
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from ._downsample import Downsampler, Method
from ._windows import Window, window_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ._level_shapes import Shape

#: Levels that together are no larger are kept in memory until they are complete.
MEMORY_BYTES: Final = 24 * 2**20
#: Fragments per level; TileDB's reads suffer from 64 on.
_MAX_FRAGMENTS: Final = 48
_BAND_BYTES: Final = 4 * 2**20
_BLOCK_BYTES: Final = 4 * 2**20
#: Tiles of the source that a block touches take no more than this, if possible; with
#: deep tiles that is much more than the block.
_READ_BYTES: Final = 32 * 2**20
#: Edges are written in pieces of this size, larger ones where they would be many.
_EDGE_BYTES: Final = 8 * 2**20
_EDGE_PIECES: Final = 8
_ASKEW_PIECES: Final = 24
#: Enough jobs to keep threads and workers busy, unless they get too small.
_ENOUGH_JOBS: Final = 12
_MIN_JOB_BYTES: Final = 4 * 2**20
#: A job that needs more than this is given to one level alone.
_JOB_BYTES: Final = 64 * 2**20
#: Boxes can be cut at multiples of this at the most, or there would be too few.
_MAX_UNIT: Final = 16384


@dataclasses.dataclass(frozen=True, slots=True)
class LevelPass:
    """Levels that are made in one pass over the source; data axis order throughout."""

    levels: tuple[int, ...]
    """Which of the planned levels, finest first; each divides the one before."""
    n_streamed: int
    """How many of them are written as they are made; the others are kept in memory."""
    band_axis: int
    """Bands are one tile thick along this axis and those before, and as long as the
    job along those after it."""
    is_split: bool
    """Whether jobs write one fragment per tile along the axes before the band axis."""
    step: Shape
    """Root pixels of a block."""
    jobs: tuple[Window, ...]
    """Boxes of the root, whole tiles of all streamed levels."""
    edges: tuple[Window, ...]
    """Boxes of the root that are left, written in one piece each."""
    job_bytes: int
    """Memory that a running job takes at most, estimated."""


@dataclasses.dataclass(frozen=True, slots=True)
class PassRequest:
    """What there is to be made, and from what; data axis order throughout."""

    source_shape: Shape
    source_extents: Shape
    dtype: np.dtype[Any]
    method: Method
    shapes: tuple[Shape, ...]
    """Levels to make, finest first."""
    extents: tuple[Shape, ...]
    """Their tile extents."""
    channel_axis: int | None
    keeps_tiles_whole: bool = False
    """Whether jobs are cut at the source's tiles only, as these are costly to make."""

    @property
    def n_in_memory(self) -> int:
        """Number of levels, coarsest first, that are kept in memory."""
        used, count = 0, 0
        for shape in reversed(self.shapes):
            used += math.prod(shape) * self.dtype.itemsize
            if used > MEMORY_BYTES:
                break
            count += 1
        return count


def plan_passes(request: PassRequest) -> tuple[LevelPass, ...]:
    """Return the passes that make all levels of a request.

    As many levels as go together share a pass: each has to divide the one before, and
    what a job keeps in memory has to stay small.
    """
    left = list(range(len(request.shapes)))
    passes = []
    while left:
        found = _build(request, left[:1])
        assert found is not None  # one level alone always works
        for count in range(2, len(left) + 1):
            longer = _build(request, left[:count])
            if longer is None:
                break
            found = longer
        passes.append(found)
        left = left[len(found.levels) :]
    return tuple(passes)


def _build(request: PassRequest, levels: Sequence[int]) -> LevelPass | None:
    """Return the pass for some levels, or None if they do not go together."""
    root = request.shapes[levels[0]]
    factors = []
    for level in levels:
        pairs = list(zip(root, request.shapes[level], strict=True))
        if any(n % m for n, m in pairs):
            return None
        factors.append(tuple(n // m for n, m in pairs))
    last = request.shapes[levels[-1]]
    if len(levels) > 1 and any(
        n % m for n, m in zip(request.shapes[levels[-2]], last, strict=True)
    ):
        return None
    first_kept = len(request.shapes) - request.n_in_memory
    n_streamed = sum(level < first_kept for level in levels)
    builder = _PassBuilder(request, tuple(levels), n_streamed, tuple(factors))
    if len(levels) > 1 and not builder.goes_together:
        return None
    found = builder.build()
    if len(levels) > 1 and found.job_bytes > _JOB_BYTES:
        return None
    return found


@dataclasses.dataclass(frozen=True)
class _PassBuilder:
    request: PassRequest
    levels: tuple[int, ...]
    n_streamed: int
    factors: tuple[Shape, ...]
    """Root size over level size, for each of the levels."""

    @property
    def root(self) -> Shape:
        return self.request.shapes[self.levels[0]]

    @property
    def coarsest(self) -> Shape:
        """Root pixels to a pixel of the coarsest level."""
        return self.factors[-1]

    @property
    def streamed_extents(self) -> list[Shape]:
        return [self.request.extents[i] for i in self.levels[: self.n_streamed]]

    @property
    def band_axis(self) -> int:
        """The first axis that shrinks; for one level, where bands get short enough."""
        ndim = len(self.root)
        if self.n_streamed != 1:
            last = self.factors[self.n_streamed - 1] if self.n_streamed else None
            steps = last or self.coarsest
            return next((d for d in range(ndim) if steps[d] > 1), 0)
        spatial = [d for d in range(ndim) if d != self.request.channel_axis]
        first = next((d for d in range(ndim) if self.coarsest[d] > 1), ndim)
        for axis in range(min(first, spatial[-2:][0]) + 1):
            band = self.streamed_extents[0][: axis + 1] + self.root[axis + 1 :]
            if self._nbytes(band) <= _BAND_BYTES:
                return axis
        return min(first, spatial[-2:][0])

    @property
    def interior(self) -> Shape:
        """Part of the root that whole tiles cover, from the origin on."""
        if not self.n_streamed:
            return self.root
        if self._is_askew:
            return (0,) * len(self.root)
        grid = self._write_grid
        return tuple(n // e * e for n, e in zip(self.root, grid, strict=True))

    @property
    def _write_grid(self) -> Shape:
        """Where boxes to write may be cut: at tiles, also those of a costly source."""
        if self._is_askew:
            return tuple(map(self._source_tile, range(len(self.root))))
        extents = list(self.streamed_extents[0])
        if self.request.keeps_tiles_whole:
            for axis, n in enumerate(self.root):
                both = math.lcm(extents[axis], self._source_tile(axis))
                extents[axis] = both if both <= n else extents[axis]
        return tuple(extents)

    @property
    def _is_askew(self) -> bool:
        """Whether boxes follow the source's tiles alone, as no grid is common to both.

        Such boxes are written in one piece each, so that they must be few.
        """
        few = self._nbytes(self.root) // _ASKEW_PIECES <= _JOB_BYTES
        if not (self.request.keeps_tiles_whole and self.n_streamed and few):
            return False
        return any(
            n % extent if tile >= n else extent % tile and tile % extent
            for n, extent, tile in zip(
                self.root,
                self.streamed_extents[0],
                map(self._source_tile, range(len(self.root))),
                strict=True,
            )
        )

    @property
    def _cuts_tiles(self) -> bool:
        """Whether blocks of several levels would share tiles of a costly source."""
        if not self.request.keeps_tiles_whole:
            return False
        tiles = map(self._source_tile, range(len(self.root)))
        return any(
            tile < n and math.lcm(tile, coarse) > min(4 * max(tile, coarse), n)
            for n, tile, coarse in zip(self.root, tiles, self.coarsest, strict=True)
        )

    @property
    def goes_together(self) -> bool:
        """Whether several levels can be streamed side by side."""
        if self._is_askew or self._cuts_tiles:
            return False
        for level in self.levels[: self.n_streamed]:
            pairs = zip(
                self.request.shapes[level], self.request.extents[level], strict=True
            )
            if any(n % e for n, e in pairs):
                return False
        leading = range(self.band_axis)
        if self.n_streamed and any(self.coarsest[axis] > 1 for axis in leading):
            return False
        extents = self.streamed_extents
        if any(e[axis] != extents[0][axis] for e in extents for axis in leading):
            return False
        return all(
            unit in (1, n) or unit <= max(_MAX_UNIT, n // 8)
            for unit, n in zip(self.units, self.root, strict=True)
        )

    @property
    def units(self) -> Shape:
        """Where jobs may be cut: multiples of this, in root pixels."""
        units = []
        for axis, n in enumerate(self.interior):
            unit = self.coarsest[axis]
            for extents, factors in zip(
                self.streamed_extents, self.factors, strict=False
            ):
                unit = math.lcm(unit, extents[axis] * factors[axis])
            if self.request.keeps_tiles_whole:
                unit = math.lcm(unit, self._source_tile(axis))
            units.append(max(1, min(unit, n)))
        return tuple(units)

    @property
    def joins_channels(self) -> bool:
        """Whether all channels are made together, as they share the source's tiles."""
        channel, extents = self.request.channel_axis, self.request.source_extents
        return channel is not None and extents[channel] > 1 < self.root[channel]

    @property
    def is_split(self) -> bool:
        """Whether channels made together are written to a fragment each."""
        channel = self.request.channel_axis
        return bool(
            self.n_streamed
            and self.joins_channels
            and channel is not None
            and channel < self.band_axis
        )

    @property
    def _n_streams(self) -> int:
        """Fragments that a job writes per level."""
        channel = self.request.channel_axis
        if channel is None or not self.is_split:
            return 1
        return -(-self.root[channel] // self.streamed_extents[0][channel])

    def build(self) -> LevelPass:
        edges = self._edges() if self.n_streamed else []
        jobs = self._jobs(len(edges)) if min(self.interior) else []
        axis = self.band_axis
        longest = jobs or edges
        box = max(longest, key=lambda job: math.prod(window_shape(job)))
        step = self._step(window_shape(box), axis)
        return LevelPass(
            levels=self.levels,
            n_streamed=self.n_streamed,
            band_axis=axis,
            is_split=self.is_split,
            step=step,
            jobs=tuple(jobs),
            edges=tuple(edges),
            job_bytes=self._job_bytes(box, step, axis),
        )

    # Boxes

    def _jobs(self, n_edges: int) -> list[Window]:
        units, axis = self.units, self.band_axis
        n_units = [-(-n // u) for n, u in zip(self.interior, units, strict=True)]
        cuts = [1] * len(units)
        streams = self._n_streams
        channel = self.request.channel_axis
        if channel is not None and self.joins_channels:
            n_units[channel] = 1
        most = max(1, (_MAX_FRAGMENTS - n_edges) // streams)
        along = sorted(range(axis + 1, len(cuts)), key=lambda d: (d == channel, -d))
        while self._nbytes(self._band(cuts, axis)) * streams > _BAND_BYTES:
            if not _cut(cuts, n_units, along, most):
                break
        enough = min(_ENOUGH_JOBS, self._nbytes(self.root) // _MIN_JOB_BYTES)
        order = [*range(axis + 1), *along]
        while math.prod(cuts) < enough and _cut(cuts, n_units, order, most):
            pass
        return _grid(self.interior, self._edge_lengths(cuts))

    def _edge_lengths(self, cuts: Sequence[int]) -> list[int]:
        return [
            math.ceil(math.ceil(n / unit) / count) * unit
            for n, unit, count in zip(self.interior, self.units, cuts, strict=True)
        ]

    def _band(self, cuts: Sequence[int], axis: int) -> list[int]:
        if not self.n_streamed:
            return [1]
        lengths = self._edge_lengths(cuts)
        return [*self.streamed_extents[0][: axis + 1], *lengths[axis + 1 :]]

    def _edges(self) -> list[Window]:
        """Return what whole tiles do not cover, in pieces."""
        slabs: list[Window] = []
        inner, root = self.interior, self.root
        for axis, (start, stop) in enumerate(zip(inner, root, strict=True)):
            slab = [
                *((0, n) for n in inner[:axis]),
                (start, stop),
                *((0, n) for n in root[axis + 1 :]),
            ]
            if all(b > a for a, b in slab):
                slabs.append(tuple(slab))
        total = sum(self._nbytes(window_shape(slab)) for slab in slabs)
        n_pieces = _ASKEW_PIECES if self._is_askew else _EDGE_PIECES
        budget = max(_EDGE_BYTES, total // n_pieces)
        return [piece for slab in slabs for piece in self._pieces(slab, budget)]

    def _pieces(self, slab: Window, budget: int) -> list[Window]:
        """Cut a slab into few pieces, along its longest axes, at tile borders."""
        lengths = list(window_shape(slab))
        tiles = self._write_grid
        while self._nbytes(lengths) > budget:
            counts = [-(-n // e) for n, e in zip(lengths, tiles, strict=True)]
            axis = max(range(len(lengths)), key=counts.__getitem__)
            if counts[axis] == 1:
                break
            lengths[axis] = -(-counts[axis] // 2) * tiles[axis]
        origin = [start for start, _ in slab]
        return [
            tuple((a + o, b + o) for (a, b), o in zip(box, origin, strict=True))
            for box in _grid(window_shape(slab), lengths)
        ]

    # Blocks

    def _step(self, job: Shape, axis: int) -> Shape:
        """Return the root pixels of a block: whole tiles of the source if possible."""
        coarse = self.coarsest
        tiles = self.streamed_extents[0] if self.n_streamed else coarse
        step = [
            n
            if d == self.request.channel_axis and self.joins_channels
            else min(n, tiles[d])
            for d, n in enumerate(job[:axis])
        ]
        step += [min(job[d], self._tile_step(d)) for d in range(axis, len(job))]
        # Not below one tile of the source, which would be decoded again and again.
        while self._decoded_bytes(step) > _READ_BYTES:
            halved = {d: self._halved(step[d], d) for d in range(axis, len(job))}
            axes = [d for d in halved if halved[d] < step[d]]
            if not axes:
                break
            d = max(axes, key=lambda d: step[d] // coarse[d])
            step[d] = halved[d]
        if not self._is_whole(axis):
            # Blocks share tiles: rows that are read ahead are kept for the next one.
            wide = [*step[:axis], coarse[axis], *job[axis + 1 :]]
            if self._decoded_bytes(wide) <= _READ_BYTES:
                rows = max(1, _BLOCK_BYTES // self._source_bytes(wide))
                wide[axis] = min(coarse[axis] * rows, job[axis])
                return tuple(wide)
        return self._grown(step, job, axis)

    def _halved(self, length: int, axis: int) -> int:
        """Return about half of a length, or all of it if that is less than a tile."""
        coarse = self.coarsest[axis]
        half = -(-length // 2 // coarse) * coarse
        n, m = self.request.source_shape[axis], self.root[axis]
        is_tile = half * n >= self.request.source_extents[axis] * m
        return half if half and is_tile else length

    def _grown(self, step: list[int], job: Shape, axis: int) -> Shape:
        """Return a step made longer, along the last axes first, while it is small."""
        for d in range(len(step) - 1, axis - 1, -1):
            count = min(
                _BLOCK_BYTES // self._source_bytes(step),
                _READ_BYTES // self._decoded_bytes(step),
            )
            step[d] = min(step[d] * max(1, count), job[d])
            if step[d] < job[d]:
                break
        return tuple(step)

    def _is_whole(self, axis: int) -> bool:
        """Whether a root pixel is a whole number of source pixels."""
        return self.request.source_shape[axis] % self.root[axis] == 0

    def _tile_step(self, axis: int) -> int:
        """Return the root pixels of about one tile of the source, or more."""
        n, m = self.request.source_shape[axis], self.root[axis]
        extent, coarse = self.request.source_extents[axis], self.coarsest[axis]
        if not self._is_whole(axis):
            return coarse * max(1, round(extent * m / n / coarse))
        in_root = self._source_tile(axis)
        aligned = math.lcm(in_root, coarse)
        most = 4 * max(in_root, coarse)
        return aligned if aligned <= most else coarse * -(-in_root // coarse)

    def _source_tile(self, axis: int) -> int:
        """Return the least root pixels that are whole tiles of the source."""
        n, m = self.request.source_shape[axis], self.root[axis]
        extent = self.request.source_extents[axis]
        return extent // math.gcd(extent, n // m) if n % m == 0 else 1

    def _source_bytes(self, step: Sequence[int]) -> int:
        return math.prod(self._source_lengths(step)) * self.request.dtype.itemsize

    def _source_lengths(self, step: Sequence[int]) -> list[int]:
        ratios = zip(step, self.request.source_shape, self.root, strict=True)
        return [-(-k * n // m) for k, n, m in ratios]

    def _decoded_bytes(self, step: Sequence[int]) -> int:
        """Return the bytes of all tiles of the source that a block touches."""
        cells = 1
        for axis, length in enumerate(self._source_lengths(step)):
            extent, n = (
                self.request.source_extents[axis],
                self.request.source_shape[axis],
            )
            shared = not self._is_whole(axis) or length % extent != 0
            n_tiles = min(-(-length // extent) + shared, -(-n // extent))
            cells *= n_tiles * extent
        return cells * self.request.dtype.itemsize

    def _job_bytes(self, job: Window, step: Shape, axis: int) -> int:
        request = self.request
        downsampler = Downsampler(
            request.method,
            request.dtype,
            request.source_shape,
            [request.shapes[i] for i in self.levels],
        )
        box = tuple((0, n) for n in step)
        bands = 0
        for extents, factors in zip(self.streamed_extents, self.factors, strict=False):
            rows = -(-step[axis] // factors[axis] // extents[axis]) + 1
            lengths = [n // f for n, f in zip(window_shape(job), factors, strict=True)]
            band = [*extents[: axis + 1], *lengths[axis + 1 :]]
            bands += self._nbytes(band) * (rows + 2) * self._n_streams
        if not min(self.interior):
            bands = self._nbytes(window_shape(job))  # written in one piece
        return (
            self._decoded_bytes(step)
            + 2 * self._source_bytes(step)
            + downsampler.working_bytes(box)
            + bands
        )

    def _nbytes(self, shape: Sequence[int]) -> int:
        return math.prod(shape) * self.request.dtype.itemsize


def _cut(
    cuts: list[int], n_units: Sequence[int], axes: Sequence[int], most: int
) -> bool:
    """Cut once more along the first of some axes that allows it; tell whether."""
    for axis in axes:
        others = math.prod(cuts) // cuts[axis]
        longest = -(-n_units[axis] // cuts[axis])
        if longest == 1:
            continue
        # the next number of parts that makes the parts shorter
        more = -(-n_units[axis] // (longest - 1))
        if others * more <= most:
            cuts[axis] = more
            return True
    return False


def _grid(shape: Sequence[int], lengths: Sequence[int]) -> list[Window]:
    """Cut a shape into boxes, the last ones shorter."""
    return [
        tuple(
            (start, min(start + length, n))
            for start, length, n in zip(corner, lengths, shape, strict=True)
        )
        for corner in product(
            *(range(0, n, length) for n, length in zip(shape, lengths, strict=True))
        )
    ]
