"""Geometries as outlines of regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

_AREAS: Final = ("Polygon", "MultiPolygon")


def outline_of(geometry: Any) -> npt.NDArray[np.float64] | None:
    """Return the corners of a polygon, or several, as one line.

    Parameters
    ----------
    geometry : object
        A polygon or multi-polygon of shapely, or anything else.

    Returns
    -------
    ndarray of float, (n, 2), or None
        x and y. The line goes to each ring and back the same way, so that a point is
        inside if a ray from it crosses the line an odd number of times; holes are
        outside. None for other geometries.
    """
    if getattr(geometry, "geom_type", None) not in _AREAS:
        return None
    rings = [np.asarray(ring.coords, float)[:, :2] for ring in _rings(geometry)]
    start = rings[0][:1]
    return np.concatenate([part for ring in rings for part in (ring, start)])


def _rings(geometry: Any) -> Iterator[Any]:
    for polygon in getattr(geometry, "geoms", [geometry]):
        yield polygon.exterior
        yield from polygon.interiors
