"""Minima and maxima of all source pixels that the pixels of nested levels touch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ._axis_fold import touched_extremes, whole_extremes
from ._windows import Window, window_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._axis_ratio import Run
    from ._nested_levels import NestedLevels
    from ._scratch import Scratch


class WindowExtremes:
    """Makes the extremes of nested levels from a block of source pixels.

    NaN is ignored, zeros come out positive.

    Parameters
    ----------
    method : {"min", "max"}
        Which extreme.
    dtype : dtype
        Type of the pixels.
    levels : NestedLevels
        The levels over the source.
    """

    def __init__(
        self, method: Literal["min", "max"], dtype: np.dtype[Any], levels: NestedLevels
    ) -> None:
        # For integers the same as minimum and maximum.
        self._extreme = np.fmin if method == "min" else np.fmax
        self._dtype = dtype
        self._levels = levels

    def reduce(
        self,
        pixels: npt.NDArray[Any],
        box: Window,
        runs: Sequence[Sequence[Run]],
        outs: Sequence[npt.NDArray[Any]],
        scratch: Scratch,
    ) -> None:
        """Write the extremes of every level; parameters as in `ExactMean.reduce`."""
        for axis, ratio in enumerate(self._levels.root):
            if ratio.p > 1 and ratio.q == 1:
                pixels = whole_extremes(pixels, axis, ratio.p, self._extreme, scratch)
            elif ratio.p > 1:
                pixels = touched_extremes(
                    pixels, axis, runs[axis], self._extreme, scratch
                )
        self._store(pixels, outs[0])
        for factors, out in zip(self._levels.steps, outs[1:], strict=True):
            for axis, factor in enumerate(factors):
                if factor > 1:
                    pixels = whole_extremes(
                        pixels, axis, factor, self._extreme, scratch
                    )
            self._store(pixels, out)

    def _store(self, extremes: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        if self._dtype.kind != "f":
            np.copyto(out, extremes)
            return
        # Which zero, or which NaN, comes out of a fold may depend on its position.
        np.add(extremes, self._dtype.type(0), out=out)
        np.copyto(out, np.nan, where=np.isnan(out))

    def working_bytes(self, box: Window) -> int:
        """Return the most memory that `reduce` needs at once, without its outputs."""
        shape = list(self._levels.source_shape(box))
        n_source = math.prod(shape)
        size = most = 0
        for axis, (start, stop) in enumerate(box):
            ratio = self._levels.root[axis]
            if ratio.p > 1:
                shape[axis] = stop - start
                made = math.prod(shape)
                # Where pixels are gathered: from a copy, two and the result at once.
                gathered = (size or n_source) + 3 * made if ratio.q > 1 else 0
                most = max(most, size + made + gathered)
                size = made
        return most * self._dtype.itemsize + math.prod(window_shape(box))
