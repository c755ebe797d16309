"""Modes and medians of windows of source pixels, weighted with the covered area."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ..errors import ArgumentError
from ._window_extremes import WindowExtremes
from ._window_sort import is_packable, pack, sort_planes, unpack
from ._windows import Window, window_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._axis_ratio import AxisRatio, Integers, Run
    from ._nested_levels import NestedLevels
    from ._scratch import Scratch

#: Temporary memory that windows are gathered in; a single window may need more.
_VOTE_BYTES: Final = 4 << 20
#: Pixels per window up to which planes are exchanged instead of windows sorted.
_MAX_PLANES: Final = 16


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
        scratch: Scratch,
    ) -> None:
        """Write the elected values of every level; parameters as `ExactMean.reduce`."""
        self._lows.reduce(pixels, box, runs, outs, scratch)
        highs = [np.empty(out.shape, self._dtype) for out in outs]
        self._highs.reduce(pixels, box, runs, highs, scratch)
        for level, (out, high) in enumerate(zip(outs, highs, strict=True)):
            # Where all pixels are equal (labels!), all is said.
            is_open = out < high
            if is_open.any():
                level_box = self._levels.box_at(level, box)
                out[is_open] = self._votes[level].elect(pixels, level_box, is_open)

    def working_bytes(self, box: Window) -> int:
        """Return the most memory that `reduce` needs at once, without its outputs."""
        source_shape = self._levels.source_shape(box)
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
        self._weight_bits = math.prod(axis.q for axis in axes).bit_length()
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
        index = np.nonzero(is_open)
        bases, offsets, shares = self._geometry(pixels.shape, box, index)
        flat = np.ascontiguousarray(pixels).reshape(-1)
        elected = np.empty(bases.size, self._dtype)
        n_chunk = max(1, _VOTE_BYTES // (self._window * self._bytes_per_pixel()))
        elect = self._elect_planes if offsets.size <= _MAX_PLANES else self._elect_rows
        for start in range(0, bases.size, n_chunk):
            some = slice(start, start + n_chunk)
            weights = None
            for share, at in shares:
                known = np.ones((1, 1), np.int64) if weights is None else weights
                product = known[:, None] * share[:, at[some]]
                weights = product.reshape(-1, product.shape[-1])
            elected[some] = elect(flat, bases[some], offsets, weights)
        if self._dtype.kind == "f":
            elected += self._dtype.type(0)
        return elected

    def _geometry(
        self,
        shape: tuple[int, ...],
        box: Window,
        index: tuple[npt.NDArray[np.intp], ...],
    ) -> tuple[Integers, Integers, list[tuple[Integers, npt.NDArray[np.intp]]]]:
        """Return where windows lie in the flat pixels, and their weights.

        Returns
        -------
        bases : ndarray of int64, (n_windows,)
            First pixel of every window.
        offsets : ndarray of int64, (n_pixels,)
            All pixels of a window, counted from its first.
        shares : list of (ndarray of int64, ndarray of int)
            Weights along each axis of the window, (n_pixels along the axis, n), and
            which of the n is the one of each window. Empty where all pixels weigh the
            same.
        """
        bases: Integers = np.zeros(index[0].size, np.int64)
        offsets: Integers = np.zeros(1, np.int64)
        shares = []
        for axis, (ratio, ends) in enumerate(zip(self._axes, box, strict=True)):
            firsts, size, weights = ratio.windows(*ends)
            stride = math.prod(shape[axis + 1 :])
            bases += (firsts * stride)[index[axis]]
            steps = stride * np.arange(size, dtype=np.int64)
            offsets = (offsets[:, None] + steps).reshape(-1)
            if self._is_weighted:
                if weights is None:
                    weights = np.ones((firsts.size, size), np.int64)
                shares.append((np.ascontiguousarray(weights.T), index[axis]))
        return bases, offsets, shares

    def _elect_planes(
        self,
        flat: npt.NDArray[Any],
        bases: Integers,
        offsets: Integers,
        weights: Integers | None,
    ) -> npt.NDArray[Any]:
        """Elect among few pixels, with the pixels of all windows in planes."""
        planes = np.take(flat, offsets[:, None] + bases)
        known = _without_nan(planes, weights)
        if known is None:
            planes = sort_planes(planes)
        elif is_packable(self._dtype, self._weight_bits):
            packed = sort_planes(pack(planes, known, self._weight_bits))
            planes, known = unpack(packed, self._dtype, self._weight_bits)
        else:
            return self._elect_rows(flat, bases, offsets, weights)
        return (_plane_mode if self._is_mode else _plane_median)(planes, known)

    def _elect_rows(
        self,
        flat: npt.NDArray[Any],
        bases: Integers,
        offsets: Integers,
        weights: Integers | None,
    ) -> npt.NDArray[Any]:
        """Elect among many pixels, with those of each window in a row."""
        rows = np.take(flat, bases[:, None] + offsets)
        known = None if weights is None else np.ascontiguousarray(weights.T)
        known = _without_nan(rows, known)
        if known is None:
            return self._elect_equal_rows(rows)
        if is_packable(self._dtype, self._weight_bits):
            packed = pack(rows, known, self._weight_bits)
            packed.sort(axis=1)
            rows, known = unpack(packed, self._dtype, self._weight_bits)
        else:
            order = np.argsort(rows, axis=1)
            rows = np.take_along_axis(rows, order, 1)
            known = np.take_along_axis(known, order, 1)
        return (_row_mode if self._is_mode else _row_median)(rows, known)

    def _elect_equal_rows(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Elect among pixels of equal weight, which are reordered."""
        if rows.itemsize == 1:
            # numpy has fast sorts from 16 bits on.
            rows = rows.astype(f"{rows.dtype.kind}2")
        if self._is_mode:
            rows.sort(axis=1)
            return _row_mode(rows, None)
        middle = (rows.shape[1] - 1) // 2
        rows.partition(middle, axis=1)
        return rows[:, middle]

    def _bytes_per_pixel(self) -> int:
        """Return the temporary bytes per gathered pixel, at most."""
        needs_weights = self._is_weighted or self._dtype.kind == "f"
        return 25 + 3 * self._dtype.itemsize + 40 * needs_weights

    def working_bytes(self, source_shape: Sequence[int], shape: Sequence[int]) -> int:
        """Return the most memory that `elect` needs at once."""
        n_windows = math.prod(shape)
        per_window = self._window * self._bytes_per_pixel()
        gathered = min(n_windows * per_window, max(_VOTE_BYTES, per_window))
        tables = sum(
            24 * n * _touched_at_most(axis)
            for n, axis in zip(shape, self._axes, strict=True)
        )
        held = math.prod(source_shape) * self._dtype.itemsize
        per_output = 9 + 8 * len(shape) + 2 * self._dtype.itemsize
        return held + gathered + tables + n_windows * per_output


def _touched_at_most(axis: AxisRatio) -> int:
    """Return a bound of the pixels that an output touches."""
    return axis.p if axis.q == 1 else -(-axis.p // axis.q) + 1


def _without_nan(values: npt.NDArray[Any], weights: Integers | None) -> Integers | None:
    """Return the weights, 0 for NaN; None still says that all are equal."""
    if values.dtype.kind != "f":
        return weights
    is_nan = np.isnan(values)
    if not is_nan.any():
        return weights
    return np.where(is_nan, 0, 1 if weights is None else weights)


def _plane_median(
    planes: npt.NDArray[Any], weights: Integers | None
) -> npt.NDArray[Any]:
    """Return the lower medians of sorted planes."""
    if weights is None:
        middle: npt.NDArray[Any] = planes[(len(planes) - 1) // 2]
        return middle
    half = (weights.sum(axis=0) + 1) // 2
    median: npt.NDArray[Any] = planes[0].copy()
    reached = weights[0].copy()
    for plane, weight in zip(planes[1:], weights[1:], strict=True):
        np.copyto(median, plane, where=reached < half)
        reached += weight
    return median


def _plane_mode(planes: npt.NDArray[Any], weights: Integers | None) -> npt.NDArray[Any]:
    """Return the modes of sorted planes, the smaller values first."""
    if weights is None:
        weights = np.ones((len(planes), planes.shape[1]), np.int16)
    mode: npt.NDArray[Any] = planes[0].copy()
    heaviest, total = weights[0].copy(), weights[0].copy()
    for last, plane, weight in zip(planes[:-1], planes[1:], weights[1:], strict=True):
        total *= plane == last
        total += weight
        np.copyto(mode, plane, where=total > heaviest)
        np.maximum(heaviest, total, out=heaviest)
    return mode


def _row_median(rows: npt.NDArray[Any], weights: Integers) -> npt.NDArray[Any]:
    """Return the lower medians of sorted windows."""
    reached = np.cumsum(weights, axis=1)
    half = (reached[:, -1:] + 1) // 2
    at = np.argmax(reached >= half, axis=1)
    median: npt.NDArray[Any] = np.take_along_axis(rows, at[:, None], 1)[:, 0]
    return median


def _row_mode(rows: npt.NDArray[Any], weights: Integers | None) -> npt.NDArray[Any]:
    """Return the modes of sorted windows, the smaller values first."""
    n, size = rows.shape
    is_new = np.ones((n, size), np.bool_)
    np.not_equal(rows[:, 1:], rows[:, :-1], out=is_new[:, 1:])
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
    mode: npt.NDArray[Any] = np.take(rows, starts[first_winners])
    return mode
