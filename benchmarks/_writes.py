"""Writing a layer with all its levels: peers in turns, each run in a fresh process."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from ._level_sources import COARSEST, remove, square_shapes
from ._peers import PeerError, run_once
from ._write_makers import COMPUTE, LAZY, OURS, TILEDB, WRITERS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from ._report import Report

#: A peer gets no further runs once its runs took that long together.
_BUDGET_S = 60
_TIMEOUT_S = 1800
#: Edge of the picture written before the clock starts; and where memory counts, which
#: that one would leave behind.
_FIRST = 1024
_FIRST_FOR_MEMORY = 64
_MEMORY_RUNS = 3

#: Peers at half the size, for they take long, and how many times as long as ours they
#: should take at least.
_SLOW = {"tiledbsoma": 8.0, "ome-zarr-py": 8.0, "ome-zarr-py, local_mean": 8.0}
_FAST = (OURS, TILEDB, LAZY, COMPUTE)

Runs = dict[str, list[dict[str, Any]]]


def measure(
    report: Report, options: argparse.Namespace, python: Path, data: Path
) -> None:
    """Write a picture by every peer, and add the figures."""
    size, half = options.size, options.size // 2
    step = 2 ** len(square_shapes(half))
    if size % step:
        raise SystemExit(f"--size must be a multiple of {step}")
    rounds = max(3, options.repeats // 6)
    work = _Work(report, options.image, python, data / "written")
    try:
        _add_slow(report, work.in_turns((OURS, *_SLOW), half, rounds), half)
        _add_fast(report, work.in_turns(_FAST, size, rounds), size)
        _add_memory(report, work, size)
    finally:
        remove(work.folder)


class _Work:
    """Asks for runs, every one a process of its own."""

    def __init__(
        self, report: Report, image: str | None, python: Path, folder: Path
    ) -> None:
        self._report = report
        self._image = image
        self._python = python
        self.folder = folder

    def in_turns(self, names: Sequence[str], size: int, rounds: int) -> Runs:
        """Run every peer once per round, another one first each time."""
        runs: Runs = {name: [] for name in names}
        for number in range(rounds):
            present = list(runs)
            for name in present[number % len(names) :] + present[: number % len(names)]:
                if sum(run["s"] for run in runs[name]) > _BUDGET_S:
                    continue
                try:
                    run = self.run(name, size)
                except PeerError as err:
                    self._report.absent[f"{name} (write, {size} x {size})"] = str(err)
                    del runs[name]
                    continue
                runs[name].append(run)
                print(
                    f"  {size}, round {number + 1}: {name} {run['s']:.2f} s", flush=True
                )
        self._report.raw[f"write_runs_{size}"] = runs
        return runs

    def run(self, name: str, size: int, first: int = _FIRST) -> dict[str, Any]:
        """Run one process and return its answer.

        Raises
        ------
        PeerError
            If it fails, is killed or takes too long.
        """
        request = {
            "name": name,
            "size": size,
            "first": first,
            "image": self._image,
            "folder": str(self.folder),
        }
        try:
            answer = run_once(
                self._python, "benchmarks._write_worker", request, _TIMEOUT_S
            )
        finally:
            remove(self.folder)
        self._report.versions.update(answer["versions"])
        return answer


def _seconds(runs: Runs, name: str) -> float | None:
    return statistics.median(r["s"] for r in runs[name]) if runs.get(name) else None


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None


def _add_slow(report: Report, runs: Runs, size: int) -> None:
    section = (
        f"Write a numpy layer, {size} x {size} x 3 uint8, and levels down to {COARSEST}"
    )
    for name, limit in _SLOW.items():
        ratio = _ratio(_seconds(runs, name), _seconds(runs, OURS))
        report.add(section, f"{name} / ours", ratio, at_least=limit)
    _add_seconds(report, section, runs)


def _add_fast(report: Report, runs: Runs, size: int) -> None:
    section = f"Write {size} x {size} x 3 uint8 and levels down to {COARSEST}"
    ours, alone = _seconds(runs, OURS), _seconds(runs, COMPUTE)
    ratio = _ratio(ours, _seconds(runs, TILEDB))
    report.add(section, "ours / TileDB-Py", ratio, at_most=1.4)
    both = ours + alone if ours and alone else None
    ratio = _ratio(_seconds(runs, LAZY), both)
    report.add(section, "ours, from dask / (dask alone + ours)", ratio, at_most=1.0)
    computed = max((run["computed"] for run in runs.get(LAZY, ())), default=None)
    report.add(section, "times a block was computed, at most", computed, "", at_most=1)
    _add_seconds(report, section, runs)


def _add_seconds(report: Report, section: str, runs: Runs) -> None:
    for name, given in runs.items():
        report.add(
            section, name, _seconds(runs, name), "s", note=_described(name, given)
        )


def _described(name: str, given: list[dict[str, Any]]) -> str:
    """Return how often, how steadily, how correctly and what."""
    if not given:
        return ""
    seconds = [run["s"] for run in given]
    parts = [f"{len(given)} runs of {min(seconds):.2f} to {max(seconds):.2f} s"]
    if "numpy_s" in given[0]:
        numpy_s = statistics.median(run["numpy_s"] for run in given)
        parts.append(f"{numpy_s:.2f} s of them numpy's means")
    if "worst" in given[0]:
        worst = max(max(run["worst"], default=0) for run in given)
        parts.append(f"pixels off the mean by up to {worst:.2f}")
        parts.append(f"{given[0]['written_mb']:.0f} MB")
    return "; ".join([*parts, *filter(None, [WRITERS[name].remark])])


def _add_memory(report: Report, work: _Work, size: int) -> None:
    section = "Memory above the process's start, ours from dask, highest run"
    for edge, n_runs in ((size, _MEMORY_RUNS), (2 * size, 1)):
        runs: list[dict[str, Any]] = []
        note = ""
        try:
            for _ in range(n_runs):
                print(f"  {edge}: memory", flush=True)
                runs.append(work.run(LAZY, edge, _FIRST_FOR_MEMORY))
        except PeerError as err:
            note = str(err)
        peaks = [run["peak_mb"] for run in runs if run["peak_mb"]]
        report.raw[f"write_memory_{edge}"] = runs
        name = f"{edge} x {edge} x 3 uint8"
        peak = max(peaks, default=None)
        report.add(section, name, peak, "MB", at_most=250, note=note)
