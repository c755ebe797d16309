"""Outlines of drawn shapes as polygons: ellipses, and paths with a width."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import UnsupportedError

if TYPE_CHECKING:
    from ._placement import FloatArray

#: How far a polygon may be from the curve it stands for, in pixels.
_TOLERANCE: Final = 0.05
_MIN_CORNERS: Final = 32
_MAX_CORNERS: Final = 20_000
#: Longer points of a bent path are cut off, as napari does: half widths.
_MITRE_LIMIT: Final = 3.0


def ellipse_outline(corners: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the ellipse that touches the middles of a parallelogram's sides.

    Parameters
    ----------
    corners : ndarray, (4, 2)
        In a ring, in pixels.

    Returns
    -------
    outline : ndarray, (n, 2)
        A polygon within 0.05 pixels of it.
    lower, upper : ndarray, (2,)
        Its exact bounding box.
    """
    center = corners.mean(axis=0)
    one, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    half = np.hypot(one, other)
    radius = float(np.hypot(*half))
    # the middle of a chord is radius * (1 - cos(pi / n)) from the curve
    cosine = max(1 - _TOLERANCE / max(radius, _TOLERANCE), -1.0)
    n = math.ceil(math.pi / max(math.acos(cosine), math.pi / _MAX_CORNERS))
    angles = np.linspace(0, 2 * np.pi, max(n, _MIN_CORNERS), endpoint=False)
    outline = center + np.cos(angles)[:, None] * one + np.sin(angles)[:, None] * other
    return outline, center - half, center + half


def ribbon_outline(points: FloatArray, width: float) -> FloatArray | None:
    """Return the outline of a path with a width: flat ends, mitred bends, as drawn.

    Parameters
    ----------
    points : ndarray, (n, 2)
        Corners of the path.
    width : float
        In the coordinates of the points.

    Returns
    -------
    ndarray, (m, 2), or None
        One polygon: holes that the path leaves are reached along seams of no width,
        so that whoever fills it, by parity or by winding, leaves them out. None for a
        path that has no area.
    """
    points = _without_repeats(points)
    if len(points) < 2 or not width > 0:
        return None
    shapely = _shapely()
    steps = np.diff(points, axis=0)
    normals = np.stack([-steps[:, 1], steps[:, 0]], axis=1)
    normals *= width / 2 / np.hypot(*steps.T)[:, None]
    parts = [
        shapely.Polygon([a - n, b - n, b + n, a + n])
        for a, b, n in zip(points[:-1], points[1:], normals, strict=True)
    ]
    for bend, before, after in zip(
        points[1:-1], normals[:-1], normals[1:], strict=True
    ):
        parts += _bend(bend, before, after, width)
    return _single_ring(shapely.union_all(parts))


def _without_repeats(points: FloatArray) -> FloatArray:
    keep = np.append(True, (np.diff(points, axis=0) != 0).any(axis=1))
    kept: FloatArray = points[keep]
    return kept


def _bend(
    bend: FloatArray, before: FloatArray, after: FloatArray, width: float
) -> list[Any]:
    """Return the wedge that fills the outside of a bend."""
    shapely = _shapely()
    turn = before[0] * after[1] - before[1] * after[0]
    if abs(turn) <= 1e-12 * width**2:
        return []
    side = -1.0 if turn > 0 else 1.0
    one, other = bend + side * before, bend + side * after
    middle = side * (before + after) / 2
    corners = [bend, one, other]
    # the point of the mitre is as far from the bend as its dot with a normal says
    along = float(middle @ before) * side
    if along > 0:
        tip = middle * (width / 2) ** 2 / along
        if np.hypot(*tip) <= _MITRE_LIMIT * width / 2:
            corners.insert(2, bend + tip)
    return [shapely.Polygon(corners)]


def _single_ring(area: Any) -> FloatArray:
    """Return an area as one ring; holes and separate parts on seams of no width."""
    rings = []
    for polygon in getattr(area, "geoms", [area]):
        rings.append(_turned(polygon.exterior, is_left=True))
        rings += [_turned(ring, is_left=False) for ring in polygon.interiors]
    whole = rings[0]
    for ring in rings[1:]:
        # there, once around, and the same way back
        i, j = _nearest(whole, ring)
        loop = np.roll(ring, -j, axis=0)
        whole = np.vstack([whole[: i + 1], loop, loop[:1], whole[i:]])
    return whole


def _turned(ring: Any, *, is_left: bool) -> FloatArray:
    """Return the corners of a ring in one sense of rotation."""
    corners: FloatArray = np.asarray(ring.coords, dtype=np.float64)[:-1]
    return corners if ring.is_ccw == is_left else corners[::-1]


def _nearest(ring: FloatArray, other: FloatArray) -> tuple[int, int]:
    """Return which corners of two rings are next to each other."""
    best = (np.inf, 0, 0)
    for j, corner in enumerate(other):
        distances = np.hypot(*(ring - corner).T)
        i = int(distances.argmin())
        best = min(best, (float(distances[i]), i, j))
    return best[1], best[2]


def _shapely() -> Any:
    """Return the library that unites polygons."""
    try:
        return importlib.import_module("shapely")
    except ImportError as err:
        msg = (
            "Regions along paths and lines need the package shapely, which is not "
            "installed. Run: pip install shapely. Rectangles, ellipses and polygons "
            "work without it."
        )
        raise UnsupportedError(msg) from err
