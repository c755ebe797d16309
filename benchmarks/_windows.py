"""Windows and pans at level 0, all peers in turns."""

from __future__ import annotations

import random
import statistics
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ._peers import Peer, PeerError
from ._report import Report, spread

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

_EDGE = 1024
_TILE = 512
_PAN_STEPS, _PAN_PIXELS = 50, 64

_WINDOW_PEERS = [
    "ours",
    "ours, no cache",
    "ours, read_spatial_region",
    "tiledb tuned",
    "tiledb tuned, own query",
    "tensorstore",
    "zarr",
    "zarr+dask",
    "tiledbsoma",
]
_PAN_PEERS = [
    "ours",
    "tiledb tuned",
    "tensorstore",
    "tensorstore with pool",
    "zarr",
    "zarr+dask",
]


def measure(
    report: Report, options: argparse.Namespace, python: Path, data: Path
) -> None:
    """Build what is missing, measure windows, then pans, and add the figures."""
    with ExitStack() as stack:
        peers = {}
        for name in dict.fromkeys(_WINDOW_PEERS + _PAN_PEERS):
            peer = Peer(name, python)
            stack.callback(peer.close)
            try:
                _start(report, peer, options, data)
            except PeerError as err:
                report.absent[name] = str(err)
            else:
                peers[name] = peer
        windows = _windows(
            report, [peers[n] for n in _WINDOW_PEERS if n in peers], options
        )
        _add_window_figures(report, windows)
        pans, counts = _pans(
            report, [peers[n] for n in _PAN_PEERS if n in peers], options
        )
        _add_pan_figures(report, pans, counts)


def _start(report: Report, peer: Peer, options: argparse.Namespace, data: Path) -> None:
    print(f"  opening {peer.name} (building its store if missing)", flush=True)
    answer = peer.ask(
        "start", name=peer.name, data=str(data), size=options.size, image=options.image
    )
    report.versions.update(answer["versions"])
    megabytes = answer["level_nbytes"] / 1e6
    report.raw.setdefault("level_mb", {})[peer.name] = megabytes
    if "build_s" in answer:
        report.raw.setdefault("build_s", {})[peer.name] = answer["build_s"]


def _in_turns(
    peers: list[Peer], requests: list[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Ask every peer each request, another one first each time; check the pixels."""
    answers: dict[str, list[dict[str, Any]]] = {peer.name: [] for peer in peers}
    for number, request in enumerate(requests):
        first = number % len(peers)
        for peer in peers[first:] + peers[:first]:
            answers[peer.name].append(peer.ask("window", edge=_EDGE, **request))
        sums = {name: given[-1]["crc"] for name, given in answers.items()}
        if len(set(sums.values())) > 1:
            raise SystemExit(f"The peers read different pixels at {request}: {sums}")
    return answers


def _seconds(answers: dict[str, list[dict[str, Any]]]) -> dict[str, list[float]]:
    return {name: [a["s"] for a in given] for name, given in answers.items()}


def _windows(
    report: Report, peers: list[Peer], options: argparse.Namespace
) -> dict[str, list[float]]:
    print(f"  {options.repeats} windows", flush=True)
    rng = random.Random(7)
    requests = [
        {axis: rng.randrange(options.size - _EDGE) for axis in ("y", "x")}
        for _ in range(options.repeats)
    ]
    # First time around: page cache, lazy imports, thread pools.
    for peer in list(peers):
        try:
            for request in requests:
                peer.ask("window", edge=_EDGE, **request)
        except PeerError as err:
            report.absent[peer.name] = str(err)
            peers.remove(peer)
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for request in requests:
        for peer in peers:
            peer.ask("clear")
        for name, measured in _seconds(_in_turns(peers, [request])).items():
            seconds[name] += measured
        peers = peers[1:] + peers[:1]
    report.raw["window_s"] = seconds
    return seconds


def _pans(
    report: Report, peers: list[Peer], options: argparse.Namespace
) -> tuple[dict[str, list[float]], list[dict[str, int]]]:
    """Return seconds per 50 pans, once per repeat, and our counts of decoded tiles."""
    travel = _PAN_STEPS * _PAN_PIXELS
    repeats = max(3, options.repeats // 5)
    print(f"  {repeats} x {_PAN_STEPS} pans", flush=True)
    rng = random.Random(8)
    totals: dict[str, list[float]] = {peer.name: [] for peer in peers}
    steps: dict[str, list[list[float]]] = {peer.name: [] for peer in peers}
    counts = []
    for _ in range(repeats):
        y = rng.randrange(options.size - _EDGE)
        x = rng.randrange(options.size - _EDGE - travel)
        for peer in peers:
            peer.ask("clear")
            peer.ask("window", y=y, x=x, edge=_EDGE)
        requests = [{"y": y, "x": x + (i + 1) * _PAN_PIXELS} for i in range(_PAN_STEPS)]
        for name, measured in _seconds(_in_turns(peers, requests)).items():
            totals[name].append(sum(measured))
            steps[name].append(measured)
        needed = 3 * _touched(y, _EDGE) * _touched(x, _EDGE + travel)
        counts += [
            {**peer.ask("counts"), "needed": needed}
            for peer in peers
            if peer.name == "ours"
        ]
    report.raw["pan_step_s"] = steps
    report.raw["pan_tiles"] = counts
    return totals, counts


def _touched(start: int, length: int) -> int:
    """Return how many tiles [start, start + length) touches along one axis."""
    return (start + length - 1) // _TILE - start // _TILE + 1


def _ratio(seconds: dict[str, list[float]], above: str, below: str) -> float | None:
    if above not in seconds or below not in seconds:
        return None
    return statistics.median(seconds[above]) / statistics.median(seconds[below])


def _add_window_figures(report: Report, seconds: dict[str, list[float]]) -> None:
    section = f"Window of {_EDGE} x {_EDGE} x 3 uint8 at level 0"
    add = report.add
    add(
        section,
        "tiledbsoma / ours",
        _ratio(seconds, "tiledbsoma", "ours"),
        at_least=12,
    )
    add(
        section, "ours / tensorstore", _ratio(seconds, "ours", "tensorstore"), at_most=1
    )
    add(
        section,
        "ours / tuned TileDB-Py on the same store",
        _ratio(seconds, "ours", "tiledb tuned"),
        at_most=1.2,
    )
    low_level = "tiledb tuned, own query"
    add(
        section,
        "ours / TileDB-Py's low-level query",
        _ratio(seconds, "ours", low_level),
        note="we decode and keep whole tiles",
    )
    add(
        section,
        "ours, no cache / TileDB-Py's low-level query",
        _ratio(seconds, "ours, no cache", low_level),
    )
    add(
        section,
        "tiledbsoma / ours, both read_spatial_region",
        _ratio(seconds, "tiledbsoma", "ours, read_spatial_region"),
        at_least=12,
    )
    for peer in ("zarr", "zarr+dask"):
        add(section, f"{peer} / ours", _ratio(seconds, peer, "ours"))
    for name, measured in seconds.items():
        size = report.raw["level_mb"][name]
        add(
            section,
            name,
            statistics.median(measured) * 1e3,
            "ms",
            note=f"{spread(measured)}; level 0 on disk {size:.0f} MB",
        )


def _add_pan_figures(
    report: Report, totals: dict[str, list[float]], counts: list[dict[str, int]]
) -> None:
    section = f"{_PAN_STEPS} pans of {_PAN_PIXELS} px, window {_EDGE} x {_EDGE} x 3"
    add = report.add
    add(
        section,
        "ours / tensorstore",
        _ratio(totals, "ours", "tensorstore"),
        at_most=0.5,
    )
    add(
        section,
        "tensorstore with an equal pool / ours",
        _ratio(totals, "tensorstore with pool", "ours"),
        note="aim: 3",
    )
    repeated = max((c["decoded"] / c["needed"] for c in counts), default=None)
    add(
        section,
        "tiles decoded / tiles touched",
        repeated,
        at_most=1,
        note=_counted(counts),
    )
    for name, measured in totals.items():
        step = statistics.median(measured) / _PAN_STEPS * 1e3
        add(section, f"{name}, per step", step, "ms")


def _counted(counts: list[dict[str, int]]) -> str:
    return "counted: " + ", ".join(f"{c['decoded']} of {c['needed']}" for c in counts)
