"""What a user fills in to save layers, as typed; light, for the window's thread.

What it makes of the layers is decided by `plan_to_save` and `preview_save`, which
bring TileDB along.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from ._layer_source import Levels

#: Data, attributes and type of a layer, as of `layer_parts`.
LayerParts: TypeAlias = tuple[Any, dict[str, Any], str]

#: How levels are stored.
Storage = Literal["fast", "small", "exchange"]

#: Types of layers that can be saved: those of `_layer_source`.
SAVED_TYPES: Final = ("image", "labels")
#: What tiledbsoma 2.3 takes by number of axes; 4 for more.
_EXCHANGE_EXTENTS: Final = {1: 2048, 2: 512, 3: 128}
_EXCHANGE_FILTERS: Final = [{"_type": "ZstdFilter", "level": -1}]
#: Higher levels take 4 times longer for some 3 % less.
_SMALL_LEVEL: Final = 9


@dataclasses.dataclass(frozen=True, slots=True)
class LayerAxes:
    """Spatial axes of a layer as they would be saved; coordinate axis order."""

    names: tuple[str, ...]
    """Axis names."""
    sizes: tuple[float, ...]
    """World units per pixel, each above 0."""
    units: tuple[str, ...]
    """One per axis."""
    is_turned: bool
    """Whether the pixel grid is rotated or sheared."""

    @property
    def size_texts(self) -> tuple[str, ...]:
        """The sizes to be shown and edited."""
        return tuple(f"{size:.12g}" for size in self.sizes)

    @property
    def unit_text(self) -> str:
        """The units to be shown and edited: one, or one per axis."""
        return ", ".join(self.units if len(set(self.units)) > 1 else self.units[:1])


@dataclasses.dataclass(frozen=True, slots=True)
class AxesWish:
    """What is filled in instead of a layer's own axes, as typed; empty: as the layer.

    Coordinate axis order.
    """

    names: tuple[str, ...] = ()
    """Axis names."""
    sizes: tuple[str, ...] = ()
    """World units per pixel."""
    unit: str = ""
    """One unit, or one per axis with commas between."""


@dataclasses.dataclass(frozen=True, slots=True)
class SaveWish:
    """The options of the form."""

    destination: str = ""
    """Folder or URI, as typed."""
    axes: AxesWish = AxesWish()
    """Other axis names, pixel sizes and units."""
    as_channels: bool = False
    """Whether image layers become channels of one image."""
    channel_axis: int | None = None
    """Which axis of image layers that are not RGB is taken for the channels."""
    levels: Levels = "all"
    """What of multiscale layers becomes the finest level."""
    more_levels: bool | None = None
    """Whether to make coarser levels; by default for layers with a single level."""
    method: str = "mean"
    """How these are made."""
    storage: Storage = "fast"
    """Tile extents and filters."""
    replace: bool = False
    """Whether a SOMA image or scene at the destination may be replaced."""


def parts_of_layer(layer: Any) -> LayerParts:
    """Return a layer as it is now; in the window's thread.

    Pixels are not copied, and not read. Of layers that cannot be saved there is only
    the name.
    """
    from ._looks import layer_attributes

    kind = str(layer._type_string)
    if kind not in SAVED_TYPES:
        return None, {"name": layer.name}, kind
    attributes = layer_attributes(layer)
    if attributes.get("multiscale"):
        attributes["data_level"] = layer.data_level
    return layer.data, attributes, kind


def storage_config(
    storage: Storage, n_axes: int, itemsize: int
) -> dict[str, Any] | None:
    """Return the ``platform_config`` of a way to store levels.

    Parameters
    ----------
    storage : "fast", "small" or "exchange"
        Our defaults; few bytes; or what tiledbsoma itself would choose.
    n_axes : int
        Axes of the arrays, channels included.
    itemsize : int
        Bytes of a pixel.
    """
    if storage == "fast":
        return None
    create: dict[str, Any] = {}
    filters: list[Any] = _EXCHANGE_FILTERS
    if storage == "exchange":
        extent = _EXCHANGE_EXTENTS.get(n_axes, 4)
        create["dims"] = {f"soma_dim_{i}": {"tile": extent} for i in range(n_axes)}
    else:
        shuffle = "BitShuffleFilter" if itemsize == 1 else "ByteShuffleFilter"
        filters = [shuffle, {"_type": "ZstdFilter", "level": _SMALL_LEVEL}]
    create["attrs"] = {"soma_data": {"filters": filters}}
    return {"tiledb": {"create": create}}
