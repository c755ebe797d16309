"""The peers of the part "levels": how each makes all levels of an image from level 0.

Each run is a process of its own (`_level_worker`). Peers that write zarr use zstd 1 and
chunks of (1, 512, 512), as their source has; level by level, each from the one before.
"""

from __future__ import annotations

import math
import os
import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _level_sources as sources

if TYPE_CHECKING:
    from pathlib import Path

    Pixels = np.ndarray[Any, Any]


class LevelMaker:
    """One peer and one image; `make` is what is timed."""

    packages: tuple[str, ...] = ()
    output = ""
    """File or folder that `make` writes, in `data`."""
    remark = ""
    """What the reader of the figures should know."""
    error_per_level = 0.5
    """What each step may add to the error, in grey values: who makes a level from the
    one before rounds at every level."""

    def __init__(
        self, data: Path, shape_yx: tuple[int, int], image: str | None
    ) -> None:
        self.data = data
        self.shape_yx = shape_yx
        self.image = image
        self.path = data / self.output
        self.shapes = sources.square_shapes(max(shape_yx))

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in self.packages}

    def prepare(self) -> Path:
        """Write the source unless it is there, and return it."""
        raise NotImplementedError

    def load(self) -> None:
        """Import what `make` needs."""

    def clear(self) -> None:
        """Make room for `make`: remove what an earlier run wrote."""
        sources.remove(self.path)

    def make(self) -> None:
        raise NotImplementedError

    def level_shapes(self) -> list[tuple[int, ...]]:
        """Return what was made, level 1 first; (3, y, x)."""
        raise NotImplementedError

    def read(self, level: int, y: slice, x: slice) -> Pixels:
        """Return (3, y, x) pixels of a level that was made; the first one is 1."""
        raise NotImplementedError

    def error_limit(self, level: int) -> float:
        """Return how far a pixel of a level may be off the mean, in grey values."""
        return self.error_per_level * level


class Ours(LevelMaker):
    """`create_levels` with its default plan, on a copy of the image by hard links."""

    packages = ("napari-msimage", "tiledb")
    output = "levels-ours.soma"

    def prepare(self) -> Path:
        self.source = sources.soma(self.data, self.shape_yx, self.image)
        return self.source

    def load(self) -> None:
        from napari_msimage import MultiscaleImage, create_levels

        self.create_levels, self.open = create_levels, MultiscaleImage.open

    def clear(self) -> None:
        super().clear()
        shutil.copytree(self.source, self.path, copy_function=_link)

    def make(self) -> None:
        self.create_levels(str(self.path))

    def level_shapes(self) -> list[tuple[int, ...]]:
        with self.open(str(self.path)) as image:
            return [image.level_shape(k) for k in range(1, image.level_count)]

    def read(self, level: int, y: slice, x: slice) -> Pixels:
        with self.open(str(self.path)) as image:
            return image.level_array(level)[:, y, x].read(cached=False)

    def error_limit(self, level: int) -> float:
        return 0.5  # the exact mean, rounded once


class OursOdd(Ours):
    """The same for sides that no level is a whole part of."""

    output = "levels-ours-odd.soma"


class ZarrMaker(LevelMaker):
    """Reads and writes zarr v3; every level is a folder in the output."""

    level_path = "{}"

    def prepare(self) -> Path:
        self.source = sources.zarr(self.data, self.shape_yx, self.image) / "0"
        return self.source

    def _written(self, level: int) -> Any:
        import tensorstore as ts

        path = os.fspath(self.path / self.level_path.format(level))
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
        return ts.open(spec).result()

    def level_shapes(self) -> list[tuple[int, ...]]:
        return [self._written(k).shape for k in range(1, len(self.shapes))]

    def read(self, level: int, y: slice, x: slice) -> Pixels:
        return self._written(level)[:, y, x].read().result()


class TensorStoreMaker(ZarrMaker):
    """The downsample driver, from zarr to zarr.

    Blocks of 2048 pixels, reading one ahead of the one being written, no fsync, no
    locks: the lowest median of nine ways, 7 runs each in turns at 16384 x 16384 on a
    busy machine with 2 cores. Their spreads overlap, so the order is not certain:
    reading ahead, blocks of 2048 / 1024 / 4096: 1.78, 1.91, 2.03 s; writing the
    downsampled view, 3 blocks at a time, 2048 / 1024: 1.97, 2.08; one block at a time,
    4096 / 2048 / 1024: 2.06, 2.16, 2.27; whole levels: 2.17, and 765 MB.
    """

    packages = ("tensorstore",)
    output = "levels-tensorstore.zarr"
    remark = "downsample driver, blocks of 2048, reading ahead"

    _BLOCK = 2048

    def load(self) -> None:
        import tensorstore as ts

        self.ts = ts

    def make(self) -> None:
        ts = self.ts
        context = ts.Context(
            {"file_io_sync": False, "file_io_locking": {"mode": "none"}}
        )
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": os.fspath(self.source)},
            "recheck_cached_data": False,
        }
        finer = ts.open(spec, context=context).result()
        for level in range(1, len(self.shapes)):
            finer = self._make_level(level, finer, context)

    def _make_level(self, level: int, finer: Any, context: Any) -> Any:
        smaller = self.ts.downsample(finer, [1, 2, 2], "mean")
        made = self.ts.open(
            {
                "driver": "zarr3",
                "kvstore": {
                    "driver": "file",
                    "path": os.fspath(self.path / str(level)),
                },
                "metadata": {
                    "shape": smaller.shape,
                    "data_type": "uint8",
                    "chunk_grid": {
                        "name": "regular",
                        "configuration": {
                            "chunk_shape": [1, sources.TILE, sources.TILE]
                        },
                    },
                    "codecs": [
                        {"name": "bytes"},
                        {"name": "zstd", "configuration": {"level": 1}},
                    ],
                },
            },
            create=True,
            context=context,
        ).result()
        height, width = smaller.shape[1:]
        boxes = [
            (
                slice(0, 3),
                slice(y, min(y + self._BLOCK, height)),
                slice(x, min(x + self._BLOCK, width)),
            )
            for y in range(0, height, self._BLOCK)
            for x in range(0, width, self._BLOCK)
        ]
        ahead = smaller[boxes[0]].read()
        writing: list[Any] = []
        for number, box in enumerate(boxes):
            pixels = ahead.result()
            if number + 1 < len(boxes):
                ahead = smaller[boxes[number + 1]].read()
            writing.append(
                made[box].write(pixels, can_reference_source_data_indefinitely=True)
            )
            if len(writing) > 1:
                writing.pop(0).result()
        for write in writing:
            write.result()
        return made


class Dask(ZarrMaker):
    """`dask.array.coarsen` with numpy's mean, zarr to zarr."""

    packages = ("dask", "zarr")
    output = "levels-dask.zarr"
    remark = "coarsen with np.mean, chunks of 1024 read"

    def load(self) -> None:
        import dask.array as da
        from zarr.codecs import ZstdCodec

        self.da, self.zstd = da, ZstdCodec(level=1)

    def make(self) -> None:
        finer = self.source
        for level in range(1, len(self.shapes)):
            edge = 2 * sources.TILE
            pixels = self.da.from_zarr(os.fspath(finer), chunks=(1, edge, edge))
            means = self.da.coarsen(np.mean, pixels, {1: 2, 2: 2})
            finer = self.path / str(level)
            means.round().astype(pixels.dtype).to_zarr(
                os.fspath(finer), compressors=self.zstd
            )


class NgffZarr(ZarrMaker):
    """ngff-zarr's `to_multiscales` with ITK's bin shrink, as it installs."""

    packages = ("ngff-zarr", "itkwasm-downsample", "zarrista")
    output = "levels-ngff-zarr.ome.zarr"
    level_path = "scale{}/mosaic"  # the name in the source
    remark = "ITKWASM_BIN_SHRINK; writes level 0 too"

    def prepare(self) -> Path:
        self.load()
        # Its first run on a machine compiles its WebAssembly.
        self._to_multiscales(np.zeros((3, 256, 256), np.uint8), [2]).images[
            1
        ].data.compute()
        return super().prepare()

    def load(self) -> None:
        import itkwasm_downsample  # noqa: F401 - ngff-zarr would while it works
        import ngff_zarr
        from ngff_zarr.config import config

        self.ngff = ngff_zarr
        config.cache_store = os.fspath(self.data / "ngff-zarr-cache")

    def _to_multiscales(self, image: Any, factors: list[int]) -> Any:
        if isinstance(image, np.ndarray):
            image = self.ngff.to_ngff_image(image, dims=["c", "y", "x"])
        return self.ngff.to_multiscales(
            image,
            scale_factors=factors,
            method=self.ngff.Methods.ITKWASM_BIN_SHRINK,
            chunks={"c": 1, "y": sources.TILE, "x": sources.TILE},
        )

    def make(self) -> None:
        source = self.ngff.from_ngff_zarr(os.fspath(self.source.parent))
        factors = [2**k for k in range(1, len(self.shapes))]
        zstd = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
        self.ngff.to_ngff_zarr(
            os.fspath(self.path),
            self._to_multiscales(source.images[0], factors),
            version="0.5",
            compressors=[zstd],
        )


class OmeZarr(ZarrMaker):
    """ome-zarr-py's `write_image` with its default method.

    A Gaussian blur, then a linear resize, not a mean; so only the average is checked.
    """

    packages = ("ome-zarr", "scikit-image")
    output = "levels-ome-zarr.ome.zarr"
    level_path = "s{}"
    remark = "its default, resize; writes level 0 too"
    error_per_level = math.inf
    method = "RESIZE"

    def load(self) -> None:
        import dask.array as da
        from ome_zarr.scale import Methods
        from ome_zarr.writer import write_image
        from zarr.codecs import ZstdCodec

        self.da, self.write_image = da, write_image
        self.methods, self.zstd = Methods, ZstdCodec(level=1)

    def make(self) -> None:
        self.write_image(
            self.da.from_zarr(os.fspath(self.source)),
            os.fspath(self.path),
            scale_factors=[2**k for k in range(1, len(self.shapes))],
            method=self.methods[self.method],
            axes="cyx",
            storage_options={
                "chunks": (1, sources.TILE, sources.TILE),
                "compressors": self.zstd,
            },
        )


class OmeZarrMean(OmeZarr):
    """The same with its mean, which cuts fractions off at every level."""

    output = "levels-ome-zarr-mean.ome.zarr"
    remark = "writes level 0 too"
    error_per_level = 1.0
    method = "LOCAL_MEAN"


class PyVips(LevelMaker):
    """libvips' TIFF pyramid, deflated as fast as it can; pyvips' wheel has no zstd."""

    packages = ("pyvips", "pyvips-binary")
    output = "levels-pyvips.tif"
    remark = "TIFF, deflate 1 without predictor; writes level 0 too"
    compression: dict[str, Any] = {"level": 1, "predictor": "none"}  # noqa: RUF012

    def prepare(self) -> Path:
        self.source = sources.tiff(self.data, self.shape_yx, self.image)
        return self.source

    def load(self) -> None:
        import pyvips

        self.pyvips = pyvips

    def versions(self) -> dict[str, str]:
        numbers = (str(self.pyvips.version(k)) for k in range(3))
        return {**super().versions(), "libvips": ".".join(numbers)}

    def make(self) -> None:
        image = self.pyvips.Image.new_from_file(
            os.fspath(self.source), access="sequential"
        )
        image.tiffsave(
            os.fspath(self.path),
            pyramid=True,
            tile=True,
            tile_width=sources.TILE,
            tile_height=sources.TILE,
            bigtiff=True,
            compression="deflate",
            **self.compression,
        )

    def _page(self, level: int) -> Any:
        return self.pyvips.Image.new_from_file(os.fspath(self.path), page=level)

    def level_shapes(self) -> list[tuple[int, ...]]:
        pages = [self._page(k) for k in range(self._page(0).get("n-pages"))]
        return [(page.bands, page.height, page.width) for page in pages[1:]]

    def read(self, level: int, y: slice, x: slice) -> Pixels:
        window = self._page(level).crop(
            x.start, y.start, x.stop - x.start, y.stop - y.start
        )
        return np.moveaxis(window.numpy(), -1, 0)


class PyVipsDefault(PyVips):
    """The same with libvips' own choice for deflate: 6, horizontal predictor."""

    output = "levels-pyvips-default.tif"
    remark = "TIFF, deflate as libvips chooses; writes level 0 too"
    compression: dict[str, Any] = {}  # noqa: RUF012


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a disk without hard links
        shutil.copy2(source, target)


OURS, ODD = "ours", "ours, odd sides"

MAKERS: dict[str, type[LevelMaker]] = {
    OURS: Ours,
    ODD: OursOdd,
    "tensorstore": TensorStoreMaker,
    "pyvips": PyVips,
    "pyvips, default deflate": PyVipsDefault,
    "ngff-zarr": NgffZarr,
    "ome-zarr-py": OmeZarr,
    "ome-zarr-py, local_mean": OmeZarrMean,
    "dask": Dask,
}
