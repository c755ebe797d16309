"""The peers of the part "write": how each stores an RGB picture with all its levels.

The picture is (y, x, 3) uint8, in memory or behind dask; levels go down to 512 pixels.
Each run is a process of its own (`_write_worker`).
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_msimage import samples

from . import _level_sources as sources
from . import _pixels
from ._level_makers import LevelMaker

if TYPE_CHECKING:
    from collections.abc import Iterator

    Pixels = np.ndarray[Any, Any]

#: Edge of the blocks of the dask array.
CHUNK = 2048
#: Rows of TileDB-Py's blocks: whole tiles, 200 MB at a width of 16384.
_BLOCK_ROWS = 4096


class Writer(LevelMaker):
    """One peer; `load` makes the pixels, `make` writes them and is what is timed."""

    output = "written"
    writes = True
    """Whether there is anything to be checked."""

    def load(self) -> None:
        self.pixels: Any = mosaics(self.shape_yx[0], self.image)[0][:]

    def facts(self) -> dict[str, Any]:
        """Return what else there is to say of the run."""
        return {}


class Ours(Writer):
    """`write_layers` with its defaults, from numpy."""

    packages = ("napari-msimage", "tiledb")

    def load(self) -> None:
        super().load()
        self._import()

    def _import(self) -> None:
        from napari_msimage import MultiscaleImage, write_layers

        self.write, self.open = write_layers, MultiscaleImage.open

    def make(self) -> None:
        self.write(str(self.path), [(self.pixels, {"rgb": True}, "image")])

    def level_shapes(self) -> list[tuple[int, ...]]:
        with self.open(str(self.path)) as image:
            shapes = [image.level_shape(k) for k in range(1, image.level_count)]
        return [(channels, y, x) for y, x, channels in shapes]

    def read(self, level: int, y: slice, x: slice) -> Pixels:
        with self.open(str(self.path)) as image:
            pixels = image.level_array(level)[y, x].read(cached=False)
        return np.moveaxis(pixels, -1, 0)

    def error_limit(self, level: int) -> float:
        return 0.5  # the exact mean, rounded once


class OursLazy(Ours):
    """The same from a dask array that makes the picture block by block."""

    packages = (*Ours.packages, "dask")
    remark = f"blocks of {CHUNK} x {CHUNK} x 3"

    def load(self) -> None:
        self.pixels, self.computed = lazy(self.shape_yx[0], self.image)
        self._import()

    def facts(self) -> dict[str, Any]:
        return {"computed": max(self.computed.values())}


class Compute(OursLazy):
    """All blocks of that array computed and dropped, by dask's threads."""

    writes = False
    remark = "writes nothing"

    def make(self) -> None:
        import dask

        blocks = self.pixels.to_delayed().ravel()
        sizes = [dask.delayed(np.size)(block) for block in blocks]
        dask.compute(*sizes, scheduler="threads")


class TileDB(Writer):
    """The same bytes in blocks of whole tiles by TileDB-Py; the levels are given."""

    packages = ("tiledb",)
    remark = f"levels are given; blocks of {_BLOCK_ROWS} rows"

    def load(self) -> None:
        import tiledb

        from napari_msimage import CoordinateSpace, DenseNDArray
        from napari_msimage.engines import ImageToWrite, plan_store

        self.tiledb, self.array = tiledb, DenseNDArray
        levels = mosaics(self.shape_yx[0], self.image)
        self.levels = [level[:] for level in levels]
        space = CoordinateSpace.from_axis_names(("x", "y"))
        image = ImageToWrite((self.levels[0],), space, ("y", "x", "soma_channel"))
        self.extents = [
            level.tile_extents for level in plan_store(image).images[""].levels
        ]

    def make(self) -> None:
        for number, level in enumerate(self.levels):
            uri = f"{self.path}/{number}"
            tiles = {
                f"soma_dim_{axis}": {"tile": extent}
                for axis, extent in enumerate(self.extents[number])
            }
            # Made by us for the schema: filters and domain as in our images.
            self.array.create(
                uri,
                type=level.dtype,
                shape=level.shape,
                platform_config={"dims": tiles},
            ).close()
            height, width, channels = level.shape
            with self.tiledb.open(uri, "w") as array:
                for y in range(0, height, _BLOCK_ROWS):
                    stop = min(y + _BLOCK_ROWS, height)
                    array[y:stop, 0:width, 0:channels] = level[y:stop]

    def level_shapes(self) -> list[tuple[int, ...]]:
        shapes = []
        for number in range(1, len(list(self.path.iterdir()))):
            with self.array.open(f"{self.path}/{number}") as array:
                y, x, channels = array.shape
                shapes.append((channels, y, x))
        return shapes

    def read(self, level: int, y: slice, x: slice) -> Pixels:
        with self.tiledb.open(f"{self.path}/{level}") as array:
            return np.moveaxis(array[y, x, 0:3]["soma_data"], -1, 0)


class TileDBSOMA(Writer):
    """tiledbsoma's own way with its defaults: create, write, `add_new_level`."""

    packages = ("tiledbsoma", "pyarrow")
    error_per_level = 1.0  # whole numbers cut off

    def load(self) -> None:
        super().load()
        import warnings

        import pyarrow
        import tiledbsoma

        warnings.simplefilter("ignore", UserWarning)  # "experimental"
        self.soma, self.arrow = tiledbsoma, pyarrow
        self.numpy_s = 0.0

    def make(self) -> None:
        pixels = np.ascontiguousarray(np.moveaxis(self.pixels, -1, 0))
        with self.soma.MultiscaleImage.create(
            str(self.path), type=self.arrow.uint8(), level_shape=pixels.shape
        ) as image:
            self._write(image["level0"], pixels)
            for number in range(1, len(self.shapes)):
                start = time.perf_counter()
                pixels = halved(pixels)
                self.numpy_s += time.perf_counter() - start
                level = image.add_new_level(f"level{number}", shape=pixels.shape)
                self._write(level, pixels)

    def _write(self, level: Any, pixels: Pixels) -> None:
        level.write((), self.arrow.Tensor.from_numpy(pixels))

    def facts(self) -> dict[str, Any]:
        return {"numpy_s": self.numpy_s}

    def level_shapes(self) -> list[tuple[int, ...]]:
        with self.soma.MultiscaleImage.open(str(self.path)) as image:
            return [image.level_shape(k) for k in range(1, image.level_count)]

    def read(self, level: int, y: slice, x: slice) -> Pixels:
        closed = tuple(slice(s.start, s.stop - 1) for s in (y, x))
        with self.soma.MultiscaleImage.open(str(self.path)) as image:
            return image[f"level{level}"].read((slice(None), *closed)).to_numpy()


class OmeZarr(Writer):
    """ome-zarr-py's `write_image` with its defaults, from numpy."""

    packages = ("ome-zarr", "zarr")
    remark = "its default, resize"
    error_per_level = math.inf  # a blur and a resize, not a mean
    method: str | None = None

    def load(self) -> None:
        super().load()
        import zarr
        from ome_zarr.scale import Methods
        from ome_zarr.writer import write_image

        self.write_image, self.zarr = write_image, zarr
        self.options = {"method": Methods[self.method]} if self.method else {}

    def make(self) -> None:
        self.write_image(
            np.moveaxis(self.pixels, -1, 0),
            os.fspath(self.path),
            axes="cyx",
            scale_factors=[2**k for k in range(1, len(self.shapes))],
            **self.options,
        )

    def _level(self, level: int) -> Any:
        return self.zarr.open_array(self.path / f"s{level}", mode="r")

    def level_shapes(self) -> list[tuple[int, ...]]:
        n_levels = len(list(self.path.glob("s*")))
        return [self._level(k).shape for k in range(1, n_levels)]

    def read(self, level: int, y: slice, x: slice) -> Pixels:
        return self._level(level)[:, y, x]


class OmeZarrMean(OmeZarr):
    """The same with its mean, which cuts fractions off at every level."""

    remark = ""
    error_per_level = 1.0
    method = "LOCAL_MEAN"


def mosaics(size: int, image: str | None) -> list[samples.TissueMosaic]:
    """Return the picture and its exact means, (y, x, 3), made where they are read."""
    shapes = sources.square_shapes(size)
    pictures = _pixels.pictures(image, len(shapes))
    return [
        samples.TissueMosaic(shape[1:], picture=picture)
        for shape, picture in zip(shapes, pictures, strict=True)
    ]


def lazy(size: int, image: str | None) -> tuple[Any, Counter[tuple[int, ...]]]:
    """Return the picture as a dask array, and how often its blocks were computed."""
    import dask.array as da

    picture = mosaics(size, image)[0]
    computed: Counter[tuple[int, ...]] = Counter()
    lock = threading.Lock()

    def block(block_info: Any = None) -> Pixels:
        bounds = block_info[None]["array-location"]
        with lock:
            computed[tuple(start for start, _ in bounds)] += 1
        return picture[tuple(slice(*pair) for pair in bounds)]

    chunks = da.core.normalize_chunks((CHUNK, CHUNK, 3), picture.shape)
    meta = np.empty((0, 0, 0), picture.dtype)
    return da.map_blocks(block, chunks=chunks, dtype=picture.dtype, meta=meta), computed


def halved(pixels: Pixels) -> Pixels:
    """Return means of 2 x 2 pixels of (3, y, x), as one writes it with numpy."""
    channels, height, width = pixels.shape
    blocks = pixels.reshape(channels, height // 2, 2, width // 2, 2)
    return blocks.mean(axis=(2, 4)).astype(pixels.dtype)


def bands(height: int, rows: int = 1024) -> Iterator[slice]:
    """Yield the rows of a level in pieces."""
    for y in range(0, height, rows):
        yield slice(y, min(y + rows, height))


OURS, LAZY, COMPUTE, TILEDB = "ours", "ours, from dask", "dask alone", "TileDB-Py"

WRITERS: dict[str, type[Writer]] = {
    OURS: Ours,
    LAZY: OursLazy,
    COMPUTE: Compute,
    TILEDB: TileDB,
    "tiledbsoma": TileDBSOMA,
    "ome-zarr-py": OmeZarr,
    "ome-zarr-py, local_mean": OmeZarrMean,
}
