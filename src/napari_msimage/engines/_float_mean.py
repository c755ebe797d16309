"""Means of floats that ignore NaN, do not overflow and do not depend on blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ._axis_fold import weighted_sums, whole_sums
from ._scratch import Scratch
from ._windows import Window, window_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ._axis_ratio import Run
    from ._nested_levels import NestedLevels


class FloatMean:
    """Makes the area means of nested levels from a block of source pixels.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    levels : NestedLevels
        The levels over the source.

    Notes
    -----
    float32 is summed in float64 with whole weights and divided at the end. float64 has
    no wider type to be safe in: its weights add up to 1 in every step.
    """

    def __init__(
        self,
        dtype: np.dtype[Any],
        levels: NestedLevels,
    ) -> None:
        self._is_double = dtype == np.float64
        self._levels = levels
        root_area = math.prod(ratio.p for ratio in levels.root)
        self._areas = [
            float(root_area * math.prod(factors)) for factors in levels.factors
        ]

    def reduce(
        self,
        pixels: npt.NDArray[Any],
        box: Window,
        runs: Sequence[Sequence[Run]],
        outs: Sequence[npt.NDArray[Any]],
        scratch: Scratch,
    ) -> None:
        """Write the means of every level; parameters as in `ExactMean.reduce`."""
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            self._ignore_nan(pixels, runs, outs, scratch)
            if self._is_double and any(np.isinf(out).any() for out in outs):
                self._clamp(pixels, runs, outs, scratch)

    def _ignore_nan(
        self,
        pixels: npt.NDArray[Any],
        runs: Sequence[Sequence[Run]],
        outs: Sequence[npt.NDArray[Any]],
        scratch: Scratch,
    ) -> None:
        for level, sums in enumerate(self._level_sums(pixels, runs, scratch)):
            if self._is_double:
                np.copyto(outs[level], sums)
            else:
                np.divide(sums, self._areas[level], out=outs[level], casting="unsafe")
        # A NaN spreads up to the coarsest level.
        if not np.isnan(outs[-1]).any():
            return
        is_nan = np.isnan(pixels)
        known = np.where(is_nan, pixels.dtype.type(0), pixels)
        sums_of_known = self._level_sums(known, runs, scratch)
        weights_of_known = self._level_sums(~is_nan, runs, Scratch())
        for out in outs:
            mean = next(sums_of_known) / next(weights_of_known)
            # Only there: other means shall not depend on what is in their block.
            np.copyto(out, mean, casting="unsafe", where=np.isnan(out))
            np.copyto(out, np.nan, where=np.isnan(out))

    def _clamp(
        self,
        pixels: npt.NDArray[Any],
        runs: Sequence[Sequence[Run]],
        outs: Sequence[npt.NDArray[Any]],
        scratch: Scratch,
    ) -> None:
        """Undo overflows by rounding, when the largest numbers are averaged."""
        halves = [np.empty_like(out) for out in outs]
        self._ignore_nan(pixels * 0.5, runs, halves, scratch)
        for out, half in zip(outs, halves, strict=True):
            largest = np.copysign(np.finfo(np.float64).max, half)
            np.copyto(out, largest, where=np.isinf(out) & np.isfinite(half))

    def _level_sums(
        self,
        values: npt.NDArray[Any],
        runs: Sequence[Sequence[Run]],
        scratch: Scratch,
    ) -> Iterator[npt.NDArray[Any]]:
        """Yield the weighted sums of every level, as float64."""
        dtype = np.dtype(np.float64)
        for axis, ratio in enumerate(self._levels.root):
            if ratio.p == 1:
                continue
            scale = 1 / ratio.p if self._is_double else None
            if ratio.q == 1:
                values = whole_sums(values, axis, ratio.p, dtype, scratch, scale)
            else:
                values = weighted_sums(
                    values, axis, runs[axis], ratio.q, dtype, scratch, scale
                )
        yield values
        for factors in self._levels.steps:
            for axis, factor in enumerate(factors):
                if factor > 1:
                    scale = 1 / factor if self._is_double else None
                    values = whole_sums(values, axis, factor, dtype, scratch, scale)
            yield values

    def working_bytes(self, box: Window) -> int:
        """Return the most memory that `reduce` needs at once, without its outputs."""
        shape = list(self._levels.source_shape(box))
        size = math.prod(shape) * (8 if self._is_double else 4)
        # The pixels without NaN, which they are and are not; pixels half as large.
        held = size + 2 * math.prod(shape) + size * self._is_double
        steps, gathered = [math.prod(window_shape(box)) * 8], 0
        for axis, ratio in enumerate(self._levels.root):
            if ratio.p > 1:
                shape[axis] = window_shape(box)[axis]
                steps.append(math.prod(shape) * 8)
                if ratio.q > 1:
                    gathered = max(gathered, size + steps[-1])
                size = steps[-1]
        # Two chains of sums, of pixels and of weights: two steps and an extra each.
        return held + gathered + 2 * (sum(sorted(steps)[-2:]) + max(steps))
