"""Ways to write a stored level as a file: ours, and reading all before a library."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TILE: Final = 512
#: Rows of a band where a reference reads in bands.
BAND: Final = 1024


def level_of(uri: str) -> Any:
    """Return the finest level of an image."""
    from napari_msimage import MultiscaleImage

    with MultiscaleImage.open(uri) as image:
        return image.level_array(0)


def ours(source: Any, path: Path) -> None:
    """Export with this package."""
    from napari_msimage import export_region

    more: dict[str, Any] = {"pyramid": False} if path.suffix == ".zarr" else {}
    export_region(source, path, **more)


def tifffile_all(source: Any, path: Path) -> None:
    """Read all, then write by tifffile."""
    import tifffile

    tifffile.imwrite(
        path,
        level_of(source).read(cached=False),
        ome=True,
        photometric="rgb",
        planarconfig="separate",
        tile=(TILE, TILE),
        compression="zlib",
        compressionargs={"level": 1},
    )


def zarr_all(source: Any, path: Path) -> None:
    """Read all, then assign to a zarr array of the same chunks and codec."""
    import zarr
    from zarr.codecs import ZstdCodec

    pixels = level_of(source).read(cached=False)
    array = zarr.create_array(
        path,
        shape=pixels.shape,
        dtype=pixels.dtype,
        chunks=(1, TILE, TILE),
        compressors=ZstdCodec(level=1),
    )
    array[:] = pixels


def pillow_all(source: Any, path: Path) -> None:
    """Read all, then write by Pillow at its fastest compression."""
    from PIL import Image

    pixels = level_of(source).read(cached=False)
    planes = [Image.fromarray(plane) for plane in pixels]
    Image.merge("RGB", planes).save(path, compress_level=1)


def bands(source: Any, path: Path) -> None:
    """Read in bands, and write nothing."""
    del path
    level = level_of(source)
    out = None
    for top in range(0, level.shape[1], BAND):
        view = level[:, top : top + BAND]
        if out is None or out.shape != view.shape:
            out = np.empty(view.shape, view.dtype)
        view.read(cached=False, out=out)


def numpy_bands(source: Any, path: Path) -> None:
    """Read in bands, and write them to a mapped file."""
    level = level_of(source)
    target = np.lib.format.open_memmap(path, "w+", level.dtype, level.shape)
    for top in range(0, level.shape[1], BAND):
        target[:, top : top + BAND] = level[:, top : top + BAND].read(cached=False)


#: By name: how, and the ending of the file.
WAYS: Final[dict[str, tuple[Callable[[Any, Path], None], str]]] = {
    "OME-TIFF, ours": (ours, ".ome.tif"),
    "OME-TIFF, read all + tifffile": (tifffile_all, ".ome.tif"),
    "OME-Zarr, ours": (ours, ".zarr"),
    "OME-Zarr, read all + zarr": (zarr_all, ".zarr"),
    "PNG, ours": (ours, ".png"),
    "PNG, read all + Pillow": (pillow_all, ".png"),
    "NPY, ours": (ours, ".npy"),
    "NPY, reading in bands alone": (bands, ".npy"),
    "NPY, bands to a mapped file": (numpy_bands, ".npy"),
}


def read_back(path: Path) -> Any:
    """Return the pixels of a file, (channel, y, x)."""
    if path.name.endswith(".tif"):
        import tifffile

        return tifffile.imread(path)
    if path.suffix == ".zarr":
        import zarr

        found = zarr.open(path, mode="r")
        return (found if isinstance(found, zarr.Array) else found["0"])[:]
    if path.suffix == ".png":
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = None
        with Image.open(path) as image:
            return np.moveaxis(np.asarray(image), -1, 0)
    return np.load(path, mmap_mode="r")


def versions() -> dict[str, str]:
    """Return the versions of the libraries."""
    return {name: version(name) for name in ("tifffile", "zarr", "pillow", "numpy")}
