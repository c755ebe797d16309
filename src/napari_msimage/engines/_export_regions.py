"""What an export cuts out: regions and channels, as windows of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from ..coordinates import Region, pixel_box, pixel_boxes
from ..errors import ArgumentError, ArgumentTypeError, RegionError
from ._export_formats import Picture
from ._export_geometry import outline_of
from ._export_source import ExportSource, ImageRegion

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._windows import Window


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
    is_one = isinstance(channels, str) or not hasattr(channels, "__iter__")
    is_one = is_one or is_index(channels)
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
    if is_index(channel):
        index = int(channel)
        if -n_channels <= index < n_channels:
            return index % n_channels
    elif not isinstance(channel, str):
        msg = f"A channel must be an index or a name, got {channel!r}"
        raise ArgumentTypeError(msg)
    known = f", named {', '.join(map(repr, names))}" if names else ""
    msg = f"{source.name!r} has no channel {channel!r}; it has {n_channels}{known}."
    raise ArgumentError(msg)


def is_index(value: Any) -> bool:
    """Tell whether something is a whole number, as an array of one is not."""
    is_array = bool(getattr(value, "shape", ()))
    is_number = isinstance(value, SupportsIndex) and not isinstance(value, bool)
    return is_number and not is_array


# Regions --------------------------------------------------------------------------


def one_region(source: ExportSource, region: Any) -> ImageRegion | None:
    """Return a region as the engines have it; None is the whole image.

    Parameters
    ----------
    source : ExportSource
        The image.
    region : ImageRegion, sequence of float or geometry, optional
        Numbers ``(x_min, y_min[, z_min], x_max, y_max[, z_max])`` are in image
        coordinates, in the order of the image's coordinate space. Polygons of shapely
        are, too; pixels outside of them can be masked.

    Raises
    ------
    RegionError, ArgumentTypeError
        If it is none, or ends before it begins.
    """
    if region is None or isinstance(region, ImageRegion):
        return region
    names = source.spatial_names
    order = source.coordinate_names or names[::-1]
    found = Region.from_value(region, len(names))
    if not hasattr(region, "bounds") and tuple(region) != found.bounds:
        bounds = [f"{name}_{end}" for end in ("min", "max") for name in order]
        msg = (
            f"The region {tuple(region)!r} ends before it begins; expected "
            f"({', '.join(bounds)}), not widths."
        )
        raise RegionError(msg)
    return ImageRegion(
        tuple(found.minimum[order.index(name)] for name in names),
        tuple(found.maximum[order.index(name)] for name in names),
        outline=outline_of(region),
        outline_axes=(names.index(order[0]), names.index(order[1]))
        if len(order) > 1
        else (0, 0),
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


def region_windows(
    source: ExportSource, level: int, regions: Sequence[ImageRegion | None]
) -> npt.NDArray[np.int64]:
    """Return the windows of many regions, (n_regions, n_axes, 2).

    Raises
    ------
    RegionError
        As of `pixel_box`.
    """
    finest, axis = source.spatial_shape(0), source.channel_axis
    whole = ((0.0,) * len(finest), tuple(map(float, finest)))
    bounds = [whole if one is None else (one.lower, one.upper) for one in regions]
    boxes = pixel_boxes(
        [lower for lower, _ in bounds],
        [upper for _, upper in bounds],
        finest,
        source.spatial_shape(level),
        axis_names=source.spatial_names,
    )
    if axis is None:
        return boxes
    return np.insert(boxes, axis, (0, source.shape(level)[axis]), axis=1)


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
