"""Folds along one axis: sums and extremes of the source pixels under each output.

Every result is elementwise over the outputs, in an order that is fixed by the touched
pixels alone: a block gives the same bytes as the whole.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._axis_ratio import along

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ._axis_ratio import Run
    from ._scratch import Scratch

#: Trailing pixels below which numpy's inner loop would be too short to be fast.
_FEW: Final = 16
_WIDER: Final[dict[np.dtype[Any], np.dtype[Any]]] = {
    np.dtype(np.uint8): np.dtype(np.uint16),
    np.dtype(np.uint16): np.dtype(np.uint32),
    np.dtype(np.uint32): np.dtype(np.uint64),
}


def whole_sums(
    pixels: npt.NDArray[Any],
    axis: int,
    factor: int,
    dtype: np.dtype[Any],
    scratch: Scratch,
    scale: float | None = None,
) -> npt.NDArray[Any]:
    """Sum runs of ``factor`` pixels along an axis.

    Parameters
    ----------
    pixels : ndarray
        Whole runs; unsigned integers or floats.
    axis : int
        Axis to sum along.
    factor : int
        Pixels per run, >= 2.
    dtype : dtype
        Type of the sums; has to hold them.
    scratch : Scratch
        Memory for the sums, as its next step.
    scale : float, optional
        Weight of every pixel, instead of 1.

    Returns
    -------
    ndarray
        With ``1 / factor`` of the pixels along the axis.
    """
    if axis == pixels.ndim - 1 and pixels.dtype in _WIDER and dtype.kind == "u":
        while factor % 2 == 0 and pixels.dtype in _WIDER:
            pixels = _pair_sums(pixels, dtype, scratch)
            factor //= 2
        if factor == 1:
            return pixels.astype(dtype, copy=False)
    n_out = pixels.shape[axis] // factor
    sums = scratch.step(_folded_shape(pixels, axis, n_out), dtype)
    for source, target in _lanes(axis, pixels, sums):
        taps = _taps(source, axis, factor)
        if scale is None:
            np.add(next(taps), next(taps), out=target, dtype=dtype)
            for tap in taps:
                np.add(target, tap, out=target, dtype=dtype)
        else:
            np.multiply(next(taps), scale, out=target, dtype=dtype)
            for tap in taps:
                term = scratch.extra(target.shape, dtype)
                target += np.multiply(tap, scale, out=term, dtype=dtype)
    return sums


def _pair_sums(
    pixels: npt.NDArray[Any], dtype: np.dtype[Any], scratch: Scratch
) -> npt.NDArray[Any]:
    """Sum neighbours along the last axis, both seen as one wider integer.

    Several times faster than strided slices. The sums get the type of the pixels if
    it is the one asked for, and so holds them, else the next wider one.
    """
    wider = _WIDER[pixels.dtype]
    if pixels.strides[-1] != pixels.itemsize:
        pixels = np.ascontiguousarray(pixels)
    pairs = pixels.view(wider)
    if not pairs.flags.aligned:
        pairs = np.ascontiguousarray(pixels).view(wider)
    bits = 8 * pixels.itemsize
    other = scratch.extra(pairs.shape, wider)
    if dtype == pixels.dtype:
        np.right_shift(pairs, wider.type(bits), out=other)
        np.add(other, pairs, out=other)
        sums = scratch.step(pairs.shape, dtype)
        np.copyto(sums, other, casting="unsafe")  # drops the high half
        return sums
    np.bitwise_and(pairs, wider.type((1 << bits) - 1), out=other)
    sums = scratch.step(pairs.shape, wider)
    np.right_shift(pairs, wider.type(bits), out=sums)
    sums += other
    return sums


def weighted_sums(
    pixels: npt.NDArray[Any],
    axis: int,
    runs: Sequence[Run],
    q: int,
    dtype: np.dtype[Any],
    scratch: Scratch,
    scale: float | None = None,
) -> npt.NDArray[Any]:
    """Sum pixels along an axis, weighted with the length that an output covers.

    Parameters
    ----------
    pixels : ndarray
        Unsigned integers or floats.
    axis : int
        Axis to sum along.
    runs : sequence of Run
        All outputs, each in one run.
    q : int
        Weight of a whole pixel.
    dtype : dtype
        Type of the sums; has to hold them.
    scratch : Scratch
        Memory for the sums, as its next step.
    scale : float, optional
        Factor of all weights.

    Returns
    -------
    ndarray
        With one pixel per output along the axis.
    """
    n_out = sum(run.first_weights.size for run in runs)
    sums = scratch.step(_folded_shape(pixels, axis, n_out), dtype)
    if scale is None and axis == pixels.ndim - 1:
        runs = _sum_short_runs(pixels, axis, runs, q, sums, scratch)
    for (source, target), run in _lane_runs(axis, pixels, sums, runs):
        outputs = along(axis, run.outputs)
        is_view = isinstance(run.outputs, slice)
        part = target[outputs] if is_view else np.empty_like(target[outputs])
        _sum_run(source, axis, run, q, scale, part, scratch)
        if not is_view:
            target[outputs] = part
    return sums


def _sum_short_runs(
    pixels: npt.NDArray[Any],
    axis: int,
    runs: Sequence[Run],
    q: int,
    sums: npt.NDArray[Any],
    scratch: Scratch,
) -> Sequence[Run]:
    """Write the sums of neighbouring runs together; return the runs that are left.

    Numpy is slow for short rows that it also has to convert: pixels are copied side by
    side first, and weighted in whole rows. Same sums as by `_sum_run`.
    """
    together = [r for r in runs if r.count == 3 and isinstance(r.outputs, slice)]
    if len(together) < 2:
        return runs
    first, last = np.zeros((2, sums.shape[axis]), sums.dtype)
    for run in together:
        first[run.outputs], last[run.outputs] = run.first_weights, run.last_weights
    terms = scratch.extra(sums.shape, sums.dtype)
    for step, weights in enumerate((first, sums.dtype.type(q), last)):
        target = terms if step else sums
        for run in together:
            tap = run.tap(pixels, axis, step)
            np.copyto(target[along(axis, run.outputs)], tap)
        target *= weights
        if step:
            sums += terms
    done = set(map(id, together))
    return [run for run in runs if id(run) not in done]


def _sum_run(
    pixels: npt.NDArray[Any],
    axis: int,
    run: Run,
    q: int,
    scale: float | None,
    sums: npt.NDArray[Any],
    scratch: Scratch,
) -> None:
    """Write the weighted sums of the outputs of one run."""
    dtype = sums.dtype
    column = (-1,) + (1,) * (pixels.ndim - axis - 1)
    first, last = (
        _scaled(weights, dtype, scale).reshape(column)
        for weights in (run.first_weights, run.last_weights)
    )
    middle = _scaled(np.asarray(q), dtype, scale)
    terms = scratch.extra(sums.shape, dtype)
    np.multiply(run.tap(pixels, axis, 0), first, out=sums, dtype=dtype)
    if scale is None and run.count > 3:
        # Whole pixels are added before they are weighted: half the work.
        tap = run.tap(pixels, axis, 1)
        np.add(tap, run.tap(pixels, axis, 2), out=terms, dtype=dtype)
        for step in range(3, run.count - 1):
            np.add(terms, run.tap(pixels, axis, step), out=terms, dtype=dtype)
        terms *= middle
        sums += terms
    else:
        for step in range(1, run.count - 1):
            tap = run.tap(pixels, axis, step)
            sums += np.multiply(tap, middle, out=terms, dtype=dtype)
    tap = run.tap(pixels, axis, run.count - 1)
    sums += np.multiply(tap, last, out=terms, dtype=dtype)


def _scaled(
    weights: npt.NDArray[Any], dtype: np.dtype[Any], scale: float | None
) -> npt.NDArray[Any]:
    scaled: npt.NDArray[Any] = weights.astype(dtype)
    if scale is not None:
        scaled *= scale
    return scaled


def whole_extremes(
    pixels: npt.NDArray[Any],
    axis: int,
    factor: int,
    extreme: np.ufunc,
    scratch: Scratch,
) -> npt.NDArray[Any]:
    """Fold runs of ``factor`` >= 2 pixels along an axis with a minimum or maximum."""
    n_out = pixels.shape[axis] // factor
    folded = scratch.step(_folded_shape(pixels, axis, n_out), pixels.dtype)
    for source, target in _lanes(axis, pixels, folded):
        taps = _taps(source, axis, factor)
        extreme(next(taps), next(taps), out=target)
        for tap in taps:
            extreme(target, tap, out=target)
    return folded


def touched_extremes(
    pixels: npt.NDArray[Any],
    axis: int,
    runs: Sequence[Run],
    extreme: np.ufunc,
    scratch: Scratch,
) -> npt.NDArray[Any]:
    """Fold the touched pixels of each output with a minimum or maximum."""
    n_out = sum(run.first_weights.size for run in runs)
    folded = scratch.step(_folded_shape(pixels, axis, n_out), pixels.dtype)
    for (source, target), run in _lane_runs(axis, pixels, folded, runs):
        is_view = isinstance(run.outputs, slice)
        part = target[along(axis, run.outputs)] if is_view else None
        part = extreme(run.tap(source, axis, 0), run.tap(source, axis, 1), out=part)
        for step in range(2, run.count):
            extreme(part, run.tap(source, axis, step), out=part)
        if not is_view:
            target[along(axis, run.outputs)] = part
    return folded


def _taps(
    pixels: npt.NDArray[Any], axis: int, factor: int
) -> Iterator[npt.NDArray[Any]]:
    """Yield the first pixels of all runs, the second ones, and so on."""
    for i in range(factor):
        yield pixels[along(axis, slice(i, None, factor))]


def _folded_shape(pixels: npt.NDArray[Any], axis: int, n_out: int) -> tuple[int, ...]:
    return (*pixels.shape[:axis], n_out, *pixels.shape[axis + 1 :])


def _lane_runs(
    axis: int,
    pixels: npt.NDArray[Any],
    folded: npt.NDArray[Any],
    runs: Sequence[Run],
) -> Iterator[tuple[tuple[npt.NDArray[Any], npt.NDArray[Any]], Run]]:
    for source, target in _lanes(axis, pixels, folded):
        if any(not isinstance(run.outputs, slice) for run in runs):
            # np.take would make this copy for every tap.
            source = np.ascontiguousarray(source)
        for run in runs:
            yield (source, target), run


def _lanes(
    axis: int, *arrays: npt.NDArray[Any]
) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """Yield the arrays, or their lanes where few pixels (colours) follow the axis."""
    trailing = arrays[0].shape[axis + 1 :]
    if not 1 < math.prod(trailing) < _FEW:
        yield arrays
        return
    for index in itertools.product(*map(range, trailing)):
        at: tuple[Any, ...] = (..., *index)
        yield tuple(array[at] for array in arrays)
