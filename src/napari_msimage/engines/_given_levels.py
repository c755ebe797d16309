"""Levels that are given as arrays, checked against each other and the format."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..coordinates import CoordinateSpace
from ..errors import ArgumentError, ArgumentTypeError
from ..storage import CHANNEL_AXIS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._pixel_source import PixelSource


@dataclass(frozen=True, slots=True)
class GivenLevels:
    """What levels are given, and how an image holds them."""

    keys: tuple[str, ...]
    """Level keys, finest first."""
    shapes: tuple[tuple[int, ...], ...]
    """Level shapes, data axis order, finest first."""
    dtype: np.dtype[Any]
    """Pixel type as stored, native byte order."""
    coordinate_space: CoordinateSpace
    """Spatial axes with units."""
    data_axis_order: tuple[str, ...]
    """Axis names as stored, the channel axis as ``soma_channel``."""


def check_given(
    levels: Sequence[PixelSource],
    *,
    coordinate_space: CoordinateSpace | Sequence[str] = ("x", "y"),
    data_axis_order: Sequence[str] | None = None,
    has_channel_axis: bool = True,
    level_keys: Sequence[str] | None = None,
) -> GivenLevels:
    """Check levels against each other and against the format, without their pixels.

    Parameters and errors are those of `write_image`.
    """
    if not isinstance(coordinate_space, CoordinateSpace):
        coordinate_space = CoordinateSpace.from_axis_names(tuple(coordinate_space))
    order = _axis_order(coordinate_space, data_axis_order, has_channel_axis)
    if not levels:
        msg = "No levels given; an image needs at least one."
        raise ArgumentError(msg)
    keys = tuple(level_keys or (f"level{i}" for i in range(len(levels))))
    if len(keys) != len(levels) or len(set(keys)) != len(keys):
        msg = f"Expected {len(levels)} different level keys, got {keys!r}"
        raise ArgumentError(msg)
    shapes = [
        _source_shape(key, level) for key, level in zip(keys, levels, strict=True)
    ]
    dtype = np.dtype(levels[0].dtype).newbyteorder("=")
    if dtype.kind == "M":
        msg = f"Cannot write {dtype} pixels; convert them to int64 first."
        raise ArgumentTypeError(msg)
    if dtype.kind not in "iuf" or dtype.itemsize not in (1, 2, 4, 8) or dtype == "f2":
        msg = (
            f"Unsupported pixel type {dtype}; images hold integers of 8 to 64 bits, "
            "float32 and float64. Convert the pixels first."
        )
        raise ArgumentTypeError(msg)
    for key, level in zip(keys, levels, strict=True):
        if np.dtype(level.dtype).newbyteorder("=") != dtype:
            msg = (
                f"Level {key!r} has dtype {level.dtype}, level {keys[0]!r} has "
                f"{dtype}. All levels must share one dtype."
            )
            raise ArgumentTypeError(msg)
    _check_shapes(keys, shapes, order)
    return GivenLevels(keys, tuple(shapes), dtype, coordinate_space, order)


def _axis_order(
    space: CoordinateSpace, order: Sequence[str] | None, has_channel_axis: bool
) -> tuple[str, ...]:
    names = (
        *((CHANNEL_AXIS,) if has_channel_axis else ()),
        *reversed(space.axis_names),
    )
    if order is None:
        return names
    if isinstance(order, str) or sorted(order) != sorted(names):
        msg = f"data_axis_order must name each of {names!r} once, got {order!r}"
        raise ArgumentError(msg)
    return tuple(order)


def _source_shape(key: str, level: PixelSource) -> tuple[int, ...]:
    missing = [a for a in ("shape", "dtype", "__getitem__") if not hasattr(level, a)]
    if missing:
        msg = (
            f"Level {key!r} must be an array; {type(level).__name__} has no "
            f"{', '.join(missing)}."
        )
        raise ArgumentTypeError(msg)
    return tuple(int(size) for size in level.shape)


def _check_shapes(
    keys: Sequence[str], shapes: Sequence[tuple[int, ...]], order: Sequence[str]
) -> None:
    axes = f"({', '.join(order)})"
    for key, shape in zip(keys, shapes, strict=True):
        if len(shape) != len(order) or min(shape) < 1:
            msg = (
                f"Level {key!r} has shape {shape}; expected {len(order)} sizes of at "
                f"least 1 for the axes {axes}."
            )
            raise ArgumentError(msg)
    channel = order.index(CHANNEL_AXIS) if CHANNEL_AXIS in order else None
    finer_levels = zip(keys, shapes, strict=True)
    for (finer_key, finer), (key, shape) in pairwise(finer_levels):
        if channel is not None and finer[channel] != shape[channel]:
            msg = (
                f"Level {key!r} has {shape[channel]} channels; level {finer_key!r} has "
                f"{finer[channel]}. All levels must share the channel count."
            )
            raise ArgumentError(msg)
        if shape == finer or any(a > b for a, b in zip(shape, finer, strict=True)):
            msg = (
                f"Level {key!r} has shape {shape}, level {finer_key!r} before it "
                f"{finer}, axes {axes}. Levels go from the finest to the coarsest: "
                "each must be smaller along one axis and larger along none."
            )
            raise ArgumentError(msg)
