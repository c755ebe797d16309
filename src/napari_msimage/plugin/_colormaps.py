"""Colormaps of channels: distinct ones by default, and which ones napari can make."""

from __future__ import annotations

import colorsys
from typing import Final

#: Up to six channels get these; more get evenly spread hues.
_COLORMAPS: Final = ("red", "green", "blue", "cyan", "magenta", "yellow")


def default_colormaps(n_channels: int) -> tuple[str, ...]:
    """Return distinct colormaps for the channels of an image; gray for one alone."""
    if n_channels == 1:
        return ("gray",)
    if n_channels == 2:
        return ("magenta", "green")
    if n_channels <= len(_COLORMAPS):
        return _COLORMAPS[:n_channels]
    return tuple(_hue_colormap(i / n_channels) for i in range(n_channels))


def _hue_colormap(hue: float) -> str:
    rgb = colorsys.hsv_to_rgb(hue, 1.0, 1.0)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def usable_colormap(colormap: str | None) -> str | None:
    """Return the colormap if napari can make it, else None."""
    from napari.utils.colormaps import AVAILABLE_COLORMAPS

    if colormap and (colormap.startswith("#") or colormap in AVAILABLE_COLORMAPS):
        return colormap
    return None
