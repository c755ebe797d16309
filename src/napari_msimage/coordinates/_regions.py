"""Regions in a space, boxes of whole pixels in a level: the only file that rounds.

Two interval conventions meet here:

- a `Region` is closed, ``[minimum, maximum]``, in floats;
- a `Box` is half-open, ``[start, stop)``, in whole pixels; pixel ``i`` covers
  ``[i, i + 1)``.

Both are in coordinate axis order, without the channel axis.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as short_repr
from typing import Any

import numpy as np

from ..errors import ArgumentTypeError, RegionError, UnsupportedError
from ._boxes import Box, integers
from ._transforms import AffineTransform, CoordinateTransform


@dataclass(frozen=True, slots=True)
class Region:
    """A closed box in a coordinate space.

    Parameters
    ----------
    minimum, maximum : sequence of float, (n_axes,)
        Corners, both included, coordinate axis order.

    Raises
    ------
    RegionError
        If the corners differ in length, are not finite, or minimum exceeds maximum.
    ArgumentTypeError
        If a corner is not a sequence of real numbers.
    """

    minimum: tuple[float, ...]
    """Lower corner, coordinate axis order."""
    maximum: tuple[float, ...]
    """Upper corner (included), coordinate axis order."""

    def __post_init__(self) -> None:
        minimum, maximum = _numbers(self.minimum), _numbers(self.maximum)
        if not minimum or len(minimum) != len(maximum):
            msg = (
                f"A region got corners {minimum!r} and {maximum!r}; expected one "
                "number per axis in each."
            )
            raise RegionError(msg)
        for axis, (low, high) in enumerate(zip(minimum, maximum, strict=True)):
            if not (math.isfinite(low) and math.isfinite(high)):
                msg = (
                    f"A region runs from {low!r} to {high!r} on axis {axis}; expected "
                    "finite numbers."
                )
                raise RegionError(msg)
            if low > high:
                msg = (
                    f"A region runs from {low!r} to {high!r} on axis {axis}; expected "
                    "the minimum first. Region.from_value puts corners in order."
                )
                raise RegionError(msg)
        object.__setattr__(self, "minimum", minimum)
        object.__setattr__(self, "maximum", maximum)

    @property
    def n_axes(self) -> int:
        """Number of axes."""
        return len(self.minimum)

    @property
    def bounds(self) -> tuple[float, ...]:
        """Minimum, then maximum: ``(x_min, y_min, x_max, y_max)`` on two axes."""
        return (*self.minimum, *self.maximum)

    @classmethod
    def from_value(cls, value: Any, n_axes: int) -> Region:
        """Region from what a user may pass for one.

        Parameters
        ----------
        value : sequence of float (2 * n_axes,), geometry or Region
            Numbers in the order ``(x_min, y_min[, z_min], x_max, y_max[, z_max])``,
            coordinate axis order; swapped corners are put in order. Or any object
            with such a ``bounds`` attribute, a shapely geometry for one: only its
            bounding box counts.
        n_axes : int
            Number of axes of the space that the region lies in.

        Returns
        -------
        Region

        Raises
        ------
        RegionError
            If the number of values does not fit, one is NaN or infinite, or the
            geometry is empty or has more dimensions than the space.
        ArgumentTypeError
            If it is neither numbers nor a geometry.

        Examples
        --------
        >>> Region.from_value((4, 5, 2, 3), 2)
        Region(minimum=(2.0, 3.0), maximum=(4.0, 5.0))
        """
        bounds = _bounds_of(value, n_axes)
        if len(bounds) != 2 * n_axes:
            msg = (
                f"Region {short_repr(value)} has {len(bounds)} numbers; expected "
                f"{2 * n_axes}: the {n_axes} minima, then the {n_axes} maxima, in the "
                "order of the coordinate space."
            )
            raise RegionError(msg)
        if not all(map(math.isfinite, bounds)):
            msg = (
                f"Region {short_repr(value)} has the bounds {bounds!r}; expected "
                "finite numbers."
            )
            raise RegionError(msg)
        corners = tuple(zip(bounds[:n_axes], bounds[n_axes:], strict=True))
        return cls(tuple(map(min, corners)), tuple(map(max, corners)))


def transform_region(region: Region, transform: CoordinateTransform) -> Region:
    """Find the bounding box of a region after a transform, translation included.

    Parameters
    ----------
    region : Region
        In the transform's input space.
    transform : AffineTransform
        Or one of its special cases.

    Returns
    -------
    Region
        Smallest region in the output space that holds every transformed point.

    Raises
    ------
    RegionError
        If the numbers of axes differ, or the result is not finite.
    UnsupportedError
        If the transform is of another kind.

    Notes
    -----
    tiledbsoma 2.3 takes the wrong part of the matrix for the translation, and so can
    transform by scales only.
    """
    if not isinstance(transform, AffineTransform):
        msg = (
            f"Cannot transform a region by {type(transform).__name__}; expected an "
            "affine transform, a scale or the identity."
        )
        raise UnsupportedError(msg)
    if region.n_axes != len(transform.input_axes):
        msg = (
            f"The region has {region.n_axes} axes; the transform takes "
            f"{len(transform.input_axes)}: {transform.input_axes!r}."
        )
        raise RegionError(msg)
    matrix = transform.augmented_matrix
    minimum, maximum = np.zeros(region.n_axes), np.zeros(region.n_axes)
    # Each input axis moves each output axis on its own, so the extremes over all
    # 2**n corners are the sums of the extremes per axis. Same order of summation as
    # AffineTransform.transform_points.
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, corners in enumerate(
            zip(region.minimum, region.maximum, strict=True)
        ):
            moved = np.multiply.outer(corners, matrix[:-1, axis])
            minimum += moved.min(axis=0)
            maximum += moved.max(axis=0)
        minimum += matrix[:-1, -1]
        maximum += matrix[:-1, -1]
    if not (np.isfinite(minimum).all() and np.isfinite(maximum).all()):
        msg = f"{region!r} has no finite bounds after {transform!r}."
        raise RegionError(msg)
    return Region(tuple(minimum.tolist()), tuple(maximum.tolist()))


def region_to_box(region: Region, spatial_shape: Sequence[int]) -> Box:
    """Find the smallest box of whole pixels that covers a region in one level.

    Partly covered pixels are included; the box is clipped to the level. On an axis
    where the region has no extent, it is covered by the one pixel it lies in.

    Parameters
    ----------
    region : Region
        In the level's pixels, coordinate axis order.
    spatial_shape : sequence of int, (n_axes,)
        Size of the level in coordinate axis order, channel axis left out.

    Returns
    -------
    Box
        May be empty, if the region lies outside the level.

    Raises
    ------
    RegionError
        If the numbers of axes differ.

    Notes
    -----
    ``read_spatial_region`` goes by `region_to_soma_box`, which can be larger.
    """
    start, stop = [], []
    for low, high, size in _axes_of(region, spatial_shape):
        first = min(max(0, math.floor(low)), size)
        past = min(max(math.ceil(high), math.floor(low) + 1), size)
        start.append(first)
        stop.append(max(first, past))
    return Box(tuple(start), tuple(stop))


def region_to_soma_box(region: Region, spatial_shape: Sequence[int]) -> Box:
    """Find the pixels that ``read_spatial_region`` reads for a region in one level.

    Parameters
    ----------
    region : Region
        In the level's pixels, coordinate axis order.
    spatial_shape : sequence of int, (n_axes,)
        Size of the level in coordinate axis order, channel axis left out.

    Returns
    -------
    Box
        Never empty.

    Raises
    ------
    RegionError
        If the numbers of axes differ, or the region lies outside the level.

    Notes
    -----
    The numbers are those of tiledbsoma 2.3: per axis the pixels from ``floor(min)``
    to ``ceil(max)``, the last one included, clamped to the level. Adjacent regions
    therefore overlap by one pixel.
    """
    start, stop = [], []
    for axis, (low, high, size) in enumerate(_axes_of(region, spatial_shape)):
        first, last = max(0, math.floor(low)), min(math.ceil(high), size - 1)
        if first >= size or last < 0:
            msg = (
                f"The region runs from {low!r} to {high!r} on axis {axis} of the "
                f"coordinate space, in pixels of the level, and does not overlap it: "
                f"the level has the pixels 0 to {size - 1} there."
            )
            raise RegionError(msg)
        start.append(first)
        stop.append(last + 1)
    return Box(tuple(start), tuple(stop))


def _axes_of(
    region: Region, spatial_shape: Sequence[int]
) -> list[tuple[float, float, int]]:
    """Minimum, maximum and level size of each axis."""
    shape = integers(spatial_shape)
    if len(shape) != region.n_axes:
        msg = f"{region!r} has {region.n_axes} axes; the level's shape is {shape!r}."
        raise RegionError(msg)
    return list(zip(region.minimum, region.maximum, shape, strict=True))


def _bounds_of(value: Any, n_axes: int) -> tuple[float, ...]:
    """Bounds of a region-like value, as they come."""
    if isinstance(value, Region):
        return value.bounds
    if not hasattr(value, "bounds"):
        return _numbers(value)
    if getattr(value, "is_empty", False) is True:
        msg = f"The geometry {short_repr(value)} is empty; expected one with an extent."
        raise RegionError(msg)
    if n_axes == 2 and getattr(value, "has_z", False) is True:
        msg = (
            f"The geometry {short_repr(value)} has z coordinates; the image has two "
            "axes, so drop them."
        )
        raise RegionError(msg)
    return _numbers(value.bounds)


def _numbers(values: Any) -> tuple[float, ...]:
    """Floats from a flat sequence of real numbers."""
    if hasattr(values, "__array__"):
        values = np.asarray(values)
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(
        values, (str, bytes, bytearray)
    ):
        msg = (
            f"Region {short_repr(values)} is of type {type(values).__name__}; expected "
            "a sequence of numbers or a geometry with bounds."
        )
        raise ArgumentTypeError(msg)
    items = values.tolist() if isinstance(values, np.ndarray) else values
    if not isinstance(items, Sequence):
        msg = f"Region {short_repr(values)} is one number; expected two per axis."
        raise ArgumentTypeError(msg)
    for position, item in enumerate(items):
        if isinstance(item, bool) or not isinstance(item, numbers.Real):
            msg = (
                f"Region {short_repr(values)} has {short_repr(item)} "
                f"({type(item).__name__}) at position {position}; expected a flat "
                "sequence of real numbers."
            )
            raise ArgumentTypeError(msg)
    try:
        return tuple(float(item) for item in items)
    except OverflowError as err:
        msg = "A region has a number too large for floating point."
        raise RegionError(msg) from err
