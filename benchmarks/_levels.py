"""Creation of resolution levels: all peers in turns, each run in a fresh process."""

from __future__ import annotations

import shutil
import statistics
from typing import TYPE_CHECKING, Any

from ._level_makers import MAKERS, ODD, OURS
from ._level_sources import COARSEST, remove, square_shapes
from ._peers import PeerError, run_once
from ._report import Report, spread

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

#: A peer gets no further runs once its runs took that long together.
_BUDGET_S = 60
_TIMEOUT_S = 1800
_EDGE = 1024

#: Peers and how many times as long as ours they should take at least.
_LIMITS = {
    "pyvips": 2.0,
    "pyvips, default deflate": None,
    "ngff-zarr": 10.0,
    "ome-zarr-py": 10.0,
    "ome-zarr-py, local_mean": 10.0,
    "dask": 10.0,
}

Runs = dict[str, list[dict[str, Any]]]


def measure(
    report: Report, options: argparse.Namespace, python: Path, data: Path
) -> None:
    """Write what is missing, make levels, read them, and add the figures."""
    size = options.size
    step = 2 ** (len(square_shapes(size)) - 1)
    if size % step:
        raise SystemExit(f"--size must be a multiple of {step}")
    shapes = dict.fromkeys(MAKERS, (size, size))
    shapes[ODD] = (size - 3, size + 27)  # 16381 x 16411
    jobs = {
        name: _Job(python, name, data, shape, options.image)
        for name, shape in shapes.items()
    }
    runs = _in_turns(report, jobs, data, max(3, options.repeats // 6))
    _add_time_figures(report, runs, size, shapes[ODD])
    huge = _huge(report, options, python, data) if OURS in runs else None
    _add_memory_figures(report, runs, huge, size)
    if OURS in runs:
        _add_window_figures(report, jobs[OURS], options.repeats)
    else:
        _add_windows(report, None, note="ours did not take part")
    remove(data / MAKERS[OURS].output)


class _Job:
    """One peer and its image; every request is a process of its own."""

    def __init__(
        self,
        python: Path,
        name: str,
        data: Path,
        shape_yx: tuple[int, int],
        image: str | None,
    ) -> None:
        self._python = python
        self._request = {
            "name": name,
            "data": str(data),
            "shape_yx": shape_yx,
            "image": image,
        }

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Run one process and return its answer.

        Raises
        ------
        PeerError
            If it fails, is killed or takes too long.
        """
        request = {"do": what, "with": arguments, **self._request}
        return run_once(self._python, "benchmarks._level_worker", request, _TIMEOUT_S)


def _in_turns(report: Report, jobs: dict[str, _Job], data: Path, rounds: int) -> Runs:
    """Run every peer once per round, another one first each time."""
    ready = {}
    for name, job in jobs.items():
        print(f"  preparing {name}", flush=True)
        try:
            answer = job.ask("prepare")
        except PeerError as err:
            report.absent[f"{name} (levels)"] = str(err)
            continue
        report.versions.update(answer["versions"])
        report.raw.setdefault("level_source_mb", {})[name] = answer["source_mb"]
        ready[name] = job
    runs: Runs = {name: [] for name in ready}
    for number in range(rounds):
        names = [name for name in ready if name in runs]
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if sum(run["s"] for run in runs[name]) > _BUDGET_S:
                continue
            try:
                run = ready[name].ask("make")
            except PeerError as err:
                report.absent[f"{name} (levels)"] = str(err)
                del runs[name]
                continue
            finally:
                if name != OURS:  # its windows are read later
                    remove(data / MAKERS[name].output)
            runs[name].append(run)
            print(f"  round {number + 1}: {name} {run['s']:.2f} s", flush=True)
        if not runs:
            break
    report.raw["level_runs"] = runs
    return runs


def _huge(
    report: Report, options: argparse.Namespace, python: Path, data: Path
) -> dict[str, Any]:
    """Make the levels of an image four times larger in each direction, once."""
    size = 4 * options.size
    answer: dict[str, Any] = {"size": size, "peak_mb": None}
    nbytes = 3 * size * size
    free = shutil.disk_usage(data).free
    if options.no_huge:
        return {**answer, "note": "left out by --no-huge"}
    if free < 2 * nbytes:
        note = f"needs {2 * nbytes / 1e9:.0f} GB of disk, {free / 1e9:.0f} are free"
        return {**answer, "note": note}
    print(f"  {size} x {size}: writing level 0, then its levels", flush=True)
    folder = data / "huge"
    folder.mkdir(exist_ok=True)
    job = _Job(python, OURS, folder, (size, size), options.image)
    try:
        job.ask("prepare")
        answer |= job.ask("make", warm=False)
        answer["note"] = f"one run of {answer['s']:.0f} s, not warmed up"
    except PeerError as err:
        answer["note"] = str(err)
    finally:
        remove(folder)
    report.raw["level_huge"] = answer
    return answer


def _seconds(runs: Runs, name: str) -> float | None:
    return statistics.median(r["s"] for r in runs[name]) if runs.get(name) else None


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None


def _add_time_figures(
    report: Report, runs: Runs, size: int, odd: tuple[int, int]
) -> None:
    section = f"Levels of {size} x {size} x 3 uint8, down to {COARSEST}"
    ours = _seconds(runs, OURS)
    for name, limit in _LIMITS.items():
        ratio = _ratio(_seconds(runs, name), ours)
        report.add(section, f"{name} / ours", ratio, at_least=limit)
    ratio = _ratio(ours, _seconds(runs, "tensorstore"))
    report.add(section, "ours / tensorstore", ratio, at_most=1.1, note="aim: below 1")
    sides = f"{odd[0]} x {odd[1]}"
    ratio = _ratio(_seconds(runs, ODD), ours)
    report.add(section, f"ours, {sides} / ours", ratio, at_most=2.5)
    for name, given in runs.items():
        seconds = _seconds(runs, name)
        label = f"ours, {sides}" if name == ODD else name
        report.add(section, label, seconds, "s", note=_described(name, given))


def _described(name: str, given: list[dict[str, Any]]) -> str:
    """Return how often, how steadily, how correctly and what."""
    if not given:
        return ""
    seconds = [run["s"] for run in given]
    worst = max(max(run["worst"]) for run in given)
    bias = max((run["bias"][-1] for run in given), key=abs)
    parts = [
        f"{len(given)} runs of {min(seconds):.2f} to {max(seconds):.2f} s",
        f"pixels off the mean by up to {worst:.2f}, last level by {bias:+.2f} on "
        "average",
        f"{given[0]['written_mb']:.0f} MB in all",
        MAKERS[name].remark,
    ]
    return "; ".join(part for part in parts if part)


def _add_memory_figures(
    report: Report, runs: Runs, huge: dict[str, Any] | None, size: int
) -> None:
    section = f"Memory above the process's start, levels of {size} x {size} x 3 uint8"
    peaks = {
        name: max((r["peak_mb"] for r in given if r["peak_mb"]), default=None)
        for name, given in runs.items()
    }
    ours = peaks.get(OURS)
    report.add(section, "ours, highest run", ours, "MB", at_most=250)
    larger, note = None, "ours did not take part"
    if huge:
        larger, note = huge["peak_mb"], huge["note"]
    report.add(
        section,
        f"ours, {4 * size} x {4 * size} / ours",
        _ratio(larger, ours),
        at_most=1.2,
        note=note,
    )
    if larger:
        report.add(section, f"ours, {4 * size} x {4 * size}", larger, "MB", at_most=250)
    for name, peak in peaks.items():
        if name != OURS:
            report.add(section, name, peak, "MB")


def _add_window_figures(report: Report, job: _Job, repeats: int) -> None:
    print(f"  {repeats} windows of a created level", flush=True)
    try:
        answer = job.ask("windows", repeats=repeats)
    except PeerError as err:
        _add_windows(report, None, note=str(err))
        return
    seconds = answer["s"]
    report.raw["level_windows"] = answer
    ratio = _ratio(*(statistics.median(s) for s in seconds.values()))
    note = f"{answer['fragments']} fragments and 1"
    _add_windows(report, ratio, note=note)
    for name, measured in seconds.items():
        middle = statistics.median(measured) * 1e3
        _add_windows(report, middle, name, "ms", None, note=spread(measured))


def _add_windows(
    report: Report,
    value: float | None,
    name: str = "created by us / written in one piece",
    unit: str = "x",
    at_most: float | None = 1.2,
    note: str = "",
) -> None:
    section = f"Window of {_EDGE} x {_EDGE} x 3 uint8 of level 1"
    report.add(section, name, value, unit, at_most=at_most, note=note)
