"""The pixels of a level that a region of the image covers: what an export cuts out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import RegionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

#: Bounds that are closer to the edge of a pixel than this, in pixels of the level, are
#: on it: transforms that turn an image round by far less.
SNAP: Final = 1e-6


def pixel_box(
    lower: Sequence[float],
    upper: Sequence[float],
    finest_shape: Sequence[int],
    level_shape: Sequence[int],
    *,
    axis_names: Sequence[str] | None = None,
) -> tuple[tuple[int, int], ...]:
    """Return the smallest box of whole pixels of a level that covers a region.

    Partly covered pixels are included. A region smaller than a pixel gives the pixel
    it lies in. What lies outside the level is cut off.

    Parameters
    ----------
    lower, upper : sequence of float, (n_axes,)
        Bounds in image coordinates, half-open: pixel i of the finest level covers
        ``[i, i + 1)``. Spatial axes only; any order, all arguments the same.
    finest_shape, level_shape : sequence of int, (n_axes,)
        Sizes of the finest level and of the one to be cut, without the channel axis.
    axis_names : sequence of str, optional
        What the axes are called in messages.

    Returns
    -------
    tuple of (int, int)
        First pixel, and one past the last, per axis: half-open, never empty.

    Raises
    ------
    RegionError
        If a bound is not finite, the region has no extent along an axis or lies
        outside the image, or the numbers of axes differ.

    Notes
    -----
    The pixels are ``floor(lower)`` to ``ceil(upper)`` of the level, once bounds within
    1e-6 pixel of an integer are rounded to it. ``read_spatial_region`` does not round
    like that, and includes one pixel more.

    Examples
    --------
    >>> pixel_box((2.2, 3.9999999), (4, 9), (10, 20), (5, 10))
    ((1, 2), (2, 5))
    """
    n_axes = len(finest_shape)
    names = tuple(axis_names or map(str, range(n_axes)))
    if not n_axes == len(lower) == len(upper) == len(level_shape) == len(names):
        msg = (
            f"The region has {len(lower)} lower and {len(upper)} upper bounds; the "
            f"image has {n_axes} spatial axes. Give one of each per axis."
        )
        raise RegionError(msg)
    bounds = [(float(low), float(high)) for low, high in zip(lower, upper, strict=True)]
    _check(bounds, names)
    box = []
    for (low, high), finest, size in zip(
        bounds, finest_shape, level_shape, strict=True
    ):
        # Far outside is outside; numbers stay finite.
        near = [min(max(bound, -finest), 2 * finest) for bound in (low, high)]
        start, stop = _pixels(*(bound * size / finest for bound in near))
        box.append((max(0, start), min(stop, int(size))))
    if any(start >= stop for start, stop in box):
        found = ", ".join(
            f"{name} {low:g} to {high:g}"
            for name, (low, high) in zip(names, bounds, strict=True)
        )
        image = ", ".join(
            f"{name} 0 to {int(size)}"
            for name, size in zip(names, finest_shape, strict=True)
        )
        msg = (
            f"The region ({found}) lies outside the image ({image}, in image "
            "coordinates). Choose a region that overlaps the image."
        )
        raise RegionError(msg)
    return tuple(box)


def pixel_boxes(
    lower: Sequence[Sequence[float]],
    upper: Sequence[Sequence[float]],
    finest_shape: Sequence[int],
    level_shape: Sequence[int],
    *,
    axis_names: Sequence[str] | None = None,
) -> npt.NDArray[np.int64]:
    """Return the boxes of many regions, as `pixel_box` does of one.

    Parameters
    ----------
    lower, upper : sequence of sequence of float, (n_regions, n_axes)
        As of `pixel_box`.
    finest_shape, level_shape, axis_names
        As of `pixel_box`.

    Returns
    -------
    ndarray of int64, (n_regions, n_axes, 2)
        First pixel, and one past the last: half-open, never empty.

    Raises
    ------
    RegionError
        As of `pixel_box`, of the first region that it refuses.
    """
    finest, sizes = np.asarray([finest_shape, level_shape], np.int64)
    bounds = np.stack([np.asarray(lower, float), np.asarray(upper, float)], axis=-1)
    near = np.clip(np.nan_to_num(bounds), -finest[:, None], 2 * finest[:, None])
    scaled = near * sizes[:, None] / finest[:, None]
    nearest = np.rint(scaled)
    snapped = np.where(np.abs(scaled - nearest) <= SNAP, nearest, scaled)
    start, stop = np.floor(snapped[..., 0]), np.ceil(snapped[..., 1])
    is_within = start >= stop  # a pixel
    start = np.where(is_within, np.floor(scaled.sum(axis=-1) / 2), start)
    stop = np.where(is_within, start + 1, stop)
    boxes = np.stack([np.maximum(start, 0), np.minimum(stop, sizes)], axis=-1)
    is_good = np.isfinite(bounds).all(axis=-1) & (bounds[..., 0] < bounds[..., 1])
    is_good &= boxes[..., 0] < boxes[..., 1]
    for index in np.flatnonzero(~is_good.all(axis=-1))[:1]:  # it says what is wrong
        pixel_box(
            lower[index], upper[index], finest_shape, level_shape, axis_names=axis_names
        )
    return boxes.astype(np.int64)


def _check(bounds: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    for name, (low, high) in zip(names, bounds, strict=True):
        if not (math.isfinite(low) and math.isfinite(high)):
            msg = (
                f"The region runs from {low!r} to {high!r} along {name}; expected "
                "finite numbers."
            )
            raise RegionError(msg)
        if low >= high:
            msg = (
                f"The region has no extent along {name}: it runs from {low!r} to "
                f"{high!r}. Choose one with a width and a height."
            )
            raise RegionError(msg)


def _pixels(low: float, high: float) -> tuple[int, int]:
    """Return the pixels that an interval covers, in pixels of the level."""
    start, stop = math.floor(_snapped(low)), math.ceil(_snapped(high))
    if start < stop:
        return start, stop
    pixel = math.floor((low + high) / 2)
    return pixel, pixel + 1


def _snapped(bound: float) -> float:
    nearest = round(bound)
    return nearest if abs(bound - nearest) <= SNAP else bound
