"""The pixels of a region, read block by block; they are a source of pixels again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..storage import LevelArray
from ._export_blocks import AxisGrid
from ._pixel_source import GivenLevel, chunks_of
from ._windows import whole_window, window_shape, window_slices

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ._export_plan import ExportPlan, PlannedFile
    from ._export_writers import ExportPixels
    from ._level_shapes import Shape
    from ._windows import Window

#: Extents of blocks along the last two spatial axes, of sources that do not say.
_EXTENT: Final = 512


class RegionPixels:
    """Some channels of a window of a level; an array-like of its own.

    Several threads may read at a time.

    Parameters
    ----------
    level : GivenLevel
        The level.
    window : Window
        Half-open bounds per axis, data axis order.
    channel_axis : int, optional
        Position of the channel axis.
    channels : sequence of int, optional
        Channels in the order in which they are wanted; default are those of the window.
    """

    def __init__(
        self,
        level: GivenLevel,
        window: Window,
        channel_axis: int | None = None,
        channels: Sequence[int] | None = None,
    ) -> None:
        self._level = level
        self._window = window
        self._channel_axis = channel_axis
        shape = list(window_shape(window))
        if channel_axis is None:
            self._channels: tuple[int, ...] = ()
        else:
            start, stop = window[channel_axis]
            self._channels = tuple(channels or range(start, stop))
            shape[channel_axis] = len(self._channels)
        self.shape = tuple(shape)
        self.dtype = level.dtype
        self.ndim = len(shape)
        self.uri = getattr(level.pixels, "uri", None)

    @property
    def grid(self) -> tuple[AxisGrid, ...]:
        """Where the blocks of the source lie, per axis."""
        return tuple(
            AxisGrid(n, extent, 0 if axis == self._channel_axis else bounds[0])
            for axis, (n, extent, bounds) in enumerate(
                zip(self.shape, self._extents(), self._window, strict=True)
            )
        )

    def _extents(self) -> Shape:
        found = chunks_of(self._level.pixels)
        if found is None:
            spatial = [i for i in range(self.ndim) if i != self._channel_axis]
            return tuple(
                min(_EXTENT, n) if axis in spatial[-2:] else 1
                for axis, n in enumerate(self._level.shape)
            )
        return found

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Pixels of each block of the source, along each axis, in dask's form."""
        return tuple(
            tuple(stop - start for start, stop in axis.cuts(axis.extent))
            for axis in self.grid
        )

    def read(
        self, window: Window, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the pixels of a window.

        Parameters
        ----------
        window : Window
            Half-open bounds per axis, in pixels of this array.
        out : ndarray, optional
            C-contiguous memory of that shape, which may be used.

        Raises
        ------
        SOMAError
            If the source fails.
        """
        axis = self._channel_axis
        if axis is None:
            return self._read(self._shifted(window), out)
        runs = list(_runs(self._channels[slice(*window[axis])]))
        if len(runs) == 1:
            return self._read(self._shifted(window, runs[0]), out)
        if out is None:
            out = np.empty(window_shape(window), self.dtype)
        at = 0
        for run in runs:
            n = run[1] - run[0]
            part = out[(slice(None),) * axis + (slice(at, at + n),)]
            found = self._read(
                self._shifted(window, run), part if part.flags.c_contiguous else None
            )
            if found is not part:
                part[...] = found
            at += n
        return out

    def _shifted(
        self, window: Window, channels: tuple[int, int] | None = None
    ) -> Window:
        shifted = [
            (start + first, stop + first)
            for (start, stop), (first, _) in zip(window, self._window, strict=True)
        ]
        if channels is not None and self._channel_axis is not None:
            shifted[self._channel_axis] = channels
        return tuple(shifted)

    def _read(self, window: Window, out: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
        pixels = self._level.pixels
        if isinstance(pixels, LevelArray):
            view = pixels[window_slices(window)]
            if view.dtype == self.dtype:
                return view.read(cached=False, out=out)
        return self._level.read(window)

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Return the pixels of a box.

        Parameters
        ----------
        key : tuple of slice
            One per axis, without steps.
        """
        bounds = [part.indices(n) for part, n in zip(key, self.shape, strict=True)]
        return self.read(tuple((start, stop) for start, stop, _ in bounds))

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Read all pixels."""
        pixels = self.read(whole_window(self.shape))
        return pixels if dtype is None else pixels.astype(dtype, copy=False)


def region_pixels(plan: ExportPlan, file: PlannedFile) -> RegionPixels:
    """Return the pixels of one file of a plan, not masked."""
    source = plan.source
    pixels = source.levels[plan.level]
    name = f"level {plan.level_key!r} of {source.name!r}"
    level = GivenLevel(name, pixels, file.dtype)
    return RegionPixels(level, file.window, source.channel_axis, plan.channels)


def _runs(channels: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield half-open ranges of channels that follow each other."""
    start = 0
    for at in range(1, len(channels) + 1):
        if at == len(channels) or channels[at] != channels[at - 1] + 1:
            yield channels[start], channels[at - 1] + 1
            start = at


class TransposedPixels:
    """Exported pixels with their axes in another order.

    Parameters
    ----------
    pixels : ExportPixels
        The pixels.
    order : sequence of int
        Axes of `pixels` in the order wanted.
    """

    def __init__(self, pixels: ExportPixels, order: Sequence[int]) -> None:
        self._pixels = pixels
        self._order = tuple(order)
        self._back = tuple(int(i) for i in np.argsort(self._order))
        self.shape = tuple(pixels.shape[i] for i in self._order)
        self.dtype = pixels.dtype
        self.ndim = len(self.shape)

    @property
    def grid(self) -> tuple[AxisGrid, ...]:
        """Where the blocks of the source lie, per axis."""
        given = self._pixels.grid
        return tuple(given[i] for i in self._order)

    def read(
        self, window: Window, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the pixels of a window; `out` is not used."""
        del out
        found = self._pixels.read(tuple(window[i] for i in self._back))
        return found.transpose(self._order)

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        bounds = [part.indices(n) for part, n in zip(key, self.shape, strict=True)]
        return self.read(tuple((start, stop) for start, stop, _ in bounds))


class ColumnPixels:
    """Some columns of exported pixels.

    Parameters
    ----------
    pixels : ExportPixels
        The pixels.
    start, stop : int
        Half-open range along the last axis.
    """

    def __init__(self, pixels: ExportPixels, start: int, stop: int) -> None:
        self._pixels = pixels
        self._start = start
        self.shape = (*pixels.shape[:-1], stop - start)
        self.dtype = pixels.dtype

    @property
    def grid(self) -> tuple[AxisGrid, ...]:
        """Where the blocks of the source lie, per axis."""
        *others, last = self._pixels.grid
        first = last.first + self._start
        return (*others, AxisGrid(self.shape[-1], last.extent, first))

    def read(
        self, window: Window, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the pixels of a window; `out` is memory that may be used."""
        *others, (start, stop) = window
        columns = (start + self._start, stop + self._start)
        return self._pixels.read((*others, columns), out)

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        bounds = [part.indices(n) for part, n in zip(key, self.shape, strict=True)]
        return self.read(tuple((start, stop) for start, stop, _ in bounds))
