"""From a wish to regions, channels, level and files; no Qt."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ..engines import level_within, nearest_level, plan_export
from ..errors import ArgumentError, RegionError, SOMAError
from ._export_command import level_for
from ._export_settings import SCREEN_LEVEL
from ._export_wish import format_of_ending, number_of
from ._region_frame import image_frame, source_axes
from ._region_shapes import shape_regions
from ._region_typed import pixel_region, whole_region, world_region
from ._region_view import view_region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines import ExportPlan, ExportSource, ImageRegion
    from ._export_layer import ExportLayer
    from ._export_wish import ExportWish
    from ._region_frame import Planes, ViewState
    from ._region_shapes import DrawnShapes

#: Arguments of `plan_export` in its messages, as the form calls them.
_WORDS: Final = {
    ", or allow to replace it (overwrite=True)": "",
    "say which with channel_axis=...": "choose it under Channel axis",
    "Use a fill value instead.": "Choose a fill value for the pixels outside.",
    "fill_value ": "The fill value ",
    "soma_channel": "channel",
    ", or give format, one of": ", or choose a format, one of",
}


def regions_of(
    layer: ExportLayer, wish: ExportWish, view: ViewState, shapes: DrawnShapes | None
) -> tuple[ImageRegion, ...]:
    """Return the regions that are chosen.

    Parameters
    ----------
    layer : ExportLayer
        The image.
    wish : ExportWish
        Where regions come from.
    view : ViewState
        The viewer now.
    shapes : DrawnShapes, optional
        The shapes, if regions come from them.

    Raises
    ------
    SOMAError
        If there is none, or it lies outside of the image.
    """
    planes = _planes(layer, wish, view)
    if wish.region == "view":
        return (view_region(layer, view, planes=planes or "current"),)
    if shapes is not None:
        return shape_regions(layer, shapes, view, planes=planes)
    if wish.region == "whole":
        return (whole_region(layer.source),)
    names = layer.source.spatial_names
    lower = _bounds(wish.lower, names, "lower")
    upper = _bounds(wish.upper, names, "upper")
    typed = pixel_region if wish.region == "pixels" else world_region
    return (typed(layer.source, lower, upper),)


def _bounds(
    texts: Sequence[str], names: Sequence[str], which: str
) -> tuple[float | None, ...]:
    if len(texts) != len(names):  # nothing was typed for this image
        return (None,) * len(names)
    return tuple(
        number_of(text, f"The {which} bound along {name}")
        for text, name in zip(texts, names, strict=True)
    )


def _planes(layer: ExportLayer, wish: ExportWish, view: ViewState) -> Planes | None:
    if wish.planes == "own":
        return None
    if wish.planes != "range":
        return wish.planes
    first, last = (
        number_of(text, what)
        for text, what in zip(
            wish.plane_range, ("The first plane", "The last plane"), strict=True
        )
    )
    if any(bound is not None and not bound.is_integer() for bound in (first, last)):
        msg = "Planes are counted in whole numbers, from 0. Type such numbers."
        raise RegionError(msg)
    start = int(first or 0)
    if last is None:
        return start, _n_planes(layer, view)
    if last < start:
        msg = f"The last plane, {last:.0f}, lies before the first one, {start}."
        raise RegionError(f"{msg} Type a greater one.")
    return start, int(last) + 1


def _n_planes(layer: ExportLayer, view: ViewState) -> int:
    """Return the size of the image across the canvas."""
    shown = source_axes(layer, image_frame(layer, view))
    sizes = [n for axis, n in enumerate(layer.shapes[0]) if axis not in shown]
    return sizes[0] if sizes else 1


def channels_of_wish(source: ExportSource, wish: ExportWish) -> tuple[int, ...] | None:
    """Return the chosen channels that the image has; None: all.

    Raises
    ------
    ArgumentError
        If none is chosen.
    """
    axis = source.channel_axis
    if axis is None or wish.channels is None or wish.is_displayed:
        return None
    n_channels = source.shape(0)[axis]
    chosen = tuple(index for index in wish.channels if index < n_channels)
    if not chosen:
        msg = "No channel is ticked. Tick the channels to be exported."
        raise ArgumentError(msg)
    return None if chosen == tuple(range(n_channels)) else chosen


def level_of_wish(
    layer: ExportLayer,
    regions: Sequence[ImageRegion],
    wish: ExportWish,
    view: ViewState,
) -> int:
    """Return the index of the chosen level.

    Raises
    ------
    ArgumentError
        If no level is as wished.
    """
    source = layer.source
    if isinstance(wish.level, int):
        return min(wish.level, len(source.levels) - 1)
    if wish.level == "screen":
        if view.n_displayed != 2:
            msg = (
                "How fine the screen is can be told in the 2-D view only. Choose one "
                "of the levels."
            )
            raise ArgumentError(msg)
        return level_for(layer, view, SCREEN_LEVEL)
    number = number_of(wish.level_number, "The number beside the level")
    if number is None or not number > 0:
        what = "a pixel size" if wish.level == "size" else "a number of pixels"
        msg = f"Type {what} above 0 beside the level."
        raise ArgumentError(msg)
    if wish.level == "size":
        return nearest_level(source, number)
    return level_within(source, number, list(regions))


def plan_of_wish(
    source: ExportSource,
    regions: Sequence[ImageRegion],
    level: int,
    wish: ExportWish,
    channels: tuple[int, ...] | None,
) -> ExportPlan:
    """Return the plan of the files; files that exist may be replaced.

    Raises
    ------
    SOMAError
        If the destination is no file name, or the format cannot hold the pixels.
    """
    if not wish.place:
        msg = "Enter where the file shall be, or press Browse…."
        raise ArgumentError(msg)
    typed = wish.destination.strip()
    is_folder = "://" not in typed and os.path.isdir(os.path.expanduser(typed))
    if is_folder and format_of_ending(typed) is None:
        msg = f"{typed!r} is a folder. Add the name of a file in it."
        raise ArgumentError(msg)
    fill = number_of(wish.fill_value, "The fill value") or 0.0
    return plan_export(
        source,
        wish.place,
        region=list(regions),
        level=level,
        channels=channels,
        format=wish.format,
        compression=wish.compression,
        pyramid=wish.pyramid,
        mask=wish.mask != "keep",
        fill_value=int(fill) if fill.is_integer() else fill,
        alpha=wish.mask == "alpha",
        json=True if wish.json else None,
        overwrite=True,
    )


# Words ----------------------------------------------------------------------------


def worded(text: str) -> str:
    """Return a message that speaks of fields instead of arguments."""
    for argument, words in _WORDS.items():
        text = text.replace(argument, words)
    return text


def worded_error(err: SOMAError) -> SOMAError:
    """Return an error whose message speaks of fields instead of arguments."""
    text = worded(str(err))
    return err if text == str(err) else type(err)(text)
