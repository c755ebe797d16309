"""The part of an image that the 2-D canvas shows, as a region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import RegionError
from ._region_frame import (
    apply,
    image_frame,
    inverse,
    is_along_axes,
    make_region,
    plane_bounds,
    source_axes,
)

if TYPE_CHECKING:
    from ..engines import ImageRegion
    from ._export_layer import ExportLayer
    from ._placement import FloatArray
    from ._region_frame import Planes, ViewState


def view_region(
    layer: ExportLayer, view: ViewState, *, planes: Planes = "current"
) -> ImageRegion:
    """Return the region of an image that is on the canvas.

    Parameters
    ----------
    layer : ExportLayer
        The image.
    view : ViewState
        The viewer now, as of `view_state`.
    planes : "current", "all" or (int, int)
        Of a 3-D image: the plane shown, all, or ``[start, stop)`` of the finest level.

    Returns
    -------
    ImageRegion
        The bounding box in image coordinates of the canvas, cut off at the image's
        edges. Where the image is turned or sheared, its outline is the canvas.

    Raises
    ------
    UnsupportedError
        If the view is 3-D.
    RegionError
        If nothing of the image is on the canvas.
    ArgumentError
        If the image stands edge-on, or its units do not fit the viewer's.
    """
    frame = image_frame(layer, view)
    axes = source_axes(layer, frame)
    corners = apply(inverse(frame.to_canvas), view.corners)
    bounds = plane_bounds(layer, frame, planes, view.point)
    what = "The current view"
    if not _overlaps(layer, view, frame.to_canvas, axes, corners):
        msg = (
            f"{what} shows nothing of {layer.source.name!r}. Move it onto the image, "
            "or choose the whole image."
        )
        raise RegionError(msg)
    for axis, column in zip(axes, corners.T, strict=True):
        bounds[axis] = (float(column.min()), float(column.max()))
    outline = None if is_along_axes(corners) else corners
    return make_region(
        layer.source, bounds, what=what, name="view", outline=outline, outline_axes=axes
    )


def _overlaps(
    layer: ExportLayer,
    view: ViewState,
    to_canvas: FloatArray,
    axes: tuple[int, int],
    corners: FloatArray,
) -> bool:
    """Tell whether canvas and image overlap: two parallelograms, so in both frames."""
    size = np.array([layer.shapes[0][axis] for axis in axes], dtype=float)
    ring = np.array([(0, 0), (0, 1), (1, 1), (1, 0)]) * size
    image = apply(to_canvas, ring)
    canvas = view.corners
    return bool(
        (corners.max(axis=0) > 0).all()
        and (corners.min(axis=0) < size).all()
        and (image.max(axis=0) > canvas.min(axis=0)).all()
        and (image.min(axis=0) < canvas.max(axis=0)).all()
    )
