"""One run of one peer of the part "write"; asked by a line of JSON as argument.

Prints one line of JSON. Imports, making the pixels and checking the result are outside
the clock.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from . import _write_makers as makers
from ._level_sources import square_shapes
from ._memory import PeakMemory


def main() -> None:
    # Libraries that print must not disturb the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.loads(sys.argv[1])
    folder = Path(request["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        kind = makers.WRITERS[request["name"]]
        answer = _run(kind(folder / "made.soma", request["size"], request["image"]))
    except Exception as err:  # noqa: BLE001 - whatever it is, the peer is out
        traceback.print_exc()
        answer = {"error": f"{type(err).__name__}: {err}"[:500]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(answer), file=answers, flush=True)


def _run(writer: makers.Writer) -> dict[str, Any]:
    writer.load()
    if hasattr(os, "sync"):
        os.sync()  # what others wrote is not to be paid for here
    with PeakMemory() as memory:
        start = time.perf_counter()
        writer.make()
        seconds = time.perf_counter() - start
    files = [path for path in writer.path.rglob("*") if path.is_file()]
    return {
        "s": seconds,
        "peak_mb": memory.megabytes,
        "written_mb": sum(path.stat().st_size for path in files) / 1e6,
        "versions": writer.versions(),
        "bias": _bias(writer),
        **writer.facts(),
    }


def _bias(writer: makers.Writer) -> float:
    """Return the difference of the levels' corners from the mean, on average.

    Raises
    ------
    AssertionError
        If level 0 is not what was to be written, or a level is something else.
    """
    n_levels = 1 if not writer.path.exists() else len(square_shapes(writer.size))
    expected = makers.expected(
        makers.mosaic(writer.size, writer.image)[:8192, :8192], min(n_levels, 5)
    )
    found = [np.asarray(writer.read(level), float) for level in range(len(expected))]
    assert np.array_equal(found[0], expected[0]), "level 0 has other pixels"
    corners = [
        (got[: len(true), : len(true)] - true).mean()
        for got, true in zip(found, expected, strict=True)
    ]
    worst = max(corners, key=abs)
    assert abs(worst) < 5, f"a level is off the mean by {worst}"
    return float(worst)


if __name__ == "__main__":
    main()
