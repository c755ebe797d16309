"""The plan of an export: files, pixels, place and cost, before a pixel is read."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal

from ._export_axes import tiff_layout, zarr_layout
from ._level_plan import bytes_in_words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..storage import SOMATileDBContext
    from ._export_source import ExportSource, ImageRegion
    from ._level_shapes import Shape
    from ._windows import Window

Format = Literal["ome-tiff", "ome-zarr", "png", "npy", "soma"]
Compression = Literal["zlib", "zstd", "none"]


@dataclasses.dataclass(frozen=True, slots=True)
class ExportOptions:
    """How files are written."""

    compression: Compression = "zlib"
    """Of OME-TIFF (zlib, zstd, none) and OME-Zarr (zstd, none)."""
    pyramid: bool = False
    """Whether files of several levels get coarser ones."""
    mask: bool = False
    """Whether pixels outside a region's outline get `fill_value`."""
    fill_value: complex = 0
    """Value of masked pixels."""
    alpha: bool = False
    """Whether masked pixels are transparent instead."""
    json: bool = False
    """Whether a ``.json`` file beside each file tells where its pixels come from."""
    overwrite: bool = False
    """Whether files that exist may be replaced."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PlannedFile:
    """One file, or folder, to be written; tuples in data axis order."""

    path: str
    """Where."""
    region: ImageRegion | None
    """What was asked for; None: the whole image."""
    name: str
    """What the region is called."""
    window: Window
    """Half-open pixel ranges of the level, per axis, all channels."""
    shape: Shape
    """Pixels per axis, of the channels that are exported."""
    dtype: np.dtype[Any]
    """Pixel type."""
    nbytes: int
    """Bytes of the pixels in memory."""
    estimated_bytes: int
    """Size of the file, roughly."""
    pixel_size: tuple[float, ...]
    """World units per pixel, per spatial axis."""
    origin: tuple[float, ...]
    """World coordinates of the low corner of the first pixel, per spatial axis."""
    to_world: npt.NDArray[np.float64]
    """Affine matrix, (n_spatial + 1, n_spatial + 1): from the file's pixels, pixel i
    covering [i, i + 1), to world coordinates."""
    lower: tuple[float, ...]
    """Least image coordinate of the pixels, per spatial axis."""
    upper: tuple[float, ...]
    """Greatest image coordinate of the pixels, per spatial axis; half-open."""
    json_path: str | None = None
    """Where the metadata go, for formats that hold none."""

    @property
    def n_pixels(self) -> int:
        """Number of pixels, of all channels together."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ExportPlan:
    """What an export writes; made by `plan_export`, run by `write_export`.

    ``print(plan)`` shows it as a table.
    """

    source: ExportSource
    """The image."""
    level: int
    """Level that is cut, 0 is the finest."""
    format: Format
    """How it is written."""
    channels: tuple[int, ...] | None
    """Channels that are exported, in this order; None without a channel axis."""
    files: tuple[PlannedFile, ...]
    """One per region."""
    options: ExportOptions
    """How files are written."""
    notes: tuple[str, ...] = ()
    """What the files do not hold, or hold differently, as sentences for the user."""
    csv_path: str | None = None
    """Where the table of the files goes, if there are several regions."""
    context: SOMATileDBContext | None = None
    """TileDB configuration."""

    @property
    def level_key(self) -> str:
        """What the level is called."""
        return self.source.keys[self.level]

    @property
    def units(self) -> tuple[str | None, ...]:
        """Of pixel sizes and origins, per spatial axis; None: pixels."""
        return self.source.units

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels in memory."""
        return sum(file.nbytes for file in self.files)

    @property
    def estimated_bytes(self) -> int:
        """Size of all files, roughly."""
        return sum(file.estimated_bytes for file in self.files)

    @property
    def is_rgb(self) -> bool:
        """Whether the exported channels are colours of one picture."""
        channels = self.channels or ()
        return self.source.is_rgb and channels in ((0, 1, 2), (0, 1, 2, 3))

    @property
    def file_axes(self) -> tuple[str, ...]:
        """Axes of the arrays in the files; OME wants some in another order."""
        names = self.source.axis_names
        if self.format == "ome-tiff":
            order = tiff_layout(names, is_rgb=self.is_rgb).order
        elif self.format == "ome-zarr":
            order = zarr_layout(names).order
        else:
            return names
        return tuple(names[axis] for axis in order)

    @property
    def paths(self) -> tuple[str, ...]:
        """Everything that is written, in this order."""
        paths = []
        for file in self.files:
            paths += [file.path] + ([file.json_path] if file.json_path else [])
        return (*paths, *([self.csv_path] if self.csv_path else []))

    def __str__(self) -> str:
        """Return the plan as a table."""
        axes = ", ".join(self.source.axis_names)
        lines = [
            f"Export of {self.source.name!r} ({self.source.dtype}; axes {axes}), level "
            f"{self.level_key!r}, as {self.format}:"
        ]
        rows = [("file", "pixels", "in memory", "file size", "pixel size", "origin")]
        rows += [
            (
                file.path,
                " x ".join(map(str, file.shape)),
                bytes_in_words(file.nbytes),
                f"about {bytes_in_words(file.estimated_bytes)}",
                _measures(file.pixel_size, self.units),
                _measures(file.origin, self.units),
            )
            for file in self.files
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += [
            "  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows
        ]
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(lines)


def _measures(values: tuple[float, ...], units: tuple[str | None, ...]) -> str:
    """Return numbers with their units, the unit once if all have the same."""
    names = [unit or "pixel" for unit in units]
    if len(set(names)) == 1:
        return f"{', '.join(f'{value:.6g}' for value in values)} {names[0]}"
    return ", ".join(f"{v:.6g} {unit}" for v, unit in zip(values, names, strict=True))
