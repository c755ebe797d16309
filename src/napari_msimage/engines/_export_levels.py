"""Levels to choose from for an export: their cost, and which fits a wish."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from ..coordinates import Region, pixel_box
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    LevelIndexError,
    LevelKeyError,
    RegionError,
)
from ._export_formats import FORMATS, Picture, estimate, refusal
from ._export_plan import ExportOptions
from ._export_source import ExportSource, ImageRegion
from ._export_units import unit_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._export_plan import Format
    from ._level_shapes import Shape
    from ._windows import Window


@dataclasses.dataclass(frozen=True, slots=True)
class LevelRow:
    """What exporting a region at one level takes; tuples in data axis order."""

    level: int
    """Its index, 0 is the finest."""
    key: str
    """Its name."""
    shape: Shape
    """Pixels of the region per axis, of the exported channels."""
    nbytes: int
    """Bytes of the pixels in memory."""
    pixel_size: tuple[float, ...]
    """World units per pixel, per spatial axis."""
    estimated_bytes: Mapping[Format, int]
    """Size of the file by format, roughly."""
    refusals: Mapping[Format, str]
    """Formats that cannot hold it, and why."""


def level_table(
    source: ExportSource,
    region: Any = None,
    *,
    channels: Any = None,
    pyramid: bool = False,
) -> tuple[LevelRow, ...]:
    """Return what exporting a region takes at each level, finest first.

    Parameters
    ----------
    source : ExportSource
        The image.
    region : ImageRegion, or as for `plan_export`, optional
        One region; the whole image by default.
    channels : int, str or sequence of these, optional
        Channels to export.
    pyramid : bool
        Whether the estimates are for files with coarser levels.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the region or a channel makes no sense.
    """
    wanted = one_region(source, region)
    chosen = channels_of(source, channels)
    options = ExportOptions(pyramid=pyramid)
    rows = []
    for level in range(len(source.levels)):
        picture = picture_of(source, region_window(source, level, wanted), chosen)
        reasons = {name: refusal(picture, name) for name in FORMATS}
        rows.append(
            LevelRow(
                level,
                source.keys[level],
                picture.shape,
                picture.nbytes,
                pixel_size(source, level),
                {name: estimate(picture, name, options) for name in FORMATS},
                {name: reason for name, reason in reasons.items() if reason},
            )
        )
    return tuple(rows)


def nearest_level(
    source: ExportSource, pixel_size_wanted: float, unit: str | None = None
) -> int:
    """Return the level whose pixels are nearest to a size.

    Parameters
    ----------
    source : ExportSource
        The image.
    pixel_size_wanted : float
        Length of a pixel's side, along the last two spatial axes on average.
    unit : str, optional
        Of that length; by default that of the image's world coordinates.

    Returns
    -------
    int
        Index; nearest by ratio, so that 2 is as near to 1 as to 4.

    Raises
    ------
    ArgumentError
        If the size is not positive, or the unit cannot be converted.
    """
    is_number = isinstance(pixel_size_wanted, int | float | np.number)
    if not (is_number and math.isfinite(pixel_size_wanted) and pixel_size_wanted > 0):
        msg = f"The pixel size must be a positive number, got {pixel_size_wanted!r}"
        raise ArgumentError(msg)
    factors = [_unit_factor(unit, own) for own in source.units[-2:]]
    wanted = math.log(pixel_size_wanted)
    wanted += float(np.mean(np.log(factors)))

    def distance(level: int) -> float:
        return abs(float(np.mean(np.log(pixel_size(source, level)[-2:]))) - wanted)

    return min(range(len(source.levels)), key=distance)


def level_within(source: ExportSource, max_pixels: float, region: Any = None) -> int:
    """Return the finest level at which a region has at most so many pixels.

    Parameters
    ----------
    source : ExportSource
        The image.
    max_pixels : float
        Most pixels, all channels of a pixel counted as one.
    region : optional
        As for `level_table`.

    Raises
    ------
    ArgumentError
        If it has more at every level.
    """
    wanted = one_region(source, region)
    least = math.inf
    for level in range(len(source.levels)):
        window = region_window(source, level, wanted)
        picture = picture_of(source, window, None)
        least = math.prod(picture.spatial_shape)
        if least <= max_pixels:
            return level
    msg = (
        f"The region of {source.name!r} has {least:,} pixels at its coarsest level, "
        f"more than {max_pixels:,.0f}. Make coarser levels first, or choose a smaller "
        "region."
    )
    raise ArgumentError(msg)


def level_index(source: ExportSource, level: Any) -> int:
    """Return the index of a level that is given as index or key.

    Raises
    ------
    LevelIndexError, LevelKeyError
        If there is none.
    ArgumentTypeError
        If it is neither.
    """
    keys = source.keys
    if isinstance(level, str):
        if level not in keys:
            msg = f"{source.name!r} has no level {level!r}; its levels are {keys!r}."
            raise LevelKeyError(msg)
        return keys.index(level)
    if isinstance(level, bool) or not isinstance(level, SupportsIndex):
        msg = f"level must be an index or a key, got {level!r}"
        raise ArgumentTypeError(msg)
    index, n_levels = int(level), len(keys)
    if not -n_levels <= index < n_levels:
        msg = (
            f"{source.name!r} has no level {index}; it has {n_levels}, from 0 (finest)"
            f" to {n_levels - 1}."
        )
        raise LevelIndexError(msg)
    return index % n_levels


def channels_of(source: ExportSource, channels: Any) -> tuple[int, ...] | None:
    """Return the indices of channels given by index or name; None without channels.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If there is no such channel, one is named twice, or there is no channel axis.
    """
    axis = source.channel_axis
    if axis is None:
        if channels is None:
            return None
        msg = f"channels given, but {source.name!r} has no channel axis."
        raise ArgumentError(msg)
    n_channels = source.shape(0)[axis]
    if channels is None:
        return tuple(range(n_channels))
    is_one = isinstance(channels, str | SupportsIndex) or not hasattr(
        channels, "__iter__"
    )
    given = [channels] if is_one else list(channels)
    found = tuple(_channel(source, one, n_channels) for one in given)
    if not found or len(set(found)) != len(found):
        msg = f"channels must be one or more different channels, got {channels!r}"
        raise ArgumentError(msg)
    return found


def _channel(source: ExportSource, channel: Any, n_channels: int) -> int:
    names = source.channel_names or ()
    if isinstance(channel, str) and channel in names:
        return names.index(channel)
    if isinstance(channel, SupportsIndex) and not isinstance(channel, bool):
        index = int(channel)
        if -n_channels <= index < n_channels:
            return index % n_channels
    elif not isinstance(channel, str):
        msg = f"A channel must be an index or a name, got {channel!r}"
        raise ArgumentTypeError(msg)
    known = f", named {', '.join(map(repr, names))}" if names else ""
    msg = f"{source.name!r} has no channel {channel!r}; it has {n_channels}{known}."
    raise ArgumentError(msg)


# Regions --------------------------------------------------------------------------


def one_region(source: ExportSource, region: Any) -> ImageRegion | None:
    """Return a region as the engines have it; None is the whole image.

    Parameters
    ----------
    source : ExportSource
        The image.
    region : ImageRegion, sequence of float or geometry, optional
        Numbers ``(x_min, y_min[, z_min], x_max, y_max[, z_max])`` are in image
        coordinates, in the order of the image's coordinate space.

    Raises
    ------
    RegionError, ArgumentTypeError
        If it is none.
    """
    if region is None or isinstance(region, ImageRegion):
        return region
    names = source.spatial_names
    order = source.coordinate_names or names[::-1]
    found = Region.from_value(region, len(names))
    return ImageRegion(
        tuple(found.minimum[order.index(name)] for name in names),
        tuple(found.maximum[order.index(name)] for name in names),
    )


def all_regions(source: ExportSource, region: Any) -> tuple[ImageRegion | None, ...]:
    """Return one region, or several that are given as a sequence."""
    is_many = isinstance(region, list | tuple) and any(
        isinstance(one, ImageRegion | Region)
        or hasattr(one, "bounds")
        or (hasattr(one, "__len__") and not isinstance(one, str))
        for one in region
    )
    if not is_many and not (isinstance(region, list | tuple) and not region):
        return (one_region(source, region),)
    if not region:
        msg = "There is no region to export; draw or choose one first."
        raise RegionError(msg)
    return tuple(one_region(source, one) for one in region)


def region_window(
    source: ExportSource, level: int, region: ImageRegion | None
) -> Window:
    """Return the pixels of a level that a region covers, all channels.

    Raises
    ------
    RegionError
        As of `pixel_box`.
    """
    shape = source.shape(level)
    if region is None:
        return tuple((0, n) for n in shape)
    box = iter(
        pixel_box(
            region.lower,
            region.upper,
            source.spatial_shape(0),
            source.spatial_shape(level),
            axis_names=source.spatial_names,
        )
    )
    return tuple(
        (0, n) if axis == source.channel_axis else next(box)
        for axis, n in enumerate(shape)
    )


def picture_of(
    source: ExportSource, window: Window, channels: Sequence[int] | None
) -> Picture:
    """Return what formats need to know of a window."""
    shape = [stop - start for start, stop in window]
    axis = source.channel_axis
    if axis is not None and channels is not None:
        shape[axis] = len(channels)
    is_rgb = source.is_rgb and tuple(channels or (0, 1, 2)) in (
        (0, 1, 2),
        (0, 1, 2, 3),
    )
    return Picture(
        tuple(shape), source.dtype, source.axis_names, axis, is_rgb, source.is_labels
    )


def pixel_size(source: ExportSource, level: int) -> tuple[float, ...]:
    """Return the world units per pixel of a level, per spatial axis of the data."""
    linear = source.level_to_world(level)[:-1, :-1]
    return tuple(float(size) for size in np.linalg.norm(linear, axis=0))


def _unit_factor(unit: str | None, own: str | None) -> float:
    """Return how many of the image's units one of the given units is."""
    factor = 1.0 if unit is None else unit_ratio(unit, own)
    if factor is None or not factor > 0:
        msg = (
            f"Pixel sizes of the image are in {own or 'pixel'}, which cannot be "
            f"compared with {unit!r}. Set the unit of the layer, or choose a level."
        )
        raise ArgumentError(msg)
    return factor
