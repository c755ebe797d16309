"""Where a layer lies: napari's transforms and SOMA's, in numbers; numpy alone.

napari maps indices to world coordinates, the centre of pixel i being i::

    world = A @ index

This is the one place where the half pixel between the two is added or taken away.

SOMA maps scene coordinates to image coordinates, where pixel i covers ``[i, i + 1)``;
scene coordinates are napari's world coordinates with the axes reversed::

    image = inverse(A) @ world + 1/2

Matrices are augmented, (n_axes + 1, n_axes + 1), axes in napari's order (z, y, x),
unless a name says otherwise. What a change of coordinates rounds is kept below 1e-9 of
an image's extent: inverses are exact up to one rounding, however large a translation.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ..coordinates import (
    AffineTransform,
    CoordinateTransform,
    IdentityTransform,
    ScaleTransform,
    UniformScaleTransform,
)
from ..errors import ArgumentError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatArray: TypeAlias = npt.NDArray[np.float64]
_Exact: TypeAlias = "list[list[Fraction]]"

_HALF: Final = Fraction(1, 2)
#: Offsets below this many pixels come from rounding.
_NO_OFFSET: Final = Fraction(1, 10**12)
#: Transforms that differ by less, in pixels per pixel, are the same.
_SAME: Final = 1e-9
_EPS: Final = float(np.finfo(np.float64).eps)


def check_matrix(matrix: npt.ArrayLike, subject: str) -> FloatArray:
    """Return a data-to-world matrix that can be inverted.

    Parameters
    ----------
    matrix : array_like, (n_axes + 1, n_axes + 1)
        Augmented.
    subject : str
        What has the transform, to begin the message with.

    Raises
    ------
    ArgumentError
        If a number is not finite, or the matrix is singular.
    """
    array: FloatArray = np.array(matrix, dtype=np.float64)
    if not np.isfinite(array).all():
        msg = (
            f"{subject} has a transform with numbers that are not finite: "
            f"{array.tolist()}. Correct its scale, translate or affine first."
        )
        raise ArgumentError(msg)
    names = [str(axis) for axis in range(len(array) - 1)]
    try:
        AffineTransform(names, names, array).inverse_transform()
    except ArgumentError as err:
        msg = (
            f"{subject} has a singular transform, which flattens it: {array.tolist()}. "
            "Give each axis a scale other than 0 first."
        )
        raise ArgumentError(msg) from err
    return array


def is_pixel_grid(matrix: FloatArray) -> bool:
    """Tell whether world coordinates are pixels: scale 1, translate all 0 or all 1/2.

    Both are where an image alone may lie: napari starts a new layer at 0, and SOMA's
    image coordinates put the centre of pixel 0 at 1/2.
    """
    n_axes = len(matrix) - 1
    plain = (np.eye(n_axes + 1), image_matrix(n_axes))
    return any(np.array_equal(matrix, one) for one in plain)


def image_matrix(n_axes: int) -> FloatArray:
    """Return the data-to-world matrix that puts world into image coordinates.

    An image in no scene lies so: its edge is at 0, the centre of its first pixel at
    1/2.
    """
    return augmented(np.eye(n_axes), np.full(n_axes, float(_HALF)))


def matrix_to_transform(
    matrix: FloatArray, scene_axes: Sequence[str], image_axes: Sequence[str]
) -> CoordinateTransform:
    """Return the transform from scene to image coordinates.

    Parameters
    ----------
    matrix : ndarray, (n_axes + 1, n_axes + 1)
        napari's data to world; checked.
    scene_axes, image_axes : sequence of str, (n_axes,)
        Axis names in coordinate axis order: napari's reversed.

    Returns
    -------
    CoordinateTransform
        Identity or a scale where it is exactly that, else affine.
    """
    n_axes = len(matrix) - 1
    inverse = _inverse(_reversed(matrix))
    assert inverse is not None, "the matrix was checked"
    offsets = [row[n_axes] + _HALF for row in inverse[:-1]]
    linear = _to_floats([row[:n_axes] for row in inverse[:-1]])
    is_diagonal = np.array_equal(linear, np.diag(np.diag(linear)))
    if not is_diagonal or any(abs(offset) > _NO_OFFSET for offset in offsets):
        whole = np.column_stack((linear, [float(offset) for offset in offsets]))
        return AffineTransform(scene_axes, image_axes, whole)
    factors = np.diag(linear)
    if (factors == 1).all():
        return IdentityTransform(scene_axes, image_axes)
    if (factors == factors[0]).all():
        return UniformScaleTransform(scene_axes, image_axes, float(factors[0]))
    return ScaleTransform(scene_axes, image_axes, factors)


def transform_to_matrix(transform: CoordinateTransform) -> FloatArray:
    """Return napari's data-to-world matrix of a transform from scene to image.

    Inverse of `matrix_to_transform`.

    Raises
    ------
    ArgumentError
        If the transform cannot be inverted.
    UnsupportedError
        If it is not affine.
    """
    if not isinstance(transform, AffineTransform):
        msg = f"A {type(transform).__name__} cannot place a layer; affine ones can."
        raise UnsupportedError(msg)
    matrix = transform.augmented_matrix
    inverse = _inverse(matrix) if np.isfinite(matrix).all() else None
    if inverse is None:
        msg = (
            f"The transform {matrix.tolist()} from the scene to the image cannot be "
            "inverted, so that the image has no place in the scene."
        )
        raise ArgumentError(msg)
    n_axes = len(matrix) - 1
    for row in inverse[:-1]:
        row[n_axes] += _HALF * sum(row[:n_axes], Fraction(0))
    return _reversed(_to_floats(inverse))


def level_matrix(
    matrix: FloatArray, finest: Sequence[int], level: Sequence[int]
) -> FloatArray:
    """Return the data-to-world matrix of a coarser level that covers the same extent.

    Parameters
    ----------
    matrix : ndarray, (n_axes + 1, n_axes + 1)
        Of the finest level.
    finest, level : sequence of int, (n_axes,)
        Shapes, without colours.
    """
    factors = np.divide(finest, level)
    return matrix @ augmented(np.diag(factors), level_offset(factors))


def level_offset(factors: npt.ArrayLike) -> FloatArray:
    """Return where the centre of a coarser level's first pixel is.

    Parameters
    ----------
    factors : array_like of float, (n_axes,)
        Finest size divided by the level's.

    Returns
    -------
    ndarray, (n_axes,)
        In indices of the finest level: as far from its first centre as half a pixel of
        the level is larger than half a pixel of the finest.
    """
    offset: FloatArray = (np.asarray(factors, np.float64) - 1) * float(_HALF)
    return offset


def convert_world(matrix: FloatArray, factors: Sequence[float]) -> FloatArray:
    """Return a data-to-world matrix with world coordinates in other units.

    Parameters
    ----------
    matrix : ndarray, (n_axes + 1, n_axes + 1)
        In the old units.
    factors : sequence of float, (n_axes,)
        New units per old unit.
    """
    converted: FloatArray = np.append(np.asarray(factors, float), 1.0)[:, None] * matrix
    return converted


def augmented(linear: npt.ArrayLike, translate: npt.ArrayLike) -> FloatArray:
    """Return the augmented matrix of a linear map and a translation."""
    linear = np.asarray(linear, dtype=np.float64)
    matrix = np.eye(len(linear) + 1)
    matrix[:-1, :-1] = linear
    matrix[:-1, -1] = translate
    return matrix


def is_same_place(one: FloatArray, other: FloatArray) -> bool:
    """Tell whether two data-to-world matrices differ by rounding only.

    Parameters
    ----------
    one, other : ndarray, (n_axes + 1, n_axes + 1)
        Finite, and invertible.
    """
    if one.shape != other.shape:
        return False
    inverse = _inverse(one)
    if inverse is None:
        return False
    back = _to_floats(inverse)
    n_axes = len(one) - 1
    change = back @ other - np.eye(n_axes + 1)
    # what rounding of the stored numbers may amount to, in pixels
    rounding = 64 * _EPS * (np.abs(back) @ np.abs(other)).max(axis=1)
    return bool((np.abs(change).max(axis=1) <= _SAME + rounding).all())


# Exact inverses -------------------------------------------------------------------


def _inverse(matrix: FloatArray) -> _Exact | None:
    """Return the exact inverse, None for a singular matrix; finite numbers only."""
    n = len(matrix)
    rows = [
        [Fraction(float(v)) for v in row] + [Fraction(int(i == j)) for j in range(n)]
        for i, row in enumerate(matrix)
    ]
    for column in range(n):
        pivot = max(range(column, n), key=lambda i: abs(rows[i][column]))
        if rows[pivot][column] == 0:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        head = rows[column][column]
        rows[column] = [value / head for value in rows[column]]
        for i in range(n):
            if i != column and (factor := rows[i][column]):
                rows[i] = [
                    a - factor * b for a, b in zip(rows[i], rows[column], strict=True)
                ]
    return [row[n:] for row in rows]


def _to_floats(rows: _Exact) -> FloatArray:
    """Return exact numbers rounded; infinity for those too large."""
    return np.array([[_to_float(value) for value in row] for row in rows])


def _to_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _reversed(matrix: FloatArray) -> FloatArray:
    """Return the matrix with the order of the axes reversed on both sides."""
    n_axes = len(matrix) - 1
    order = [*range(n_axes - 1, -1, -1), n_axes]
    return matrix[np.ix_(order, order)]
