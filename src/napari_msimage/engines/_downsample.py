"""Downsampling: nested coarser levels made from a block of one finer level.

Pixel ``k`` of an axis with ``n_out`` pixels covers ``[k, k + 1) * n_in / n_out`` of the
source, exactly. Every level is defined on the source pixels, none on another new level.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError
from ._exact_mean import ExactMean
from ._float_mean import FloatMean
from ._nested_levels import NestedLevels
from ._scratch import Scratch
from ._window_extremes import WindowExtremes
from ._window_vote import WindowVote
from ._windows import Window, origin_of, window_shape, window_slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._axis_ratio import Run

Method: TypeAlias = Literal["mean", "stride", "mode", "median", "min", "max"]
Box: TypeAlias = Window

METHODS: Final = ("mean", "stride", "mode", "median", "min", "max")

_DTYPES: Final = (
    *map(np.dtype, ("int8", "int16", "int32", "int64")),
    *map(np.dtype, ("uint8", "uint16", "uint32", "uint64", "float32", "float64")),
)
#: Source bytes worked on at once: temporary arrays then stay in the processor's cache.
_PIECE_BYTES: Final = 1 << 20


class _Reducer(Protocol):
    """Makes the pixels of all levels for one piece of a block."""

    def reduce(
        self,
        pixels: npt.NDArray[Any],
        box: Window,
        runs: Sequence[Sequence[Run]],
        outs: Sequence[npt.NDArray[Any]],
        scratch: Scratch,
    ) -> None: ...

    def working_bytes(self, box: Window) -> int: ...


class Downsampler:
    """Makes nested levels from blocks of one finer level.

    Safe to be used by several threads at once.

    Parameters
    ----------
    method : {"mean", "stride", "mode", "median", "min", "max"}
        What a pixel becomes of the area that it covers:

        - ``"mean"``: the mean weighted with the covered area. Integers are exact and
          rounded once, halves upwards (also negative ones: -0.5 becomes 0).
        - ``"stride"``: the source pixel that holds the area's centre, of two the lower.
        - ``"mode"``: the value with the largest weight, of several the smallest.
        - ``"median"``: the smallest value such that it and smaller ones have at least
          half of the weight.
        - ``"min"``, ``"max"``: the extreme of all pixels touched, also partly.

        Except for ``"stride"``, NaN is ignored and an area of nothing else is NaN.
        Zeros of ``"mode"``, ``"median"``, ``"min"`` and ``"max"`` come out positive.
    dtype : dtype
        Type of the pixels: an integer of 8 to 64 bits, float32 or float64.
    source_shape : sequence of int, (n_axes,)
        Shape of the finer level; 1 to 5 axes in any order, a channel axis included.
    level_shapes : sequence of sequence of int
        Shapes of the levels to make, finest ("the root") first, axes as the source.
        Each divides the one before it axis by axis; the root may have any size up to
        the source's. An axis of equal sizes (channels) is kept.

    Raises
    ------
    ArgumentError
        If the method is unknown, the shapes do not fit each other, or the weights of
        an area could not be exact (2**62 and more parts of source pixels).
    ArgumentTypeError
        If the type is not supported.
    """

    def __init__(
        self,
        method: Method,
        dtype: np.dtype[Any],
        source_shape: Sequence[int],
        level_shapes: Sequence[Sequence[int]],
    ) -> None:
        if method not in METHODS:
            msg = f"Got downsampling method {method!r}, expected one of {METHODS!r}."
            raise ArgumentError(msg)
        if dtype not in _DTYPES:
            expected = ", ".join(map(str, _DTYPES))
            msg = f"Got pixels of type {dtype!r}, expected one of {expected}."
            raise ArgumentTypeError(msg)
        self._dtype = np.dtype(dtype)
        self._levels = NestedLevels(source_shape, level_shapes)
        self._reducer = _reducer(method, self._dtype, self._levels)

    def source_box(self, box: Box) -> Box:
        """Return the source pixels that a box of the root level touches.

        Parameters
        ----------
        box : Box
            Half-open bounds per axis, in pixels of the root.

        Returns
        -------
        Box
            Half-open bounds per axis, in pixels of the source.
        """
        return self._levels.source_box(box)

    def downsample(self, pixels: npt.NDArray[Any], box: Box) -> list[npt.NDArray[Any]]:
        """Make the pixels of every level that cover a box.

        Parameters
        ----------
        pixels : ndarray
            The source pixels of `source_box`, in any memory order; not changed.
        box : Box
            Half-open bounds per axis, in pixels of the root: multiples of the coarsest
            level's factor to the root.

        Returns
        -------
        list of ndarray
            One per level, finest first, in the type of the source. They are the same
            to the last bit whatever box they were made in.

        Raises
        ------
        ArgumentError
            If the box is not aligned, or the pixels have another shape.
        ArgumentTypeError
            If the pixels have another type.
        """
        self._check(pixels, box)
        outs = [
            np.empty(window_shape(self._levels.box_at(level, box)), self._dtype)
            for level in range(len(self._levels.axes))
        ]
        if not outs[0].size:
            return outs
        origin = origin_of(self.source_box(box))
        origins = [
            origin_of(self._levels.box_at(level, box)) for level in range(len(outs))
        ]
        # Most pieces share the runs of most axes.
        runs_along = functools.cache(self._runs_along)
        scratch = Scratch()
        for piece in self._levels.pieces(box, self._max_pixels):
            source = self.source_box(piece)
            inner = [
                math.prod(window_shape(source[axis:])) for axis in range(1, len(box))
            ]
            runs = [
                runs_along(axis, *ends, n)
                for axis, (ends, n) in enumerate(zip(piece, [*inner, 1], strict=True))
            ]
            parts = [
                out[window_slices(self._levels.box_at(level, piece), origins[level])]
                for level, out in enumerate(outs)
            ]
            self._reducer.reduce(
                pixels[window_slices(source, origin)], piece, runs, parts, scratch
            )
        return outs

    def working_bytes(self, box: Box) -> int:
        """Return an upper estimate of the memory that `downsample` takes for a box.

        The pixels returned are included, the source pixels are not.

        Parameters
        ----------
        box : Box
            As for `downsample`.

        Returns
        -------
        int
            Bytes.
        """
        n_root = math.prod(window_shape(box))
        if not n_root:
            return 0
        n_outs = sum(n_root // math.prod(f) for f in self._levels.factors)
        piece = next(self._levels.pieces(box, self._max_pixels))
        overhead = 1 << 16
        geometry = 64 * sum(window_shape(box))
        return (
            n_outs * self._dtype.itemsize
            + self._reducer.working_bytes(piece)
            + geometry
            + overhead
        )

    @property
    def _max_pixels(self) -> int:
        return _PIECE_BYTES // self._dtype.itemsize

    def _runs_along(self, axis: int, start: int, stop: int, inner: int) -> list[Run]:
        return self._levels.root[axis].runs(start, stop, inner)

    def _check(self, pixels: npt.NDArray[Any], box: Box) -> None:
        self._levels.check_box(box)
        expected = window_shape(self.source_box(box))
        if pixels.shape != expected:
            msg = (
                f"Got source pixels of shape {pixels.shape!r} for the box {box!r}, "
                f"expected {expected!r}."
            )
            raise ArgumentError(msg)
        if pixels.dtype != self._dtype:
            msg = f"Got source pixels of type {pixels.dtype}, expected {self._dtype}."
            raise ArgumentTypeError(msg)


class _Stride:
    """Takes the source pixels with the centres of the pixels of nested levels."""

    def __init__(self, dtype: np.dtype[Any], levels: NestedLevels) -> None:
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
        """Write the sampled pixels of every level."""
        for level, out in enumerate(outs):
            sampled = pixels
            for axis, ends in enumerate(self._levels.box_at(level, box)):
                centres = self._levels.axes[level][axis].centres(*ends)
                steps = np.diff(centres)
                if not steps.size or (steps == steps[0]).all():
                    step = int(steps[0]) if steps.size else 1
                    at = slice(int(centres[0]), int(centres[-1]) + 1, step)
                    sampled = sampled[(slice(None),) * axis + (at,)]
                else:
                    sampled = np.take(sampled, centres, axis)
            np.copyto(out, sampled)

    def working_bytes(self, box: Window) -> int:
        """Return the most memory that `reduce` needs at once, without its outputs."""
        shape = list(self._levels.source_shape(box))
        size, most = math.prod(shape), 0
        for axis, (start, stop) in enumerate(box):
            shape[axis] = stop - start
            if self._levels.root[axis].q > 1:
                # The source counts, too: np.take copies what is not contiguous.
                most = max(most, size + math.prod(shape))
                size = math.prod(shape)
        return most * self._dtype.itemsize


def _reducer(method: Method, dtype: np.dtype[Any], levels: NestedLevels) -> _Reducer:
    if method == "stride":
        return _Stride(dtype, levels)
    if method == "min" or method == "max":
        return WindowExtremes(method, dtype, levels)
    if method == "mode" or method == "median":
        return WindowVote(method, dtype, levels)
    return FloatMean(dtype, levels) if dtype.kind == "f" else ExactMean(dtype, levels)
