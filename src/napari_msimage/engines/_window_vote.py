"""Modes and medians of windows of source pixels, weighted with the covered area."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ..errors import ArgumentError
from ._window_extremes import WindowExtremes
from ._windows import Window, window_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ._axis_ratio import AxisRatio, Integers, Run
    from ._nested_levels import NestedLevels

#: Temporary memory that windows are gathered in; a single window may need more.
_VOTE_BYTES: Final = 16 << 20


class WindowVote:
    """Makes the modes or medians of nested levels from a block of source pixels.

    Zeros come out positive.

    Parameters
    ----------
    method : {"mode", "median"}
        ``"mode"``: the value with the largest total weight, of several the smallest.
        ``"median"``: the smallest value such that it and smaller ones have at least
        half of the weight. NaN has no weight.
    dtype : dtype
        Type of the pixels.
    levels : NestedLevels
        The levels over the source.

    Raises
    ------
    ArgumentError
        If weights could exceed 62 bits.
    """

    def __init__(
        self,
        method: Literal["mode", "median"],
        dtype: np.dtype[Any],
        levels: NestedLevels,
    ) -> None:
        self._levels = levels
        self._dtype = dtype
        self._lows = WindowExtremes("min", dtype, levels)
        self._highs = WindowExtremes("max", dtype, levels)
        self._votes = [_LevelVote(method, dtype, axes) for axes in levels.axes]

    def reduce(
        self,
        pixels: npt.NDArray[Any],
        box: Window,
        runs: Sequence[Sequence[Run]],
        outs: Sequence[npt.NDArray[Any]],
    ) -> None:
        """Write the elected values of every level; parameters as `ExactMean.reduce`."""
        self._lows.reduce(pixels, box, runs, outs)
        highs = [np.empty(out.shape, self._dtype) for out in outs]
        self._highs.reduce(pixels, box, runs, highs)
        for level, (out, high) in enumerate(zip(outs, highs, strict=True)):
            # Where all pixels are equal (labels!), all is said.
            is_open = out < high
            if is_open.any():
                level_box = self._levels.box_at(level, box)
                out[is_open] = self._votes[level].elect(pixels, level_box, is_open)

    def working_bytes(self, box: Window) -> int:
        """Return the most memory that `reduce` needs at once, without its outputs."""
        source_shape = window_shape(self._levels.source_box(box))
        highs = 2 * math.prod(window_shape(box)) * self._dtype.itemsize
        votes = (
            vote.working_bytes(source_shape, window_shape(self._levels.box_at(i, box)))
            for i, vote in enumerate(self._votes)
        )
        return highs + max(self._highs.working_bytes(box), *votes)


class _LevelVote:
    """Elects one value per window of a level; parameters as in `WindowVote`."""

    def __init__(
        self,
        method: Literal["mode", "median"],
        dtype: np.dtype[Any],
        axes: Sequence[AxisRatio],
    ) -> None:
        self._is_mode = method == "mode"
        self._dtype = dtype
        self._axes = axes
        weight = math.prod(axis.p for axis in axes)
        self._is_weighted = any(axis.q > 1 for axis in axes)
        if weight >= 1 << 62:
            msg = (
                f"Exact weights need areas below 2**62 when counted in parts of source "
                f"pixels, got {weight} (about 2**{weight.bit_length() - 1}). Choose "
                f"sizes that share more factors with the source's, or fewer levels."
            )
            raise ArgumentError(msg)
        self._window = math.prod(_touched_at_most(axis) for axis in axes)

    def elect(
        self, pixels: npt.NDArray[Any], box: Window, is_open: npt.NDArray[np.bool_]
    ) -> npt.NDArray[Any]:
        """Return the elected values of some windows.

        Parameters
        ----------
        pixels : ndarray
            The source pixels below the box.
        box : Window
            Half-open bounds per axis, in pixels of the level.
        is_open : ndarray of bool
            Which windows of the box.

        Returns
        -------
        ndarray, (n_windows,)
        """
        at = np.nonzero(is_open)
        elected = np.empty(at[0].size, self._dtype)
        done = 0
        for values, weights in self._windows(pixels, box, at):
            n = len(values)
            elected[done : done + n] = self._elect(values, weights)
            done += n
        if self._dtype.kind == "f":
            elected += self._dtype.type(0)
        return elected

    def _windows(
        self,
        pixels: npt.NDArray[Any],
        box: Window,
        at: tuple[npt.NDArray[np.intp], ...],
    ) -> Iterator[tuple[npt.NDArray[Any], Integers | None]]:
        """Yield values and weights, (n_windows, pixels of a window), some at a time."""
        flat = np.ascontiguousarray(pixels).reshape(-1)
        strides = np.cumprod((1, *pixels.shape[:0:-1]))[::-1].tolist()
        tables = [
            axis.windows(*ends) for axis, ends in zip(self._axes, box, strict=True)
        ]
        n_chunk = max(1, _VOTE_BYTES // (self._window * self._bytes_per_pixel()))
        for start in range(0, at[0].size, n_chunk):
            some = [index[start : start + n_chunk] for index in at]
            n = some[0].size
            positions: Integers = np.zeros((n, 1), np.int64)
            weights: Integers | None = None
            for index, stride, (table, shares) in zip(
                some, strides, tables, strict=True
            ):
                steps = (table * stride)[index][:, None, :]
                positions = (positions[:, :, None] + steps).reshape(n, -1)
                if not self._is_weighted:
                    continue
                # Axes of whole factors weigh 1 each.
                share = np.ones_like(table) if shares is None else shares
                known = np.ones((n, 1), np.int64) if weights is None else weights
                weights = (known[:, :, None] * share[index][:, None, :]).reshape(n, -1)
            yield np.take(flat, positions), weights

    def _elect(
        self, values: npt.NDArray[Any], weights: Integers | None
    ) -> npt.NDArray[Any]:
        if values.dtype.kind == "f":
            is_nan = np.isnan(values)
            if is_nan.any():
                if weights is None:
                    weights = np.ones(values.shape, np.int64)
                weights[is_nan] = 0
        if weights is not None:
            order = np.argsort(values, axis=1)
            values = np.take_along_axis(values, order, 1)
            weights = np.take_along_axis(weights, order, 1)
            return (
                _heaviest(values, weights)
                if self._is_mode
                else _weighted_median(values, weights)
            )
        if self._is_mode:
            values.sort(axis=1)
            return _heaviest(values, None)
        middle = (values.shape[1] - 1) // 2
        values.partition(middle, axis=1)
        return values[:, middle]

    def _bytes_per_pixel(self) -> int:
        """Return the temporary bytes per gathered pixel, at most."""
        needs_weights = self._is_weighted or self._dtype.kind == "f"
        return 17 + 2 * self._dtype.itemsize + 32 * needs_weights

    def working_bytes(self, source_shape: Sequence[int], shape: Sequence[int]) -> int:
        """Return the most memory that `reduce` needs at once, without its outputs."""
        n_windows = math.prod(shape)
        per_window = self._window * self._bytes_per_pixel()
        gathered = min(n_windows * per_window, max(_VOTE_BYTES, per_window))
        tables = sum(
            16 * n * _touched_at_most(axis)
            for n, axis in zip(shape, self._axes, strict=True)
        )
        held = math.prod(source_shape) * self._dtype.itemsize
        per_output = 1 + 8 * len(shape) + self._dtype.itemsize
        return held + gathered + tables + n_windows * per_output


def _touched_at_most(axis: AxisRatio) -> int:
    """Return a bound of the pixels that an output touches."""
    return axis.p if axis.q == 1 else -(-axis.p // axis.q) + 1


def _weighted_median(values: npt.NDArray[Any], weights: Integers) -> npt.NDArray[Any]:
    """Return the lower medians of sorted windows."""
    np.cumsum(weights, axis=1, out=weights)
    half = (weights[:, -1:] + 1) // 2
    at = np.argmax(weights >= half, axis=1)
    return np.take_along_axis(values, at[:, None], 1)[:, 0]


def _heaviest(values: npt.NDArray[Any], weights: Integers | None) -> npt.NDArray[Any]:
    """Return the modes of sorted windows, the smaller values first."""
    n, size = values.shape
    is_new = np.ones((n, size), np.bool_)
    np.not_equal(values[:, 1:], values[:, :-1], out=is_new[:, 1:])
    starts = np.flatnonzero(is_new)
    if weights is None:
        totals = np.diff(starts, append=n * size)
    else:
        totals = np.add.reduceat(weights.reshape(-1), starts)
    firsts = np.searchsorted(starts, np.arange(0, n * size, size))
    heaviest = np.maximum.reduceat(totals, firsts)
    counts = np.diff(firsts, append=starts.size)
    winners = np.flatnonzero(totals == np.repeat(heaviest, counts))
    first_winners = winners[np.searchsorted(winners, firsts)]
    return np.take(values, starts[first_winners])
