"""Run the benchmarks: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from . import _exports, _imports, _levels, _peers, _viewer, _windows, _writes
from ._report import Report

_SMALLEST = 8192
_PARTS = ("import", "storage", "window", "levels", "write", "export")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--size", type=int, default=16384, help="edge of the mosaic in pixels"
    )
    parser.add_argument(
        "--repeats", type=int, default=30, help="windows per peer; pans: a fifth"
    )
    parser.add_argument("--image", help="picture to mirror instead of scikit-image's")
    parser.add_argument(
        "--only", choices=_PARTS, action="append", help="one part; may be repeated"
    )
    parser.add_argument(
        "--no-huge",
        action="store_true",
        help="leave out what is several times as large in each direction",
    )
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).with_name(".data"), help="scratch"
    )
    parser.add_argument(
        "--python", type=Path, help="interpreter with the peers; default: install them"
    )
    options = parser.parse_args()
    # installed packages are compiled; ours, run from its source, is to be too
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parts = options.only or _PARTS
    if options.size < _SMALLEST and set(parts) & {"storage", "window"}:
        parser.error(f"--size must be at least {_SMALLEST}: the pans need room")
    if options.image:
        options.image = str(Path(options.image).resolve())
    shown = {"size": options.size, "repeats": options.repeats}
    if options.image:
        shown["image"] = Path(options.image).name
    report = Report(shown)
    report.versions["Python"] = platform.python_version()
    python = options.python
    if python is None:
        python, missing = _peers.install()
        report.absent.update(missing)
    picture = Path(options.image).stem if options.image else "tissue"
    data = options.data.resolve() / f"{picture}-{options.size}"
    data.mkdir(parents=True, exist_ok=True)
    if "import" in parts:
        _imports.measure(report, options, python)
    if "storage" in parts:
        _windows.measure(report, options, python, data)
    if "window" in parts:
        _viewer.measure(report, options, python, data)
    if "levels" in parts:
        _levels.measure(report, options, python, data)
    if "write" in parts:
        _writes.measure(report, options, python, data)
    if "export" in parts:
        _exports.measure(report, options, python, data)
    # A part does not replace the results of a whole run.
    name = "-".join(["results", *(() if set(parts) == set(_PARTS) else sorted(parts))])
    report.save(data, name)
    report.show()
    print(f"\nSaved as {data / name}.md and .json")
    # Falling short is a finding, not a failure of the run.


if __name__ == "__main__":
    main()
