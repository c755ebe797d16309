"""What a user fills in to export regions, as typed; light, for the window's thread.

What it makes of the layers is decided by `preview_export`, which brings TileDB along.
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import ArgumentError
from ._export_settings import ENDINGS, NEW_LAYER
from ._image_keys import image_keys
from ._layers import LAYER_METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Where regions come from.
RegionSource = Literal["view", "shapes", "selected", "world", "pixels", "whole"]
#: What is taken of a level's planes; "own" is the plane that a shape was drawn in.
PlaneChoice = Literal["own", "current", "range", "all"]
#: How a level is chosen: by its index, as on the screen, by pixel size, by number.
LevelChoice = int | Literal["screen", "size", "pixels"]
#: What happens to pixels outside of an outline.
MaskChoice = Literal["keep", "fill", "alpha"]

#: Types of layers that can be exported.
EXPORTED_TYPES: Final = ("image", "labels")
#: Formats by endings that users may type; longer ones first.
_FORMATS: Final = {
    ".ome.tiff": "ome-tiff",
    ".ome.tif": "ome-tiff",
    ".tiff": "ome-tiff",
    ".tif": "ome-tiff",
    ".ome.zarr": "ome-zarr",
    ".zarr": "ome-zarr",
    ".png": "png",
    ".npy": "npy",
    ".soma": "soma",
}
_GAPS: Final = re.compile(r"(?<=\d)[ _\u00a0\u202f](?=\d)")

#: Formats that can have transparent pixels.
ALPHAS: Final = ("png", "ome-tiff")


@dataclasses.dataclass(frozen=True, slots=True)
class ExportWish:
    """The options of the form."""

    region: RegionSource = "view"
    """Where regions come from."""
    planes: PlaneChoice = "current"
    """Which planes of a 3-D image."""
    plane_range: tuple[str, str] = ("", "")
    """First and last plane of "range", both exported; empty: the image's edge."""
    lower: tuple[str, ...] = ()
    """Typed least bounds, one per spatial axis, data axis order; empty: the edge."""
    upper: tuple[str, ...] = ()
    """Typed greatest bounds; half-open."""
    level: LevelChoice = 0
    """How the level is chosen."""
    level_number: str = ""
    """World units per pixel of "size", most pixels of "pixels"."""
    channel_axis: int | None = None
    """Which axis of a layer that is not RGB is taken for the channels."""
    channels: tuple[int, ...] | None = None
    """Channels to export; None: all."""
    is_displayed: bool = False
    """Whether colours as on the canvas are exported instead of raw data."""
    format: str = "ome-tiff"
    """Name of the format, or "layer"."""
    compression: str | None = None
    """How files are compressed; None: the format's default."""
    pyramid: bool | None = None
    """Whether files get coarser levels; None: the format's default."""
    mask: MaskChoice = "keep"
    """What happens to pixels outside of an outline."""
    fill_value: str = "0"
    """Value of such pixels."""
    json: bool = False
    """Whether a .json file is written beside formats that hold metadata."""
    destination: str = ""
    """File, folder or address, as typed; fields such as {index} are filled in."""

    @property
    def is_layer(self) -> bool:
        """Whether the result is a layer and no file."""
        return self.format == NEW_LAYER

    @property
    def place(self) -> str:
        """The destination with an ending, empty if nothing was typed."""
        typed = self.destination.strip()
        has_name = typed and not typed.endswith(("/", os.sep))
        if self.is_layer or not has_name or format_of_ending(typed) == self.format:
            return typed
        return typed + ENDINGS[self.format]


def number_of(text: str, what: str) -> float | None:
    """Return a typed number, None for no text.

    Gaps between digits are allowed: 4 000 000.

    Parameters
    ----------
    text : str
        As typed.
    what : str
        What it is, to begin a sentence with.

    Raises
    ------
    ArgumentError
        If it is no number.
    """
    stripped = _GAPS.sub("", text.strip())
    if not stripped:
        return None
    try:
        return float(stripped)
    except ValueError:
        msg = f"{what} is {text.strip()!r}, which is no number. Type one such as 12.5."
        raise ArgumentError(msg) from None


def format_of_ending(path: str) -> str | None:
    """Return the format that a path's ending belongs to; None for any other."""
    name = path.lower().rstrip("/")
    return next((f for ending, f in _FORMATS.items() if name.endswith(ending)), None)


def with_ending(path: str, target: str) -> str:
    """Return a path with the ending of a format, instead of another format's."""
    if target == NEW_LAYER or not path.strip():
        return path
    trailing = len(path) - len(path.rstrip("/"))
    stem = path[: len(path) - trailing] if trailing else path
    for ending in _FORMATS:
        if stem.lower().endswith(ending):
            if _FORMATS[ending] == target:
                return path
            stem = stem[: -len(ending)]
            break
    return stem + ENDINGS[target]


def free_place(folder: str, name: str, target: str, *, fields: str = "") -> str:
    """Return a place in a folder, or below an address, that nothing is at.

    Only local ones are looked at.

    Parameters
    ----------
    folder : str
        Where.
    name : str
        What the image is called.
    target : str
        Format.
    fields : str
        End of a name template, such as ``_{index}``, for several regions.
    """
    stem = without_ending(image_keys([name], ["image"])[0]) + fields
    ending = ENDINGS.get(target, "")
    place, number = os.path.join(folder, stem + ending), 2
    while "://" not in folder and os.path.lexists(os.path.expanduser(place)):
        place = os.path.join(folder, f"{stem}-{number}{ending}")
        number += 1
    return place


def without_ending(name: str) -> str:
    """Return a file name without the ending of one of our formats."""
    for ending in _FORMATS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


# The image ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class SourceChoice:
    """An image that can be exported: its layers, bottom to top."""

    key: str
    """Stays the same while the layers are open."""
    name: str
    """For the list of images."""
    layers: tuple[Any, ...]
    """One layer, or the channels of one image."""


#: Key of the choice that follows the selection of layers.
SELECTED: Final = "selected"


def sources_in(
    layers: Iterable[Any], selection: Iterable[Any] = ()
) -> list[SourceChoice]:
    """Return the images that can be exported of a viewer's layers, top to bottom.

    Layers that show channels of one SOMA image are one choice; so are several
    selected layers, which may be channels of one image that another reader opened.

    Parameters
    ----------
    layers : iterable of napari layers
        Bottom to top.
    selection : iterable of napari layers
        Those of them that are selected.
    """
    there = [layer for layer in layers if layer._type_string in EXPORTED_TYPES]
    groups: dict[str, list[Any]] = {}
    for layer in there:
        groups.setdefault(_image_id(layer) or f"layer:{id(layer)}", []).append(layer)
    choices = [
        SourceChoice(key, _name_of(group), tuple(group))
        for key, group in reversed(groups.items())
    ]
    picked = [layer for layer in there if layer in set(selection)]
    if len(picked) > 1 and not any(set(c.layers) >= set(picked) for c in choices):
        names = ", ".join(layer.name for layer in picked)
        choices.append(
            SourceChoice(SELECTED, f"Selected layers: {names}", tuple(picked))
        )
    return choices


def source_of_layer(choices: Sequence[SourceChoice], layer: Any) -> SourceChoice | None:
    """Return the choice that a layer belongs to; None for layers that have none."""
    return next((c for c in choices if c.key != SELECTED and layer in c.layers), None)


def _image_id(layer: Any) -> str | None:
    """Return what our reader calls the image of a layer; None for other layers."""
    entry = layer.metadata.get(LAYER_METADATA_KEY)
    found = entry.get("image_id") if isinstance(entry, dict) else None
    return found if isinstance(found, str) else None


def _name_of(group: Sequence[Any]) -> str:
    if len(group) == 1:
        return str(group[0].name)
    entry = group[0].metadata.get(LAYER_METADATA_KEY)
    name = entry.get("image_name") if isinstance(entry, dict) else None
    return f"{name or group[0].name} ({len(group)} channels)"
