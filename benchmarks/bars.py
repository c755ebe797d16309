"""Draw the README's bars: ``python -m benchmarks.bars results.json speed.png``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

#: Section of the report, its title in the picture, and the peers to draw.
_PANELS = (
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
_LABELS = {
    "ours": "napari-msimage",
    "tiledb tuned": "TileDB-Py, tuned",
    "tensorstore with pool": "tensorstore, equal cache",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results.json of a run")
    parser.add_argument("picture", type=Path, help="PNG to write")
    options = parser.parse_args()
    draw(json.loads(options.results.read_text()), options.picture)


def draw(results: dict[str, Any], picture: Path) -> None:
    """Draw one panel of bars per figure; all as multiples of ours."""
    from matplotlib.figure import Figure

    values = {(f["section"], f["name"]): f["value"] for f in results["figures"]}
    heights = [len(names) for _, _, names in _PANELS]
    figure = Figure(figsize=(8, 0.34 * sum(heights) + 1.8), layout="constrained")
    panels = figure.subplots(len(_PANELS), 1, height_ratios=heights)
    for axes, (section, title, names) in zip(panels, _PANELS, strict=True):
        found = [
            (n.removesuffix(", per step"), values.get((section, n))) for n in names
        ]
        shown = [(_LABELS.get(n, n), v) for n, v in found if v]
        ours = shown[0][1]
        bars = axes.barh(
            [name for name, _ in shown],
            [value / ours for _, value in shown],
            color=["#c8553d", *["#8a9aa9"] * (len(shown) - 1)],
        )
        texts = [f"{v / ours:.1f} x   ({v:.3g} ms)" for _, v in shown]
        axes.bar_label(bars, texts, padding=4, fontsize=8)
        axes.set_title(title, loc="left", fontsize=10)
        axes.invert_yaxis()
        axes.margins(x=0.22)
        axes.xaxis.set_visible(False)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    size = results["options"]["size"]
    figure.supxlabel(
        f"time relative to ours (medians; {size} x {size} x 3 uint8, 2 cores)",
        fontsize=8,
    )
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
