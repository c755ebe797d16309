"""Are the levels that a peer made what they should be? Pixels against exact means."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _level_sources as sources

if TYPE_CHECKING:
    from napari_msimage.samples import TissueMosaic

    from ._level_makers import LevelMaker

_WINDOW = 16
_N_WINDOWS = 6
#: Sums of floats over windows of level 0 are that exact.
_EPSILON = 1e-6
#: Cutting fractions off makes an image darker by half a grey value per level.
_BIAS_PER_LEVEL = 1.0


class WrongLevelsError(RuntimeError):
    """Levels of other shapes, or pixels too far off the mean."""


def check(maker: LevelMaker) -> dict[str, list[float]]:
    """Compare windows at random places and in the corners of every level.

    Returns
    -------
    dict
        Largest error and mean error of every level, level 1 first, in grey values.

    Raises
    ------
    WrongLevelsError
        If that is more than the peer's way of working explains.
    """
    shapes = [tuple(shape) for shape in maker.level_shapes()]
    _check_shapes(maker, shapes)
    level0 = sources.mosaic(maker.shape_yx, maker.image)
    rng = random.Random(9)
    worst, bias = [], []
    for level, (_, height, width) in enumerate(shapes, start=1):
        corners = [(0, 0), (height - _WINDOW, width - _WINDOW)]
        corners += [
            (rng.randrange(height - _WINDOW), rng.randrange(width - _WINDOW))
            for _ in range(_N_WINDOWS)
        ]
        errors = []
        for y, x in corners:
            box = slice(y, y + _WINDOW), slice(x, x + _WINDOW)
            pixels = np.asarray(maker.read(level, *box), np.float64)
            errors.append(pixels - exact_means(level0, (height, width), *box))
        worst.append(float(np.abs(errors).max()))
        bias.append(float(np.mean(errors)))
        limit = maker.error_limit(level)
        if worst[-1] > limit + _EPSILON:
            msg = (
                f"level {level} is off the exact mean by up to {worst[-1]:.3g} grey "
                f"values; at most {limit} can be explained"
            )
            raise WrongLevelsError(msg)
        if abs(bias[-1]) > _BIAS_PER_LEVEL * level:
            msg = f"level {level} is off by {bias[-1]:+.3g} grey values on average"
            raise WrongLevelsError(msg)
    return {"worst": worst, "bias": bias}


def _check_shapes(maker: LevelMaker, shapes: list[tuple[int, ...]]) -> None:
    wanted = maker.shapes[1:]
    height, width = maker.shape_yx
    if height == width:
        is_right = shapes == wanted
    else:  # rounding is the maker's own business
        is_right = bool(shapes) and max(shapes[-1]) <= sources.COARSEST
    if not is_right:
        msg = f"made levels of {shapes} from {maker.shape_yx}, expected {wanted}"
        raise WrongLevelsError(msg)


def exact_means(
    level0: TissueMosaic, shape_yx: tuple[int, int], y: slice, x: slice
) -> np.ndarray[Any, Any]:
    """Return area means of level 0 for the pixels of a window, (3, y, x) float64.

    A pixel of level 0 that is partly covered counts by its covered part.
    """
    rows, row_weights = _weights(y, level0.shape[1] / shape_yx[0], level0.shape[1])
    columns, column_weights = _weights(
        x, level0.shape[2] / shape_yx[1], level0.shape[2]
    )
    block = level0[0:3, rows, columns].astype(np.float64)
    return row_weights @ block @ column_weights.T


def _weights(
    window: slice, factor: float, size: int
) -> tuple[slice, np.ndarray[Any, Any]]:
    """Return the pixels of level 0 under a window, and each one's share, (n, size)."""
    start = math.floor(window.start * factor)
    stop = min(size, math.ceil(window.stop * factor - _EPSILON))
    pixels = np.arange(start, stop)
    left = np.arange(window.start, window.stop)[:, None] * factor
    right = np.minimum(left + factor, size)
    shares = np.minimum(right, pixels + 1) - np.maximum(left, pixels)
    shares = np.clip(shares, 0, None)
    return slice(start, stop), shares / shares.sum(axis=1, keepdims=True)
