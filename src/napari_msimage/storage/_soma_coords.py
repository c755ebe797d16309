"""SOMA's arguments of ``open`` and ``read``: mode, order, closed coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from ._soma_object import OpenMode


def check_mode(mode: Any) -> OpenMode:
    """Return the mode of an ``open``.

    Raises
    ------
    ArgumentError
        If it is not ``"r"``, ``"w"`` or ``"d"``.
    """
    if mode not in ("r", "w", "d"):
        msg = f"mode must be 'r' (read), 'w' (write) or 'd' (delete), got {mode!r}"
        raise ArgumentError(msg)
    return cast("OpenMode", mode)


def check_result_order(result_order: Any) -> bool:
    """Tell whether results are wanted in column-major order.

    Raises
    ------
    ArgumentError
        If it is neither ``"row-major"`` nor ``"column-major"``.
    """
    value = getattr(result_order, "value", result_order)
    if value not in ("row-major", "column-major"):
        msg = f"result_order must be 'row-major' or 'column-major', got {value!r}"
        raise ArgumentError(msg)
    return bool(value == "column-major")


def coords_to_box(
    coords: Any, shape: Sequence[int], uri: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Convert one coordinate per dimension to ``[start, stop)``.

    Parameters
    ----------
    coords : sequence of None, int or slice
        Data axis order; missing ones mean everything. A slice includes BOTH ends, as
        SOMA specifies, and is clipped to the array.
    shape : sequence of int
        Shape of the array.
    uri : str
        For messages.

    Returns
    -------
    start, stop : tuple of int
        Never empty.

    Raises
    ------
    ArgumentTypeError
        If a coordinate is of another type.
    ArgumentError
        If there are too many, one is out of range, or a slice is empty or stepped.
    """
    if (
        coords is None
        or isinstance(coords, str | bytes)
        or not isinstance(coords, Sequence)
    ):
        msg = f"coords must be a sequence with one entry per dimension, got {coords!r}"
        raise ArgumentTypeError(msg)
    if len(coords) > len(shape):
        msg = (
            f"{len(coords)} coordinates given for the array at {uri!r}, which has "
            f"{len(shape)} dimensions"
        )
        raise ArgumentError(msg)
    padded = [*coords, *[None] * (len(shape) - len(coords))]
    bounds = [
        _interval(coord, size, dim, uri)
        for dim, (coord, size) in enumerate(zip(padded, shape, strict=True))
    ]
    return tuple(b[0] for b in bounds), tuple(b[1] for b in bounds)


def _interval(coord: Any, size: int, dim: int, uri: str) -> tuple[int, int]:
    if coord is None:
        return 0, size
    if isinstance(coord, int | np.integer):
        if not 0 <= coord < size:
            msg = (
                f"Coordinate {int(coord)} of dimension {dim} is outside [0, {size}) of "
                f"the array at {uri!r}"
            )
            raise ArgumentError(msg)
        return int(coord), int(coord) + 1
    if not isinstance(coord, slice) or not all(
        end is None or isinstance(end, int | np.integer)
        for end in (coord.start, coord.stop)
    ):
        msg = (
            f"A coordinate must be None, an int or a slice of ints, got {coord!r} for "
            f"dimension {dim} of the array at {uri!r}"
        )
        raise ArgumentTypeError(msg)
    if coord.step is not None:
        msg = f"Slices with a step are not supported, got {coord!r} for dimension {dim}"
        raise ArgumentError(msg)
    start = 0 if coord.start is None else int(coord.start)
    stop = size if coord.stop is None else min(int(coord.stop) + 1, size)
    if start < 0 or stop <= start:
        msg = (
            f"{coord!r} selects nothing of dimension {dim} (size {size}) of the array "
            f"at {uri!r}; slices include both ends, with 0 <= start <= stop"
        )
        raise ArgumentError(msg)
    return start, stop


def box_to_slices(start: Sequence[int], stop: Sequence[int]) -> tuple[slice, ...]:
    """Return a half-open box as Python slices."""
    return tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
