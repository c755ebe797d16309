"""The peers of the part "write": how each stores an RGB picture with all levels.

Each run is a process of its own (`_write_worker`). The picture is (y, x, 3) uint8, in
memory or behind dask; levels go down to 512 pixels.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_msimage import samples

from . import _level_sources as sources
from . import _pixels

if TYPE_CHECKING:
    from pathlib import Path

    Pixels = np.ndarray[Any, Any]

#: Edge of the blocks of the dask source, and how long computing one takes besides.
CHUNK = 2048
CHUNK_S = 0.02
#: Rows of TileDB's large whole-tile blocks.
_BLOCK_ROWS = 4096


class Writer:
    """One peer; `make` is what is timed."""

    packages: tuple[str, ...] = ()
    remark = ""
    """What the reader of the figures should know."""

    def __init__(self, path: Path, size: int, image: str | None) -> None:
        self.path = path
        self.size = size
        self.image = image

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in self.packages}

    def load(self) -> None:
        """Import what `make` needs, and make the pixels."""
        self.pixels = mosaic(self.size, self.image)[:]

    def make(self) -> None:
        raise NotImplementedError

    def read(self, level: int) -> Pixels:
        """Return the corner of a level that was written, (y, x, 3)."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Return what else there is to say of the run."""
        return {}


class Ours(Writer):
    """`write_layers` with its defaults, from numpy."""

    packages = ("napari-msimage", "tiledb")

    def load(self) -> None:
        super().load()
        from napari_msimage import MultiscaleImage, write_layers

        self.write, self.open = write_layers, MultiscaleImage.open
        # what napari imports with the first layer is not to be timed
        small = self.pixels[:64, :64]
        self.write(f"{self.path}-first", (small, {"rgb": True}, "image"))

    def make(self) -> None:
        self.write(str(self.path), (self.pixels, {"rgb": True}, "image"))

    def read(self, level: int) -> Pixels:
        with self.open(str(self.path)) as image:
            return image.level_array(level)[:64, :64].read()


class OursLazy(Ours):
    """The same from a dask array that computes its blocks."""

    remark = f"blocks of {CHUNK} x {CHUNK}, {CHUNK_S * 1e3:.0f} ms each and a copy"

    def load(self) -> None:
        super().load()
        self.pixels, self.computed = lazy(self.size, self.image)

    def facts(self) -> dict[str, Any]:
        return {"computed": max(self.computed.values())}


class Compute(OursLazy):
    """All blocks of that array computed and dropped; writes nothing."""

    def make(self) -> None:
        import dask

        blocks = self.pixels.to_delayed().ravel()
        dask.compute(*(dask.delayed(np.size)(block) for block in blocks))

    def read(self, level: int) -> Pixels:
        return mosaic(self.size, self.image)[:64, :64]


class TileDB(Writer):
    """The same bytes in blocks of whole tiles by TileDB-Py; levels made before."""

    packages = ("tiledb",)
    remark = f"levels are given; blocks of {_BLOCK_ROWS} rows"

    def load(self) -> None:
        super().load()
        import tiledb

        from napari_msimage import DenseNDArray

        self.tiledb, self.array = tiledb, DenseNDArray
        self.levels = [self.pixels, *halves(self.pixels)]

    def make(self) -> None:
        for number, level in enumerate(self.levels):
            uri = f"{self.path}/{number}"
            tiles = {
                f"soma_dim_{axis}": {"tile": min(512, n)}
                for axis, n in enumerate(level.shape)
            }
            self.array.create(
                uri,
                type=level.dtype,
                shape=level.shape,
                platform_config={"dims": tiles},
            ).close()
            with self.tiledb.open(uri, "w") as array:
                for y in range(0, len(level), _BLOCK_ROWS):
                    block = level[y : y + _BLOCK_ROWS]
                    array[y : y + len(block), 0 : level.shape[1], 0:3] = block

    def read(self, level: int) -> Pixels:
        with self.tiledb.open(f"{self.path}/{level}") as array:
            return array[:64, :64, :3]["soma_data"]


class TileDBSOMA(Writer):
    """tiledbsoma with its defaults: create, write, halve with numpy, add_new_level."""

    packages = ("tiledbsoma",)
    remark = "channels first, its default tiles"

    def load(self) -> None:
        super().load()
        import pyarrow
        import tiledbsoma

        self.soma, self.arrow = tiledbsoma, pyarrow

    def make(self) -> None:
        pixels = np.ascontiguousarray(np.moveaxis(self.pixels, -1, 0))
        with self.soma.MultiscaleImage.create(
            str(self.path),
            type=self.arrow.uint8(),
            level_shape=pixels.shape,
            level_key="level0",
        ) as image:
            self._put(image["level0"], pixels)
            for number, level in enumerate(halves(pixels, (1, 2)), start=1):
                key = f"level{number}"
                self._put(image.add_new_level(key, shape=level.shape), level)

    def _put(self, level: Any, pixels: Pixels) -> None:
        level.write((), self.arrow.Tensor.from_numpy(np.ascontiguousarray(pixels)))

    def read(self, level: int) -> Pixels:
        with self.soma.MultiscaleImage.open(str(self.path)) as image:
            part = image[f"level{level}"].read(
                (slice(None), slice(0, 63), slice(0, 63))
            )
            return np.moveaxis(part.to_numpy(), 0, -1)


class OmeZarr(Writer):
    """ome-zarr-py's `write_image` with its defaults, from numpy."""

    packages = ("ome-zarr", "zarr")
    remark = "channels first; its default, resize"
    method: str | None = None

    def load(self) -> None:
        super().load()
        import zarr
        from ome_zarr.scale import Methods
        from ome_zarr.writer import write_image

        self.write_image, self.zarr = write_image, zarr
        self.options = {"method": Methods[self.method]} if self.method else {}

    def make(self) -> None:
        n_levels = len(sources.square_shapes(self.size))
        self.write_image(
            np.moveaxis(self.pixels, -1, 0),
            os.fspath(self.path),
            axes="cyx",
            scale_factors=[2**k for k in range(1, n_levels)],
            **self.options,
        )

    def read(self, level: int) -> Pixels:
        part = self.zarr.open_array(self.path / f"s{level}")[:, :64, :64]
        return np.moveaxis(part, 0, -1)


class OmeZarrMean(OmeZarr):
    """The same with its mean."""

    remark = "channels first"
    method = "LOCAL_MEAN"


def mosaic(size: int, image: str | None) -> samples.TissueMosaic:
    """Return the picture, (y, x, 3)."""
    n_levels = len(sources.square_shapes(size))
    (picture,) = _pixels.pictures(image, n_levels)[:1]
    return samples.TissueMosaic((size, size), picture=picture)


def lazy(size: int, image: str | None) -> tuple[Any, Counter[tuple[int, ...]]]:
    """Return a dask array of the picture, and how often its blocks were computed."""
    import dask.array as da

    picture = mosaic(size, image)
    computed: Counter[tuple[int, ...]] = Counter()
    lock = threading.Lock()

    def make(block_info: Any = None) -> Pixels:
        place = block_info[None]["array-location"]
        with lock:
            computed[tuple(start for start, _ in place)] += 1
        time.sleep(CHUNK_S)
        return picture[tuple(slice(*bounds) for bounds in place)]

    chunks = da.core.normalize_chunks((CHUNK, CHUNK, 3), (size, size, 3))
    blocks = da.map_blocks(make, chunks=chunks, dtype="u1", meta=np.empty(0, "u1"))
    return blocks, computed


def halves(pixels: Pixels, axes: tuple[int, int] = (0, 1)) -> Any:
    """Yield means of 2 x 2 pixels, each of the level before, down to 512 pixels."""
    first = axes[0]
    while pixels.shape[first] > sources.COARSEST:
        shape = list(pixels.shape)
        for shift, axis in enumerate(axes):
            at = axis + shift
            shape[at : at + 1] = [shape[at] // 2, 2]
        pixels = pixels.reshape(shape).mean((first + 1, first + 3)).astype(pixels.dtype)
        yield pixels


def expected(pixels: Pixels, n_levels: int) -> list[Pixels]:
    """Return corners of all levels as true means, (y, x, 3) float."""
    found = []
    for level in itertools.islice(itertools.count(), n_levels):
        edge = 2**level
        n = min(64, len(pixels) // edge)
        part = pixels[: n * edge, : n * edge].astype(float)
        found.append(part.reshape(n, edge, n, edge, 3).mean((1, 3)))
    return found


WRITERS: dict[str, type[Writer]] = {
    "ours": Ours,
    "ours, from dask": OursLazy,
    "dask alone": Compute,
    "TileDB-Py": TileDB,
    "tiledbsoma": TileDBSOMA,
    "ome-zarr-py": OmeZarr,
    "ome-zarr-py, local_mean": OmeZarrMean,
}
