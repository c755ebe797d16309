"""How layers look now, as hints to be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from ._colormaps import usable_colormap
from ._custom_colors import colormap_to_hints, label_colors_to_hints
from ._hint_fields import LayerHints, problem_of
from ._hints import ChannelHints, DisplayHints
from ._json_values import json_part
from ._layers import LAYER_METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FLAGS: Final = ("visible",)
_NUMBERS: Final = ("opacity", "gamma", "attenuation", "iso_threshold")
_LIMITS: Final = ("contrast_limits", "contrast_limits_range")
_WORDS: Final = (
    "blending",
    "interpolation2d",
    "interpolation3d",
    "rendering",
    "projection_mode",
    "depiction",
    "iso_gradient_mode",
)
#: What napari's constructors do not take, so that layer tuples lack it.
LATE_ATTRIBUTES: Final = ("contrast_limits_range", "contour")
_MAX_LAYER_NAME: Final = 1000


def layer_attributes(layer: Any) -> dict[str, Any]:
    """Return all attributes of a layer: those of its tuple, and what tuples lack."""
    attributes = dict(layer.as_layer_data_tuple()[1])
    for name in LATE_ATTRIBUTES:
        if hasattr(layer, name):
            attributes[name] = getattr(layer, name)
    return attributes


def attributes_to_hints(
    attributes: Mapping[str, Any], *, is_labels: bool, rgb: bool
) -> tuple[ChannelHints, tuple[str, ...]]:
    """Return how a layer looks.

    Parameters
    ----------
    attributes : mapping
        Of a layer tuple, or of `layer_attributes`; what is missing is not stored.
    is_labels, rgb : bool
        What kind of layer it is.

    Returns
    -------
    hints : ChannelHints
        Without the name of a channel.
    notes : tuple of str
        What cannot be stored, as in ``"interpolation2d 'custom'"``.
    """
    fields, notes = _plain_fields(attributes)
    if is_labels:
        fields["label_colors"] = label_colors_to_hints(attributes.get("colormap"))
        if attributes.get("contour") is not None:
            fields["contour"] = int(attributes["contour"])
    elif not rgb:
        fields.update(_colormap_fields(attributes.get("colormap")))
        for name in _LIMITS:
            limits = attributes.get(name)
            if limits is not None:
                fields[name] = tuple(float(value) for value in limits)
    kept, left_out = json_part(_own_metadata(attributes.get("metadata")))
    fields["user_metadata"] = kept or None
    notes += [f"metadata {place!r}" for place in left_out]
    hints: dict[str, Any] = {}
    for name, value in fields.items():
        try:
            ChannelHints.model_validate({name: value})
        except ValidationError as err:
            notes.append(f"{name} {value!r} ({problem_of(err)})")
        else:
            hints[name] = value
    return ChannelHints(**hints), tuple(notes)


def _plain_fields(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what is stored as napari has it, and notes."""
    fields: dict[str, Any] = {}
    notes: list[str] = []
    if attributes.get("name") is not None:
        fields["layer_name"] = _storable_name(str(attributes["name"]))
    for name in _FLAGS:
        if attributes.get(name) is not None:
            fields[name] = bool(attributes[name])
    for name in _NUMBERS:
        if attributes.get(name) is not None:
            fields[name] = float(attributes[name])
    for name in _WORDS:
        if attributes.get(name) is not None:
            fields[name] = str(attributes[name])
    for name in ("interpolation2d", "interpolation3d"):
        # needs a kernel, which is not stored
        if fields.get(name) == "custom":
            notes.append(f"{name} {fields.pop(name)!r}")
    return fields, notes


def _storable_name(name: str) -> str:
    """Return a layer's name as UTF-8 can hold it, not endlessly long."""
    return name.encode("utf-8", "replace").decode()[:_MAX_LAYER_NAME]


def _colormap_fields(colormap: Any) -> dict[str, Any]:
    return {} if colormap is None else colormap_to_hints(colormap)


def _own_metadata(metadata: Any) -> dict[Any, Any]:
    """Return the user's part of ``layer.metadata``."""
    if not isinstance(metadata, dict):
        return {}
    return {key: v for key, v in metadata.items() if key != LAYER_METADATA_KEY}


# Display settings of an open image --------------------------------------------------


def layers_to_hints(
    layers: Sequence[Any], previous: DisplayHints | None, n_channels: int
) -> DisplayHints:
    """Return hints that bring an image back as its layers look now.

    Parameters
    ----------
    layers : sequence of napari.layers.Image or napari.layers.Labels
        The image's layers that are still there.
    previous : DisplayHints, optional
        What was stored before; kept where the layers say nothing.
    n_channels : int
        Size of the channel axis; 1 without one.
    """
    previous = previous or DisplayHints()
    for layer in layers:
        if is_labels_layer(layer) or layer.rgb:
            hints = _hints_of_layer(layer, previous.layer or LayerHints(), {})
            whole = LayerHints.model_validate(hints.model_dump())
            rgb = None if is_labels_layer(layer) else True
            return previous.model_copy(update={"rgb": rgb, "layer": whole})
    shown = {_channel_of(layer): layer for layer in layers}
    channels = []
    for index in range(n_channels):
        hint = previous.channel(index)
        layer = shown.get(index)
        if layer is None:
            channels.append(hint.model_copy(update={"visible": False}))
        else:
            name = {"name": _channel_name(layer)}
            channels.append(_hints_of_layer(layer, hint, name))
    return previous.model_copy(update={"rgb": False, "channels": tuple(channels)})


def is_labels_layer(layer: Any) -> bool:
    """Tell whether a layer is a labels layer."""
    return str(getattr(layer, "_type_string", "")) == "labels"


def _channel_of(layer: Any) -> int:
    return layer.metadata[LAYER_METADATA_KEY]["channel"] or 0


def _channel_name(layer: Any) -> str | None:
    """Return the name of what a channel shows: the layer's without the image's."""
    image_name = layer.metadata[LAYER_METADATA_KEY]["image_name"]
    name = layer.name.removeprefix(image_name).strip()
    return None if name in ("", f"channel {_channel_of(layer)}") else name


def _hints_of_layer(
    layer: Any, previous: LayerHints, more: Mapping[str, Any]
) -> ChannelHints:
    """Return how one layer looks; its exact name only if it was stored before."""
    found, _ = attributes_to_hints(
        layer_attributes(layer),
        is_labels=is_labels_layer(layer),
        rgb=bool(getattr(layer, "rgb", False)),
    )
    update = {**more, "axis_labels": previous.axis_labels}
    if previous.layer_name is None:
        update["layer_name"] = None
    colormap = getattr(previous, "colormap", None)
    if not (found.colormap or found.custom_colormap) and usable_colormap(colormap):
        update["colormap"] = colormap
    return ChannelHints(**{**dict(found), **update})
