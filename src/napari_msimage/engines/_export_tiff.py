"""Export as OME-TIFF: tiled, compressed, with place, size and channels."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._export_axes import ome_letters, ome_origin, tiff_layout
from ._export_coarser import coarser_pixels, coarser_plan
from ._export_files import LEVELS, PART
from ._export_pixels import TransposedPixels
from ._export_threads import N_THREADS
from ._export_tiles import most_tile_shape, tile_shape, tiles
from ._export_units import ome_unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ._export_axes import TiffLayout
    from ._export_plan import ExportPlan, PlannedFile
    from ._export_threads import Ticker
    from ._export_writers import ExportPixels

#: Of the directory of each plane, with its part of the XML.
_PLANE_BYTES: Final = 1024
_TILE_BYTES: Final = 16
#: Tiles that wait for being packed, bytes.
_PACK_BYTES: Final = 8 * 2**20
#: Files that may become larger need 64 bit offsets.
_BIG: Final = 2**32 - 2**25
_COMPRESSION: Final = {
    "zlib": {"compression": "zlib", "compressionargs": {"level": 1}},
    "zstd": {"compression": "zstd", "compressionargs": {"level": 1}},
    "none": {},
}


def write_tiff(
    plan: ExportPlan, file: PlannedFile, pixels: ExportPixels, path: str, tick: Ticker
) -> None:
    """Write pixels, and coarser levels of them if wanted, as OME-TIFF.

    Parameters
    ----------
    plan : ExportPlan
        The plan.
    file : PlannedFile
        Which part of it.
    pixels : ExportPixels
        Its pixels.
    path : str
        Where.
    tick : Ticker
        Gets the bytes written.
    """
    import tifffile

    names = plan.source.axis_names
    layout = tiff_layout(names, is_rgb=plan.is_rgb)
    levels = coarser_plan(plan, pixels)
    shape = [pixels.shape[i] for i in layout.order]
    stored_shapes = [shape]
    for planned in levels.levels if levels else ():
        stored_shapes.append([planned.shape[i] for i in layout.order])
    size = sum(_most_bytes(one, layout, pixels.dtype) for one in stored_shapes)
    with (
        coarser_pixels(levels, pixels, _levels_folder(path), tick) as coarser,
        tifffile.TiffWriter(path, ome=True, bigtiff=size > _BIG) as writer,
    ):
        common = {
            **_COMPRESSION[plan.options.compression],
            **_photometric(layout.letters, shape, is_rgb=plan.is_rgb),
        }
        for number, level in enumerate([pixels, *coarser]):
            stored = level
            if not layout.is_same:
                stored = TransposedPixels(level, layout.order)
            extra: dict[str, Any] = {}
            if number == 0:
                extra["metadata"] = _metadata(plan, file, layout, shape)
                extra["subifds"] = len(coarser)
            else:
                extra["subfiletype"] = 1
                extra["metadata"] = None
            _write_level(writer, stored, layout, {**common, **extra}, tick)


def _levels_folder(path: str) -> str:
    """Return where coarser levels are kept while a part is written."""
    return path.removesuffix(PART) + LEVELS


def _write_level(
    writer: Any,
    pixels: ExportPixels,
    layout: TiffLayout,
    options: dict[str, Any],
    tick: Ticker,
) -> None:
    row_axis = layout.letters.index("Y")
    tile = tile_shape(pixels, row_axis)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes that OME does not know
        writer.write(
            _counted(tiles(pixels, row_axis, tile), tick),
            shape=pixels.shape,
            dtype=pixels.dtype,
            tile=tile,
            maxworkers=N_THREADS,
            buffersize=_PACK_BYTES,
            software="napari-msimage",
            **options,
        )


def _most_bytes(shape: Sequence[int], layout: TiffLayout, dtype: np.dtype[Any]) -> int:
    """Return what a level may take in the file: tiles are filled up at the edges."""
    row_axis = layout.letters.index("Y")
    tile = most_tile_shape(shape, row_axis)
    numbers = [
        -(-n // edge)
        for n, edge in zip(shape[row_axis : row_axis + 2], tile, strict=True)
    ]
    n_planes = math.prod(shape[:row_axis])
    n_tiles = n_planes * math.prod(numbers)
    tile_bytes = math.prod((*tile, *shape[row_axis + 2 :])) * dtype.itemsize
    return n_planes * _PLANE_BYTES + n_tiles * (tile_bytes + _TILE_BYTES)


def _counted(
    tiles: Iterator[npt.NDArray[Any]], tick: Ticker
) -> Iterator[npt.NDArray[Any]]:
    for tile in tiles:
        yield tile
        tick(tile.nbytes)


def _photometric(letters: str, shape: list[int], *, is_rgb: bool) -> dict[str, Any]:
    if not is_rgb:
        return {"photometric": "minisblack"}
    is_last = letters.endswith("S")
    found: dict[str, Any] = {
        "photometric": "rgb",
        "planarconfig": "contig" if is_last else "separate",
    }
    if shape[letters.index("S")] > 3:
        found["extrasamples"] = ["unassalpha"]
    return found


# OME --------------------------------------------------------------------------------


def _metadata(
    plan: ExportPlan, file: PlannedFile, layout: TiffLayout, shape: list[int]
) -> dict[str, Any]:
    """Return place, size and channels as tifffile takes them."""
    found: dict[str, Any] = {
        "axes": layout.letters,
        "Name": _printable(file.name or plan.source.name),
    }
    spatial = ome_letters(plan.source.spatial_names)
    sizes = dict(zip(layout.letters, shape, strict=True))
    n_planes = int(np.prod([n for a, n in sizes.items() if a not in "YXS"], dtype=int))
    plane: dict[str, Any] = {}
    # Each plane has its own z, that of its low face, flipped or not.
    extents = [1 if letter == "Z" else sizes[letter] for letter in spatial]
    corner = ome_origin(file.to_world, extents)
    for number, (letter, size, origin, unit) in enumerate(
        zip(spatial, file.pixel_size, corner, plan.units, strict=True)
    ):
        if letter == "T":
            continue
        unit_name, factor = ome_unit(unit)
        if size > 0:
            found[f"PhysicalSize{letter}"] = size * factor
            found[f"PhysicalSize{letter}Unit"] = unit_name
        positions = np.full(n_planes, origin * factor)
        if letter == "Z":
            index = _index_of("Z", layout.letters, sizes)
            positions += file.to_world[number, number] * index * factor
        plane[f"Position{letter}"] = positions.tolist()
        plane[f"Position{letter}Unit"] = [unit_name] * n_planes
    found["Plane"] = plane
    found.update(_channels(plan))
    return found


def _index_of(letter: str, letters: str, sizes: dict[str, int]) -> npt.NDArray[Any]:
    """Return the index along one axis of each plane, in the order stored."""
    axes = [a for a in letters if a not in "YXS"]
    index: npt.NDArray[Any] = np.indices([sizes[a] for a in axes])[axes.index(letter)]
    return np.ravel(index)


def _channels(plan: ExportPlan) -> dict[str, Any]:
    """Return names and colours; of RGB there is one channel of three samples."""
    if plan.channels is None or plan.is_rgb:
        return {}
    names, colors = plan.source.channel_names, plan.source.channel_colors
    channel: dict[str, Any] = {}
    if names:
        channel["Name"] = [_printable(names[i]) for i in plan.channels]
    if colors:
        channel["Color"] = [_color(colors[i]) for i in plan.channels]
    return {"Channel": channel} if channel else {}


def _printable(text: str) -> str:
    """Return text that XML can hold."""
    return "".join(c if c.isprintable() else " " for c in text)


def _color(color: tuple[float, float, float]) -> int:
    """Return a colour as OME's signed number of red, green, blue, alpha."""
    red, green, blue = (round(min(max(c, 0.0), 1.0) * 255) for c in color)
    number = red << 24 | green << 16 | blue << 8 | 255
    return number - 2**32 if number >= 2**31 else number
