"""Edges of the pixels that an export takes, as they lie on the canvas."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ..coordinates import pixel_boxes
from ..errors import SOMAError
from ._region_frame import apply, image_frame, plane_bounds, source_axes
from ._units import unit_factor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines import ImageRegion
    from ._export_layer import ExportLayer
    from ._region_frame import ViewState

#: Lines from point to point, (n, 2, n_displayed), in canvas coordinates: the last
#: axis is horizontal.
Segments: TypeAlias = npt.NDArray[np.float64]

_RING: Final = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])
#: Beyond, a preview would slow the canvas down.
_MAX_REGIONS: Final = 2000


def outline_segments(
    layer: ExportLayer,
    regions: Sequence[ImageRegion],
    level: int,
    view: ViewState,
    *,
    with_outlines: bool = False,
) -> Segments | None:
    """Return the edges of exactly the pixels that are exported.

    Parameters
    ----------
    layer : ExportLayer
        The image.
    regions : sequence of ImageRegion
        What is exported.
    level : int
        At which level: partly covered pixels of it are within the edges.
    view : ViewState
        The viewer now.
    with_outlines : bool
        Whether outlines within the boxes are drawn too, because pixels outside of
        them are masked.

    Returns
    -------
    ndarray or None
        Without the boxes that the planes on the canvas do not cut. None where the
        image cannot be drawn in this view.
    """
    try:
        if view.n_displayed != 2:
            parts = [
                _box_edges(layer, box, view) for box in _edges(layer, regions, level)
            ]
        else:
            shown = regions[:_MAX_REGIONS]
            parts = _rings(layer, shown, level, view, with_outlines)
    except SOMAError:
        return None  # such a view has been refused, or the region was typed
    n_displayed = 2 if view.n_displayed == 2 else 3
    return np.concatenate([np.empty((0, 2, n_displayed)), *parts])


def _edges(
    layer: ExportLayer, regions: Sequence[ImageRegion], level: int
) -> npt.NDArray[np.float64]:
    """Return the boxes of exported pixels in image coordinates, (n, n_axes, 2)."""
    boxes = pixel_boxes(
        [region.lower for region in regions],
        [region.upper for region in regions],
        layer.shapes[0],
        layer.shapes[level],
        axis_names=layer.source.spatial_names,
    )
    whole, size = np.array(layer.shapes[0]), np.array(layer.shapes[level])
    edges: npt.NDArray[np.float64] = boxes * whole[:, None] / size[:, None]
    return edges


def _rings(
    layer: ExportLayer,
    regions: Sequence[ImageRegion],
    level: int,
    view: ViewState,
    with_outlines: bool,
) -> list[Segments]:
    """Return the edges of the boxes that the planes on the canvas cut."""
    frame = image_frame(layer, view)
    axes = source_axes(layer, frame)
    edges = _edges(layer, regions, level)
    try:
        shown = plane_bounds(layer, frame, "current", view.point)
    except SOMAError:
        return []  # the slider is beyond the image
    is_cut = np.ones(len(edges), dtype=bool)
    for axis, (low, high) in shown.items():
        middle = (low + high) / 2
        is_cut &= (edges[:, axis, 0] <= middle) & (middle < edges[:, axis, 1])
    columns = zip(axes, _RING.T, strict=True)
    boxes = np.stack([edges[is_cut, axis][:, side] for axis, side in columns], axis=-1)
    lines = [_closed(boxes)]
    for index in np.flatnonzero(is_cut).tolist() if with_outlines else ():
        outline = regions[index].outline
        if outline is not None:
            swapped = tuple(regions[index].outline_axes) != axes
            lines.append(_closed(outline[:, ::-1] if swapped else outline))
    ends = np.concatenate(lines).reshape(-1, 2)
    return [apply(frame.to_canvas, ends).reshape(-1, 2, 2)]


def _closed(rings: npt.NDArray[np.float64]) -> Segments:
    """Return the edges of polygons, (..., n_corners, 2)."""
    edges = np.stack([rings, np.roll(rings, -1, axis=-2)], axis=-2)
    return edges.reshape(-1, 2, 2)


def _box_edges(
    layer: ExportLayer, edges: npt.NDArray[np.float64], view: ViewState
) -> Segments:
    """Return the 12 edges of a box in the 3-D view, 4 of a plane."""
    n_axes = layer.n_axes
    corners = []
    for choice in itertools.product((0, 1), repeat=len(edges)):
        corner = np.full(n_axes, 0.5)
        for axis, side in enumerate(choice):
            corner[layer.axes[axis]] = edges[axis][side]
        corners.append(corner)
    world = apply(layer.to_world, np.array(corners))
    offset = len(view.order) - n_axes
    factors = np.ones(n_axes)
    if view.units is not None:
        for axis, unit in enumerate(layer.units):
            factors[axis] = unit_factor(view.units[offset + axis], unit) or 1.0
    points = np.zeros((len(corners), 3))
    for column, axis in enumerate(view.order[-3:]):
        if axis >= offset:
            points[:, column] = world[:, axis - offset] / factors[axis - offset]
    sides = list(itertools.product((0, 1), repeat=len(edges)))
    pairs = [
        (i, j)
        for i, j in itertools.combinations(range(len(sides)), 2)
        if sum(a != b for a, b in zip(sides[i], sides[j], strict=True)) == 1
    ]
    found: Segments = points[np.array(pairs)]
    return found
