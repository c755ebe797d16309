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
from ._taken_axes import MAX_SPATIAL, cut_layer, taken_in_words
from ._units import PIXEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._layer_source import LayerSource
    from ._placement import FloatArray
    from ._region_frame import ViewState
    from ._taken_axes import CutLayer, TakenAxis

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
    taken: tuple[TakenAxis, ...] = ()
    """Axes of the layer of which the source has one pixel."""
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
    def notes(self) -> tuple[str, ...]:
        """What the source leaves out of the layer, as sentences for the user."""
        words = taken_in_words(self.taken)
        if words and self.source.channel_axis is None and not self.source.is_labels:
            words += " If one of the axes holds channels, choose it under Channel axis."
        return (words,) if words else ()

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
    return source.spatial_shapes


def layers_to_export(
    layers: Sequence[Any],
    *,
    channel_axis: int | None = None,
    view: ViewState | None = None,
) -> ExportLayer:
    """Return image or labels layers as the source of an export.

    Parameters
    ----------
    layers : sequence of napari layers or layer tuples
        One layer of any plugin, or several image layers that are channels of one
        image: alike in shape, pixel type and transform.
    channel_axis : int, optional
        Position of the channel axis in a layer that is not RGB.
    view : ViewState, optional
        The viewer now. Of layers with more than 3 spatial axes, those on the canvas are
        exported, and of the others the last ones; along the rest, the pixel at the
        sliders is taken.

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
        If it has more than 3 spatial axes and there is no view, or it is turned along
        one of which a pixel is to be taken.
    RegionError
        If a slider is beyond it.
    """
    if not len(layers):
        msg = "No layer is given; choose the image or labels layer to be exported."
        raise ArgumentError(msg)
    layers = [unwrapped(layer) for layer in layers]
    cuts = [_cut(layer, channel_axis, view) for layer in layers]
    sources = [_read(cut) for cut in cuts]
    names = [_channel_name(layer) for layer in layers]
    first, whole = sources[0], cuts[0]
    if len(sources) > 1:
        _check_channels(sources, cuts)
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
        taken={one.name: one.pixel for one in whole.taken},
    )
    spatial = [i for i in range(len(whole.axes)) if i != first.channel_axis]
    axes = tuple(whole.axes[i] for i in spatial)
    return ExportLayer(source, whole.matrix, axes, whole.units, whole.taken)


def _cut(layer: Any, channel_axis: int | None, view: ViewState | None) -> CutLayer:
    """Return a layer with as many axes as an export holds, if there is a view."""
    data, attributes, kind = layer_parts(layer)
    if kind not in WRITTEN_TYPES:
        name = str(attributes.get("name") or "")
        msg = (
            f"The layer {name!r} is of type {kind}; pixels are exported of image and "
            "labels layers. Choose one of these."
        )
        raise ArgumentError(msg)
    return cut_layer(data, attributes, kind, view=view, channel_axis=channel_axis)


def _read(cut: CutLayer) -> LayerSource:
    """Return a checked layer; what is refused is told in words for an export."""
    channel_axis = cut.channel_axis
    try:
        return read_source(
            cut.data, cut.attributes, cut.kind, channel_axis=channel_axis
        )
    except UnsupportedError as err:
        name = str(cut.attributes.get("name") or "")
        finest = cut.data[0] if cut.attributes.get("multiscale") else cut.data
        shape = tuple(finest.shape)
        msg = (
            f"{subject_of(name, cut.kind == 'labels')} has the shape {shape}; layers "
            f"of 2 or {MAX_SPATIAL} spatial axes can be exported, with RGB colours or "
            "one channel axis beside them. If one of the axes holds channels, say "
            "which with channel_axis=...; export points in time one by one, as layers "
            "of their own: layer.data[t]."
        )
        raise UnsupportedError(msg) from err


def _check_channels(sources: Sequence[LayerSource], cuts: Sequence[CutLayer]) -> None:
    """Refuse layers that are not channels of one image."""
    first = sources[0]
    for source, cut in zip(sources, cuts, strict=True):
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
                not is_same_place(cut.matrix, cuts[0].matrix)
                or cut.units != cuts[0].units,
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
