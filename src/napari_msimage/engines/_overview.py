"""The overview: small levels in memory, filled by one pass over the finer level."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._area_mean import AxisMean, block_sums, pixel_area, sum_dtype, to_mean
from ._progress import Progress
from ._windows import Window, origin_of, window_shape, window_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

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
        self.rows_done = 0
        """Planes ``[0, rows_done)`` along the first axis are final."""
        self._pixels: npt.NDArray[Any] | None = None

    @property
    def is_done(self) -> bool:
        """Whether all pixels are final."""
        return self.rows_done == self.shape[0]

    @property
    def pixels(self) -> npt.NDArray[Any]:
        """The pixels, read-only and alive: what is filled later shows in it."""
        view = self._buffer().view()
        view.flags.writeable = False
        return view

    def _buffer(self) -> npt.NDArray[Any]:
        if self._pixels is None:
            self._pixels = np.zeros(self.shape, self.dtype)
        return self._pixels

    def write(self, window: Window, pixels: npt.NDArray[Any]) -> None:
        """Set the pixels of a window."""
        self._buffer()[window_slices(window)] = pixels

    def drop(self) -> None:
        """Free the memory; a new pass fills it again."""
        self._pixels = None
        self.rows_done = 0


@dataclasses.dataclass(frozen=True, slots=True)
class OverviewPass:
    """One pass over a stored level that fills virtual levels in memory."""

    source: StoredLevel
    """The finer level."""
    levels: tuple[MemoryLevel, ...]
    """What to fill, finest first; whole multiples of each other where reduced."""
    n_spatial: int
    """Number of leading axes that are reduced."""

    @property
    def n_blocks(self) -> int:
        """Number of blocks of a full pass."""
        return math.prod(len(axis) for axis in self._blocks())

    def _blocks(self) -> list[list[tuple[int, int]]]:
        """Return the bounds of the blocks per axis: whole tiles, up to 16 MiB."""
        source = self.source
        extents = [
            min(e, n) for e, n in zip(source.tile_extents, source.shape, strict=True)
        ]
        extents[self.n_spatial :] = source.shape[self.n_spatial :]
        itemsize = source.dtype.itemsize
        grow = list(reversed(range(self.n_spatial)))
        while grow:
            # The shortest axis first, so that blocks stay compact.
            axis = min(grow[:2], key=lambda a: extents[a])
            bigger = math.prod(extents) * 2 * itemsize
            if bigger > BLOCK_BYTES or extents[axis] >= source.shape[axis]:
                grow.remove(axis)
            else:
                extents[axis] *= 2
        return [
            [(start, min(start + extent, n)) for start in range(0, n, extent)]
            for n, extent in zip(source.shape, extents, strict=True)
        ]

    def run(
        self,
        is_cancelled: Callable[[], bool],
        on_filled: Callable[[], object] = lambda: None,
    ) -> Generator[Progress, None, bool]:
        """Fill the levels block by block.

        Parameters
        ----------
        is_cancelled : callable
            Asked before each block.
        on_filled : callable
            Called after each block, in the same thread.

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
        finest = self.levels[0]
        axes = self._means(self.source.shape, finest.shape)
        steps = [self._means(finest.shape, level.shape) for level in self.levels]
        areas = [
            pixel_area(self._means(self.source.shape, level.shape))
            for level in self.levels
        ]
        blocks = self._blocks()
        total = self.n_blocks
        strip = _Strip(finest.shape, sum_dtype(self.source.dtype))
        for done, window in enumerate(itertools.product(*blocks), start=1):
            if is_cancelled():
                return False
            touched = tuple(
                mean.touched(*bounds)
                for mean, bounds in zip(axes, window, strict=False)
            )
            sums = block_sums(
                self.source.read(window, cached=False), axes, origin_of(window), touched
            )
            strip.add(touched, sums)
            for level, means, area in zip(self.levels, steps, areas, strict=True):
                self._finish(level, means, area, strip, window)
            is_last_of_slab = all(
                bounds == axis[-1]
                for bounds, axis in zip(window[1:], blocks[1:], strict=True)
            )
            if is_last_of_slab:
                stop = window[0][1]
                for level in self.levels:
                    level.rows_done = stop * level.shape[0] // self.source.shape[0]
                strip.forget_before(
                    min(
                        means[0].source_range(level.rows_done, level.rows_done + 1)[0]
                        for level, means in zip(self.levels, steps, strict=True)
                    )
                )
            on_filled()
            yield Progress(done, total)
        return True

    def _means(
        self, shape: Sequence[int], coarse_shape: Sequence[int]
    ) -> list[AxisMean]:
        return [
            AxisMean(n, m)
            for n, m in zip(
                shape[: self.n_spatial], coarse_shape[: self.n_spatial], strict=True
            )
        ]

    def _finish(
        self,
        level: MemoryLevel,
        means: list[AxisMean],
        area: float,
        strip: _Strip,
        window: Window,
    ) -> None:
        """Write the pixels of a level that are complete with this block."""
        ready = tuple(
            (start * m // n, stop * m // n)
            for (start, stop), n, m in zip(
                window, self.source.shape, level.shape, strict=True
            )
        )
        if not all(window_shape(ready)):
            return
        n_spatial = self.n_spatial
        needed = (
            *(m.source_range(*r) for m, r in zip(means, ready, strict=False)),
            *ready[n_spatial:],
        )
        sums = block_sums(
            strip.pixels(needed), means, origin_of(needed[:n_spatial]), ready
        )
        level.write(ready, to_mean(sums, area, level.dtype))


class _Strip:
    """Sums of the finest level in memory: only the planes that are still needed."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape = shape
        self._first = 0
        self._sums = np.zeros((0, *shape[1:]), dtype)

    def add(self, window: Window, sums: npt.NDArray[Any]) -> None:
        """Add the sums of a block; the window lacks the axes that are not reduced."""
        n_rows = window[0][1] - self._first
        if n_rows > len(self._sums):
            grown = np.zeros((n_rows, *self._shape[1:]), self._sums.dtype)
            grown[: len(self._sums)] = self._sums
            self._sums = grown
        self._sums[self._slices(window)] += sums

    def pixels(self, window: Window) -> npt.NDArray[Any]:
        """Return the sums of a window."""
        return self._sums[self._slices(window)]

    def forget_before(self, row: int) -> None:
        """Drop the planes before this one."""
        self._sums = self._sums[row - self._first :].copy()
        self._first = row

    def _slices(self, window: Window) -> tuple[slice, ...]:
        return window_slices(window, (self._first,) + (0,) * (len(window) - 1))
