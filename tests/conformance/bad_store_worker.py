"""Opens bad stores in a process of its own and tells how it went.

One JSON line per request ``{"uri": ..., "as_nobody": ...}``, one per answer. The image
is opened, then everything in it is looked at until the first error.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

NOBODY = 65534


def look_at(uri: str) -> None:
    """Open an image and use everything in it once."""
    from napari_msimage import MultiscaleImage

    with MultiscaleImage.open(uri) as image:
        for key, (_, shape) in image.levels().items():
            image.get_transform_to_level(key)
            array = image[key]
            corner = array.read((0,) * len(shape))
            np.testing.assert_array_equal(
                np.asarray(image.level_array(key)[(slice(0, 1),) * len(shape)]), corner
            )
            assert image.read_spatial_region(key).data.shape == shape


def attempt(uri: str, as_nobody: bool) -> dict[str, Any]:
    """Look at a store; describe the error, the time and the memory."""
    from napari_msimage import MultiscaleImage, SOMAError
    from napari_msimage.storage import probe

    answer: dict[str, Any] = {"error": None, "warnings": []}
    begin = time.perf_counter()
    if as_nobody:
        os.seteuid(NOBODY)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                look_at(uri)
            except Exception as error:  # noqa: BLE001 - every error is an answer
                answer["error"] = [cls.__name__ for cls in type(error).__mro__]
                answer["message"] = str(error)
            answer["warnings"] = [item.category.__name__ for item in caught]
        answer["seconds"] = time.perf_counter() - begin
        try:
            answer["exists"] = MultiscaleImage.exists(uri)
        except SOMAError as error:
            answer["exists"] = type(error).__name__
        answer["probe"] = probe(uri)
    finally:
        if as_nobody:
            os.seteuid(0)
    answer["peak_bytes"] = peak_bytes()
    return answer


def peak_bytes() -> int:
    """Return the most memory this process has used."""
    try:
        # getrusage would count what a large parent had when it made this process
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(attempt(**request)), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
