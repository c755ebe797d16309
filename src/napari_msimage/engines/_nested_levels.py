"""Geometry of nested levels: their sizes, and what a box of one is in the others."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final

from ..errors import ArgumentError
from ._axis_ratio import AxisRatio
from ._windows import Window, window_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_AXES: Final = 5


class NestedLevels:
    """Levels that divide each other, over a source of any size not below.

    Parameters
    ----------
    source_shape : sequence of int, (n_axes,)
        Shape of the source; 1 to 5 axes.
    level_shapes : sequence of sequence of int
        Shapes of the levels, finest ("the root") first, axes as the source. Each
        divides the one before it axis by axis.

    Attributes
    ----------
    axes : list of tuple of AxisRatio
        Every level over the source.
    steps : list of tuple of int
        Every level but the root: its whole factors to the level before it.
    factors : list of tuple of int
        Every level: its whole factors to the root.

    Raises
    ------
    ArgumentError
        If the shapes do not fit each other.
    """

    def __init__(
        self, source_shape: Sequence[int], level_shapes: Sequence[Sequence[int]]
    ) -> None:
        source = tuple(int(n) for n in source_shape)
        shapes = [tuple(int(n) for n in shape) for shape in level_shapes]
        _check_shapes(source, shapes)
        self.axes = [tuple(map(AxisRatio, source, shape)) for shape in shapes]
        self.steps = [
            tuple(n // m for n, m in zip(*pair, strict=True))
            for pair in itertools.pairwise(shapes)
        ]
        self.factors = [
            tuple(n // m for n, m in zip(shapes[0], shape, strict=True))
            for shape in shapes
        ]

    @property
    def root(self) -> tuple[AxisRatio, ...]:
        """The finest level over the source."""
        return self.axes[0]

    def check_box(self, box: Window) -> None:
        """Raise an `ArgumentError` if a box of the root does not fit all levels."""
        if len(box) != len(self.root):
            msg = f"Got a box of {len(box)} axes, {box!r}, expected {len(self.root)}."
            raise ArgumentError(msg)
        for axis, (start, stop) in enumerate(box):
            factor, n = self.factors[-1][axis], self.root[axis].n_out
            if not 0 <= start <= stop <= n or start % factor or stop % factor:
                msg = (
                    f"Got [{start}, {stop}) along axis {axis}, expected multiples of "
                    f"{factor} (the coarsest level's factor) within [0, {n})."
                )
                raise ArgumentError(msg)

    def source_box(self, box: Window) -> Window:
        """Return the source pixels that a box of the root touches."""
        return tuple(
            ratio.source_range(*ends)
            for ratio, ends in zip(self.root, box, strict=True)
        )

    def source_shape(self, box: Window) -> tuple[int, ...]:
        """Return the most source pixels that a box of this shape touches anywhere."""
        return tuple(
            min(ratio.n_in, -(-n * ratio.p // ratio.q) + (ratio.q > 1))
            for ratio, n in zip(self.root, window_shape(box), strict=True)
        )

    def box_at(self, level: int, box: Window) -> Window:
        """Return a box of the root as a box of another level."""
        return tuple(
            (start // factor, stop // factor)
            for factor, (start, stop) in zip(self.factors[level], box, strict=True)
        )

    def pieces(self, box: Window, max_pixels: int) -> Iterator[Window]:
        """Yield boxes that tile a box, with few source pixels each if possible.

        The leading axes are cut first, so that rows stay whole; bounds are multiples
        of the coarsest level's factors.
        """
        lengths = list(window_shape(box))
        n_source = math.prod(window_shape(self.source_box(box)))
        for axis, factor in enumerate(self.factors[-1]):
            if n_source <= max_pixels:
                break
            units = -(-lengths[axis] // factor)
            n_parts = min(units, -(-n_source // max_pixels))
            fewer = -(-units // n_parts)
            n_source = -(-n_source * fewer // units)
            lengths[axis] = fewer * factor
        ranges = [
            [(at, min(at + length, stop)) for at in range(start, stop, length)]
            for length, (start, stop) in zip(lengths, box, strict=True)
        ]
        yield from itertools.product(*ranges)


def _check_shapes(source: tuple[int, ...], shapes: list[tuple[int, ...]]) -> None:
    if not 1 <= len(source) <= _MAX_AXES or min(source) < 1:
        msg = (
            f"Got source shape {source!r}, expected 1 to {_MAX_AXES} axes of 1 pixel "
            f"or more."
        )
        raise ArgumentError(msg)
    if not shapes:
        msg = "Got no level shapes, expected one or more."
        raise ArgumentError(msg)
    for shape in shapes:
        if len(shape) != len(source) or not all(
            1 <= m <= n for m, n in zip(shape, source, strict=True)
        ):
            msg = (
                f"Got level shape {shape!r}, expected {len(source)} sizes from 1 to "
                f"those of the source, {source!r}."
            )
            raise ArgumentError(msg)
    for finer, coarser in itertools.pairwise(shapes):
        if any(n % m for n, m in zip(finer, coarser, strict=True)):
            msg = (
                f"Got level shape {coarser!r} after {finer!r}, expected sizes that "
                f"divide it axis by axis."
            )
            raise ArgumentError(msg)
