"""The real window: open to first frame, pans, bytes; ours and napari-ome-zarr's."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np

from ._peers import ROOT
from ._report import Report, spread
from ._stores import Ours, TensorStore

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

_OURS, _CHANNELS, _OME = "ours", "ours, a layer per channel", "napari-ome-zarr"
_TIMEOUT_S = 300


def measure(
    report: Report, options: argparse.Namespace, python: Path, data: Path
) -> None:
    """Open the same pixels with each reader, in turns, and add the figures."""
    ours, ome = data / Ours.folder, data / TensorStore.folder
    commands = {
        _OURS: [ours, "--plugin", "napari-msimage"],
        _CHANNELS: [ours, "--plugin", "napari-msimage", "--by-channel"],
        _OME: [ome, "--plugin", "napari-ome-zarr"],
    }
    repeats = max(3, options.repeats // 4)
    print(f"  {repeats} x {len(commands)} windows of napari", flush=True)
    fresh: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    later: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for number in range(repeats + 1):
        for name in list(commands):
            shot = ["--screenshot", data / f"{name}.png"] if not number else []
            try:
                first = _run(python, [*commands[name], *shot])
                after = _run(python, [*commands[name], "--after-plain"])
            except RuntimeError as err:
                report.absent[f"{name} (window)"] = str(err)
                del commands[name]
                continue
            report.versions.update(after["versions"])
            if number:  # the first round fills the page cache
                fresh[name].append(first)
                later[name].append(after)
    report.raw["fresh napari"], report.raw["after a plain image"] = fresh, later
    _add_time_figures(report, fresh, later)
    if _OURS in commands:
        _add_byte_figures(report, options, python, ours)


def _run(python: Path, arguments: list[Any]) -> dict[str, Any]:
    command = [python, "-m", "benchmarks._window", *map(str, arguments)]
    if os.name == "posix" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        if not (xvfb := shutil.which("xvfb-run")):
            raise RuntimeError("no display, and no xvfb-run to make one")
        command = [xvfb, "-a", "-s", "-screen 0 1400x900x24", *command]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as err:
        raise RuntimeError(f"no answer within {_TIMEOUT_S} s") from err
    if done.returncode or not done.stdout.strip():
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _add_time_figures(
    report: Report,
    fresh: dict[str, list[dict[str, Any]]],
    later: dict[str, list[dict[str, Any]]],
) -> None:
    third, half = 1 / 3, 1 / 2
    both = {name: fresh[name] + later[name] for name in later}
    for title, answers, key, limit in [
        (
            "Open to first frame, napari has shown an image",
            later,
            "first_frame_s",
            third,
        ),
        ("Open to first frame, second time", both, "next_frame_s", third),
        ("Open to first frame, napari just started", fresh, "first_frame_s", None),
        ("Pan step of 64 px at 1:1", both, "pan_s", half),
    ]:
        seconds = {
            name: [statistics.median(np.atleast_1d(a[key])) for a in given]
            for name, given in answers.items()
            if given
        }
        _add_ratios(report, title, seconds, limit)
    for title, key in [
        ("Open to first frame, napari just started", "plain_s"),
        ("Open to first frame, second time", "plain_next_s"),
    ]:
        plain = [a[key] for given in later.values() for a in given]
        report.add(
            title,
            "a small numpy image, without any reader",
            statistics.median(plain) * 1e3 if plain else None,
            "ms",
            note="napari's own share of the times above",
        )
    for name, given in later.items():
        if given:
            last = given[-1]
            levels = f"levels {last['first_levels']}, at 1:1 {last['pan_levels']}"
            note = f"{levels}; mean colour at 1:1 {last['mean_colour']}"
            layers = len(last["pan_levels"])
            report.add("What was shown", name, layers, "layers", note=note)


def _add_ratios(
    report: Report, section: str, seconds: dict[str, list[float]], limit: float | None
) -> None:
    for name in (_OURS, _CHANNELS):
        ratio = None
        if name in seconds and _OME in seconds:
            ratio = statistics.median(seconds[name]) / statistics.median(seconds[_OME])
        at_most = limit if name == _OURS else None
        report.add(section, f"{name} / {_OME}", ratio, at_most=at_most)
    for name, measured in seconds.items():
        middle = statistics.median(measured) * 1e3
        report.add(section, name, middle, "ms", note=spread(measured))


def _add_byte_figures(
    report: Report, options: argparse.Namespace, python: Path, store: Path
) -> None:
    section = "Bytes decoded for the first frame"
    base = [store, "--plugin", "napari-msimage"]
    picture = ["--image", options.image] if options.image else []
    counted = _run(python, [*base, "--count"])
    needs = _run(python, [*base, "--needs", "--size", options.size, *picture])
    report.raw["bytes"] = {"counted": counted, "needs": needs}
    read, needed = counted["first_frame_bytes"], needs["needed_bytes"]
    report.add(
        section,
        "read / needed by napari's slicing",
        read / needed if needed else None,
        at_most=1.2,
        note=f"{read / 2**20:.2f} of {needed / 2**20:.2f} MiB of whole tiles",
    )
    pan = counted["pan_bytes"] / 2**20
    report.add(section, "40 pans of 64 px", pan, "MiB", note="zoom to 1:1 included")
