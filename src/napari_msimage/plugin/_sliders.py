"""Where the sliders of a viewer cut a layer, in its pixels; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArgumentError
from ._units import unit_factor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._placement import FloatArray
    from ._region_frame import ViewState


def layer_order(view: ViewState, n_axes: int) -> tuple[int, ...]:
    """Return the axes of a layer in the order in which they are displayed.

    Parameters
    ----------
    view : ViewState
        The last `n_displayed` of its axes are on the canvas.
    n_axes : int
        Axes of the layer, which are the last ones of the viewer.
    """
    offset = len(view.order) - n_axes
    return tuple(axis - offset for axis in view.order if axis >= offset)


def layer_units(
    view: ViewState, units: Sequence[str], subject: str
) -> tuple[float, ...]:
    """Return a layer's world units per viewer's, one per axis of the layer.

    Parameters
    ----------
    view : ViewState
        The viewer.
    units : sequence of str, (n_axes,)
        Of the layer's world coordinates.
    subject : str
        Which layer, for messages.

    Raises
    ------
    ArgumentError
        If they do not compare.
    """
    if view.units is None or len(view.units) < len(units):
        return (1.0,) * len(units)
    factors = []
    for shown, unit in zip(view.units[-len(units) :], units, strict=True):
        factor = unit_factor(shown, unit)
        if factor is None:
            msg = (
                f"{subject} is in {unit}, the viewer in {shown}, which do not compare. "
                "Set the units of one of them."
            )
            raise ArgumentError(msg)
        factors.append(factor)
    return tuple(factors)


def sliced_positions(
    matrix: FloatArray,
    axes: Sequence[int],
    factors: Sequence[float],
    point: Sequence[float],
) -> dict[int, float]:
    """Return the data coordinates where napari slices a layer, by axis.

    Parameters
    ----------
    matrix : ndarray, (n_axes + 1, n_axes + 1)
        The layer's data to world.
    axes : sequence of int
        Axes of the layer that are sliced.
    factors : sequence of float, (n_axes,)
        As of `layer_units`.
    point : sequence of float
        In the viewer's world coordinates, one number per world axis.
    """
    axes = list(axes)
    offset = len(point) - len(factors)
    world = np.array([point[offset + axis] * factors[axis] for axis in axes])
    back = np.linalg.inv(matrix)
    data = back[np.ix_(axes, axes)] @ world + back[axes, -1]
    return dict(zip(axes, map(float, data), strict=True))


def nearest_pixel(position: float) -> int:
    """Return the pixel that napari draws: half to even, as it rounds."""
    return int(np.rint(position))


def pixel_of_level(index: int, finest: int, size: int) -> int:
    """Return the pixel of a level over the centre of one of the finest level.

    Parameters
    ----------
    index : int
        Pixel of the finest level.
    finest, size : int
        Pixels along the axis of the finest level, and of the other one.
    """
    return (2 * index + 1) * size // (2 * finest)
