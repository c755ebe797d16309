"""The peers: how each writes the mosaic and reads a window of level 0.

Each runs in its own process (`_worker`), because tiledbsoma and TileDB-Py bring their
own libtiledb, and one process can hold only one of them safely.
"""

from __future__ import annotations

import json
import os
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _pixels

if TYPE_CHECKING:
    from pathlib import Path

#: Memory for decoded tiles or chunks, where a peer has such a thing.
POOL_BYTES = 2**30


class Store:
    """One peer; opened once, then asked for windows."""

    folder = ""
    level = "level0"
    """Folder of level 0 inside `folder`."""
    packages: tuple[str, ...] = ()

    def __init__(self, data: Path, size: int, image: str | None) -> None:
        self.path = data / self.folder
        self.size = size
        self.image = image

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in self.packages}

    def build(self) -> None:
        """Write the store; only called when `path` is missing."""
        raise NotImplementedError

    def open(self) -> None:
        raise NotImplementedError

    def window(self, y: int, x: int, edge: int) -> np.ndarray[Any, Any]:
        """Return (3, edge, edge) pixels of level 0 from (y, x)."""
        raise NotImplementedError

    def clear(self) -> None:
        """Forget what was read."""

    def counts(self) -> dict[str, int]:
        """Return what was decoded since `clear`."""
        return {}


class Ours(Store):
    """`LevelArray` as napari gets it; forgets its tiles when told to."""

    folder = "ours.soma"
    packages = ("napari-msimage", "tiledb")

    def build(self) -> None:
        from napari_msimage.engines import run, write_image

        run(write_image(str(self.path), _pixels.mosaics(self.size, self.image)))

    def open(self) -> None:
        from napari_msimage import MultiscaleImage
        from napari_msimage.storage import LevelArray, TileCache

        self.cache = TileCache(POOL_BYTES)
        with MultiscaleImage.open(str(self.path)) as image:
            self.pixels = LevelArray(image.level_uri(0), cache=self.cache)
        self.clear()

    def window(self, y: int, x: int, edge: int) -> np.ndarray[Any, Any]:
        return np.asarray(self.pixels[:, y : y + edge, x : x + edge])

    def clear(self) -> None:
        self.cache.clear()
        self.earlier = self.cache.stats()

    def counts(self) -> dict[str, int]:
        stats = self.cache.stats()
        return {
            "decoded": stats.misses - self.earlier.misses,
            "held": stats.n_tiles,
            "evicted": stats.evictions - self.earlier.evictions,
        }


class OursUncached(Ours):
    """`LevelArray.read` without the tile cache: exactly the cells asked for."""

    def window(self, y: int, x: int, edge: int) -> np.ndarray[Any, Any]:
        return self.pixels[:, y : y + edge, x : x + edge].read(cached=False)


class OursRegion(Ours):
    """`MultiscaleImage.read_spatial_region`, upstream's way of reading."""

    def open(self) -> None:
        from napari_msimage import MultiscaleImage

        self.reader = MultiscaleImage.open(str(self.path))

    def window(self, y: int, x: int, edge: int) -> np.ndarray[Any, Any]:
        region = [x, y, x + edge - 1, y + edge - 1]
        return self.reader.read_spatial_region(0, region).data

    def clear(self) -> None:
        pass

    def counts(self) -> dict[str, int]:
        return {}


class TileDBTuned(Store):
    """Plain TileDB-Py on our store: shared context, open handle, local settings."""

    folder = Ours.folder
    packages = ("tiledb",)

    def build(self) -> None:
        Ours(self.path.parent, self.size, self.image).build()

    def open(self) -> None:
        import tiledb

        config = {
            "vfs.min_batch_size": "0",
            "vfs.min_batch_gap": "0",
            "sm.mem.malloc_trim": "false",
        }
        self.ctx = tiledb.Ctx(tiledb.Config(config))
        self.array = tiledb.open(str(self.path / self.level), ctx=self.ctx)

    def window(self, y: int, x: int, edge: int) -> np.ndarray[Any, Any]:
        cells = self.array[:, y : y + edge, x : x + edge]
        return cells["soma_data"] if isinstance(cells, dict) else cells


class TileDBTunedQuery(TileDBTuned):
    """The same by TileDB-Py's low-level query, in part private, into a numpy array."""

    def window(self, y: int, x: int, edge: int) -> np.ndarray[Any, Any]:
        import tiledb
        from tiledb import libtiledb

        out = np.empty((3, edge, edge), self.array.attr("soma_data").dtype)
        box = tiledb.Subarray(self.array, self.ctx)
        box.add_ranges([[(0, 2)], [(y, y + edge - 1)], [(x, x + edge - 1)]])
        query = tiledb.Query(self.array, self.ctx)
        query.layout = libtiledb.LayoutType.ROW_MAJOR
        query.set_subarray(box)
        query.set_data_buffer("soma_data", out.reshape(-1), out.size)
        query._submit()
        return out


class Soma(Store):
    """tiledbsoma on the store that it writes itself, with its defaults."""

    folder = "tiledbsoma.soma"
    packages = ("tiledbsoma", "pyarrow")

    def build(self) -> None:
        import pyarrow as pa
        import tiledbsoma

        (level,) = _pixels.mosaics(self.size, self.image)[:1]
        warnings.simplefilter("ignore", UserWarning)  # "experimental"
        with tiledbsoma.MultiscaleImage.create(
            str(self.path), type=pa.uint8(), level_shape=level.shape
        ) as image:
            array = image["level0"]
            for box in _pixels.blocks(self.size):
                pixels = np.ascontiguousarray(level[box])
                closed = tuple(slice(s.start, s.stop - 1) for s in box)
                array.write(closed, pa.Tensor.from_numpy(pixels))

    def open(self) -> None:
        import tiledbsoma

        self.reader = tiledbsoma.MultiscaleImage.open(str(self.path))

    def window(self, y: int, x: int, edge: int) -> np.ndarray[Any, Any]:
        region = [x, y, x + edge - 1, y + edge - 1]
        return self.reader.read_spatial_region(0, region).data.to_numpy()


class TensorStore(Store):
    """tensorstore on zarr v3: zstd, 512 chunks; no cache pool."""

    folder = "image.ome.zarr"
    level = "0"
    packages = ("tensorstore",)
    pool_bytes = 0

    def build(self) -> None:
        """Write all levels as OME-Zarr 0.5, so that napari-ome-zarr opens them too."""
        import tensorstore as ts

        mosaics = _pixels.mosaics(self.size, self.image)
        for k, level in enumerate(mosaics):
            spec = {
                "driver": "zarr3",
                "kvstore": {"driver": "file", "path": str(self.path / str(k))},
                "metadata": {
                    "shape": level.shape,
                    "data_type": "uint8",
                    "dimension_names": ["c", "y", "x"],
                    "chunk_grid": {
                        "name": "regular",
                        "configuration": {"chunk_shape": [1, 512, 512]},
                    },
                    "codecs": [
                        {"name": "bytes"},
                        {"name": "zstd", "configuration": {"level": 1}},
                    ],
                },
            }
            store = ts.open(spec, create=True).result()
            for box in _pixels.blocks(level.shape[1]):
                store[box].write(level[box]).result()
        group = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"ome": _ome_metadata(len(mosaics))},
        }
        (self.path / "zarr.json").write_text(json.dumps(group))

    def open(self) -> None:
        import tensorstore as ts

        self.ts = ts
        self.clear()

    def clear(self) -> None:
        # A new context has an empty pool.
        context = self.ts.Context(
            {"cache_pool": {"total_bytes_limit": self.pool_bytes}}
        )
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": str(self.path / self.level)},
            "recheck_cached_data": "open",
        }
        self.array = self.ts.open(spec, context=context).result()

    def window(self, y: int, x: int, edge: int) -> np.ndarray[Any, Any]:
        return self.array[:, y : y + edge, x : x + edge].read().result()


class TensorStorePool(TensorStore):
    """The same with a cache pool as large as our tile cache."""

    pool_bytes = POOL_BYTES


class ZarrDask(TensorStore):
    """dask over zarr-python, as most napari readers do it; the same zarr v3 store."""

    packages = ("zarr", "dask")

    def open(self) -> None:
        import dask.array as da

        self.array = da.from_zarr(str(self.path / self.level))

    def clear(self) -> None:
        pass

    def window(self, y: int, x: int, edge: int) -> np.ndarray[Any, Any]:
        return self.array[:, y : y + edge, x : x + edge].compute()


class Zarr(ZarrDask):
    """zarr-python alone."""

    packages = ("zarr",)

    def open(self) -> None:
        import zarr

        self.array = zarr.open_array(os.fspath(self.path / self.level), mode="r")

    def window(self, y: int, x: int, edge: int) -> np.ndarray[Any, Any]:
        return self.array[:, y : y + edge, x : x + edge]


def _ome_metadata(n_levels: int) -> dict[str, Any]:
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": "mosaic",
                "axes": [
                    {"name": "c", "type": "channel"},
                    {"name": "y", "type": "space", "unit": "micrometer"},
                    {"name": "x", "type": "space", "unit": "micrometer"},
                ],
                "datasets": [
                    {
                        "path": str(k),
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [1.0, 2.0**k, 2.0**k]}
                        ],
                    }
                    for k in range(n_levels)
                ],
            }
        ],
        "omero": {
            "channels": [
                {
                    "label": label,
                    "color": color,
                    "active": True,
                    "window": {"min": 0, "max": 255, "start": 0, "end": 255},
                }
                for label, color in [
                    ("red", "FF0000"),
                    ("green", "00FF00"),
                    ("blue", "0000FF"),
                ]
            ]
        },
    }


STORES: dict[str, type[Store]] = {
    "ours": Ours,
    "ours, no cache": OursUncached,
    "ours, read_spatial_region": OursRegion,
    "tiledb tuned": TileDBTuned,
    "tiledb tuned, own query": TileDBTunedQuery,
    "tensorstore": TensorStore,
    "tensorstore with pool": TensorStorePool,
    "zarr": Zarr,
    "zarr+dask": ZarrDask,
    "tiledbsoma": Soma,
}
