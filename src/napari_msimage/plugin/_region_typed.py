"""Typed bounds, and the whole image, as regions."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from ..errors import LevelIndexError, RegionError
from ._export_layer import spatial_shapes
from ._region_frame import apply, inverse, is_along_axes, make_region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines import ExportSource, ImageRegion
    from ._placement import FloatArray


def whole_region(source: ExportSource) -> ImageRegion:
    """Return the whole image as a region."""
    return make_region(source, {}, what="The whole image", name="")


def pixel_region(
    source: ExportSource,
    lower: Sequence[float | None],
    upper: Sequence[float | None],
    *,
    level: int = 0,
    name: str = "",
) -> ImageRegion:
    """Return the region between two pixel positions.

    Parameters
    ----------
    source : ExportSource
        The image.
    lower, upper : sequence of float or None, (n_spatial,)
        Half-open bounds, data axis order, in pixels of a level; need not be whole.
        None: the image's edge.
    level : int
        Which level's pixels; negative ones count from the coarsest.
    name : str
        For file names.

    Raises
    ------
    RegionError
        If there are more or fewer numbers than axes, one is not finite, the bounds
        are reversed or equal, or the region does not overlap the image.
    LevelIndexError
        If there is no such level.
    """
    shapes, names = spatial_shapes(source), source.spatial_names
    if not -len(shapes) <= level < len(shapes):
        msg = (
            f"Bounds in pixels of level {level} were given; {source.name!r} has levels "
            f"0 to {len(shapes) - 1}."
        )
        raise LevelIndexError(msg)
    _check_count(source, lower, upper)
    bounds = {}
    for axis in range(len(names)):
        finest, size = shapes[0][axis], shapes[level][axis]
        low, high = lower[axis], upper[axis]
        _check_typed(names[axis], low, high)
        # one division, so that a level's edges come out as near as floats can be
        bounds[axis] = (
            0.0 if low is None else low * finest / size,
            float(finest) if high is None else high * finest / size,
        )
    return make_region(source, bounds, what="The typed region", name=name)


def world_region(
    source: ExportSource,
    lower: Sequence[float | None],
    upper: Sequence[float | None],
    *,
    name: str = "",
) -> ImageRegion:
    """Return the region between two positions in world coordinates.

    Parameters
    ----------
    source : ExportSource
        The image.
    lower, upper : sequence of float or None, (n_spatial,)
        Bounds in the source's units, its spatial axes in data axis order. None: as far
        as the image goes.
    name : str
        For file names.

    Returns
    -------
    ImageRegion
        The bounding box of it in image coordinates; where a 2-D image is turned or
        sheared, its outline is the box that was typed.

    Raises
    ------
    RegionError
        As `pixel_region`.
    """
    shape, names = spatial_shapes(source)[0], source.spatial_names
    _check_count(source, lower, upper)
    image = apply(source.to_world, np.array(_corners([(0, size) for size in shape])))
    sides = []
    for axis, axis_name in enumerate(names):
        low, high = lower[axis], upper[axis]
        _check_typed(axis_name, low, high)
        sides.append(
            (
                float(image[:, axis].min()) if low is None else float(low),
                float(image[:, axis].max()) if high is None else float(high),
            )
        )
    for axis, (low, high) in enumerate(sides):
        if high <= image[:, axis].min() or low >= image[:, axis].max():
            raise _outside(source, names[axis], (low, high), image[:, axis])
    corners = apply(inverse(source.to_world), np.array(_corners(sides)))
    bounds = {
        axis: (float(column.min()), float(column.max()))
        for axis, column in enumerate(corners.T)
    }
    outline = None
    if len(names) == 2 and not is_along_axes(ring := corners[[0, 1, 3, 2]]):
        outline = ring
    return make_region(
        source, bounds, what="The typed region", name=name, outline=outline
    )


def _corners(sides: Sequence[tuple[float, float]]) -> list[tuple[float, ...]]:
    return list(itertools.product(*sides))


def _check_count(
    source: ExportSource, lower: Sequence[float | None], upper: Sequence[float | None]
) -> None:
    names = source.spatial_names
    if len(lower) != len(names) or len(upper) != len(names):
        msg = (
            f"{source.name!r} has the axes {', '.join(names)}; {len(lower)} lower and "
            f"{len(upper)} upper bounds were given. Give one of each per axis."
        )
        raise RegionError(msg)


def _check_typed(axis: str, low: float | None, high: float | None) -> None:
    """Refuse bounds as they were typed, before they are converted."""
    for bound in (low, high):
        if bound is not None and not np.isfinite(bound):
            msg = (
                f"The typed region has bounds that are not finite along {axis!r}: "
                f"{low}, {high}. Type numbers, or leave a field empty for the edge of "
                "the image."
            )
            raise RegionError(msg)
    if low is None or high is None:
        return
    if low >= high:
        what = "no extent" if low == high else "its bounds reversed"
        msg = (
            f"The typed region has {what} along {axis!r}: from {low:.9g} to "
            f"{high:.9g}. Type a greater number as the upper bound."
        )
        raise RegionError(msg)


def _outside(
    source: ExportSource, axis: str, side: tuple[float, float], image: FloatArray
) -> RegionError:
    return RegionError(
        f"The typed region lies outside of {source.name!r}: along {axis!r} it spans "
        f"{side[0]:.6g} to {side[1]:.6g}, the image {image.min():.6g} to "
        f"{image.max():.6g} in world coordinates. Type bounds that overlap the image."
    )
