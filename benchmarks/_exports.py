"""Exporting a level as a file: ways in turns, each run in a fresh process."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

from ._export_makers import WAYS
from ._level_sources import remove
from ._peers import PeerError, run_once

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from ._report import Report

_SIZE: Final = 8192
_HUGE: Final = 60_000
#: Edge of the picture exported before the clock starts.
_FIRST: Final = 512
_TIMEOUT_S: Final = 1800
_ROUNDS: Final = 5

#: Ours, what it is compared with, and how many times as long it may take.
_LIMITS: Final = (
    ("OME-TIFF, ours", "OME-TIFF, read all + tifffile", 0.7),
    ("OME-Zarr, ours", "OME-Zarr, read all + zarr", 1.0),
    ("PNG, ours", "PNG, read all + Pillow", 1.0),
    ("NPY, ours", "NPY, reading in bands alone", 1.3),
)
#: Formats whose memory is bounded, MB.
_PEAKS: Final = {"OME-TIFF, ours": 200, "OME-Zarr, ours": 200, "NPY, ours": 200}
_HUGE_WAY: Final = "OME-TIFF, ours"

Runs = dict[str, list[dict[str, Any]]]


def measure(
    report: Report, options: argparse.Namespace, python: Path, data: Path
) -> None:
    """Export a picture by every way, and add the figures."""
    section = f"Export {_SIZE} x {_SIZE} x 3 uint8 from level 0"
    try:
        runs = _in_turns(report, options, python, data)
        report.raw["export_runs"] = runs
        for name, other, limit in _LIMITS:
            mine, theirs = _seconds(runs, name), _seconds(runs, other)
            ratio = mine / theirs if mine and theirs else None
            report.add(section, f"{name} / {other}", ratio, at_most=limit)
        for name, given in runs.items():
            report.add(section, name, _seconds(runs, name), "s", note=_described(given))
        memory = f"{section}: memory above the start, highest run"
        for name, limit in _PEAKS.items():
            report.add(memory, name, _peak(runs.get(name, [])), "MB", at_most=limit)
        if not options.no_huge:
            _add_huge(report, options, python, data)
    finally:
        remove(data / "exported")


def _in_turns(
    report: Report, options: argparse.Namespace, python: Path, data: Path
) -> Runs:
    """Run every way once per round, another one first each time."""
    runs: Runs = {name: [] for name in WAYS}
    for number in range(_ROUNDS):
        present = list(runs)
        for name in present[number % len(present) :] + present[: number % len(present)]:
            try:
                run = _run(report, options, python, data, name, _SIZE, huge=False)
            except PeerError as err:
                report.absent[f"{name} (export)"] = str(err)
                del runs[name]
                continue
            runs[name].append(run)
            print(f"  round {number + 1}: {name} {run['s']:.2f} s", flush=True)
    return runs


def _run(
    report: Report,
    options: argparse.Namespace,
    python: Path,
    data: Path,
    name: str,
    size: int,
    *,
    huge: bool,
) -> dict[str, Any]:
    request = {
        "name": name,
        "size": size,
        "first": _FIRST,
        "image": options.image,
        "folder": str(data / "exported"),
        "data": str(data),
        "huge": huge,
    }
    answer = run_once(python, "benchmarks._export_worker", request, _TIMEOUT_S)
    report.versions.update(answer["versions"])
    return answer


def _add_huge(
    report: Report, options: argparse.Namespace, python: Path, data: Path
) -> None:
    section = f"Export {_HUGE} x {_HUGE} x 3 uint8, made while it is read"
    peak, note = None, ""
    try:
        run = _run(report, options, python, data, _HUGE_WAY, _HUGE, huge=True)
        peak, note = run["peak_mb"], f"{run['s']:.0f} s, {run['written_mb']:.0f} MB"
    except PeerError as err:
        note = str(err)
    report.add(section, _HUGE_WAY, peak, "MB", at_most=200, note=note)


def _seconds(runs: Runs, name: str) -> float | None:
    return statistics.median(r["s"] for r in runs[name]) if runs.get(name) else None


def _peak(given: list[dict[str, Any]]) -> float | None:
    return max((run["peak_mb"] for run in given if run["peak_mb"]), default=None)


def _described(given: list[dict[str, Any]]) -> str:
    """Return how often, how steadily, how large and with how much memory."""
    if not given:
        return ""
    seconds = [run["s"] for run in given]
    return (
        f"{len(given)} runs of {min(seconds):.2f} to {max(seconds):.2f} s; "
        f"{given[0]['written_mb']:.0f} MB; peak {_peak(given) or 0:.0f} MB"
    )
