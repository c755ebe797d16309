"""Level 0 as each peer of the part "levels" reads it; written once per size."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_msimage import samples

from . import _pixels
from ._stores import TensorStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TILE = 512
#: Levels are made until their longest side is at most this.
COARSEST = 512


def mosaic(shape_yx: tuple[int, int], image: str | None) -> samples.TissueMosaic:
    """Return the picture of level 0, (3, y, x), of any size."""
    # Cropped as for the other parts, which a square's levels are shared with.
    n_levels = len(square_shapes(max(shape_yx)))
    (picture,) = _pixels.pictures(image, n_levels)[:1]
    return samples.TissueMosaic(shape_yx, channels_first=True, picture=picture)


def square_shapes(size: int) -> list[tuple[int, int, int]]:
    """Return the shapes of all levels of a square image, level 0 first."""
    shapes = [(3, size, size)]
    while shapes[-1][1] > COARSEST:
        size //= 2
        shapes.append((3, size, size))
    return shapes


def zarr(data: Path, shape_yx: tuple[int, int], image: str | None) -> Path:
    """Return OME-Zarr of version 0.5: zarr v3, zstd 1, chunks of (1, 512, 512).

    The store that the reading parts use; level 0 is in folder ``0``.
    """

    def write(path: Path) -> None:
        store = TensorStore(data, shape_yx[0], image)
        store.path = path
        store.build()

    return _once(data / TensorStore.folder, write)


def soma(data: Path, shape_yx: tuple[int, int], image: str | None) -> Path:
    """Return our image with level 0 only, as our writer writes it by default."""
    from napari_msimage.engines import run, write_image

    def write(path: Path) -> None:
        run(write_image(str(path), [mosaic(shape_yx, image)]))

    return _once(data / f"level0-{shape_yx[0]}x{shape_yx[1]}.soma", write)


def tiff(data: Path, shape_yx: tuple[int, int], image: str | None) -> Path:
    """Return an uncompressed TIFF of 512-pixel tiles: libvips reads nothing faster.

    A raw file mapped into memory takes as long, and counts as memory.
    """
    import pyvips

    def write(path: Path) -> None:
        level = mosaic(shape_yx, image)
        raw = path.with_name("building.raw")
        with raw.open("wb") as file:
            for y in range(0, shape_yx[0], TILE):
                rows = np.moveaxis(level[0:3, y : y + TILE], 0, -1)
                file.write(np.ascontiguousarray(rows))
        height, width = shape_yx
        pixels = pyvips.Image.rawload(str(raw), width, height, 3)
        pixels.copy(interpretation="srgb").tiffsave(
            str(path), tile=True, tile_width=TILE, tile_height=TILE, bigtiff=True
        )
        raw.unlink()

    return _once(data / "level0.tif", write)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _once(path: Path, write: Callable[[Path], Any]) -> Path:
    """Write unless it is there; under another name first, in case of interruption."""
    if not path.exists():
        building = path.with_name(f"building-{path.name}")
        remove(building)
        write(building)
        building.rename(path)
    return path
