"""Layers as sources of an export: pixels, place, units, channels; reads no pixel."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..engines import ExportSource
from ..errors import ArgumentError, UnsupportedError
from ._layer_source import WRITTEN_TYPES, layer_parts, read_source, subject_of
from ._layers import CHANNEL_AXIS, LAYER_METADATA_KEY
from ._pixel_views import StackedPixels
from ._placement import image_matrix, is_same_place
from ._units import PIXEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._layer_source import LayerSource
    from ._placement import FloatArray

_MAX_SPATIAL: Final = 3
#: A colormap without a colour of its own for bright pixels, such as "viridis".
_WHITE: Final = (1.0, 1.0, 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class ExportLayer:
    """The source of an export, and how its axes are those of napari's layer."""

    source: ExportSource
    """Pixels and place."""
    matrix: FloatArray
    """Centres of pixels to world coordinates, (n_layer + 1, n_layer + 1): all axes of
    the layer in napari's order, a channel axis among them if it is not split off."""
    axes: tuple[int, ...]
    """Which axis of the layer each spatial axis of the source is."""
    units: tuple[str, ...]
    """Of the world coordinates, one per axis of the layer."""
    channels: tuple[int, ...] | None = None
    """Which channels of the source the layers show; None: all."""

    @property
    def n_axes(self) -> int:
        """Axes of the layer, colours not counted."""
        return len(self.matrix) - 1

    @property
    def to_world(self) -> FloatArray:
        """Image coordinates to world coordinates, all axes of the layer."""
        return image_to_world(self.matrix)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Spatial shapes of the levels, data axis order."""
        return spatial_shapes(self.source)


def image_to_world(matrix: FloatArray) -> FloatArray:
    """Return the map from image coordinates, where pixel i covers [i, i + 1).

    Parameters
    ----------
    matrix : ndarray, (n_axes + 1, n_axes + 1)
        napari's data to world, where pixel i is centred on i.
    """
    from_image = np.linalg.inv(image_matrix(len(matrix) - 1))
    return np.asarray(matrix @ from_image, dtype=np.float64)


def unwrapped(thing: Any) -> Any:
    """Return a viewer or layer without the proxy that widgets get it in."""
    return getattr(thing, "__wrapped__", thing)


def spatial_shapes(source: ExportSource) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of the levels without the channel axis; data axis order."""
    return tuple(source.spatial_shape(level) for level in range(len(source.levels)))


def layers_to_export(
    layers: Sequence[Any], *, channel_axis: int | None = None
) -> ExportLayer:
    """Return image or labels layers as the source of an export.

    Parameters
    ----------
    layers : sequence of napari layers or layer tuples
        One layer of any plugin, or several image layers that are channels of one
        image: alike in shape, pixel type and transform.
    channel_axis : int, optional
        Position of the channel axis in a layer that is not RGB.

    Returns
    -------
    ExportLayer
        In napari's axis order; channels of several layers come first.

    Raises
    ------
    ArgumentError
        If there is no layer, it is empty, or the layers are not alike.
    ArgumentTypeError
        If it is not an image or labels layer, or has pixels of an odd type.
    UnsupportedError
        If it has more than 3 spatial axes.
    """
    if not len(layers):
        msg = "No layer is given; choose the image or labels layer to be exported."
        raise ArgumentError(msg)
    layers = [unwrapped(layer) for layer in layers]
    sources = [_read(layer, channel_axis) for layer in layers]
    names = [_channel_name(layer) for layer in layers]
    first = sources[0]
    if len(sources) > 1:
        _check_channels(sources)
        axis: int | None = 0
        levels: tuple[Any, ...] = tuple(
            StackedPixels(parts)
            for parts in zip(*(source.levels for source in sources), strict=True)
        )
    else:
        axis, levels = first.channel_axis, first.levels
    order = list(first.axis_names)
    if axis is not None:
        order.insert(axis, CHANNEL_AXIS)
    n_channels = 1 if axis is None else int(levels[0].shape[axis])
    is_split = first.channel_axis is None and not first.is_labels
    source = ExportSource(
        name=_image_name(layers, sources),
        levels=levels,
        axis_names=tuple(order),
        to_world=image_to_world(first.matrix),
        units=tuple(None if unit == PIXEL else unit for unit in first.units),
        uri=first.uri or _path_of(layers[0]),
        channel_names=_channel_names(names, sources, n_channels),
        channel_colors=tuple(map(_color_of, layers)) if is_split else None,
        is_rgb=first.rgb,
        is_labels=first.is_labels,
    )
    is_spread = channel_axis is not None and not (first.rgb or first.is_labels)
    if not is_spread:
        axes = tuple(range(len(first.axis_names)))
        return ExportLayer(source, first.matrix, axes, first.units)
    return _with_all_axes(source, layers[0], first)


def _with_all_axes(source: ExportSource, layer: Any, read: LayerSource) -> ExportLayer:
    """Return the source of a layer one of whose axes was taken for the channels."""
    from ._layer_transform import attributes_to_placement, placement_to_matrix
    from ._units import units_of_layer

    _, attributes, _ = layer_parts(layer)
    n_axes = len(read.axis_names) + 1
    placement = attributes_to_placement(attributes, n_axes, read.subject)
    axes = tuple(i for i in range(n_axes) if i != read.channel_axis)
    units = units_of_layer(attributes.get("units"), n_axes, read.subject)
    return ExportLayer(source, placement_to_matrix(placement, n_axes), axes, units)


def _read(layer: Any, channel_axis: int | None) -> LayerSource:
    """Return a checked layer; what is refused is told in words for an export."""
    data, attributes, kind = layer_parts(layer)
    name = str(attributes.get("name") or "")
    if kind not in WRITTEN_TYPES:
        msg = (
            f"The layer {name!r} is of type {kind}; pixels are exported of image and "
            "labels layers. Choose one of these."
        )
        raise ArgumentError(msg)
    try:
        return read_source(data, attributes, kind, channel_axis=channel_axis)
    except UnsupportedError as err:
        finest = data[0] if attributes.get("multiscale") else data
        shape = tuple(finest.shape)
        msg = (
            f"{subject_of(name, kind == 'labels')} has the shape {shape}; layers of 2 "
            f"or {_MAX_SPATIAL} spatial axes can be exported, with RGB colours or one "
            "channel axis beside them. If one of the axes holds channels, say which "
            "with channel_axis=...; export points in time one by one, as layers of "
            "their own: layer.data[t]."
        )
        raise UnsupportedError(msg) from err


def _check_channels(sources: Sequence[LayerSource]) -> None:
    """Refuse layers that are not channels of one image."""
    first = sources[0]
    for source in sources:
        facts = {
            "is": (
                source.channel_axis is not None or source.is_labels,
                f"{source.subject} has labels or several channels, and cannot be one "
                "channel among others",
            ),
            "shapes": (
                source.shapes != first.shapes,
                f"{source.subject} has levels of the shapes {source.shapes}, "
                f"{first.subject} {first.shapes}",
            ),
            "dtype": (
                source.dtype != first.dtype,
                f"{source.subject} has {source.dtype} pixels, {first.subject} "
                f"{first.dtype}",
            ),
            "place": (
                not is_same_place(source.matrix, first.matrix)
                or source.units != first.units,
                f"{source.subject} lies elsewhere, or in other units, than "
                f"{first.subject}",
            ),
        }
        for is_wrong, what in facts.values():
            if is_wrong:
                msg = f"{what}. Export the layers one by one."
                raise ArgumentError(msg)


def _path_of(layer: Any) -> str | None:
    """Return the file, or Zarr folder, that another reader opened a layer from.

    None for other folders: a layer may be of some of the files in it.
    """
    path = getattr(getattr(layer, "source", None), "path", None)
    if path is None:
        return None
    is_one = os.path.isfile(path) or ".zarr" in str(path).lower()
    return os.path.abspath(path) if is_one else None


# Names and colours ----------------------------------------------------------------


def own_entry(layer: Any) -> Mapping[str, Any]:
    """Return what our reader left in ``layer.metadata``; empty for other layers."""
    _, attributes, _ = layer_parts(layer)
    metadata = attributes.get("metadata")
    entry = metadata.get(LAYER_METADATA_KEY) if isinstance(metadata, dict) else None
    return entry if isinstance(entry, dict) else {}


def _channel_name(layer: Any) -> str:
    """Return the name of the channel that a layer shows: without the image's name."""
    _, attributes, _ = layer_parts(layer)
    name = str(attributes.get("name") or "")
    image_name = own_entry(layer).get("image_name")
    if isinstance(image_name, str):
        return name.removeprefix(image_name).strip() or name
    return name


def _image_name(layers: Sequence[Any], sources: Sequence[LayerSource]) -> str:
    image_name = own_entry(layers[0]).get("image_name")
    if len(layers) > 1 and isinstance(image_name, str) and image_name:
        return image_name
    return sources[0].name or ("labels" if sources[0].is_labels else "image")


def _channel_names(
    names: Sequence[str], sources: Sequence[LayerSource], n_channels: int
) -> tuple[str, ...] | None:
    first = sources[0]
    if first.is_labels:
        return None
    if first.rgb:
        return ("red", "green", "blue", "alpha")[:n_channels]
    if first.channel_axis is not None:
        return None
    return tuple(names)


def _color_of(layer: Any) -> tuple[float, float, float]:
    """Return the colour of the brightest pixels of a layer, for viewers of the file.

    White for colormaps of many colours, which formats with one colour per channel do
    not hold.
    """
    from napari.utils.colormaps import ensure_colormap

    _, attributes, _ = layer_parts(layer)
    colormap = attributes.get("colormap")
    if colormap is None:
        return _WHITE
    colors = np.asarray(ensure_colormap(colormap).colors, dtype=np.float64)[:, :3]
    first, last = colors[0], colors[-1]
    steps = np.linspace(0, 1, len(colors))[:, None]
    is_ramp = np.allclose(colors, first + steps * (last - first), atol=0.02)
    if not is_ramp or first.any():
        return _WHITE
    red, green, blue = (float(value) for value in last)
    return red, green, blue
