"""Exact area means: a coarser pixel is the mean of the area that it covers.

Pixel ``o`` of an axis with ``n_out`` pixels covers ``[o, o + 1) * n_in / n_out`` of the
finer axis, wherever that falls: partly covered pixels count with the covered part.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


@dataclasses.dataclass(frozen=True, slots=True)
class AxisMean:
    """Geometry of one axis: ``n_in`` pixels seen as ``n_out`` larger ones."""

    n_in: int
    """Pixels of the finer level."""
    n_out: int
    """Pixels of the coarser level, in ``[1, n_in]``."""

    @property
    def factor(self) -> float:
        """Finer pixels per coarser pixel, >= 1."""
        return self.n_in / self.n_out

    def source_range(self, start: int, stop: int) -> tuple[int, int]:
        """Return the finer pixels ``[first, last)`` that ``[start, stop)`` touches."""
        first = start * self.n_in // self.n_out
        last = -(-stop * self.n_in // self.n_out)
        return first, last

    def touched(self, start: int, stop: int) -> tuple[int, int]:
        """Return the coarser pixels ``[first, last)`` touched by ``[start, stop)``."""
        first = start * self.n_out // self.n_in
        last = -(-stop * self.n_out // self.n_in)
        return first, last

    def complete(self, stop: int) -> int:
        """Return how many coarser pixels are covered once ``[0, stop)`` was seen."""
        return stop * self.n_out // self.n_in

    def weighted_sum(
        self,
        pixels: npt.NDArray[Any],
        axis: int,
        origin: int,
        outputs: tuple[int, int],
        dtype: npt.DTypeLike,
    ) -> npt.NDArray[Any]:
        """Sum finer pixels into coarser ones, weighted by the covered part.

        Pixels that are asked for but not given count as zero, so that sums of
        neighbouring blocks can be added up.

        Parameters
        ----------
        pixels : ndarray
            A block of the finer level.
        axis : int
            Axis of the block to sum along.
        origin : int
            Position of the block's first pixel on the finer axis.
        outputs : tuple of int
            Coarser pixels ``[first, last)`` to make.
        dtype : dtype
            Type of the sums; has to hold them.

        Returns
        -------
        ndarray
            The block with ``last - first`` pixels along the axis.
        """
        first, last = outputs
        stop = origin + pixels.shape[axis]
        if self.n_in == self.n_out:
            return _slice(pixels, axis, first - origin, last - origin).astype(dtype)
        if self._is_even(origin, stop, first, last):
            return self._even_sum(pixels, axis, dtype)
        edges = np.arange(first, last + 1, dtype=np.int64) * self.n_in
        whole = edges // self.n_out
        part = (edges - whole * self.n_out) / self.n_out
        # Finer pixels [lower, upper) lie inside the coarser one, the pixel before
        # and the one after may lie there partly.
        lower = np.clip(whole[:-1] + (part[:-1] > 0), origin, stop)
        upper = np.clip(whole[1:], lower, stop)
        shape = list(pixels.shape)
        shape[axis] = last - first
        sums = np.zeros(shape, dtype)
        for step in range(int((upper - lower).max(initial=0))):
            _add(sums, pixels, axis, lower + step - origin, lower + step < upper)
        for row, weight in ((whole[:-1], 1.0 - part[:-1]), (whole[1:], part[1:])):
            is_part = (weight > 0) & (weight < 1) & (row >= origin) & (row < stop)
            _add(sums, pixels, axis, row - origin, is_part, weight)
        return sums

    def _is_even(self, origin: int, stop: int, first: int, last: int) -> bool:
        """Tell whether the block is a whole number of whole coarser pixels."""
        factor, rest = divmod(self.n_in, self.n_out)
        return not rest and origin == first * factor and stop == last * factor

    def _even_sum(
        self, pixels: npt.NDArray[Any], axis: int, dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """Sum runs of equal length; equals the general way, several times faster."""
        factor = self.n_in // self.n_out
        sums = _strided(pixels, axis, 0, factor).astype(dtype)
        for step in range(1, factor):
            sums += _strided(pixels, axis, step, factor)
        return sums


def block_sums(
    pixels: npt.NDArray[Any],
    axes: Sequence[AxisMean],
    origin: Sequence[int],
    outputs: Sequence[tuple[int, int]],
) -> npt.NDArray[Any]:
    """Sum a block of finer pixels into coarser ones along its leading axes.

    Parameters
    ----------
    pixels : ndarray
        A block of the finer level; axes after the given ones are kept.
    axes : sequence of AxisMean, (n_axes,)
        Geometry per axis.
    origin : sequence of int, (n_axes,)
        Position of the block in the finer level.
    outputs : sequence of tuple of int, (n_axes,)
        Coarser pixels ``[first, last)`` to make per axis.

    Returns
    -------
    ndarray
        Weighted sums, a float type that holds them; divide by `pixel_area`.
    """
    dtype = sum_dtype(pixels.dtype)
    for axis, mean in enumerate(axes):
        pixels = mean.weighted_sum(pixels, axis, origin[axis], outputs[axis], dtype)
    return pixels


def area_mean(
    pixels: npt.NDArray[Any],
    axes: Sequence[AxisMean],
    origin: Sequence[int],
    outputs: Sequence[tuple[int, int]],
) -> npt.NDArray[Any]:
    """Return the area means of a block in its own type; see `block_sums`."""
    sums = block_sums(pixels, axes, origin, outputs)
    return to_mean(sums, pixel_area(axes), pixels.dtype)


def pixel_area(axes: Sequence[AxisMean]) -> float:
    """Return how many finer pixels a coarser one covers."""
    return float(np.prod([mean.factor for mean in axes]))


def to_mean(
    sums: npt.NDArray[Any], area: float | npt.NDArray[Any], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Divide sums by the area; integers are rounded, halves upwards."""
    mean = sums / np.asarray(area, sums.dtype)
    if dtype.kind in "ui":
        np.floor(mean + 0.5, out=mean)
    rounded: npt.NDArray[Any] = mean.astype(dtype)
    return rounded


def sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the float type for sums: exact for whole weights up to 2**24 or 2**53."""
    return np.dtype(np.float32 if dtype.itemsize == 1 else np.float64)


def _slice(
    pixels: npt.NDArray[Any], axis: int, start: int, stop: int
) -> npt.NDArray[Any]:
    return pixels[(slice(None),) * axis + (slice(start, stop),)]


def _strided(
    pixels: npt.NDArray[Any], axis: int, start: int, step: int
) -> npt.NDArray[Any]:
    return pixels[(slice(None),) * axis + (slice(start, None, step),)]


def _add(
    sums: npt.NDArray[Any],
    pixels: npt.NDArray[Any],
    axis: int,
    rows: npt.NDArray[np.int64],
    is_used: npt.NDArray[np.bool_],
    weight: npt.NDArray[np.float64] | None = None,
) -> None:
    """Add one pixel per output along an axis, where used and times its weight."""
    at = np.flatnonzero(is_used)
    if not at.size:
        return
    terms = np.take(pixels, rows[at], axis)
    if weight is not None:
        column = weight[at].astype(sums.dtype)
        terms = terms * column.reshape((-1,) + (1,) * (pixels.ndim - axis - 1))
    if at.size == is_used.size:
        sums += terms
    else:
        sums[(slice(None),) * axis + (at,)] += terms
