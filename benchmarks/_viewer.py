"""The real window: open to first frame, pans, bytes; ours and napari-ome-zarr's."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from typing import TYPE_CHECKING, Any

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
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for number in range(repeats + 1):
        for name in list(commands):
            shot = ["--screenshot", data / f"{name}.png"] if not number else []
            try:
                answer = _run(python, [*commands[name], *shot])
            except RuntimeError as err:
                report.absent[f"{name} (window)"] = str(err)
                del commands[name]
                continue
            if number:  # the first round fills the page cache
                answers[name].append(answer)
    answers = {name: given for name, given in answers.items() if given}
    report.raw["viewer"] = answers
    _add_time_figures(report, answers)
    if _OURS in answers:
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


def _add_time_figures(report: Report, answers: dict[str, list[dict[str, Any]]]) -> None:
    section = "In a napari window, same pixels as OME-Zarr"
    first = {n: [a["first_frame_s"] for a in given] for n, given in answers.items()}
    step = {
        n: [statistics.median(a["pan_s"]) for a in given]
        for n, given in answers.items()
    }
    for title, seconds, limit in [
        ("open to first frame", first, 1 / 3),
        ("pan step", step, 1 / 2),
    ]:
        for name in (_OURS, _CHANNELS):
            value = None
            if name in seconds and _OME in seconds:
                value = statistics.median(seconds[name]) / statistics.median(
                    seconds[_OME]
                )
            limits = {"at_most": limit} if name == _OURS else {}
            report.add(section, f"{title}: {name} / {_OME}", value, **limits)
        for name, measured in seconds.items():
            report.add(
                section,
                f"{title}: {name}",
                statistics.median(measured) * 1e3,
                "ms",
                note=spread(measured),
            )
    for name, given in answers.items():
        last = given[-1]
        colour = [round(c) for c in last["pan_mean"]]
        levels = f"levels {last['first_level']}, then {last['pan_level']}"
        note = f"{levels}; mean colour {colour}"
        report.add(section, f"layers: {name}", last["n_layers"], "", note=note)


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
