"""Draw the README's bars: ``python -m benchmarks.bars results.json speed.png``.

With ``--levels`` those of level creation, with ``--write`` those of writing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Start of the report's section, title in the picture, and the peers to draw.
_READING = (
    (
        "Window of 1024 x 1024 x 3 uint8 at level 0",
        "Read a window of 1024 x 1024 x 3",
        ("ours", "tiledb tuned", "tensorstore", "zarr", "zarr+dask", "tiledbsoma"),
    ),
    (
        "50 pans of 64 px, window 1024 x 1024 x 3",
        "Pan by 64 pixels",
        tuple(
            f"{name}, per step"
            for name in (
                "ours",
                "tiledb tuned",
                "tensorstore with pool",
                "tensorstore",
                "zarr",
                "zarr+dask",
            )
        ),
    ),
    (
        "Open to first frame, napari has shown an image",
        "Open in napari, to the first frame",
        ("ours", "napari-ome-zarr"),
    ),
)
_LEVELS = (
    (
        "Levels of ",
        "Make all levels, down to 512 pixels",
        (
            "ours",
            "tensorstore",
            "pyvips",
            "ngff-zarr",
            "dask",
            "ome-zarr-py, local_mean",
            "ome-zarr-py",
        ),
    ),
)
_WRITING = (
    (
        "Write a numpy layer, ",
        "Write a numpy layer with all levels",
        ("ours", "tiledbsoma", "ome-zarr-py, local_mean", "ome-zarr-py"),
    ),
)
_LABELS = {
    "ours": "napari-msimage",
    "pyvips": "libvips (TIFF)",
    "dask": "dask coarsen",
    "ome-zarr-py, local_mean": "ome-zarr-py, mean",
    "tiledb tuned": "TileDB-Py, tuned",
    "tensorstore with pool": "tensorstore, equal cache",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results.json of a run")
    parser.add_argument("picture", type=Path, help="PNG to write")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--levels", action="store_true", help="level creation instead of reading"
    )
    which.add_argument(
        "--write", action="store_true", help="writing instead of reading"
    )
    options = parser.parse_args()
    results = json.loads(options.results.read_text())
    panels, size = _READING, results["options"]["size"]
    if options.levels:
        panels = _LEVELS
    elif options.write:
        panels, size = _WRITING, size // 2
    draw(results, options.picture, panels, size)


def draw(
    results: dict[str, Any],
    picture: Path,
    panels: Sequence[tuple[Any, ...]],
    size: int,
) -> None:
    """Draw one panel of bars per figure; all as multiples of ours."""
    from matplotlib.figure import Figure

    heights = [len(names) for _, _, names in panels]
    figure = Figure(figsize=(8, 0.34 * sum(heights) + 1.8), layout="constrained")
    grid = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)
    for axes, (section, title, names) in zip(grid[:, 0], panels, strict=True):
        figures = {
            f["name"]: f for f in results["figures"] if f["section"].startswith(section)
        }
        found = [figures[name] for name in names if name in figures]
        found = [f for f in found if f["value"]]
        if "ours" not in {f["name"].removesuffix(", per step") for f in found[:1]}:
            raise SystemExit(f"These results have no figure of ours for {title!r}")
        labels = [f["name"].removesuffix(", per step") for f in found]
        shown = [
            (_LABELS.get(label, label), f["value"])
            for label, f in zip(labels, found, strict=True)
        ]
        ours, unit = shown[0][1], found[0]["unit"]
        bars = axes.barh(
            [name for name, _ in shown],
            [value / ours for _, value in shown],
            color=["#c8553d", *["#8a9aa9"] * (len(shown) - 1)],
        )
        texts = [f"{v / ours:.1f} x   ({v:.3g} {unit})" for _, v in shown]
        axes.bar_label(bars, texts, padding=4, fontsize=8)
        axes.set_title(title, loc="left", fontsize=10)
        axes.invert_yaxis()
        axes.margins(x=0.22)
        axes.xaxis.set_visible(False)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.supxlabel(
        f"time relative to ours (medians; {size} x {size} x 3 uint8, 2 cores)",
        fontsize=8,
    )
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
