"""One run of one peer of the part "levels"; asked by a line of JSON as argument.

Prints one line of JSON. Everything that is not the peer's work, such as imports,
reading the source into the page cache and checking the pixels, is outside the clock.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._level_check import check
from ._level_makers import MAKERS
from ._memory import PeakMemory

if TYPE_CHECKING:
    from ._level_makers import LevelMaker

_EDGE = 1024
_READ_BYTES = 2**22


def main() -> None:
    # Libraries that print must not disturb the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.loads(sys.argv[1])
    try:
        maker = MAKERS[request["name"]](
            Path(request["data"]), tuple(request["shape_yx"]), request["image"]
        )
        answer = _ACTIONS[request["do"]](maker, **request["with"])
    except Exception as err:  # noqa: BLE001 - whatever it is, the peer is out
        traceback.print_exc()
        answer = {"error": f"{type(err).__name__}: {err}"[:500]}
    print(json.dumps(answer), file=answers, flush=True)


def _prepare(maker: LevelMaker) -> dict[str, Any]:
    maker.load()  # first: without its packages a peer needs no source
    source = maker.prepare()
    return {"versions": maker.versions(), "source_mb": _nbytes(source) / 1e6}


def _make(maker: LevelMaker, warm: bool = True) -> dict[str, Any]:
    maker.load()
    source = maker.prepare()
    maker.clear()
    if warm:
        _read_files(source)
    if hasattr(os, "sync"):
        os.sync()  # what others wrote is not to be paid for here
    before = _nbytes(maker.path) if maker.path.exists() else 0
    with PeakMemory() as memory:
        start = time.perf_counter()
        maker.make()
        seconds = time.perf_counter() - start
    return {
        "s": seconds,
        "peak_mb": memory.megabytes,
        "written_mb": (_nbytes(maker.path) - before) / 1e6,
        **check(maker),
    }


def _windows(maker: LevelMaker, repeats: int) -> dict[str, Any]:
    """Read windows of our level 1 and of a copy written by one call, in turns."""
    from napari_msimage import DenseNDArray, MultiscaleImage
    from napari_msimage.storage import LevelArray

    with MultiscaleImage.open(str(maker.path)) as image:
        created = image.level_array(1)
        uri = image.level_uri(1)
    with DenseNDArray.open(uri) as array:
        schema = array.schema
    height, width = schema.shape[1:]
    if min(height, width) <= _EDGE:
        return {"error": f"level 1 is {height} x {width}: too small for windows"}
    config = {
        "dims": {
            f"soma_dim_{axis}": {"tile": extent}
            for axis, extent in enumerate(schema.tile_extents)
        },
        "attrs": {"soma_data": {"filters": list(schema.filters)}},
    }
    copy = maker.path.with_name("levels-one-piece")
    shutil.rmtree(copy, ignore_errors=True)
    with DenseNDArray.create(
        str(copy), type=schema.dtype, shape=schema.shape, platform_config=config
    ) as array:
        array.write((slice(None),) * 3, created.read(cached=False))
    levels = {"created": created, "one piece": LevelArray(str(copy))}
    seconds: dict[str, list[float]] = {name: [] for name in levels}
    rng = random.Random(10)
    places = [
        (rng.randrange(height - _EDGE), rng.randrange(width - _EDGE))
        for _ in range(repeats)
    ]
    for is_measured in (False, True):  # first time around: page cache, thread pools
        for number, (y, x) in enumerate(places):
            pixels = []
            names = list(levels) if number % 2 else list(levels)[::-1]
            for name in names:
                view = levels[name][:, y : y + _EDGE, x : x + _EDGE]
                start = time.perf_counter()
                pixels.append(view.read(cached=False))
                if is_measured:
                    seconds[name].append(time.perf_counter() - start)
            if not np.array_equal(*pixels):
                return {"error": f"the copy has other pixels at {y}, {x}"}
    fragments = len(list(Path(_local(uri)).glob("__fragments/*")))
    shutil.rmtree(copy)
    return {"s": seconds, "fragments": fragments, "shape": schema.shape}


def _local(uri: str) -> str:
    return uri.removeprefix("file://")


def _read_files(source: Path) -> None:
    for path in _files(source):
        with path.open("rb", buffering=0) as file:
            while file.read(_READ_BYTES):
                pass


def _nbytes(path: Path) -> int:
    return sum(p.stat().st_size for p in _files(path))


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]


_ACTIONS = {"prepare": _prepare, "make": _make, "windows": _windows}

if __name__ == "__main__":
    main()
