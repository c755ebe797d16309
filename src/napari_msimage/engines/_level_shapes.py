"""Shapes of levels that an image lacks: below its coarsest level and between levels.

Geometry is the ratio of shapes. With whole factors the coarsest shape is chosen first
and multiplied upwards, so that every new level is a whole multiple of the next one and
only the step from a stored level may have a ratio that is not whole.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Size per axis, data axis order, channel axis included.
Shape: TypeAlias = tuple[int, ...]
#: Step factor per axis, data axis order; 1 for axes that keep their size.
Factors: TypeAlias = tuple[float, ...]

#: A step between stored levels is filled up from this power of the factor on.
_GAP_POWER = 1.5
#: More steps than any image has: sizes are below 2**31.
_MAX_STEPS = 64


def ladder(shapes: Sequence[Shape]) -> list[Shape]:
    """Return the shapes of stored levels that get smaller and smaller, finest first.

    SOMA sorts by the first axis first, so that a later level may be larger along
    another axis: such a level is no step of the ladder.
    """
    kept = [shapes[0]]
    for shape in shapes[1:]:
        if shape != kept[-1] and is_within(shape, kept[-1]):
            kept.append(shape)
    return kept


def is_within(shape: Shape, other: Shape) -> bool:
    """Tell whether a shape is nowhere larger than another one."""
    return all(a <= b for a, b in zip(shape, other, strict=True))


def shapes_below(start: Shape, factors: Factors, n_levels: int) -> list[Shape]:
    """Return the shapes of levels coarser than a stored one, finest first.

    Parameters
    ----------
    start : tuple of int, (n_axes,)
        Shape of the stored level.
    factors : tuple of float, (n_axes,)
        Step factors.
    n_levels : int
        How many; fewer come back where no axis is left to shrink.
    """
    columns = [
        _sizes_below(n, f, n_levels) for n, f in zip(start, factors, strict=True)
    ]
    shapes = list(zip(*columns, strict=True)) if n_levels else []
    return _decreasing(start, shapes)


def _sizes_below(size: int, factor: float, n_levels: int) -> list[int]:
    """Return the sizes of one axis; it stops shrinking at 1."""
    n_steps = min(n_levels, int(math.log(size, factor) + 1e-9)) if factor > 1 else 0
    steps = [min(k, n_steps) for k in range(1, n_levels + 1)]
    if factor != int(factor):
        return [round_size(size / factor**k) for k in steps]
    whole = int(factor)
    coarsest = round_size(size / whole**n_steps)
    return [coarsest * whole ** (n_steps - k) if n_steps else size for k in steps]


def shapes_until(
    start: Shape, factors: Factors, max_side: int, displayed: Sequence[int]
) -> list[Shape]:
    """Return levels until the longest displayed side is at most `max_side`.

    Parameters
    ----------
    start, factors : tuple, (n_axes,)
        As for `shapes_below`.
    max_side : int
        Pixels.
    displayed : sequence of int
        Positions of the displayed axes that shrink.
    """
    shapes: list[Shape] = []
    for n_levels in range(1, _MAX_STEPS):
        last = shapes[-1] if shapes else start
        if max(last[axis] for axis in displayed) <= max_side:
            break
        longer = shapes_below(start, factors, n_levels)
        if len(longer) < n_levels:
            break
        shapes = longer
    return shapes


def shapes_between(shapes: Sequence[Shape], factors: Factors) -> list[Shape]:
    """Return the shapes that lack between the steps of a ladder of stored levels."""
    found = []
    for finer, coarser in pairwise(shapes):
        gap = _in_gap(finer, coarser, factors)
        found += _decreasing(finer, gap, coarser)
    return found


def _in_gap(finer: Shape, coarser: Shape, factors: Factors) -> list[Shape]:
    powers = [
        math.log(a / b, f)
        for a, b, f in zip(finer, coarser, factors, strict=True)
        if f > 1
    ]
    if not powers or max(powers) < _GAP_POWER:
        return []
    return [
        tuple(
            min(a, round_size(b * f**k))
            for a, b, f in zip(finer, coarser, factors, strict=True)
        )
        for k in range(round(max(powers)) - 1, 0, -1)
    ]


def _decreasing(
    start: Shape, shapes: Sequence[Shape], stop: Shape | None = None
) -> list[Shape]:
    """Leave out shapes that equal their predecessor, or the level that follows."""
    kept: list[Shape] = []
    for shape in shapes:
        if shape != (kept[-1] if kept else start) and shape != stop:
            kept.append(shape)
    return kept


def round_size(size: float) -> int:
    """Return the nearest whole size, at least 1; halves upwards."""
    return max(1, math.floor(size + 0.5))
