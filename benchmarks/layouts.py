"""Measure tile extents and filters: ``python -m benchmarks.layouts`` in .venv-bench.

Prints, for kinds of pixels and layouts: size on disk / raw size, milliseconds for a
window of 1024 x 1024 of all channels and of one, and MB/s of writing. Windows of all
layouts are read in turns; medians.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_msimage import MultiscaleImage, samples
from napari_msimage.engines import run, write_image

if TYPE_CHECKING:
    from collections.abc import Callable

_EDGE = 1024
_EXTENTS = [(1, 256, 256), (1, 512, 512), (3, 512, 512), (1, 1024, 1024)]
_ZSTD1 = {"_type": "ZstdFilter", "level": 1}
_ZSTD3 = {"_type": "ZstdFilter", "level": 3}
_FILTERS: dict[str, list[Any]] = {
    "lz4": ["LZ4Filter"],
    "zstd 1": [_ZSTD1],
    "zstd 3": [_ZSTD3],
    "bitshuffle + lz4": ["BitShuffleFilter", "LZ4Filter"],
    "bitshuffle + zstd 1": ["BitShuffleFilter", _ZSTD1],
    "byteshuffle + lz4": ["ByteShuffleFilter", "LZ4Filter"],
    "byteshuffle + zstd 1": ["ByteShuffleFilter", _ZSTD1],
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layouts")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--image", help="picture to mirror instead of scikit-image's")
    options = parser.parse_args()
    print(
        "| pixels | layout | size / raw | 3 channels ms | 1 channel ms | write MB/s |"
    )
    print("|---|---|---|---|---|---|")
    for name, make in _pixels(options).items():
        pixels = make()
        with tempfile.TemporaryDirectory() as folder:
            for row in _measure(name, pixels, Path(folder), options):
                print("| " + " | ".join(row) + " |", flush=True)


def _pixels(options: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    shape = (options.size, options.size)

    def tissue() -> Any:
        picture = None
        if options.image:
            from skimage.io import imread

            picture = np.asarray(imread(options.image))[..., :3]
        mosaic = samples.TissueMosaic(shape, channels_first=True, picture=picture)
        return np.ascontiguousarray(mosaic[:])

    def cells() -> Any:
        # Fresh noise everywhere: mirrored noise would compress too well.
        planes = samples.volume((3, 3, 1536, 1536), seed=3)[:, 1]
        picture = np.moveaxis(planes, 0, -1)
        mosaic = samples.TissueMosaic(shape, channels_first=True, picture=picture)[:]
        noise = np.random.default_rng(4).standard_normal(mosaic.shape, np.float32)
        return np.clip(mosaic + 25 * noise, 0, 65535).astype(np.uint16)

    def ratios() -> Any:
        noise = np.random.default_rng(5).standard_normal((3, *shape), np.float32)
        return cells().astype(np.float32) + noise

    def labels() -> Any:
        rng = np.random.default_rng(6)
        centres = rng.integers(1, 2**20, (3, -(-shape[0] // 40), -(-shape[1] // 36)))
        big = centres.repeat(40, 1).repeat(36, 2)[:, : shape[0], : shape[1]]
        return np.ascontiguousarray(big, dtype=np.int32)

    return {
        "uint8 tissue": tissue,
        "uint16 cells": cells,
        "float32 cells": ratios,
        "int32 labels": labels,
    }


def _measure(
    name: str, pixels: Any, folder: Path, options: argparse.Namespace
) -> list[list[str]]:
    layouts = [((1, 512, 512), filters) for filters in _FILTERS]
    best = "lz4" if pixels.itemsize == 1 else "bitshuffle + lz4"
    layouts += [(extents, best) for extents in _EXTENTS if extents != (1, 512, 512)]
    levels, facts = {}, {}
    for extents, filters in layouts:
        uri = folder / f"{len(levels)}.soma"
        config = {
            "dims": {f"soma_dim_{i}": {"tile": tile} for i, tile in enumerate(extents)},
            "attrs": {"soma_data": {"filters": _FILTERS[filters]}},
        }
        start = time.perf_counter()
        run(write_image(str(uri), [pixels], platform_config=config))
        seconds = time.perf_counter() - start
        nbytes = sum(os.path.getsize(p) for p in uri.rglob("*") if p.is_file())
        facts[extents, filters] = nbytes / pixels.nbytes, pixels.nbytes / 1e6 / seconds
        with MultiscaleImage.open(str(uri)) as image:
            levels[extents, filters] = image.level_array(0)
    times: dict[Any, tuple[list[float], list[float]]] = {k: ([], []) for k in levels}
    rng = random.Random(7)
    for number in range(options.repeats + 2):
        y, x = (rng.randrange(options.size - _EDGE) for _ in range(2))
        for key, level in levels.items():
            for which, channels in enumerate([slice(0, 3), slice(1, 2)]):
                view = level[channels, y : y + _EDGE, x : x + _EDGE]
                start = time.perf_counter()
                view.read(cached=False)
                if number >= 2:  # the first two warm up
                    times[key][which].append(time.perf_counter() - start)
    rows = []
    for (extents, filters), (ratio, speed) in facts.items():
        every, one = (statistics.median(t) * 1e3 for t in times[extents, filters])
        layout = f"{extents} {filters}"
        rows.append(
            [name, layout, f"{ratio:.3f}", f"{every:.1f}", f"{one:.1f}", f"{speed:.0f}"]
        )
    return rows


if __name__ == "__main__":
    main()
