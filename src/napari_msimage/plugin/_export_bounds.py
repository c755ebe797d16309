"""Bounds of regions as texts to be edited."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..engines import ExportSource, ImageRegion


def bounds_in_words(
    source: ExportSource, region: ImageRegion | None, *, is_world: bool
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the bounds of a region, grown to whole pixels of the finest level.

    Parameters
    ----------
    source : ExportSource
        The image.
    region : ImageRegion, optional
        The whole image by default.
    is_world : bool
        Whether the bounding box in world coordinates is wanted, not pixels.

    Returns
    -------
    names, lower, upper : tuple of str
        One per spatial axis, in the reverse of the data axis order (x, y).
    """
    shape = source.spatial_shape(0)
    lower: list[float] = [0.0] * len(shape)
    upper: list[float] = [float(size) for size in shape]
    if region is not None:
        lower = [float(math.floor(bound + 1e-6)) for bound in region.lower]
        upper = [float(math.ceil(bound - 1e-6)) for bound in region.upper]
    if is_world:
        corners = np.array(list(itertools.product(*zip(lower, upper, strict=True))))
        matrix = source.to_world
        world = corners @ matrix[:-1, :-1].T + matrix[:-1, -1]
        lower, upper = list(world.min(axis=0)), list(world.max(axis=0))
    low, high = (
        tuple(f"{float(bound):.12g}" for bound in reversed(bounds))
        for bounds in (lower, upper)
    )
    return tuple(reversed(source.spatial_names)), low, high
