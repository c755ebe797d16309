"""Where the pixels lie that an export takes: outlines for a preview, exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ..coordinates import pixel_box
from ..errors import LevelIndexError
from ._export_layer import spatial_shapes
from ._placement import image_matrix
from ._region_frame import apply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines import ExportSource, ImageRegion
    from ._export_layer import ExportLayer
    from ._placement import FloatArray

_RING: Final = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])


def level_box(
    source: ExportSource, region: ImageRegion, level: int
) -> tuple[tuple[int, int], ...]:
    """Return the pixels of a level that a region covers; half-open, spatial axes.

    Raises
    ------
    LevelIndexError
        If there is no such level.
    RegionError
        If the region lies outside of the image.
    """
    shapes = spatial_shapes(source)
    if not -len(shapes) <= level < len(shapes):
        msg = (
            f"Level {level} is asked for; {source.name!r} has levels 0 to "
            f"{len(shapes) - 1}."
        )
        raise LevelIndexError(msg)
    return pixel_box(
        region.lower,
        region.upper,
        shapes[0],
        shapes[level],
        axis_names=source.spatial_names,
    )


def export_outline(
    layer: ExportLayer,
    region: ImageRegion,
    level: int,
    *,
    displayed: Sequence[int] = (-2, -1),
    plane: float | None = None,
) -> FloatArray:
    """Return the corners of exactly the pixels that are exported, in world coordinates.

    Parameters
    ----------
    layer : ExportLayer
        The image.
    region : ImageRegion
        What is exported.
    level : int
        At which level: partly covered pixels of it are within the outline.
    displayed : sequence of int, 2 numbers
        The two axes of the layer that are on the canvas, as of `canvas_frame`.
    plane : float, optional
        For a 3-D image: where along the remaining axis the outline lies, in pixels of
        the finest level; moved into the exported planes. By default in their middle.

    Returns
    -------
    ndarray, (4, n_axes)
        A ring for a Shapes layer, all axes of the layer in napari's order, in the
        layer's units.
    """
    source, n_axes = layer.source, layer.n_axes
    box = level_box(source, region, level)
    finest, shape = layer.shapes[0], layer.shapes[level]
    edges = [
        (start * whole / size, stop * whole / size)
        for (start, stop), whole, size in zip(box, finest, shape, strict=True)
    ]
    centre = image_matrix(n_axes)[:-1, -1]  # of the first pixel along each axis
    corners = np.tile(centre, (4, 1))
    shown = [axis % n_axes for axis in displayed]
    for axis, layer_axis in enumerate(layer.axes):
        low, high = edges[axis]
        if layer_axis in shown:
            column = _RING[:, shown.index(layer_axis)]
            corners[:, layer_axis] = np.where(column, high, low)
        else:
            middle = (low + high) / 2 if plane is None else plane
            corners[:, layer_axis] = min(max(middle, low), high)
    return apply(layer.to_world, corners)
