"""Writing a layer with all its levels: peers in turns, each run in a fresh process."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from typing import TYPE_CHECKING, Any

from ._peers import ROOT, PeerError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from ._report import Report

_TIMEOUT_S = 1800
#: At half the size: they take long. How many times as long as ours at least.
_SLOW = {"tiledbsoma": 8.0, "ome-zarr-py": 8.0, "ome-zarr-py, local_mean": 8.0}
_FAST = ("ours", "TileDB-Py", "ours, from dask", "dask alone")

Runs = dict[str, list[dict[str, Any]]]


def measure(
    report: Report, options: argparse.Namespace, python: Path, data: Path
) -> None:
    """Write a picture by every peer, and add the figures."""
    rounds = max(3, options.repeats // 6)
    work = _Work(report, options.image, python, data / "written")
    half, size = options.size // 2, options.size
    _add_slow(report, work.in_turns(("ours", *_SLOW), half, rounds), half)
    runs = work.in_turns(_FAST, size, rounds)
    _add_fast(report, runs, size)
    _add_memory(report, work, runs, size)


class _Work:
    """Asks for runs, every one a process of its own."""

    def __init__(
        self, report: Report, image: str | None, python: Path, folder: Path
    ) -> None:
        self._report = report
        self._image = image
        self._python = python
        self._folder = folder

    def in_turns(self, names: tuple[str, ...], size: int, rounds: int) -> Runs:
        """Run every peer once per round, another one first each time."""
        runs: Runs = {name: [] for name in names}
        for number in range(rounds):
            present = [name for name in names if name in runs]
            for name in (
                present[number % len(present) :] + present[: number % len(present)]
            ):
                try:
                    runs[name].append(self.run(name, size))
                except PeerError as err:
                    self._report.absent[f"{name} (write)"] = str(err)
                    del runs[name]
        self._report.raw[f"write_runs_{size}"] = runs
        return runs

    def run(self, name: str, size: int) -> dict[str, Any]:
        """Run one process and return its answer.

        Raises
        ------
        PeerError
            If it fails, is killed or takes too long.
        """
        request = json.dumps(
            {
                "name": name,
                "size": size,
                "image": self._image,
                "folder": str(self._folder),
            }
        )
        try:
            done = subprocess.run(
                [self._python, "-m", "benchmarks._write_worker", request],
                capture_output=True,
                text=True,
                check=False,
                cwd=ROOT,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as err:
            msg = f"not finished within {_TIMEOUT_S} s"
            raise PeerError(msg) from err
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        lines = done.stdout.splitlines()
        if not lines:
            msg = f"the process ended with code {done.returncode}"
            raise PeerError(msg)
        answer: dict[str, Any] = json.loads(lines[-1])
        if "error" in answer:
            raise PeerError(answer["error"])
        self._report.versions.update(answer["versions"])
        print(f"  {name}, {size}: {answer['s']:.2f} s", flush=True)
        return answer


def _seconds(runs: Runs, name: str) -> float | None:
    return statistics.median(r["s"] for r in runs[name]) if runs.get(name) else None


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None


def _add_slow(report: Report, runs: Runs, size: int) -> None:
    section = f"Write {size} x {size} x 3 uint8 with all levels, from numpy"
    for name, limit in _SLOW.items():
        ratio = _ratio(_seconds(runs, name), _seconds(runs, "ours"))
        report.add(section, f"{name} / ours", ratio, at_least=limit)
    _add_seconds(report, section, runs)


def _add_fast(report: Report, runs: Runs, size: int) -> None:
    section = f"Write {size} x {size} x 3 uint8 with all levels"
    ours, alone = _seconds(runs, "ours"), _seconds(runs, "dask alone")
    ratio = _ratio(ours, _seconds(runs, "TileDB-Py"))
    report.add(section, "ours / TileDB-Py", ratio, at_most=1.4)
    both = ours + alone if ours and alone else None
    report.add(
        section,
        "ours, from dask / (dask alone + ours)",
        _ratio(_seconds(runs, "ours, from dask"), both),
        at_most=1.0,
    )
    computed = [run["computed"] for run in runs.get("ours, from dask", ())]
    times = max(computed) if computed else None
    report.add(section, "most often a block was computed", times, "", at_most=1)
    _add_seconds(report, section, runs)


def _add_seconds(report: Report, section: str, runs: Runs) -> None:
    from ._write_makers import WRITERS

    for name, given in runs.items():
        if not given:
            continue
        seconds = [run["s"] for run in given]
        parts = [
            f"{len(given)} runs of {min(seconds):.2f} to {max(seconds):.2f} s",
            f"{given[0]['written_mb']:.0f} MB",
            WRITERS[name].remark,
        ]
        note = "; ".join(part for part in parts if part)
        report.add(section, name, _seconds(runs, name), "s", note=note)


def _add_memory(report: Report, work: _Work, runs: Runs, size: int) -> None:
    section = "Memory above the process's start, from dask"
    peaks = [run["peak_mb"] for run in runs.get("ours, from dask", ())]
    peak = max((p for p in peaks if p), default=None)
    report.add(section, f"{size} x {size} x 3", peak, "MB", at_most=250)
    larger, note = None, ""
    try:
        larger = work.run("ours, from dask", 2 * size)["peak_mb"]
    except PeerError as err:
        note = str(err)
    name = f"{2 * size} x {2 * size} x 3"
    report.add(section, name, larger, "MB", at_most=250, note=note)
