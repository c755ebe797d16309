"""One run of one way of the part "export"; asked by a line of JSON as argument.

Prints one line of JSON. Imports, a small export before and checking are outside the
clock.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from . import _level_sources as sources
from ._export_makers import WAYS, level_of, read_back, versions
from ._memory import PeakMemory


def main() -> None:
    # Libraries that print must not disturb the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.loads(sys.argv[1])
    try:
        answer = _huge(request) if request["huge"] else _run(request)
    except Exception as err:  # noqa: BLE001 - whatever it is, the way is out
        traceback.print_exc()
        answer = {"error": f"{type(err).__name__}: {err}"[:500]}
    print(json.dumps(answer), file=answers, flush=True)


def _run(request: dict[str, Any]) -> dict[str, Any]:
    make, ending = WAYS[request["name"]]
    folder, data = Path(request["folder"]), Path(request["data"])
    image, size = request["image"], request["size"]
    uris = [str(sources.soma(data, (n, n), image)) for n in (request["first"], size)]
    sources.remove(folder)
    folder.mkdir(parents=True)
    make(uris[0], folder / f"first{ending}")
    path = folder / f"export{ending}"
    if hasattr(os, "sync"):
        os.sync()  # what others wrote is not to be paid for here
    answer = _timed(make, uris[1], path)
    if path.exists():
        expected = level_of(uris[1]).read(cached=False)
        found = read_back(path)
        if found.dtype != expected.dtype or not np.array_equal(found, expected):
            return {"error": "pixels differ"}
    return answer


def _huge(request: dict[str, Any]) -> dict[str, Any]:
    """Export a picture that nobody stored: what is read is made at that moment."""
    from napari_msimage.engines import ExportSource

    make, ending = WAYS[request["name"]]
    folder, size = Path(request["folder"]), request["size"]
    sources.remove(folder)
    folder.mkdir(parents=True)

    def source(edge: int) -> ExportSource:
        picture = sources.mosaic((edge, edge), request["image"])
        axes = ("soma_channel", "y", "x")
        none = (None, None)
        return ExportSource("huge", (picture,), axes, np.eye(3), none, is_rgb=True)

    make(source(request["first"]), folder / f"first{ending}")
    return _timed(make, source(size), folder / f"export{ending}")


def _timed(make: Any, source: Any, path: Path) -> dict[str, Any]:
    with PeakMemory() as memory:
        start = time.perf_counter()
        make(source, path)
        seconds = time.perf_counter() - start
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    written = sum(one.stat().st_size for one in files if one.is_file())
    return {
        "s": seconds,
        "peak_mb": memory.megabytes,
        "written_mb": written / 1e6,
        "versions": versions(),
    }


if __name__ == "__main__":
    main()
