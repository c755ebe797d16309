"""The overview: small levels in memory, filled by one pass over the finer level.

The pass goes block by block, first those that are looked at, and coarse to fine over
the whole: a block that was read stands in, as its mean, for those around it that were
not yet. A pixel that several blocks share is the mean of what was seen of it so far,
and exact in the end. Labels are picked, one for each pixel, instead of averaged.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._area_mean import AxisMean, block_sums, pixel_area, sum_dtype, to_mean
from ._display_nearest import NearestFiller
from ._progress import Progress
from ._windows import (
    Window,
    enlarge,
    map_window,
    origin_of,
    whole_window,
    window_slices,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    import numpy.typing as npt

    from ._stored_level import StoredLevel

#: Most bytes of one block of the pass.
BLOCK_BYTES: Final = 16 * 2**20


class MemoryLevel:
    """A virtual level in memory.

    Parameters
    ----------
    shape : tuple of int, (n_axes,)
        Its shape.
    dtype : dtype
        Its pixel type.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self.is_done = False
        """Whether all pixels are final."""
        self._buffer: npt.NDArray[Any] | None = None

    @property
    def is_started(self) -> bool:
        """Whether a pass has come by at all."""
        return self._buffer is not None

    @property
    def pixels(self) -> npt.NDArray[Any]:
        """The pixels, read-only and alive: what is filled later shows in it."""
        view = self.buffer.view()
        view.flags.writeable = False
        return view

    @property
    def buffer(self) -> npt.NDArray[Any]:
        """The pixels, to be filled; zero at first."""
        if self._buffer is None:
            self._buffer = np.zeros(self.shape, self.dtype)
        return self._buffer

    def drop(self) -> None:
        """Free the memory; a new pass fills it again."""
        self._buffer = None
        self.is_done = False


@dataclasses.dataclass(frozen=True, slots=True)
class OverviewPass:
    """One pass over a stored level that fills virtual levels in memory."""

    source: StoredLevel
    """The finer level."""
    levels: tuple[MemoryLevel, ...]
    """What to fill, finest first; whole multiples of each other where reduced."""
    n_spatial: int
    """Number of leading axes that are reduced."""
    coarser: StoredLevel | None = None
    """A stored level to start from, if there is one."""

    @property
    def blocks(self) -> _Blocks:
        """The blocks of a full pass."""
        return _Blocks(_block_bounds(self))

    def run(
        self,
        is_cancelled: Callable[[], bool] = lambda: False,
        on_filled: Callable[[], object] = lambda: None,
        focus: Callable[[], Window | None] = lambda: None,
    ) -> Generator[Progress, None, bool]:
        """Fill the levels block by block.

        Parameters
        ----------
        is_cancelled : callable
            Asked before each block.
        on_filled : callable
            Called after each block, in the same thread.
        focus : callable
            Asked before each block for the window of the source that is looked at.

        Yields
        ------
        Progress
            After each block.

        Returns
        -------
        bool
            Whether the levels are complete.

        Raises
        ------
        SOMAError
            If the store cannot be read.
        """
        if self.coarser is not None:
            self._start_from(self.coarser)
        blocks = self.blocks
        fillers = [self._filler(level, blocks) for level in self.levels]
        total = blocks.n_left
        while blocks.n_left:
            if is_cancelled():
                return False
            index = blocks.take(focus())
            window = blocks.window(index)
            sums = fillers[0].sums_of(self.source.read(window, cached=False), window)
            for filler in fillers:
                filler.add(sums, window)
            if self.coarser is None:
                value = fillers[-1].mean_in(window)
                for around in blocks.left_around(index):
                    for filler in fillers:
                        filler.stand_in(around, value)
            on_filled()
            yield Progress(total - blocks.n_left, total)
        for level in self.levels:
            level.is_done = True
        return True

    def _filler(
        self, level: MemoryLevel, blocks: _Blocks
    ) -> _LevelFiller | NearestFiller:
        if self.source.is_labels:
            return NearestFiller(self.source, level)
        return _LevelFiller(self.source, self.levels[0], level, self.n_spatial, blocks)

    def _start_from(self, coarser: StoredLevel) -> None:
        """Show a coarser stored level until the pass has come by."""
        everything = coarser.read(whole_window(coarser.shape))
        for level in self.levels:
            for row in range(0, level.shape[0], 256):
                window = (
                    (row, min(row + 256, level.shape[0])),
                    *whole_window(level.shape[1:]),
                )
                part = map_window(window, level.shape, coarser.shape)
                level.buffer[window_slices(window)] = enlarge(
                    everything[window_slices(part)], window, level.shape, coarser.shape
                )


def _block_bounds(one: OverviewPass) -> list[list[tuple[int, int]]]:
    """Return the bounds of the blocks per axis: whole tiles, up to 16 MiB."""
    shape, n_spatial = one.source.shape, one.n_spatial
    extents = [min(e, n) for e, n in zip(one.source.tile_extents, shape, strict=True)]
    extents[n_spatial:] = shape[n_spatial:]
    # Along the axes above the plane, a block is as thick as one pixel to make.
    for axis in range(n_spatial - 2):
        factor = shape[axis] // one.levels[-1].shape[axis]
        extents[axis] *= max(1, factor // extents[axis])
    plane = list(range(max(0, n_spatial - 2), n_spatial))
    while plane:
        axis = min(plane, key=extents.__getitem__)  # blocks stay compact
        bigger = 2 * math.prod(extents) * one.source.dtype.itemsize
        if bigger > BLOCK_BYTES or extents[axis] >= shape[axis]:
            plane.remove(axis)
        else:
            extents[axis] *= 2
    return [
        [(start, min(start + extent, n)) for start in range(0, n, extent)]
        for n, extent in zip(shape, extents, strict=True)
    ]


def _means(
    shape: Sequence[int], coarse_shape: Sequence[int], n_spatial: int
) -> list[AxisMean]:
    pairs = zip(shape[:n_spatial], coarse_shape[:n_spatial], strict=True)
    return [AxisMean(n, m) for n, m in pairs]


class _Blocks:
    """The blocks of a pass and the order in which they are read.

    Parameters
    ----------
    bounds : list of list of tuple of int
        Half-open bounds of the blocks per axis.
    """

    def __init__(self, bounds: list[list[tuple[int, int]]]) -> None:
        self.bounds = bounds
        self._shape = tuple(map(len, bounds))
        self._is_left = np.ones(self._shape, bool)
        self.n_left = self._is_left.size
        # Coarse to fine: a block comes with the largest power of two that divides
        # its position along every axis.
        joint = functools.reduce(np.bitwise_or, np.indices(self._shape))
        stride = joint & -joint
        self._largest = 1 << max(self._shape).bit_length()
        stride[joint == 0] = self._largest
        self._stride = stride
        order = np.argsort(-stride, axis=None, kind="stable")
        self._rank = np.empty(order.size, np.int64)
        self._rank[order] = np.arange(order.size)
        self._rank = self._rank.reshape(self._shape)

    def window(self, index: tuple[int, ...]) -> Window:
        """Return the bounds of a block."""
        return tuple(axis[i] for axis, i in zip(self.bounds, index, strict=True))

    def take(self, focus: Window | None) -> tuple[int, ...]:
        """Return the next block: of those in focus if there are any left, else any."""
        part = (slice(None),) * len(self._shape)
        if focus is not None:
            seen = tuple(
                slice(start // axis[0][1], -(-stop // axis[0][1]))
                for (start, stop), axis in zip(focus, self.bounds, strict=True)
            )
            if self._is_left[seen].any():
                part = seen
        rank = np.where(self._is_left[part], self._rank[part], self._rank.size)
        at = np.unravel_index(int(rank.argmin()), rank.shape)
        index = tuple(int(i) + (s.start or 0) for i, s in zip(at, part, strict=True))
        self._is_left[index] = False
        self.n_left -= 1
        return index

    def left_around(self, index: tuple[int, ...]) -> list[Window]:
        """Return the blocks, not read yet, that a block stands in for."""
        stride = int(self._stride[index])
        reach = tuple(slice(i, i + stride) for i in index)
        return [
            self.window(tuple(int(a) + i for a, i in zip(at, index, strict=True)))
            for at in np.argwhere(self._is_left[reach])
        ]


class _LevelFiller:
    """Fills one level in memory from sums for the finest one.

    Parameters
    ----------
    source : StoredLevel
        What the pass reads.
    finest : MemoryLevel
        The finest level in memory: whose sums are given.
    level : MemoryLevel
        The level to fill.
    n_spatial : int
        Number of leading axes that are reduced.
    blocks : _Blocks
        The blocks of the pass.
    """

    def __init__(
        self,
        source: StoredLevel,
        finest: MemoryLevel,
        level: MemoryLevel,
        n_spatial: int,
        blocks: _Blocks,
    ) -> None:
        self._level = level
        self._axes = _means(source.shape, level.shape, n_spatial)
        self._finest_axes = _means(source.shape, finest.shape, n_spatial)
        self._steps = _means(finest.shape, level.shape, n_spatial)
        self._area = pixel_area(self._axes)
        self._edges = [
            _EdgeSums(axis, mean, blocks.bounds[axis], level.shape, source.dtype)
            for axis, mean in enumerate(self._axes)
        ]

    def sums_of(self, pixels: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
        """Return the sums of a block for the finest level."""
        outputs = self._touched(self._finest_axes, window)
        return block_sums(pixels, self._finest_axes, origin_of(window), outputs)

    def add(self, finest_sums: npt.NDArray[Any], window: Window) -> None:
        """Take a block into account and write the pixels that it touches."""
        outputs = self._touched(self._axes, window)
        origin = origin_of(self._touched(self._finest_axes, window))
        sums = block_sums(finest_sums, self._steps, origin, outputs)
        lengths = [
            mean.weighted_sum(np.ones(stop - start), 0, start, output, np.float64)
            for mean, (start, stop), output in zip(
                self._axes, window, outputs, strict=False
            )
        ]
        edges = [
            edge
            for edge, output in zip(self._edges, outputs, strict=False)
            if edge.meets(output)
        ]
        seen: float | npt.NDArray[Any] = self._area
        if edges:
            seen = functools.reduce(np.multiply.outer, lengths)
            seen = seen.reshape(seen.shape + (1,) * (sums.ndim - seen.ndim))
            seen = np.broadcast_to(seen, sums.shape).copy()
            for edge in edges:
                edge.add(outputs, sums, seen)
            for edge in edges:
                edge.put(outputs, sums, seen)
        mean = to_mean(sums, seen, self._level.dtype)
        self._level.buffer[window_slices(outputs)] = mean

    def mean_in(self, window: Window) -> npt.NDArray[Any]:
        """Return the mean pixel, or colour, of a block that was added."""
        pixels = self._level.buffer[window_slices(self._touched(self._axes, window))]
        axes = tuple(range(len(self._axes)))
        mean: npt.NDArray[Any] = pixels.mean(axis=axes).astype(pixels.dtype)
        return mean

    def stand_in(self, window: Window, value: npt.NDArray[Any]) -> None:
        """Fill the pixels inside a block that was not read yet."""
        inside = tuple(
            (-(-start * mean.n_out // mean.n_in), mean.complete(stop))
            for mean, (start, stop) in zip(self._axes, window, strict=False)
        )
        if all(stop > start for start, stop in inside):
            self._level.buffer[window_slices(inside)] = value

    def _touched(self, axes: list[AxisMean], window: Window) -> Window:
        return tuple(
            mean.touched(*bounds) for mean, bounds in zip(axes, window, strict=False)
        )


class _EdgeSums:
    """Sums of the pixels that blocks share along one axis, until all were seen."""

    def __init__(
        self,
        axis: int,
        mean: AxisMean,
        bounds: list[tuple[int, int]],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self._axis = axis
        cuts = {
            stop * mean.n_out // mean.n_in
            for _, stop in bounds
            if stop * mean.n_out % mean.n_in
        }
        self._rows = {pixel: row for row, pixel in enumerate(sorted(cuts))}
        kept = (*shape[:axis], len(cuts), *shape[axis + 1 :])
        self._sums = np.zeros(kept, sum_dtype(dtype))
        self._seen = np.zeros(kept, np.float32 if dtype.itemsize == 1 else np.float64)

    def meets(self, output: tuple[int, int]) -> bool:
        """Tell whether there are shared pixels among those of ``[start, stop)``."""
        return output[0] in self._rows or output[1] - 1 in self._rows

    def add(
        self, outputs: Window, sums: npt.NDArray[Any], seen: npt.NDArray[Any]
    ) -> None:
        """Add a block's share of the shared pixels, and how much of them it saw."""
        for kept, here in self._shared(outputs):
            self._sums[kept] += sums[here]
            self._seen[kept] += seen[here]

    def put(
        self, outputs: Window, sums: npt.NDArray[Any], seen: npt.NDArray[Any]
    ) -> None:
        """Replace a block's share of the shared pixels by the totals so far."""
        for kept, here in self._shared(outputs):
            sums[here] = self._sums[kept]
            seen[here] = self._seen[kept]

    def _shared(
        self, outputs: Window
    ) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
        """Yield where shared pixels are kept, and where in the block they are."""
        start, stop = outputs[self._axis]
        for pixel in sorted({start, stop - 1} & self._rows.keys()):
            kept = list(window_slices(outputs))
            kept[self._axis] = slice(self._rows[pixel], self._rows[pixel] + 1)
            at = slice(pixel - start, pixel - start + 1)
            yield tuple(kept), (slice(None),) * self._axis + (at,)
