"""Numbers of transforms: checked arrays, augmented matrices and their inverses."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatArray: TypeAlias = npt.NDArray[np.float64]


def float_array(value: npt.ArrayLike, argument: str) -> FloatArray:
    """Fresh float64 array of real numbers; text, None and complex are refused."""
    try:
        array = np.asarray(value)
    except ValueError as err:
        msg = f"{argument} is {value!r}; expected rows of equal length."
        raise ArgumentError(msg) from err
    is_real = array.dtype.kind in "biuf" or (
        array.dtype.kind == "O"
        and all(isinstance(item, numbers.Real) for item in array.flat)
    )
    if not is_real:
        msg = f"{argument} is {value!r}; expected real numbers."
        raise ArgumentTypeError(msg)
    try:
        return np.array(array, dtype=np.float64)
    except OverflowError as err:
        msg = f"{argument} holds a number too large for floating point."
        raise ArgumentError(msg) from err


def complete_matrix(matrix: FloatArray, n_axes: int) -> FloatArray:
    """Complete a matrix of any accepted shape to the augmented one."""
    last_row = np.append(np.zeros(n_axes), 1.0)
    if matrix.shape == (n_axes + 1, n_axes + 1):
        if not np.array_equal(matrix[-1], last_row):
            msg = (
                f"The last row of the augmented matrix is {matrix[-1].tolist()!r}; "
                f"expected {last_row.tolist()!r}."
            )
            raise ArgumentError(msg)
        return matrix
    if matrix.shape == (n_axes, n_axes):
        matrix = np.column_stack((matrix, np.zeros(n_axes)))
    if matrix.shape != (n_axes, n_axes + 1):
        msg = (
            f"The matrix has shape {matrix.shape}; expected ({n_axes}, {n_axes}), "
            f"({n_axes}, {n_axes + 1}) or ({n_axes + 1}, {n_axes + 1}) for "
            f"{n_axes} axes."
        )
        raise ArgumentError(msg)
    return np.vstack((matrix, last_row))


def invert_affine(
    matrix: FloatArray, input_axes: Sequence[str], output_axes: Sequence[str]
) -> FloatArray:
    """Find the inverse of an affine map, without the last row of zeros and a one.

    Parameters
    ----------
    matrix : ndarray of float64, (n_axes + 1, n_axes + 1)
        The augmented matrix.
    input_axes, output_axes : sequence of str, (n_axes,)
        Axis names for the message.

    Returns
    -------
    ndarray of float64, (n_axes, n_axes + 1)
        Linear map and translation.

    Raises
    ------
    ArgumentError
        If the linear map is singular to working precision, or a number not finite.
    """
    linear, translation = matrix[:-1, :-1], matrix[:-1, -1:]
    if not np.isfinite(matrix).all():
        msg = "its matrix is not finite."
        raise ArgumentError(msg)
    for axis, name in enumerate(output_axes):
        if not linear[axis].any():
            msg = f"output axis {name!r} is constant."
            raise ArgumentError(msg)
    for axis, name in enumerate(input_axes):
        if not linear[:, axis].any():
            msg = f"input axis {name!r} has no effect."
            raise ArgumentError(msg)
    # Axes may differ in size by many orders of magnitude and still be independent,
    # so rows and columns are brought to one size before judging.
    balanced = linear / np.abs(linear).max(axis=1, keepdims=True)
    balanced /= np.abs(balanced).max(axis=0, keepdims=True)
    if np.linalg.matrix_rank(balanced) < len(balanced):
        msg = "it is singular, so several input points share one output point."
        raise ArgumentError(msg)
    with np.errstate(over="ignore", invalid="ignore"):
        linear_inverse = np.linalg.inv(linear)
        inverse = np.hstack((linear_inverse, -linear_inverse @ translation))
    if not np.isfinite(inverse).all():
        msg = "the inverse is too large for floating point numbers."
        raise ArgumentError(msg)
    return inverse
