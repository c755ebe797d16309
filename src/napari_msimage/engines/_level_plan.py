"""The plan of new levels: keys, shapes, storage and cost, before a pixel is read."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedError
from ..storage import CHANNEL_AXIS
from ._downsample import METHODS, Method

if TYPE_CHECKING:
    import numpy as np

    from ._level_shapes import Shape

__all__ = ["METHODS", "LevelPlan", "Method", "PlannedLevel"]


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedLevel:
    """One level to be made; all tuples in data axis order, channel axis included."""

    key: str
    """Name in the group."""
    shape: Shape
    """Pixels per axis."""
    downsample_factors: tuple[float, ...]
    """Reference level's size divided by this one's; 1 for the channel axis."""
    tile_extents: tuple[int, ...]
    """TileDB's storage block."""
    filters: tuple[str, ...]
    """TileDB filters of the pixels, in the order they are applied when writing."""
    nbytes: int
    """Bytes of all pixels, uncompressed: the most that the level can take on disk."""
    replaces: bool = False
    """Whether a level of this key exists, and is replaced."""


@dataclasses.dataclass(frozen=True, slots=True)
class LevelPlan:
    """Which levels to make of an image, and what that costs; made by `plan_levels`.

    ``print(plan)`` shows it as a table.
    """

    uri: str
    """The image."""
    axis_names: tuple[str, ...]
    """Data axis order, the channel as ``soma_channel``."""
    dtype: np.dtype[Any]
    """Pixel type."""
    method: Method
    """How pixels are combined."""
    existing: tuple[tuple[str, Shape], ...]
    """Keys and shapes of the image's levels, finest first; the first one is the source
    of all new levels."""
    source_extents: tuple[int, ...]
    """Tile extents of the source."""
    levels: tuple[PlannedLevel, ...]
    """Levels to make, finest first; empty if none is missing."""
    n_threads: int
    """Threads that work at a time; without effect on a cluster, and on the result."""
    peak_bytes: int
    """Memory that the run takes at most, estimated, on top of what is in use."""
    platform_config: Any = dataclasses.field(default=None, hash=False)
    """Tile extents and filters asked for; TileDB's own filters cannot be pickled."""

    @property
    def source_key(self) -> str:
        """Key of the level that the new ones are made from: the finest."""
        return self.existing[0][0]

    @property
    def source_shape(self) -> Shape:
        """Shape of that level, data axis order."""
        return self.existing[0][1]

    @property
    def channel_axis(self) -> int | None:
        """Position of the channel axis, None without one."""
        names = self.axis_names
        return names.index(CHANNEL_AXIS) if CHANNEL_AXIS in names else None

    @property
    def nbytes(self) -> int:
        """Bytes of all new levels, uncompressed."""
        return sum(level.nbytes for level in self.levels)

    def __bool__(self) -> bool:
        """Tell whether there is anything to make."""
        return bool(self.levels)

    def __str__(self) -> str:
        """Return the plan as a table."""
        axes = ", ".join(self.axis_names)
        lines = [
            f"Levels to make of {self.uri!r} ({self.dtype}; axes {axes}), from "
            f"{self.source_key!r} {self.source_shape} by {self.method}:"
        ]
        if not self.levels:
            return f"{lines[0]} none is missing."
        rows = [("key", "shape", "factors", "tiles", "filters", "at most")]
        rows += [
            (
                level.key + (" (replaced)" if level.replaces else ""),
                " x ".join(map(str, level.shape)),
                " x ".join(f"{f:.4g}" for f in level.downsample_factors),
                " x ".join(map(str, level.tile_extents)),
                ", ".join(name.removesuffix("Filter") for name in level.filters),
                bytes_in_words(level.nbytes),
            )
            for level in self.levels
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += [
            "  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows
        ]
        lines.append(
            f"In all at most {bytes_in_words(self.nbytes)} on disk; about "
            f"{bytes_in_words(self.peak_bytes)} of memory, {self.n_threads} threads."
        )
        return "\n".join(lines)


def bytes_in_words(nbytes: float) -> str:
    """Return a number of bytes as text, with a binary unit."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if nbytes < 999.5:  # else it would be told as 1e+03
            if unit == "bytes":
                return f"{nbytes:.0f} {'byte' if round(nbytes) == 1 else unit}"
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1024
    return f"{nbytes:,.4g} TiB"


def factors_between(finer: Shape, coarser: Shape) -> tuple[float, ...]:
    """Return downsampling factors: sizes of the finer level over the coarser's."""
    return tuple(a / b for a, b in zip(finer, coarser, strict=True))


def level_nbytes(shape: Shape, dtype: np.dtype[Any]) -> int:
    """Return the bytes of all pixels of a level."""
    return math.prod(shape) * dtype.itemsize


def check_pixel_type(dtype: np.dtype[Any], uri: str) -> None:
    """Check that pixels can be combined.

    Raises
    ------
    UnsupportedError
        If they are timestamps.
    """
    if dtype.kind not in "iuf":
        msg = (
            f"Cannot make levels of {uri!r}: its pixels are timestamps ({dtype}), "
            "which cannot be combined. Levels can be made of integers and floats."
        )
        raise UnsupportedError(msg)
