"""Layers of a SOMA image as it is stored: its axis order, its channel axis."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from ..storage import LevelArray
from ._export_layer import own_entry
from ._layer_source import layer_parts
from ._pixel_views import stored_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines import ExportPlan, ExportSource, ImageRegion
    from ._export_layer import ExportLayer
    from ._export_preview import ExportPreview


def in_stored_order(
    export: ExportLayer, layers: Sequence[Any], regions: Sequence[ImageRegion] = ()
) -> tuple[ExportLayer, tuple[ImageRegion, ...]]:
    """Return layers of ours as their image is stored, and regions in that order.

    Formats that keep the axis order then write it as it is, and a tile that holds all
    channels is read once. Opens the image: to be called in a thread.

    Parameters
    ----------
    export : ExportLayer
        Raw data of the layers, as of `layers_to_export`.
    layers : sequence of napari layers or layer tuples
        The same layers.
    regions : sequence of ImageRegion
        Regions of `export`.

    Returns
    -------
    export : ExportLayer
        Its source has all channels; `channels` are those of the layers. `export`
        itself where the layers are not of a SOMA image that is still open, or of one
        that has changed.
    regions : tuple of ImageRegion
        The same, with the axes of the returned source.

    Raises
    ------
    SOMAError
        If the image cannot be opened.
    """
    stored = _stored_source(layers)
    if stored is None or stored.coordinate_names is None:
        return export, tuple(regions)
    displayed = stored.coordinate_names[::-1]
    if len(displayed) != export.n_axes:
        return export, tuple(regions)  # a row, which is shown in a plane
    axes = tuple(displayed.index(name) for name in stored.spatial_names)
    kept = _same_levels(export, stored, axes)
    if kept is None or not all(
        _shows(layer, [stored.levels[i] for i in kept]) for layer in layers
    ):
        return export, tuple(regions)
    channels = _channels_of(layers)
    if channels is not None and len(set(channels)) < len(channels):
        return export, tuple(regions)  # a channel that is shown twice
    order = [*axes, export.n_axes]
    source = dataclasses.replace(
        stored,
        name=export.source.name,
        levels=tuple(stored.levels[i] for i in kept),
        level_keys=tuple(stored.keys[i] for i in kept),
        to_world=export.source.to_world[np.ix_(order, order)],
        units=tuple(export.source.units[axis] for axis in axes),
        is_rgb=export.source.is_rgb,
        is_labels=export.source.is_labels,
        **_channel_facts(export, stored, channels),
    )
    placed = dataclasses.replace(export, source=source, axes=axes, channels=channels)
    return placed, tuple(_turned(region, axes) for region in regions)


def plan_in_stored_order(preview: ExportPreview) -> ExportPlan:
    """Return the plan of a preview for the image as it is stored; in a thread.

    Raises
    ------
    SOMAError
        If the image cannot be opened, or the format cannot hold it like that.
    """
    from ._export_request import plan_of_wish

    plan, layer = preview.plan, preview.layer
    assert plan is not None
    assert layer is not None
    if preview.wish.is_displayed:
        return plan
    placed, regions = in_stored_order(layer, preview.snapshot.layers, preview.regions)
    if placed is layer:
        return plan
    channels = plan.channels
    if placed.channels is not None:
        chosen = range(len(placed.channels)) if channels is None else channels
        channels = tuple(placed.channels[index] for index in chosen)
    return plan_of_wish(placed.source, regions, plan.level, preview.wish, channels)


def _stored_source(layers: Sequence[Any]) -> ExportSource | None:
    """Return the image that layers were opened from; None for others."""
    from ..engines import export_source
    from ..storage import MultiscaleImage
    from ._open import request_of_entry

    found = [request_of_entry(own_entry(layer)) for layer in layers]
    if None in found or len({image_id for image_id, _ in filter(None, found)}) != 1:
        return None
    request = found[0][1]  # type: ignore[index]
    with MultiscaleImage.open(
        request.uri, context=request.context, tiledb_timestamp=request.tiledb_timestamp
    ) as image:
        return export_source(image)


def _same_levels(
    export: ExportLayer, stored: ExportSource, axes: tuple[int, ...]
) -> list[int] | None:
    """Return which stored levels those of the layers are; None if they are not."""
    wanted = [tuple(shape[axis] for axis in axes) for shape in export.shapes]
    found = [stored.spatial_shape(level) for level in range(len(stored.levels))]
    try:
        kept = [found.index(shape) for shape in wanted]
    except ValueError:
        return None
    return kept if stored.dtype == export.source.dtype else None


def _shows(layer: Any, levels: Sequence[Any]) -> bool:
    """Tell whether a layer still has these levels: its data may have been replaced."""
    pixels, attributes, _ = layer_parts(layer)
    data = list(pixels) if attributes.get("multiscale") else [pixels]
    shown = [one for one, is_stored in map(stored_pixels, data) if is_stored]
    return len(shown) == len(levels) and all(
        isinstance(one, LevelArray)
        and isinstance(level, LevelArray)
        and one.uri == level.uri
        for one, level in zip(shown, levels, strict=True)
    )


def _channels_of(layers: Sequence[Any]) -> tuple[int, ...] | None:
    """Return which channels layers show; None: all, or there is no such axis."""
    channels: list[Any] = [own_entry(layer).get("channel") for layer in layers]
    return None if None in channels else tuple(channels)


def _channel_facts(
    export: ExportLayer, stored: ExportSource, channels: tuple[int, ...] | None
) -> dict[str, Any]:
    """Return names and colours of all channels; as of the layers, where shown."""
    if channels is None or stored.channel_axis is None:
        return {
            "channel_names": export.source.channel_names,
            "channel_colors": export.source.channel_colors,
        }
    n_channels = int(stored.levels[0].shape[stored.channel_axis])
    names = list(stored.channel_names or (f"channel {i}" for i in range(n_channels)))
    colors = [(1.0, 1.0, 1.0)] * n_channels
    for index, channel in enumerate(channels):
        names[channel] = (export.source.channel_names or ())[index]
        colors[channel] = (export.source.channel_colors or ())[index]
    return {"channel_names": tuple(names), "channel_colors": tuple(colors)}


def _turned(region: ImageRegion, axes: tuple[int, ...]) -> ImageRegion:
    """Return a region with its axes in another order."""
    first, second = (axes.index(axis) for axis in region.outline_axes)
    return dataclasses.replace(
        region,
        lower=tuple(region.lower[axis] for axis in axes),
        upper=tuple(region.upper[axis] for axis in axes),
        outline_axes=(first, second),
    )
