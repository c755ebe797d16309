"""Shapes drawn in napari as regions of an image."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, RegionError
from ._export_layer import unwrapped
from ._layer_transform import attributes_to_placement, placement_to_matrix
from ._placement import check_matrix
from ._region_curves import ellipse_outline, ribbon_outline
from ._region_frame import (
    CanvasFrame,
    Planes,
    apply,
    canvas_frame,
    image_frame,
    inverse,
    is_along_axes,
    make_region,
    plane_bounds,
    source_axes,
)
from ._sliders import nearest_pixel, sliced_positions
from ._units import units_of_layer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..engines import ImageRegion
    from ._export_layer import ExportLayer
    from ._placement import FloatArray
    from ._region_frame import ViewState

#: Columns of a shape's features that name it, in this order; then the first with text.
_LABEL_COLUMNS: Final = ("label", "name", "id")
_LINES: Final = ("line", "path")
#: Rounding of the stored corners is never taken for more than this, in pixels.
_MAX_ROUNDING: Final = 0.05


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class DrawnShapes:
    """The shapes of a layer as they are now; no viewer, no layer."""

    name: str
    """Of the layer."""
    corners: tuple[FloatArray, ...]
    """Corners of each shape, (n, n_axes), in data coordinates."""
    kinds: tuple[str, ...]
    """What each one is: "rectangle", "ellipse", "polygon", "path" or "line"."""
    widths: tuple[float, ...]
    """Edge widths, in data coordinates."""
    labels: tuple[str, ...]
    """What each one is called."""
    matrix: FloatArray
    """Data to world."""
    units: tuple[str, ...]
    """Of the world coordinates."""
    properties: tuple[Mapping[str, Any], ...] = ()
    """Further facts of each shape, by name; empty text where one has no value."""

    @property
    def subject(self) -> str:
        """What messages call the layer."""
        return f"The shapes layer {self.name!r}"


def drawn_shapes(layer: Any, *, selected: bool = False) -> DrawnShapes:
    """Return what is drawn in a Shapes layer; in the window's thread.

    Parameters
    ----------
    layer : napari.layers.Shapes
        The layer.
    selected : bool
        Only the selected shapes.

    Raises
    ------
    ArgumentTypeError
        If it is not a Shapes layer.
    ArgumentError
        If it has no shapes, or none is selected, or its transform is singular.
    """
    layer = unwrapped(layer)
    if str(getattr(layer, "_type_string", "")) != "shapes":
        msg = (
            f"Regions are drawn in a Shapes layer; got {type(layer).__name__}. Add one "
            "and draw rectangles, ellipses, polygons or paths in it."
        )
        raise ArgumentTypeError(msg)
    subject = f"The shapes layer {layer.name!r}"
    if not layer.nshapes:
        msg = f"{subject} has no shapes. Draw one around what is to be exported."
        raise ArgumentError(msg)
    indices = range(layer.nshapes)
    if selected:
        indices = sorted(int(i) for i in layer.selected_data)  # type: ignore[assignment]
        if not indices:
            msg = f"No shape of {layer.name!r} is selected. Select some, or take all."
            raise ArgumentError(msg)
    n_axes = int(layer.ndim)
    attributes = layer.as_layer_data_tuple()[1]
    placement = attributes_to_placement(attributes, n_axes, subject)
    data, kinds, widths = layer.data, layer.shape_type, layer.edge_width
    labels, properties = _labels(layer), _properties(layer.features)
    return DrawnShapes(
        name=str(layer.name),
        corners=tuple(np.array(data[i], dtype=np.float64) for i in indices),
        kinds=tuple(str(kinds[i]) for i in indices),
        widths=tuple(float(widths[i]) for i in indices),
        labels=tuple(labels[i] for i in indices),
        matrix=check_matrix(placement_to_matrix(placement, n_axes), subject),
        units=units_of_layer(attributes.get("units"), n_axes, subject),
        properties=tuple(properties[i] for i in indices),
    )


def _properties(features: Any) -> list[dict[str, Any]]:
    """Return the features of each shape."""
    if not len(features.columns):
        return [{} for _ in range(len(features))]
    rows = zip(
        features.to_dict("records"), features.isna().to_dict("records"), strict=True
    )
    return [
        {str(name): "" if missing[name] else value for name, value in row.items()}
        for row, missing in rows
    ]


def _labels(layer: Any) -> list[str]:
    """Return what each shape is called: its text, else a feature, else its number."""
    numbers = [str(i) for i in range(layer.nshapes)]
    texts = [str(text) for text in np.atleast_1d(layer.text.values)]
    if len(texts) != len(numbers) or not any(texts):
        texts = _label_column(layer.features) or numbers
    return [text.strip() or number for text, number in zip(texts, numbers, strict=True)]


def _label_column(features: Any) -> list[str] | None:
    by_name = {str(column).lower(): column for column in features.columns}
    wanted = [by_name[name] for name in _LABEL_COLUMNS if name in by_name]
    wanted += [
        column
        for column in features.columns
        if len(features) and all(isinstance(v, str) for v in features[column])
    ]
    if not wanted:
        return None
    column = features[wanted[0]]
    # a missing value, of which pandas has several, is not called "nan"
    return [
        "" if is_missing else str(value)
        for value, is_missing in zip(column, column.isna(), strict=True)
    ]


# Regions --------------------------------------------------------------------------


def shape_regions(
    layer: ExportLayer,
    shapes: DrawnShapes,
    view: ViewState,
    *,
    planes: Planes | None = None,
) -> tuple[ImageRegion, ...]:
    """Return the regions of an image that shapes are drawn around.

    Parameters
    ----------
    layer : ExportLayer
        The image.
    shapes : DrawnShapes
        As of `drawn_shapes`; their layer may have fewer or more axes than the image.
    view : ViewState
        The viewer now: shapes are taken as they are drawn on the canvas.
    planes : "current", "all" or (int, int), optional
        Of a 3-D image. By default the plane that a shape lies in, and the current one
        where the shapes have no such axis.

    Returns
    -------
    tuple of ImageRegion
        One per shape: bounding box, and outline unless it is just the box. Curves
        become polygons within 0.1 pixels of the finest level.

    Raises
    ------
    UnsupportedError
        If the view is 3-D.
    RegionError
        If a shape is in other dimensions than displayed, has no area, or lies outside
        of the image.
    ArgumentError
        As `view_region`.

    Notes
    -----
    napari keeps corners as 32-bit floats. A bound that is a level's pixel edge as far
    as these can tell is taken for it, or rectangles far from the origin would gain a
    row of pixels.
    """
    frame = image_frame(layer, view)
    drawn = canvas_frame(view, shapes.matrix, shapes.units, shapes.subject)
    to_image = inverse(frame.to_canvas) @ drawn.to_canvas
    context = _Context(layer, shapes, view, planes, frame, drawn, to_image)
    return tuple(_region_of(context, i) for i in range(len(shapes.corners)))


@dataclasses.dataclass(frozen=True, slots=True)
class _Context:
    """What the regions of one layer share."""

    layer: ExportLayer
    shapes: DrawnShapes
    view: ViewState
    planes: Planes | None
    frame: CanvasFrame
    drawn: CanvasFrame
    to_image: FloatArray
    """Displayed data coordinates of the shapes to image coordinates."""


def _region_of(context: _Context, index: int) -> ImageRegion:
    shapes, drawn = context.shapes, context.drawn
    what = f"The {shapes.kinds[index]} {shapes.labels[index]!r} of {shapes.name!r}"
    corners = shapes.corners[index]
    if not np.isfinite(corners).all():
        msg = f"{what} has corners that are not finite: {corners.tolist()}."
        raise RegionError(msg)
    across = corners[:, list(drawn.sliced)]
    if (np.ptp(across, axis=0) > 4 * _float32_steps(across)).any():
        msg = (
            f"{what} was drawn in other dimensions than those displayed now. Display "
            "the dimensions it lies in (roll or transpose the axes), and export again."
        )
        raise RegionError(msg)
    flat = corners[:, list(drawn.displayed)]
    outline, lower, upper = _outline(context, index, flat, what)
    axes = source_axes(context.layer, context.frame)
    rounding = _rounding(context.to_image, flat)
    bounds = _planes_of(context, corners[0], what)
    for column, axis in enumerate(axes):
        bounds[axis] = (
            _snapped(context.layer, axis, float(lower[column]), rounding[column]),
            _snapped(context.layer, axis, float(upper[column]), rounding[column]),
        )
    is_box = len(outline) == 4 and is_along_axes(_rounded(outline, rounding))
    region = make_region(
        context.layer.source,
        bounds,
        what=what,
        name=shapes.labels[index],
        outline=None if is_box else outline,
        outline_axes=axes,
    )
    if not shapes.properties:
        return region
    return dataclasses.replace(region, properties=shapes.properties[index])


def _outline(
    context: _Context, index: int, flat: FloatArray, what: str
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a shape's outline and bounding box in image coordinates."""
    kind, width = context.shapes.kinds[index], context.shapes.widths[index]
    if kind == "ellipse":
        return ellipse_outline(apply(context.to_image, flat))
    if kind in _LINES:
        ribbon = ribbon_outline(flat, width)
        if ribbon is None:
            problem, advice = (
                (f"its edge width is {width:g}", "Give it an edge width")
                if not width > 0
                else ("all its corners are the same", "Draw it longer")
            )
            msg = f"{what} has no area: {problem}. {advice}, or draw a polygon."
            raise RegionError(msg)
        flat = ribbon
    outline = apply(context.to_image, flat)
    return outline, outline.min(axis=0), outline.max(axis=0)


def _planes_of(
    context: _Context, corner: FloatArray, what: str
) -> dict[int, tuple[float, float]]:
    """Return the bounds along the axes that are not on the canvas."""
    layer, frame, shapes, view = (
        context.layer,
        context.frame,
        context.shapes,
        context.view,
    )
    if context.planes is not None:
        return plane_bounds(layer, frame, context.planes, view.point)
    point = list(view.point)
    world = shapes.matrix[:-1, :-1] @ corner + shapes.matrix[:-1, -1]
    for axis in context.drawn.sliced:
        position = float(world[axis]) / context.drawn.factors[axis]
        point[context.drawn.offset + axis] = position
    _check_taken(context, point, what)
    return plane_bounds(layer, frame, "current", point)


def _check_taken(context: _Context, point: Sequence[float], what: str) -> None:
    """Refuse a shape at another point in time, say, than the image is taken at."""
    layer, frame = context.layer, context.frame
    positions = sliced_positions(layer.matrix, frame.sliced, frame.factors, point)
    for taken in layer.taken:
        pixel = nearest_pixel(positions[taken.axis])
        if pixel != taken.pixel:
            msg = (
                f"{what} lies at {pixel} along axis {taken.name}; the slider is at "
                f"{taken.pixel}. Move the slider there, or export the current plane "
                "instead of that of the shape."
            )
            raise RegionError(msg)


# Rounding -------------------------------------------------------------------------


def _rounding(to_image: FloatArray, flat: FloatArray) -> FloatArray:
    """Return how far corners stored as 32-bit floats may be off, in pixels."""
    off: FloatArray = np.abs(to_image[:2, :2]) @ _float32_steps(flat)
    return np.minimum(off, _MAX_ROUNDING) + 1e-9


def _float32_steps(corners: FloatArray) -> FloatArray:
    """Return the distance between 32-bit floats at the corners, per axis."""
    largest = np.abs(corners).max(axis=0).astype(np.float32)
    return np.asarray(np.spacing(largest), dtype=np.float64)


def _snapped(layer: ExportLayer, axis: int, bound: float, rounding: float) -> float:
    """Return the pixel edge that a bound is, as far as its rounding can tell."""
    shapes = layer.shapes
    finest = shapes[0][axis]
    for shape in shapes:
        edge = round(bound * shape[axis] / finest) * finest / shape[axis]
        if abs(edge - bound) <= rounding:
            return edge
    return bound


def _rounded(outline: FloatArray, rounding: Sequence[float] | FloatArray) -> FloatArray:
    """Return corners without differences that are rounding only."""
    lower, upper = outline.min(axis=0), outline.max(axis=0)
    tolerance = 2 * np.asarray(rounding)
    near_lower = np.where(outline - lower <= tolerance, lower, outline)
    return np.where(upper - near_lower <= tolerance, upper, near_lower)
