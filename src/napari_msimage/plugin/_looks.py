"""How an image's layers look now, as hints to be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._colormaps import usable_colormap
from ._hints import ChannelHints, DisplayHints
from ._layers import LAYER_METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence


def layers_to_hints(
    layers: Sequence[Any], previous: DisplayHints | None, n_channels: int
) -> DisplayHints:
    """Return hints that bring an image back as its layers look now.

    Parameters
    ----------
    layers : sequence of napari.layers.Image
        The image's layers that are still there.
    previous : DisplayHints, optional
        What was stored before; kept where the layers say nothing.
    n_channels : int
        Size of the channel axis; 1 without one.
    """
    previous = previous or DisplayHints()
    if any(layer.rgb for layer in layers):
        return previous.model_copy(update={"rgb": True})
    shown = {_channel_of(layer): layer for layer in layers}
    channels = []
    for index in range(n_channels):
        hint = previous.channel(index)
        layer = shown.get(index)
        if layer is None:
            channels.append(hint.model_copy(update={"visible": False}))
        else:
            channels.append(_hints_of_layer(layer, hint))
    return DisplayHints(rgb=False, channels=tuple(channels))


def _channel_of(layer: Any) -> int:
    return layer.metadata[LAYER_METADATA_KEY]["channel"] or 0


def _hints_of_layer(layer: Any, previous: ChannelHints) -> ChannelHints:
    """Return how one channel looks; its name without that of the image."""
    image_name = layer.metadata[LAYER_METADATA_KEY]["image_name"]
    name = layer.name.removeprefix(image_name).strip()
    is_default = name in ("", f"channel {_channel_of(layer)}")
    low, high = (float(v) for v in layer.contrast_limits)
    colormap = layer.colormap.name
    return ChannelHints(
        name=None if is_default else name,
        colormap=colormap if usable_colormap(colormap) else previous.colormap,
        contrast_limits=(low, high),
        visible=bool(layer.visible),
    )
