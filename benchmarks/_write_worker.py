"""One run of one peer of the part "write"; asked by a line of JSON as argument.

Prints one line of JSON. Imports, making the pixels, a small picture written before and
checking the result are outside the clock.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _level_sources as sources
from ._level_check import WrongLevelsError, check
from ._memory import PeakMemory
from ._write_makers import WRITERS, bands

if TYPE_CHECKING:
    from ._write_makers import Writer


def main() -> None:
    # Libraries that print must not disturb the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.loads(sys.argv[1])
    folder = Path(request["folder"])
    try:
        writers = []
        for size in (request["first"], request["size"]):
            place = folder / str(size)
            sources.remove(place)
            place.mkdir(parents=True)
            kind = WRITERS[request["name"]]
            writers.append(kind(place, (size, size), request["image"]))
        answer = _run(*writers)
    except Exception as err:  # noqa: BLE001 - whatever it is, the peer is out
        traceback.print_exc()
        answer = {"error": f"{type(err).__name__}: {err}"[:500]}
    print(json.dumps(answer), file=answers, flush=True)


def _run(first: Writer, writer: Writer) -> dict[str, Any]:
    first.load()  # and forget its pixels: they are small
    first.make()
    writer.load()
    if hasattr(os, "sync"):
        os.sync()  # what others wrote is not to be paid for here
    with PeakMemory() as memory:
        start = time.perf_counter()
        writer.make()
        seconds = time.perf_counter() - start
    files = [path for path in writer.path.rglob("*") if path.is_file()]
    answer = {
        "s": seconds,
        "peak_mb": memory.megabytes,
        "written_mb": sum(path.stat().st_size for path in files) / 1e6,
        "versions": writer.versions(),
        **writer.facts(),
    }
    if writer.writes:
        _check_level0(writer)
        answer |= check(writer)
    return answer


def _check_level0(writer: Writer) -> None:
    """Compare all pixels of level 0 with the picture.

    Raises
    ------
    WrongLevelsError
        If one is different.
    """
    level0 = sources.mosaic(writer.shape_yx, writer.image)
    height, width = writer.shape_yx
    for rows in bands(height):
        found = writer.read(0, rows, slice(0, width))
        if not np.array_equal(found, level0[0:3, rows, 0:width]):
            msg = f"level 0 has other pixels in rows {rows.start} to {rows.stop}"
            raise WrongLevelsError(msg)


if __name__ == "__main__":
    main()
