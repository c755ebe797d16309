"""Boxes of whole pixels, and where a block that was read from one belongs."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ._transforms import AffineTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._transforms import CoordinateTransform


@dataclass(frozen=True, slots=True)
class Box:
    """Whole pixels of a level, half-open ``[start, stop)``.

    Parameters
    ----------
    start, stop : sequence of int, (n_axes,)
        First pixel, and one past the last, coordinate axis order; never negative.

    Raises
    ------
    ArgumentError
        If the corners differ in length or are not ``0 <= start <= stop``.
    ArgumentTypeError
        If they are not sequences of integers.
    """

    start: tuple[int, ...]
    """First pixel per axis, coordinate axis order."""
    stop: tuple[int, ...]
    """One past the last pixel per axis, coordinate axis order."""

    def __post_init__(self) -> None:
        start, stop = integers(self.start), integers(self.stop)
        in_order = len(start) == len(stop) and all(
            0 <= low <= high for low, high in zip(start, stop, strict=True)
        )
        if not in_order:
            msg = (
                f"A box got start {start!r} and stop {stop!r}; expected "
                "0 <= start <= stop on every axis."
            )
            raise ArgumentError(msg)
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "stop", stop)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels per axis, coordinate axis order."""
        return tuple(
            high - low for low, high in zip(self.start, self.stop, strict=True)
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel in it."""
        return 0 in self.shape

    def to_slices(self, axis_permutation: Sequence[int]) -> tuple[slice, ...]:
        """Half-open slices in data axis order.

        Parameters
        ----------
        axis_permutation : sequence of int, (ndim,)
            For each stored dimension the position of its axis in the coordinate
            space; n_axes stands for the channel axis, which is taken whole.

        Returns
        -------
        tuple of slice, (ndim,)
            For indexing an array in data axis order.

        Raises
        ------
        ArgumentError
            If the positions are not each of the box's axes once, and at most one
            channel axis.

        Examples
        --------
        >>> Box((2, 3), (5, 9)).to_slices((2, 1, 0))
        (slice(None, None, None), slice(3, 9, None), slice(2, 5, None))
        """
        n_axes = len(self.start)
        order = tuple(axis_permutation)
        if sorted(order) not in (list(range(n_axes)), list(range(n_axes + 1))):
            msg = (
                f"The axis permutation is {order!r}; expected each of 0 to "
                f"{n_axes - 1} once, and {n_axes} at most once for the channel axis."
            )
            raise ArgumentError(msg)
        slices = [
            *(slice(lo, hi) for lo, hi in zip(self.start, self.stop, strict=True)),
            slice(None),
        ]
        return tuple(slices[axis] for axis in order)


def block_transform(
    region_to_level: CoordinateTransform, box: Box | None = None
) -> AffineTransform:
    """Transform from pixel indices of a block that was read to the region's space.

    Parameters
    ----------
    region_to_level : AffineTransform
        From the space of the region to the pixels of the level; or a special case.
    box : Box, optional
        The pixels that were read; None for the whole level.

    Returns
    -------
    AffineTransform
        Of the class of `region_to_level` if the block starts at the level's first
        pixel, otherwise a general affine transform.

    Raises
    ------
    ArgumentError
        If the numbers of axes differ, or the transform has no inverse.
    UnsupportedError
        If the transform is of another kind.
    """
    if not isinstance(region_to_level, AffineTransform):
        msg = (
            f"A region cannot be read through {type(region_to_level).__name__}; "
            "expected an affine transform, a scale or the identity."
        )
        raise UnsupportedError(msg)
    if box is None or not any(box.start):
        return region_to_level.inverse_transform()
    axes = region_to_level.output_axes
    if len(box.start) != len(axes):
        msg = f"{box!r} has {len(box.start)} axes; the level has {axes!r}."
        raise ArgumentError(msg)
    to_block = np.eye(len(axes) + 1)
    to_block[:-1, -1] = [-first for first in box.start]
    matrix = to_block @ region_to_level.augmented_matrix
    shifted = AffineTransform(region_to_level.input_axes, axes, matrix)
    return shifted.inverse_transform()


def integers(values: Any) -> tuple[int, ...]:
    """Python ints from a sequence of integers."""
    try:
        items = tuple(values)
        if any(isinstance(item, (bool, np.bool_)) for item in items):
            raise TypeError
        return tuple(operator.index(item) for item in items)
    except TypeError as err:
        msg = f"Got {values!r}; expected a sequence of integers, one per axis."
        raise ArgumentTypeError(msg) from err
