"""An image, or its address, as the source of an export."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..storage import CHANNEL_AXIS, MultiscaleImage
from ._export_source import ExportSource
from ._level_facts import opened

if TYPE_CHECKING:
    import os

    from ..storage import SOMATileDBContext

#: Metadata entry that tells how an image wants to be shown.
_HINTS: Final = "napari_msimage"
#: What in it says where a layer lies; a cut-out lies elsewhere.
_PLACES: Final = ("placement", "order")
_MAX_HINTS: Final = 64 * 1024


def export_source(
    image_or_uri: ExportSource | MultiscaleImage | str | os.PathLike[str],
    context: SOMATileDBContext | None = None,
) -> ExportSource:
    """Return what an export needs of an image; reads no pixels.

    Parameters
    ----------
    image_or_uri : ExportSource, MultiscaleImage, str or path
        The image, open for reading, or its address. World coordinates of an image by
        itself are its image coordinates.
    context : SOMATileDBContext, optional
        TileDB configuration, for an address.

    Raises
    ------
    ArgumentTypeError
        If it is none of these.
    DoesNotExistError, FormatError, StorageError
        If it cannot be opened.
    """
    if isinstance(image_or_uri, ExportSource):
        return image_or_uri
    with opened(image_or_uri, context) as image:
        source = _source_of(image)
    source.close()
    return source


def _source_of(image: MultiscaleImage) -> ExportSource:
    levels = tuple(image.level_array(i) for i in range(image.level_count))
    order = image.data_axis_order
    spatial = [name for name in order if name != CHANNEL_AXIS]
    units = {axis.name: axis.unit for axis in image.coordinate_space.axes}
    hints = _hints(image)
    stem = image.uri.rstrip("/").rpartition("/")[2]
    names = [_channel(hints, i).get("name") for i in range(image.nchannels)]
    return ExportSource(
        name=stem.removesuffix(".soma") or "image",
        levels=levels,
        axis_names=order,
        to_world=np.eye(len(spatial) + 1),
        units=tuple(units[name] for name in spatial),
        uri=image.uri,
        channel_names=(
            tuple(str(name or f"channel {i}") for i, name in enumerate(names))
            if any(names)
            else None
        ),
        is_rgb=_is_rgb(image, hints),
        is_labels=hints.get("layer_type") == "labels",
        level_keys=tuple(image.levels()),
        closes_levels=True,
        coordinate_names=image.coordinate_space.axis_names,
        metadata=_kept(hints),
    )


def _hints(image: MultiscaleImage) -> dict[str, Any]:
    """Return how the image wants to be shown; nothing if that cannot be read."""
    text = image.metadata.get(_HINTS)
    if not isinstance(text, str) or len(text) > _MAX_HINTS:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    is_known = isinstance(found, dict) and found.get("version") == 1
    return found if is_known else {}


def _channel(hints: dict[str, Any], index: int) -> dict[str, Any]:
    channels = hints.get("channels")
    if not isinstance(channels, list) or index >= len(channels):
        return {}
    return channels[index] if isinstance(channels[index], dict) else {}


def _is_rgb(image: MultiscaleImage, hints: dict[str, Any]) -> bool:
    """Tell whether channels are colours: as it says, else 3 or 4 of uint8."""
    can = image.has_channel_axis and image.nchannels in (3, 4)
    wish = hints.get("rgb")
    return can and (wish if isinstance(wish, bool) else image.dtype == np.uint8)


def _kept(hints: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in hints.items() if key not in _PLACES}
    return {_HINTS: json.dumps(kept, ensure_ascii=False)} if kept else {}
