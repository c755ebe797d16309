"""What the 2-D canvas shows, in numbers, and how layers lie on it; no Qt.

Canvas coordinates here are napari's world coordinates of the two displayed axes, in
the viewer's units. A layer is drawn by the part of its matrix that belongs to the
displayed axes; what it is turned or sheared out of the plane is not drawn.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ..engines import ImageRegion
from ..errors import ArgumentError, RegionError, UnsupportedError
from ._export_layer import image_to_world, spatial_shapes, unwrapped
from ._sliders import (
    layer_order,
    layer_units,
    nearest_pixel,
    pixel_of_level,
    sliced_positions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines import ExportSource
    from ._export_layer import ExportLayer
    from ._placement import FloatArray

#: Which planes of a 3-D image: the one on the slider, all, or [start, stop) of them,
#: counted in pixels of the finest level.
Planes: TypeAlias = "Literal['current', 'all'] | tuple[int, int]"


@dataclasses.dataclass(frozen=True, slots=True)
class ViewState:
    """A viewer at one moment."""

    order: tuple[int, ...]
    """World axes as they are displayed: the last `n_displayed` are on the canvas,
    vertical before horizontal."""
    n_displayed: int
    """2 or 3."""
    point: tuple[float, ...]
    """World coordinates of the sliders, one per world axis."""
    center: tuple[float, float]
    """Canvas coordinates in the middle of the canvas, vertical and horizontal."""
    zoom: float
    """Screen pixels per world unit."""
    canvas_size: tuple[float, float]
    """Height and width of the part of the canvas that shows a layer, screen pixels."""
    units: tuple[str, ...] | None = None
    """Of world coordinates; None where the layers' units do not go together."""

    @property
    def corners(self) -> FloatArray:
        """Corners of the canvas in canvas coordinates, (4, 2), in a ring."""
        half = np.asarray(self.canvas_size) / (2 * self.zoom)
        signs = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
        return np.asarray(self.center) + signs * half


def view_state(viewer: Any) -> ViewState:
    """Return what a viewer shows now; in the window's thread.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
        In grid mode each layer has the same camera and a part of the canvas.
    """
    viewer = unwrapped(viewer)
    dims, camera = viewer.dims, viewer.scene.camera
    units = dims.units
    return ViewState(
        order=tuple(int(axis) for axis in dims.order),
        n_displayed=int(dims.ndisplay),
        point=tuple(float(value) for value in dims.point),
        center=(float(camera.center[-2]), float(camera.center[-1])),
        zoom=float(camera.zoom),
        canvas_size=_size_of_part(viewer),
        units=None if units is None else tuple(str(unit) for unit in units),
    )


def _size_of_part(viewer: Any) -> tuple[float, float]:
    """Return height and width of the canvas, or of one cell of the grid."""
    height, width = (float(size) for size in viewer.canvas.size)
    grid = viewer.canvas.grid
    if not grid.enabled or not len(viewer.layers):
        return height, width
    rows, columns = grid.actual_shape(viewer.layers)
    spacing = grid._compute_canvas_spacing((width, height), viewer.layers)
    return (
        (height - spacing * (rows - 1)) / rows,
        (width - spacing * (columns - 1)) / columns,
    )


# Layers on the canvas -------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class CanvasFrame:
    """How one layer lies on the canvas."""

    displayed: tuple[int, int]
    """Axes of the layer along the canvas, vertical and horizontal."""
    sliced: tuple[int, ...]
    """Its other axes."""
    to_canvas: FloatArray
    """Data coordinates of the displayed axes to canvas coordinates, (3, 3)."""
    offset: int
    """How many world axes there are before the first one of the layer."""
    factors: tuple[float, ...]
    """Layer's world units per viewer's, one per axis of the layer."""


def canvas_frame(
    view: ViewState, matrix: FloatArray, units: Sequence[str], subject: str
) -> CanvasFrame:
    """Return how a layer lies on the canvas.

    Parameters
    ----------
    view : ViewState
        With 2 displayed axes.
    matrix : ndarray, (n_axes + 1, n_axes + 1)
        The layer's data to world.
    units : sequence of str, (n_axes,)
        Of its world coordinates.
    subject : str
        Which layer, for messages.

    Raises
    ------
    UnsupportedError
        If the view is 3-D.
    ArgumentError
        If the layer stands edge-on, or its units do not fit the viewer's.
    """
    if view.n_displayed != 2:
        msg = (
            "A region of the 3-D view is not defined. Type the bounds of a region, "
            "choose the whole image, or switch to the 2-D view."
        )
        raise UnsupportedError(msg)
    n_axes = len(matrix) - 1
    order = layer_order(view, n_axes)
    vertical, horizontal = order[-2:]
    displayed = [vertical, horizontal]
    factors = layer_units(view, units, subject)
    part = matrix[np.ix_([*displayed, n_axes], [*displayed, n_axes])].copy()
    part[2] = (0, 0, 1)
    scale = np.append([factors[axis] for axis in displayed], 1.0)
    to_canvas = part / scale[:, None]
    if np.linalg.matrix_rank(to_canvas[:2, :2]) < 2:
        msg = (
            f"{subject} stands edge-on in this view. Display other axes, or type the "
            "bounds of a region."
        )
        raise ArgumentError(msg)
    offset = len(view.order) - n_axes
    return CanvasFrame((vertical, horizontal), order[:-2], to_canvas, offset, factors)


def image_frame(layer: ExportLayer, view: ViewState) -> CanvasFrame:
    """Return how an image lies on the canvas; `to_canvas` from image coordinates.

    Raises
    ------
    UnsupportedError, ArgumentError
        As `canvas_frame`, and if its channels are displayed as an axis.
    """
    subject = f"The image {layer.source.name!r}"
    frame = canvas_frame(view, layer.matrix, layer.units, subject)
    if not set(frame.displayed) <= set(layer.axes):
        msg = (
            f"{subject} has its channels along one of the axes on the canvas. Display "
            "two spatial axes, or type the bounds of a region."
        )
        raise ArgumentError(msg)
    return dataclasses.replace(frame, to_canvas=image_to_world(frame.to_canvas))


def source_axes(layer: ExportLayer, frame: CanvasFrame) -> tuple[int, int]:
    """Return the spatial axes of the source along the canvas."""
    vertical, horizontal = (layer.axes.index(axis) for axis in frame.displayed)
    return vertical, horizontal


# Planes ---------------------------------------------------------------------------


def plane_bounds(
    layer: ExportLayer, frame: CanvasFrame, planes: Planes, point: Sequence[float]
) -> dict[int, tuple[float, float]]:
    """Return the bounds of a region along the axes that are not on the canvas.

    Parameters
    ----------
    layer : ExportLayer
        The image.
    frame : CanvasFrame
        Of `image_frame`.
    planes : "current", "all" or (int, int)
        "current" is the plane at `point`, as napari draws it: centres are rounded.
    point : sequence of float
        In the viewer's world coordinates, one number per world axis.

    Returns
    -------
    dict
        Half-open bounds in image coordinates by spatial axis of the source.

    Raises
    ------
    RegionError
        If these planes are outside of the image.
    ArgumentError
        If `planes` makes no sense.
    """
    bounds = {}
    positions = sliced_positions(layer.matrix, frame.sliced, frame.factors, point)
    for layer_axis, position in positions.items():
        if layer_axis not in layer.axes:
            continue  # channels, or what is taken at one pixel
        axis = layer.axes.index(layer_axis)
        if planes == "current":
            bounds[axis] = bounds_of_plane(layer.source, axis, nearest_pixel(position))
        else:
            bounds[axis] = _bounds_of_range(layer.source, axis, planes)
    return bounds


def bounds_of_plane(source: ExportSource, axis: int, index: int) -> tuple[float, float]:
    """Return bounds that select one plane at every level: the one at a plane's centre.

    Parameters
    ----------
    source : ExportSource
        The image.
    axis : int
        Spatial axis across the plane.
    index : int
        Plane of the finest level.

    Returns
    -------
    lower, upper : float
        Within ``[index, index + 1)``; less than all of it where a coarser level has a
        plane that begins within.

    Raises
    ------
    RegionError
        If there is no such plane.
    """
    sizes = [shape[axis] for shape in spatial_shapes(source)]
    if not 0 <= index < sizes[0]:
        msg = (
            f"Plane {index} along {source.spatial_names[axis]!r} is asked for; "
            f"{source.name!r} has planes 0 to {sizes[0] - 1}. Move the slider, or "
            "choose a range of planes."
        )
        raise RegionError(msg)
    lower, upper = float(index), float(index + 1)
    for size in sizes[1:]:
        plane = pixel_of_level(index, sizes[0], size)
        lower = max(lower, plane * sizes[0] / size)
        upper = min(upper, (plane + 1) * sizes[0] / size)
    return lower, upper


def _bounds_of_range(
    source: ExportSource, axis: int, planes: Any
) -> tuple[float, float]:
    size = spatial_shapes(source)[0][axis]
    if planes == "all":
        return 0.0, float(size)
    name = source.spatial_names[axis]
    try:
        start, stop = (int(bound) for bound in planes)
    except (TypeError, ValueError) as err:
        msg = f"planes must be 'current', 'all' or (start, stop), got {planes!r}"
        raise ArgumentError(msg) from err
    if not 0 <= start < stop <= size:
        msg = (
            f"Planes [{start}, {stop}) along {name!r} are asked for; {source.name!r} "
            f"has [0, {size}). Start with one of these, and stop after it."
        )
        raise RegionError(msg)
    return float(start), float(stop)


# Regions --------------------------------------------------------------------------


def make_region(
    source: ExportSource,
    bounds: dict[int, tuple[float, float]],
    *,
    what: str,
    name: str = "",
    outline: FloatArray | None = None,
    outline_axes: tuple[int, int] = (0, 1),
) -> ImageRegion:
    """Return a region, cut off at the edges of the image.

    Parameters
    ----------
    source : ExportSource
        The image.
    bounds : dict
        Least and greatest image coordinate by spatial axis; axes that are missing are
        taken whole.
    what : str
        What is asked for, to begin messages with.
    name : str
        For file names.
    outline : ndarray, (n, 2), optional
        Corners of a polygon, columns as `outline_axes`.
    outline_axes : (int, int)
        Spatial axes.

    Raises
    ------
    RegionError
        If a bound is not finite, the region has no extent, or does not overlap the
        image.
    """
    shape, names = spatial_shapes(source)[0], source.spatial_names
    lower, upper = [0.0] * len(shape), [float(size) for size in shape]
    for axis, (low, high) in bounds.items():
        _check_extent(what, names[axis], low, high)
        if high <= 0 or low >= shape[axis]:
            msg = (
                f"{what} lies outside of {source.name!r}: along {names[axis]!r} it "
                f"spans {low:.6g} to {high:.6g} in pixels of the finest level, the "
                f"image 0 to {shape[axis]}. Choose a region that overlaps the image."
            )
            raise RegionError(msg)
        lower[axis], upper[axis] = max(float(low), 0.0), min(float(high), upper[axis])
    if outline_axes[0] > outline_axes[1]:
        outline_axes = (outline_axes[1], outline_axes[0])
        outline = None if outline is None else outline[:, ::-1]
    return ImageRegion(tuple(lower), tuple(upper), name, outline, outline_axes)


def _check_extent(what: str, axis: str, low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high)):
        msg = f"{what} has bounds that are not finite along {axis!r}: {low}, {high}."
        raise RegionError(msg)
    if low > high:
        msg = (
            f"{what} has its bounds along {axis!r} reversed: from {low:.9g} to "
            f"{high:.9g}. Give the lesser one first."
        )
        raise RegionError(msg)
    if low == high:
        msg = (
            f"{what} has no extent along {axis!r}: it starts and ends at {low:.9g}. "
            "Make it wider."
        )
        raise RegionError(msg)


def is_along_axes(corners: FloatArray) -> bool:
    """Tell whether the edges of a polygon all run along one axis or the other.

    Corners may be off by 1e-9 of the extent.
    """
    steps = np.abs(np.diff(np.vstack([corners, corners[:1]]), axis=0))
    tolerance = 1e-9 * np.ptp(corners, axis=0).max()
    return bool((steps.min(axis=1) <= tolerance).all())


# Points ---------------------------------------------------------------------------


def apply(matrix: FloatArray, points: FloatArray) -> FloatArray:
    """Return points mapped by an augmented matrix; (n, n_axes) each."""
    mapped: FloatArray = points @ matrix[:-1, :-1].T + matrix[:-1, -1]
    return mapped


def inverse(matrix: FloatArray) -> FloatArray:
    """Return the inverse of an augmented matrix, which has one."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
