"""Plan the levels to display: the stored ones, and virtual ones where they lack.

A viewer shows the coarsest level that has a pixel for each pixel of the canvas. Where
the next finer level is much finer, or there is none that is small, it reads far more
than it shows. Virtual levels close such gaps: they are made from the stored level that
is finer, as exact area means.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Final

from ..errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

#: No single slicing reads more than this from a store.
MAX_READ_BYTES: Final = 64 * 2**20
#: A coarsest level up to this size is shown as it is; napari reads it whole, often.
MAX_COARSEST_BYTES: Final = 24 * 2**20
MAX_COARSEST_SIDE: Final = 4096
#: The longest side of an overview is about this: a thumbnail and a small canvas.
OVERVIEW_SIDE: Final = 1024
#: Virtual levels up to this size together, coarsest first, are kept in memory.
MEMORY_BYTES: Final = 64 * 2**20
#: A virtual level between two stored ones is kept in memory from this factor on:
#: one tile of it needs so much of the finer level that making it on demand is slow.
_MEMORY_FACTOR: Final = 8
#: An axis is halved with the longest one unless it is shorter by this factor.
_THIN_AXIS: Final = 4


@dataclasses.dataclass(frozen=True, slots=True)
class DisplayLevelPlan:
    """One level to display."""

    shape: tuple[int, ...]
    """Pixels per axis, the axes of the stored levels."""
    stored: int
    """Index of the stored level that it is, or that it is made from."""
    is_stored: bool
    """Whether it is that level."""
    in_memory: bool = False
    """Whether a pass over the finer level fills it, or tiles are made on demand."""


@dataclasses.dataclass(frozen=True, slots=True)
class DisplayPlan:
    """All levels to display, finest first."""

    levels: tuple[DisplayLevelPlan, ...]
    """Stored and virtual ones; sizes strictly decrease."""
    n_spatial: int
    """Number of leading axes that are spatial; colours follow."""

    @property
    def n_virtual(self) -> int:
        """Number of levels that are not stored."""
        return sum(not level.is_stored for level in self.levels)

    @property
    def has_overview(self) -> bool:
        """Whether no stored level is small enough to be shown whole."""
        return not self.levels[-1].is_stored


def plan_display(
    shapes: Sequence[Sequence[int]],
    dtype: np.dtype[np.generic],
    *,
    rgb: bool = False,
    memory_bytes: int = MEMORY_BYTES,
) -> DisplayPlan:
    """Decide which levels to display.

    Between two stored levels, virtual ones follow at factor 2 until the next step is
    below 2.9. A coarsest stored level over 24 MiB or 4096 pixels is followed by ever
    smaller virtual ones, down to an overview of about 1024 pixels a side.

    Parameters
    ----------
    shapes : sequence of sequence of int, (n_levels, n_axes)
        Shapes of the stored levels, finest first, in the viewer's axis order: spatial
        axes, then the colours if `rgb`.
    dtype : dtype
        Pixel type.
    rgb : bool
        Whether the last axis holds colours.
    memory_bytes : int
        Most bytes of all levels kept in memory; the overview itself always is.

    Returns
    -------
    DisplayPlan
        Level geometry is the ratio of shapes, as in napari and SOMA.

    Raises
    ------
    ArgumentError
        If there is no level, sizes do not decrease, or axes or colours differ.
    """
    stored = [tuple(int(n) for n in shape) for shape in shapes]
    _check_shapes(stored, rgb)
    itemsize = dtype.itemsize
    levels: list[DisplayLevelPlan] = []
    for index, shape in enumerate(stored):
        levels.append(DisplayLevelPlan(shape, index, is_stored=True))
        if index + 1 < len(stored):
            gap = list(_between(shape, stored[index + 1]))
        else:
            gap = list(
                _down_to_overview(shape, itemsize, n_spatial=_n_spatial(stored, rgb))
            )
        levels += [DisplayLevelPlan(s, index, is_stored=False) for s in gap]
    return DisplayPlan(
        _place_in_memory(levels, stored, itemsize, memory_bytes),
        _n_spatial(stored, rgb),
    )


def _n_spatial(shapes: Sequence[tuple[int, ...]], rgb: bool) -> int:
    return len(shapes[0]) - rgb


def _check_shapes(shapes: list[tuple[int, ...]], rgb: bool) -> None:
    if not shapes:
        msg = "there are no levels to display; at least one is needed"
        raise ArgumentError(msg)
    for finer, coarser in itertools.pairwise(shapes):
        is_ordered = len(finer) == len(coarser) and all(
            c <= f for c, f in zip(coarser, finer, strict=True)
        )
        if not is_ordered or finer == coarser or (rgb and finer[-1] != coarser[-1]):
            msg = (
                f"levels must get smaller and keep their axes and colours, got a level "
                f"of shape {coarser} after one of {finer}"
            )
            raise ArgumentError(msg)


def _between(
    finer: tuple[int, ...], coarser: tuple[int, ...]
) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of virtual levels between two stored ones."""
    ratios = [f / c for f, c in zip(finer, coarser, strict=True)]
    n_steps = round(math.log2(max(ratios)))
    for step in range(1, n_steps):
        yield tuple(
            n if ratio == 1 else max(c, round(n / min(2**step, ratio)))
            for n, c, ratio in zip(finer, coarser, ratios, strict=True)
        )


def _down_to_overview(
    finest: tuple[int, ...], itemsize: int, n_spatial: int
) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of virtual levels below the coarsest stored one."""
    if _is_small(finest, itemsize, n_spatial, MAX_COARSEST_SIDE):
        return
    halvings: list[list[int]] = [[0] * len(finest)]
    sizes = [float(n) for n in finest]
    side = OVERVIEW_SIDE * math.sqrt(2)
    while not _is_small(sizes, itemsize, n_spatial, side):
        counts = halvings[-1].copy()
        longest = max(sizes[:n_spatial])
        for axis in range(n_spatial):
            is_plane = axis >= n_spatial - 2
            if sizes[axis] > 4 and (is_plane or sizes[axis] * _THIN_AXIS > longest):
                counts[axis] += 1
                sizes[axis] /= 2
        halvings.append(counts)
    for counts in halvings[1:]:
        yield tuple(
            max(1, round(n / 2**count)) for n, count in zip(finest, counts, strict=True)
        )


def _is_small(
    shape: Sequence[float], itemsize: int, n_spatial: int, side: float
) -> bool:
    return (
        math.prod(shape) * itemsize <= MAX_COARSEST_BYTES
        and max(shape[:n_spatial]) <= side
    )


def _place_in_memory(
    levels: list[DisplayLevelPlan],
    stored: list[tuple[int, ...]],
    itemsize: int,
    memory_bytes: int,
) -> tuple[DisplayLevelPlan, ...]:
    """Mark the virtual levels to keep in memory, coarsest first."""
    placed: list[DisplayLevelPlan] = []
    closed: set[int] = set()
    used = 0
    for level in reversed(levels):
        in_memory = False
        if not level.is_stored and level.stored not in closed:
            is_overview = not placed
            nbytes = math.prod(level.shape) * itemsize
            fits = used + nbytes <= memory_bytes
            below_all = level.stored == len(stored) - 1
            factor = max(
                n / m for n, m in zip(stored[level.stored], level.shape, strict=True)
            )
            in_memory = is_overview or (
                fits and (below_all or factor >= _MEMORY_FACTOR - 0.5)
            )
            used += nbytes * in_memory
            if not in_memory:
                closed.add(level.stored)
        placed.append(dataclasses.replace(level, in_memory=in_memory))
    return tuple(_align_memory_levels(placed, stored))


def _align_memory_levels(
    coarsest_first: list[DisplayLevelPlan], stored: list[tuple[int, ...]]
) -> list[DisplayLevelPlan]:
    """Make levels in memory whole multiples of the next coarser one, finest first.

    So the sums for one of them also serve the next. Axes that are not reduced stay.
    """
    aligned: list[DisplayLevelPlan] = []
    for level in coarsest_first:
        last = aligned[-1] if aligned else None
        if level.in_memory and last and last.in_memory and last.stored == level.stored:
            shape = tuple(
                n if n == full else m * round(n / m)
                for n, m, full in zip(
                    level.shape, last.shape, stored[level.stored], strict=True
                )
            )
            aligned.append(dataclasses.replace(level, shape=shape))
        else:
            aligned.append(level)
    return aligned[::-1]
