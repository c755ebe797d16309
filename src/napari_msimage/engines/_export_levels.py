"""Levels to choose from for an export: their cost, and which fits a wish."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    LevelIndexError,
    LevelKeyError,
)
from ._export_formats import FORMATS, Picture, estimate, refusal
from ._export_plan import ExportOptions
from ._export_regions import (
    all_regions,
    channels_of,
    is_index,
    picture_of,
    pixel_size,
    region_windows,
)
from ._export_units import unit_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from ._export_plan import Compression, Format
    from ._export_source import ExportSource
    from ._level_shapes import Shape


@dataclasses.dataclass(frozen=True, slots=True)
class LevelRow:
    """What exporting regions at one level takes; tuples in data axis order."""

    level: int
    """Its index, 0 is the finest."""
    key: str
    """Its name."""
    shapes: tuple[Shape, ...]
    """Pixels of each region per axis, of the exported channels."""
    nbytes: int
    """Bytes of all pixels in memory."""
    pixel_size: tuple[float, ...]
    """World units per pixel, per spatial axis."""
    estimated_bytes: Mapping[Format, int]
    """Size of all files by format, roughly."""
    refusals: Mapping[Format, str]
    """Formats that cannot hold a region, and why."""

    @property
    def shape(self) -> Shape:
        """Pixels of the first region, or the only one."""
        return self.shapes[0]


def level_table(
    source: ExportSource,
    region: Any = None,
    *,
    channels: Any = None,
    pyramid: bool = False,
    compression: Compression = "zlib",
    formats: Sequence[Format] = FORMATS,
) -> tuple[LevelRow, ...]:
    """Return what exporting regions takes at each level, finest first.

    Parameters
    ----------
    source : ExportSource
        The image.
    region : ImageRegion, list of these, or as for `plan_export`, optional
        One region or several; the whole image by default.
    channels : int, str or sequence of these, optional
        Channels to export.
    pyramid : bool
        Whether the estimates are for files with coarser levels.
    compression : {"zlib", "zstd", "none"}
        Of the files that are estimated.
    formats : sequence of str
        Formats to estimate; all by default.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the region or a channel makes no sense.
    """
    wanted = all_regions(source, region)
    chosen = channels_of(source, channels)
    options = ExportOptions(compression=compression, pyramid=pyramid)
    rows = []
    for level in range(len(source.levels)):
        windows = region_windows(source, level, wanted)
        sizes = windows[..., 1] - windows[..., 0]
        if chosen is not None:
            sizes[:, source.channel_axis] = len(chosen)
        pictures = [
            picture_of(source, windows[index].tolist(), chosen)
            for index in _extremes(sizes)
        ]
        n_pixels = int(sizes.prod(axis=1).sum())
        reasons = {name: _refusal(pictures, name) for name in formats}
        rows.append(
            LevelRow(
                level,
                source.keys[level],
                tuple(map(tuple, sizes.tolist())),
                n_pixels * source.dtype.itemsize,
                pixel_size(source, level),
                {
                    name: _estimate(source, n_pixels, len(wanted), name, options)
                    for name in formats
                },
                {name: reason for name, reason in reasons.items() if reason},
            )
        )
    return tuple(rows)


def _extremes(sizes: npt.NDArray[np.int64]) -> list[int]:
    """Return the regions that formats refuse first: of most axes, and most pixels."""
    n_axes, n_pixels = (sizes > 1).sum(axis=1), sizes.prod(axis=1)
    return sorted({int(n_axes.argmax()), int(n_pixels.argmax())})


def _refusal(pictures: Sequence[Picture], target: Format) -> str | None:
    reasons = (refusal(picture, target) for picture in pictures)
    return next(filter(None, reasons), None)


def _estimate(
    source: ExportSource,
    n_pixels: int,
    n_files: int,
    target: Format,
    options: ExportOptions,
) -> int:
    """Return the size of several files that have so many pixels together."""
    sizes = [
        estimate(
            Picture((n,), source.dtype, ("",), None, False, source.is_labels),
            target,
            options,
        )
        for n in (n_pixels, 0)
    ]
    return sizes[0] + (n_files - 1) * sizes[1]


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
    """Return the finest level at which regions have at most so many pixels each.

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
        If one has more at every level.
    """
    wanted = all_regions(source, region)
    least = math.inf
    for level in range(len(source.levels)):
        windows = region_windows(source, level, wanted)
        if source.channel_axis is not None:
            windows = np.delete(windows, source.channel_axis, axis=1)
        least = int((windows[..., 1] - windows[..., 0]).prod(axis=1).max())
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
    if not is_index(level):
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
