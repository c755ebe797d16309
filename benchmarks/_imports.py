"""What `import napari_msimage` costs and pulls in."""

from __future__ import annotations

import statistics
import subprocess
from typing import TYPE_CHECKING

from ._peers import ROOT

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from ._report import Report

_HEAVY = (
    "napari",
    "qtpy",
    "PyQt6",
    "PySide6",
    "dask",
    "tiledb",
    "skimage",
    "scipy",
    "zarr",
)
_CODE = f"""
import sys, time
start = time.perf_counter()
import napari_msimage
seconds = time.perf_counter() - start
print(seconds, *(name for name in {_HEAVY!r} if name in sys.modules))
"""


def measure(report: Report, options: argparse.Namespace, python: Path) -> None:
    """Import in fresh processes and add the figures."""
    seconds = []
    pulled: set[str] = set()
    for _ in range(max(3, options.repeats // 3)):
        done = subprocess.run(
            [python, "-c", _CODE], capture_output=True, text=True, check=True, cwd=ROOT
        )
        first, *names = done.stdout.split()
        seconds.append(float(first))
        pulled.update(names)
    section = "import napari_msimage"
    note = ", ".join(sorted(pulled)) or f"none of {', '.join(_HEAVY)}"
    report.add(
        section, "heavy packages pulled in", len(pulled), "", at_most=0, note=note
    )
    report.add(section, "time", statistics.median(seconds) * 1e3, "ms")
    report.raw["import_s"] = seconds
