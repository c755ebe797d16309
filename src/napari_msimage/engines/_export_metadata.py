"""What is written beside exported pixels: where they come from."""

from __future__ import annotations

import csv
import itertools
import json
import math
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..storage import CHANNEL_AXIS
from ._export_files import part_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._export_plan import ExportPlan, PlannedFile

#: Channels of colours that have an alpha channel already.
_N_WITH_ALPHA: Final = 4


def write_json(plan: ExportPlan, file: PlannedFile, path: str) -> None:
    """Write the metadata of one file as JSON.

    Raises
    ------
    SOMAError
        As of `part_of`.
    """
    with part_of(path, is_folder=False, overwrite=plan.options.overwrite) as part:
        text = json.dumps(
            file_metadata(plan, file), indent=2, ensure_ascii=False, allow_nan=False
        )
        # What UTF-8 cannot hold becomes an escape, which JSON knows.
        with open(part, "w", encoding="utf-8", errors="backslashreplace") as target:
            target.write(text + "\n")


def write_csv(plan: ExportPlan, path: str, files: Sequence[PlannedFile]) -> None:
    """Write a table of files that were written, one row each.

    Raises
    ------
    SOMAError
        As of `part_of`.
    """
    names = plan.source.spatial_names
    ranges = [f"{bound}_{name}" for bound in ("lower", "upper") for name in names]
    head = ["index", "file", "region", "level", *ranges]
    head += [f"pixel_size_{name}" for name in names]
    head += [f"origin_{name}" for name in names]
    head += [f"unit_{name}" for name in names]
    with (
        part_of(path, is_folder=False, overwrite=plan.options.overwrite) as part,
        open(
            part, "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as target,
    ):
        table = csv.writer(target)
        table.writerow(head)
        for index, file in enumerate(files, start=1):
            numbers = (*file.lower, *file.upper, *file.pixel_size, *file.origin)
            units = [unit or "pixel" for unit in plan.units]
            row = [index, file.path, file.name, plan.level_key, *numbers, *units]
            table.writerow(row)


def file_metadata(plan: ExportPlan, file: PlannedFile) -> dict[str, Any]:
    """Return where the pixels of a file come from, and lie, as JSON values.

    Bounds are half-open; lists are per spatial axis, data axis order.
    """
    source, axis = plan.source, plan.source.channel_axis
    box = [bounds for i, bounds in enumerate(file.window) if i != axis]
    ends = [(0, stop - start) for start, stop in box]
    points = np.array(list(itertools.product(*ends)), float)
    corners = points @ file.to_world[:-1, :-1].T + file.to_world[:-1, -1]
    return {
        "program": f"napari-msimage {version('napari-msimage')}",
        "source": source.uri,
        "image": source.name,
        "taken_at": dict(source.taken) or None,
        "level": plan.level,
        "level_key": plan.level_key,
        **_axes(plan, file),
        "dtype": file.dtype.name,
        "channels": _channels(plan),
        "region_name": file.name or None,
        "spatial_axes": list(source.spatial_names),
        "units": [unit or "pixel" for unit in source.units],
        "pixel_size": list(file.pixel_size),
        "level_pixels": [list(bounds) for bounds in box],
        "image_region": {"lower": list(file.lower), "upper": list(file.upper)},
        "world_region": {
            "lower": corners.min(axis=0).tolist(),
            "upper": corners.max(axis=0).tolist(),
        },
        "origin": list(file.origin),
        "pixels_to_world": file.to_world.tolist(),
        "masked": _mask(plan, file),
    }


def _axes(plan: ExportPlan, file: PlannedFile) -> dict[str, Any]:
    """Return names and sizes of the axes, an alpha channel counted."""
    names, shape = list(plan.source.axis_names), list(file.shape)
    if plan.options.alpha:
        axis = plan.source.channel_axis
        if axis is None:
            names, shape, axis = [*names, CHANNEL_AXIS], [*shape, 1], len(shape)
        shape[axis] += shape[axis] != _N_WITH_ALPHA
    return {"axes": names, "shape": shape}


def _channels(plan: ExportPlan) -> list[dict[str, Any]] | None:
    if plan.channels is None:
        return None
    names, colors = plan.source.channel_names, plan.source.channel_colors
    return [
        {
            "index": i,
            "name": names[i] if names else None,
            "color": list(colors[i]) if colors else None,
        }
        for i in plan.channels
    ]


def _mask(plan: ExportPlan, file: PlannedFile) -> dict[str, Any] | None:
    """Return the outline and what is outside of it; None if nothing is masked."""
    region = file.region
    if not plan.options.mask or region is None or region.outline is None:
        return None
    names = plan.source.spatial_names
    return {
        "outline": np.asarray(region.outline, float).tolist(),
        "outline_axes": [names[i] for i in region.outline_axes],
        "outside": (
            "transparent" if plan.options.alpha else _in_json(plan.options.fill_value)
        ),
    }


def _in_json(value: complex) -> float | str:
    """Return a number, as text where JSON has none for it: "nan", "inf", complex."""
    if isinstance(value, complex):
        return str(value)
    return value if math.isfinite(value) else str(value)
