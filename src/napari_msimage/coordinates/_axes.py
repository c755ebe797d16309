"""Axes and the coordinate spaces that are made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

from ..errors import ArgumentError, ArgumentTypeError

RESERVED_PREFIX = "soma_"
"""Axis names may not start with this: the format keeps such names for itself."""


def axis_names_from(value: object, argument: str) -> tuple[str, ...]:
    """Tuple of axis names from a string (one name, as upstream has it) or iterable.

    Parameters
    ----------
    value : object
        What the caller passed.
    argument : str
        Name of the argument, for the message.

    Raises
    ------
    ArgumentTypeError
        If it is neither a string nor an iterable of strings.
    ArgumentError
        If there are no names.
    """
    if isinstance(value, str):
        return (str(value),)
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        msg = (
            f"{argument} is {value!r}; expected an axis name or a sequence of axis "
            "names such as ('x', 'y')."
        )
        raise ArgumentTypeError(msg)
    names = tuple(value)
    for position, name in enumerate(names):
        if not isinstance(name, str):
            msg = (
                f"{argument} has {name!r} ({type(name).__name__}) at position "
                f"{position}; expected axis names as strings."
            )
            raise ArgumentTypeError(msg)
    if not names:
        msg = f"{argument} is empty; expected at least one axis name."
        raise ArgumentError(msg)
    return tuple(str(name) for name in names)


@dataclass(frozen=True, slots=True)
class Axis:
    """One named dimension of a coordinate space.

    Parameters
    ----------
    name : str
        Any string that does not start with ``soma_``.
    unit : str, optional
        Unit of the numbers along the axis, such as ``"um"``; None if not known.

    Raises
    ------
    ArgumentError
        If the name starts with ``soma_``.
    ArgumentTypeError
        If the name is not a string, or the unit neither a string nor None.
    """

    name: str
    """Name of the axis, unique in its space."""
    unit: str | None = None
    """Unit of the axis, None if not known."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            msg = (
                f"Axis name is {self.name!r} ({type(self.name).__name__}); "
                "expected a string."
            )
            raise ArgumentTypeError(msg)
        if self.name.startswith(RESERVED_PREFIX):
            msg = (
                f"Axis name {self.name!r} starts with {RESERVED_PREFIX!r}, which the "
                "format keeps for itself; choose another name."
            )
            raise ArgumentError(msg)
        if self.unit is not None and not isinstance(self.unit, str):
            msg = (
                f"Unit of axis {self.name!r} is {self.unit!r} "
                f"({type(self.unit).__name__}); expected a string or None."
            )
            raise ArgumentTypeError(msg)


@dataclass(frozen=True, slots=True)
class CoordinateSpace(Sequence[Axis]):
    """Ordered axes with their units; a sequence of `Axis`.

    Parameters
    ----------
    axes : iterable of Axis, (n_axes,)
        At least one, with unique names. Their order is the coordinate axis order.

    Raises
    ------
    ArgumentError
        If there is no axis, or two share a name.
    ArgumentTypeError
        If something in it is not an `Axis`.

    Examples
    --------
    >>> space = CoordinateSpace((Axis("x", "um"), Axis("y", "um")))
    >>> space.axis_names
    ('x', 'y')
    """

    axes: tuple[Axis, ...]
    """The axes in coordinate axis order."""

    def __post_init__(self) -> None:
        if not isinstance(self.axes, Iterable):
            msg = (
                f"Axes of a coordinate space are {self.axes!r}; expected a sequence "
                "of Axis."
            )
            raise ArgumentTypeError(msg)
        axes = tuple(self.axes)
        for position, axis in enumerate(axes):
            if not isinstance(axis, Axis):
                msg = (
                    f"A coordinate space got {axis!r} at position {position}; expected "
                    "an Axis. For bare names, use CoordinateSpace.from_axis_names."
                )
                raise ArgumentTypeError(msg)
        if not axes:
            msg = "A coordinate space got no axes; expected at least one."
            raise ArgumentError(msg)
        names = [axis.name for axis in axes]
        if len(set(names)) != len(names):
            msg = f"Axis names of a coordinate space are {names!r}; they must differ."
            raise ArgumentError(msg)
        object.__setattr__(self, "axes", axes)

    @classmethod
    def from_axis_names(cls, axis_names: Iterable[str]) -> CoordinateSpace:
        """Coordinate space with these axis names and no units.

        Parameters
        ----------
        axis_names : iterable of str, (n_axes,)
            Names in coordinate axis order. Of a plain string every character is a
            name, as upstream has it: ``"xy"`` gives x and y.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            As for `Axis` and `CoordinateSpace`.
        """
        if not isinstance(axis_names, Iterable):
            msg = f"axis_names is {axis_names!r}; expected a sequence of axis names."
            raise ArgumentTypeError(msg)
        return cls(tuple(Axis(name) for name in axis_names))

    @property
    def axis_names(self) -> tuple[str, ...]:
        """Names of the axes in coordinate axis order."""
        return tuple(axis.name for axis in self.axes)

    def __len__(self) -> int:
        return len(self.axes)

    @overload
    def __getitem__(self, index: int) -> Axis: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Axis, ...]: ...
    def __getitem__(self, index: int | slice) -> Axis | tuple[Axis, ...]:
        return self.axes[index]


def coordinate_space_from(value: object) -> CoordinateSpace:
    """Coordinate space from itself, or from axis names.

    Parameters
    ----------
    value : CoordinateSpace or iterable of str, (n_axes,)
        Coordinate axis order; names have no units.

    Raises
    ------
    ArgumentTypeError
        If it is neither.
    ArgumentError
        If the axes do not make a coordinate space.
    """
    if isinstance(value, CoordinateSpace):
        return value
    if not isinstance(value, Iterable):
        msg = (
            "coordinate_space must be a CoordinateSpace or a sequence of axis names, "
            f"got {value!r}"
        )
        raise ArgumentTypeError(msg)
    return CoordinateSpace.from_axis_names(value)
