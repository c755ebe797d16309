"""Layers with more axes than an export holds: cut where the sliders are; lazy."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import RegionError, UnsupportedError
from ._axis_labels import given_labels
from ._layer_source import (
    check_not_empty,
    checked_channel_axis,
    is_rgb_layer,
    levels_of,
    subject_of,
)
from ._layer_transform import attributes_to_placement, placement_to_matrix
from ._pixel_views import TakenPixels
from ._placement import check_matrix
from ._sliders import (
    layer_order,
    layer_units,
    nearest_pixel,
    pixel_of_level,
    sliced_positions,
)
from ._units import units_of_layer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._placement import FloatArray
    from ._region_frame import ViewState

MAX_SPATIAL: Final = 3
#: Attributes that say where a layer lies.
_PLACES: Final = ("scale", "translate", "rotate", "shear")


@dataclasses.dataclass(frozen=True, slots=True)
class TakenAxis:
    """An axis of a layer along which one pixel is taken."""

    axis: int
    """Which one, in napari's order."""
    name: str
    """What messages call it."""
    sizes: tuple[int, ...]
    """Pixels along it, one number per level."""
    pixel: int
    """The pixel of the finest level that is taken."""

    def pixel_of(self, level: int) -> int:
        """Return the pixel of a level that is taken."""
        return pixel_of_level(self.pixel, self.sizes[0], self.sizes[level])


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CutLayer:
    """A layer without the axes that are taken at one pixel."""

    data: Any
    """As of `layer_parts`, like the next two; levels are not read."""
    attributes: Mapping[str, Any]
    """Place, units and labels are those of the axes that are left."""
    kind: str
    """Type of the layer."""
    matrix: FloatArray
    """Data to world with all axes of the layer, (n_axes + 1, n_axes + 1)."""
    units: tuple[str, ...]
    """Of the world coordinates, one per axis of the layer."""
    axes: tuple[int, ...]
    """Which axes of the layer are left, in its order."""
    channel_axis: int | None
    """Position of the channel axis among them; None for colours and labels."""
    taken: tuple[TakenAxis, ...] = ()
    """The others."""


def cut_layer(
    data: Any,
    attributes: Mapping[str, Any],
    kind: str,
    *,
    view: ViewState | None = None,
    channel_axis: int | None = None,
) -> CutLayer:
    """Return a layer with 3 spatial axes at most, the others taken at the sliders.

    The axes on the canvas are left, and of the others the last ones.

    Parameters
    ----------
    data, attributes, kind
        As of `layer_parts`; the type is "image" or "labels".
    view : ViewState, optional
        Where the sliders are; without it, no axis is taken.
    channel_axis : int, optional
        Position of the channel axis in an image that is not RGB; it is left.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the layer has no pixels, or a transform or units that make no sense.
    UnsupportedError
        If the transform turns or shears an axis that is to be taken.
    RegionError
        If a slider is beyond the layer.
    """
    subject = subject_of(str(attributes.get("name") or ""), kind == "labels")
    levels, is_multiscale = levels_of(data, attributes, subject)
    check_not_empty(levels, subject)
    rgb = kind == "image" and is_rgb_layer(attributes, levels[0])
    n_axes = len(levels[0].shape) - rgb
    placement = attributes_to_placement(attributes, n_axes, subject)
    matrix = check_matrix(placement_to_matrix(placement, n_axes), subject)
    units = units_of_layer(attributes.get("units"), n_axes, subject)
    channel = None
    if channel_axis is not None and kind == "image" and not rgb:
        channel = checked_channel_axis(channel_axis, n_axes, subject)
    axes = tuple(range(n_axes))
    if view is not None:
        axes = _left_axes(view, n_axes, channel)
    position = None if channel is None else axes.index(channel)
    cut = CutLayer(data, attributes, kind, matrix, units, axes, position)
    if view is None or len(axes) == n_axes:
        return cut
    names = given_labels(attributes.get("axis_labels"), n_axes)
    taken = _taken(cut, view, names, levels, subject)
    pixels = [
        TakenPixels(level, {one.axis: one.pixel_of(index) for one in taken})
        for index, level in enumerate(levels)
    ]
    order = [*axes, n_axes]
    kept = {key: v for key, v in attributes.items() if key not in _PLACES}
    kept |= {
        "multiscale": is_multiscale,
        "affine": matrix[np.ix_(order, order)],
        "units": [units[axis] for axis in axes],
        "axis_labels": [names[axis] or "" for axis in axes],
    }
    if kind == "image":
        kept["rgb"] = rgb
    return dataclasses.replace(
        cut,
        data=pixels if is_multiscale else pixels[0],
        attributes=kept,
        taken=taken,
    )


def _left_axes(view: ViewState, n_axes: int, channel: int | None) -> tuple[int, ...]:
    """Return the axes that an export holds, in the layer's order."""
    channels = [] if channel is None else [channel]
    shown = layer_order(view, n_axes)[-view.n_displayed :]
    others = [axis for axis in range(n_axes) if axis not in shown]
    spatial = [a for a in (*others, *shown) if a not in channels][-MAX_SPATIAL:]
    return tuple(sorted((*spatial, *channels)))


def _taken(
    cut: CutLayer,
    view: ViewState,
    names: Sequence[str | None],
    levels: Sequence[Any],
    subject: str,
) -> tuple[TakenAxis, ...]:
    """Return where the sliders are along the axes that are not left."""
    n_axes = len(names)
    axes = [axis for axis in range(n_axes) if axis not in cut.axes]
    factors = layer_units(view, cut.units, subject)
    positions = sliced_positions(cut.matrix, axes, factors, view.point)
    taken = []
    for axis in axes:
        name = names[axis] or str(axis)
        others = [i for i in range(n_axes) if i != axis]
        if cut.matrix[axis, others].any() or cut.matrix[others, axis].any():
            msg = (
                f"{subject} is turned or sheared along axis {name}, so that a point "
                "along it is no plane of pixels. Display that axis, or export a part "
                "of the layer that has no such axis."
            )
            raise UnsupportedError(msg)
        sizes = tuple(int(level.shape[axis]) for level in levels)
        pixel = nearest_pixel(positions[axis])
        if not 0 <= pixel < sizes[0]:
            msg = (
                f"{subject} has 0 to {sizes[0] - 1} along axis {name}; the slider is "
                f"at {pixel}. Move the slider."
            )
            raise RegionError(msg)
        taken.append(TakenAxis(axis, name, sizes, pixel))
    return tuple(taken)


def taken_in_words(taken: Sequence[TakenAxis]) -> str:
    """Return what was taken of a layer as a sentence; "" where nothing is left out."""
    parts = [
        f"axis {one.name} at {one.pixel} (of 0 to {one.sizes[0] - 1})"
        for one in taken
        if one.sizes[0] > 1
    ]
    return f"Taken where the sliders are: {', '.join(parts)}." if parts else ""
