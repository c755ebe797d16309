"""Passes over the source: which levels are made together, and in which boxes.

TileDB streams whole tiles, in tile order, into one fragment. A job makes a box of the
finest level of its pass, its *root*, and what belongs to it of the coarser ones. It
goes through its box in *blocks*; a *band* is a row of whole tiles of one level, and is
written as soon as the blocks have filled it. So memory depends on the bands and blocks
of the jobs that run, and the number of fragments on the number of jobs, neither on the
size of the image. Small levels are kept in memory and written at the end.

Where tiles of the source hold many channels, or are deep, there are several ways: fewer
channels at a time, bands along another axis, or boxes that are kept in memory until
they are complete. They are tried if the usual way takes too much memory, makes too many
fragments, or decodes tiles of the source again and again.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Final

from ._level_blocks import BlockSizer
from ._level_boxes import BoxCutter
from ._pass_geometry import PassGeometry, PassLimits, Way
from ._pass_ways import has_costly_tiles, other_ways
from ._windows import Window, window_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ._downsample import Method
    from ._level_shapes import Shape

#: Levels that together are no larger are kept in memory until they are complete.
MEMORY_BYTES: Final = 24 * 2**20
#: Fragments that a level may have; see `StagedLevels`.
MAX_FRAGMENTS: Final = 63
#: Memory that a run may take by itself; fewer threads keep to it.
RUN_BYTES: Final = 224 * 2**20
#: What TileDB, and Python's own work, take on top of pixels and tiles.
_BASE_BYTES: Final = 48 * 2**20
_BAND_BYTES: Final = 4 * 2**20
_BLOCK_BYTES: Final = 4 * 2**20
#: Tiles of the source that a block touches take no more than this, if possible; with
#: deep tiles that is much more than the block.
_READ_BYTES: Final = 32 * 2**20
_EDGE_BYTES: Final = 8 * 2**20
_MIN_JOB_BYTES: Final = 4 * 2**20
#: A job that needs more than this is given to one level alone.
_JOB_BYTES: Final = 64 * 2**20
#: Other ways are looked for if tiles of the source are decoded more often than this.
_MANY_DECODINGS: Final = 4.0
#: Decoding counts this many times more if jobs are too large for several threads.
_FEW_THREADS: Final = 1.6
#: Another level shares a pass if tiles are not decoded this many times more for it.
_MORE_DECODINGS: Final = 0.8


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
    in_pieces: bool
    """Whether jobs keep their boxes in memory, and write them in one piece each."""
    step: Shape
    """Root pixels of a block, the most where it ends at tiles of the source."""
    snap: Shape
    """Source pixels of whole tiles that blocks end with, by axis, 0 for any; empty if
    blocks are `step` along all axes."""
    jobs: tuple[Window, ...]
    """Boxes of the root, whole tiles of all streamed levels; in pieces, the last ones
    along an axis may be less."""
    edges: tuple[Window, ...]
    """Boxes of the root that are left, written in one piece each."""
    job_bytes: int
    """Memory that a running job takes at most, estimated."""
    held_bytes: int
    """Of these, what is held until it is written."""
    n_fragments: int
    """Fragments that each streamed level gets at most."""
    n_decoded: float
    """How many times a tile of the source is decoded, on average."""
    most_bytes: int
    """What `job_bytes` should not exceed: then a single job runs at a time."""

    @property
    def n_boxes(self) -> int:
        """How many jobs and edges there are."""
        return len(self.jobs) + len(self.edges)

    @property
    def excess(self) -> int:
        """By how many bytes it is out of bounds, more for too many fragments."""
        excess = max(0, self.job_bytes - self.most_bytes)
        if self.n_fragments > MAX_FRAGMENTS:
            excess += RUN_BYTES * self.n_fragments
        return excess

    @property
    def work(self) -> float:
        """How many times the source is decoded, more if that is by few threads."""
        return self.n_decoded * (1 if self.job_bytes <= _JOB_BYTES else _FEW_THREADS)


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

    @property
    def base_bytes(self) -> int:
        """Memory that a run takes besides that of its jobs."""
        shapes = self.shapes[len(self.shapes) - self.n_in_memory :]
        kept = sum(math.prod(shape) for shape in shapes) * self.dtype.itemsize
        return _BASE_BYTES + min(2 * kept, 2 * MEMORY_BYTES)


def plan_passes(request: PassRequest) -> tuple[LevelPass, ...]:
    """Return the passes that make all levels of a request.

    As many levels as go together share a pass: each has to divide the one before, and
    what a job keeps in memory has to stay small.
    """
    left = list(range(len(request.shapes)))
    passes = []
    while left:
        found = _best(request, left[:1])
        assert found is not None  # one level alone always works
        for count in range(2, len(left) + 1):
            longer = _best(request, left[:count])
            if longer is None or (
                has_costly_tiles(request)
                and longer.n_decoded > found.n_decoded + _MORE_DECODINGS
            ):
                break
            found = longer
        passes.append(found)
        left = left[len(found.levels) :]
    return tuple(passes)


def _best(request: PassRequest, levels: Sequence[int]) -> LevelPass | None:
    """Return the best way for some levels, or None if they do not go together."""
    factors = _factors(request, levels)
    if factors is None:
        return None
    usual = _build(request, levels, factors, Way())
    if usual is not None and _is_good(request, usual):
        return usual
    found = [] if usual is None else [usual]
    if has_costly_tiles(request) or len(levels) == 1:
        for way in other_ways(request, levels):
            other = _build(request, levels, factors, way)
            found += [] if other is None else [other]
    if len(levels) > 1:
        found = [one for one in found if one.job_bytes <= _JOB_BYTES and not one.excess]
    return min(found, key=_rank, default=None)


def _is_good(request: PassRequest, usual: LevelPass) -> bool:
    """Tell whether the usual way is taken without looking at others."""
    most = _JOB_BYTES if len(usual.levels) > 1 else usual.most_bytes
    if has_costly_tiles(request):
        most = _JOB_BYTES
        if usual.n_decoded > _MANY_DECODINGS:
            return False
    return usual.job_bytes <= most and usual.n_fragments <= MAX_FRAGMENTS


def _rank(one: LevelPass) -> tuple[float, ...]:
    """Return a sort key: within bounds, little work, few fragments."""
    return (one.excess, round(2 * one.work), one.n_fragments)


def _factors(request: PassRequest, levels: Sequence[int]) -> tuple[Shape, ...] | None:
    """Return the levels' factors to the first, or None if they do not nest."""
    shapes = [request.shapes[level] for level in levels]
    for finer in (shapes[0], *shapes[-2:-1]):
        if any(n % m for n, m in zip(finer, shapes[-1], strict=True)):
            return None
    if any(n % m for shape in shapes for n, m in zip(shapes[0], shape, strict=True)):
        return None
    return tuple(
        tuple(n // m for n, m in zip(shapes[0], shape, strict=True)) for shape in shapes
    )


def _build(
    request: PassRequest,
    levels: Sequence[int],
    factors: tuple[Shape, ...],
    way: Way,
) -> LevelPass | None:
    """Return the pass that makes levels in a way, or None if that does not go."""
    first_kept = len(request.shapes) - request.n_in_memory
    n_streamed = sum(level < first_kept for level in levels)
    if way.in_pieces and not n_streamed:
        return None
    geometry = PassGeometry(request, _limits(), tuple(levels), n_streamed, factors, way)
    cutter, sizer = BoxCutter(geometry), BlockSizer(geometry)
    if len(levels) > 1 and not cutter.goes_together:
        return None
    edges = cutter.edges()
    jobs = cutter.jobs(len(edges))
    box = _largest(jobs or edges)
    snap = () if way.is_usual else sizer.snap(window_shape(box))
    step = sizer.step(window_shape(box), snap)
    held = max(
        sizer.held_bytes(window_shape(_largest(boxes)), step, is_edge=boxes is edges)
        + sizer.left_bytes(window_shape(_largest(boxes)), step, snap)
        for boxes in (jobs, edges)
        if boxes
    )
    return LevelPass(
        levels=geometry.levels,
        n_streamed=n_streamed,
        band_axis=geometry.band_axis,
        is_split=geometry.is_split,
        in_pieces=way.in_pieces,
        step=step,
        snap=snap,
        jobs=tuple(jobs),
        edges=tuple(edges),
        job_bytes=sizer.block_bytes(step, snap) + held,
        held_bytes=held,
        n_fragments=len(jobs) * geometry.n_streams + len(edges) if n_streamed else 1,
        n_decoded=sizer.n_decoded(jobs, step, snap)
        + sizer.n_decoded(edges, step, snap),
        most_bytes=RUN_BYTES - request.base_bytes,
    )


def _largest(boxes: Sequence[Window]) -> Window:
    return max(boxes, key=lambda box: math.prod(window_shape(box)))


def _limits() -> PassLimits:
    return PassLimits(
        band_bytes=_BAND_BYTES,
        block_bytes=_BLOCK_BYTES,
        read_bytes=_READ_BYTES,
        edge_bytes=_EDGE_BYTES,
        min_job_bytes=_MIN_JOB_BYTES,
        job_bytes=_JOB_BYTES,
    )
