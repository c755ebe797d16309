"""Reading a region of one level: what to read, and where the block belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from ..coordinates import (
    AffineTransform,
    Box,
    CoordinateSpace,
    CoordinateTransform,
    Region,
    block_transform,
    region_to_soma_box,
    transform_region,
)
from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ._image_levels import channel_position, spatial_shape
from ._soma_coords import coords_to_box

if TYPE_CHECKING:
    from ._metadata import ImageSchema


@dataclass(frozen=True)
class SpatialRead:
    """A block of pixels and where it lies."""

    data: npt.NDArray[Any]
    """The pixels; data axis order unless another was asked for."""
    data_coordinate_space: CoordinateSpace
    """Space of the block's pixel indices: the image's axes."""
    output_coordinate_space: CoordinateSpace
    """Space in which the region was given."""
    coordinate_transform: CoordinateTransform
    """From pixel indices of the block to the output space."""

    def __post_init__(self) -> None:
        transform = self.coordinate_transform
        pairs = (
            ("data", self.data_coordinate_space, transform.input_axes),
            ("output", self.output_coordinate_space, transform.output_axes),
        )
        for name, space, axes in pairs:
            if space.axis_names != axes:
                msg = (
                    f"The {name} coordinate space has the axes {space.axis_names}, the "
                    f"transform {axes}"
                )
                raise ArgumentError(msg)


@dataclass(frozen=True, slots=True)
class RegionPlan:
    """What to read for a region, and how to arrange it."""

    start: tuple[int, ...]
    """First cell per stored axis."""
    stop: tuple[int, ...]
    """One past the last cell per stored axis."""
    channels: tuple[int, ...] | None
    """Channels to pick from the block, relative to ``start``; None for all."""
    transform: AffineTransform
    """From pixel indices of the block to the region's space."""
    output_space: CoordinateSpace
    """The region's space."""


def resolve_region_space(
    space: CoordinateSpace,
    to_level: AffineTransform,
    region_transform: Any,
    region_space: CoordinateSpace | None,
) -> tuple[AffineTransform, CoordinateSpace]:
    """Return the transform from the region's space to the level, and that space.

    Raises
    ------
    ArgumentError
        If axes or numbers of axes do not fit together.
    UnsupportedError
        If the transform is not affine.
    """
    if region_transform is None:
        if region_space is not None:
            msg = (
                "region_coord_space needs a region_transform, which says how that "
                "space lies on the image"
            )
            raise ArgumentError(msg)
        return to_level, space
    if not isinstance(region_transform, CoordinateTransform):
        msg = (
            "region_transform must be a CoordinateTransform, got "
            f"{type(region_transform).__name__}"
        )
        raise ArgumentTypeError(msg)
    if not isinstance(region_transform, AffineTransform):
        msg = (
            "region_transform must be an identity, scale or affine transform, got "
            f"{type(region_transform).__name__}"
        )
        raise UnsupportedError(msg)
    if region_space is None:
        region_space = CoordinateSpace.from_axis_names(region_transform.input_axes)
    elif len(region_space) != len(space):
        msg = f"region_coord_space has {len(region_space)} axes, the image {len(space)}"
        raise ArgumentError(msg)
    if region_transform.output_axes != space.axis_names:
        msg = (
            f"region_transform leads to the axes {region_transform.output_axes}; the "
            f"image has {space.axis_names}"
        )
        raise ArgumentError(msg)
    if region_space.axis_names != region_transform.input_axes:
        msg = (
            f"region_coord_space has the axes {region_space.axis_names}, but "
            f"region_transform starts from {region_transform.input_axes}"
        )
        raise ArgumentError(msg)
    # both are affine, so their product is
    return cast("AffineTransform", to_level @ region_transform), region_space


def plan_region(
    region: Any,
    region_to_level: AffineTransform,
    output_space: CoordinateSpace,
    channel_coords: Any,
    array_shape: tuple[int, ...],
    schema: ImageSchema,
    uri: str,
) -> RegionPlan:
    """Plan the read of a region.

    Parameters
    ----------
    region : None, sequence of 2 * n_axes float, or geometry with ``bounds``
        In the output space, coordinate axis order; None for everything.
    region_to_level : AffineTransform
        From the output space to the pixels of the level.
    output_space : CoordinateSpace
        Space in which the region is given.
    channel_coords : None, int, slice or sequence of int
        Channels; a slice includes both ends.
    array_shape : tuple of int
        Shape of the level's array, data axis order.
    schema : ImageSchema
        Axis order of the image.
    uri : str
        For messages.

    Raises
    ------
    RegionError
        If the region is malformed or does not overlap the level.
    ArgumentError, ArgumentTypeError
        If the channels make no sense.
    """
    box: Box | None = None
    if region is not None:
        bounds = Region.from_value(region, len(output_space))
        box = region_to_soma_box(
            transform_region(bounds, region_to_level),
            spatial_shape(array_shape, schema),
        )
    channel_axis = channel_position(schema)
    coords: list[Any] = [None] * len(array_shape)
    picked: tuple[int, ...] | None = None
    if channel_axis is not None:
        coords[channel_axis], picked = _channels(
            channel_coords, array_shape[channel_axis], uri
        )
    start, stop = (list(end) for end in coords_to_box(coords, array_shape, uri))
    if box is not None:
        for i, axis in enumerate(schema.data_axis_permutation):
            if i != channel_axis:
                start[i], stop[i] = box.start[axis], box.stop[axis]
    return RegionPlan(
        tuple(start),
        tuple(stop),
        picked,
        block_transform(region_to_level, box),
        output_space,
    )


def _channels(
    channel_coords: Any, count: int, uri: str
) -> tuple[Any, tuple[int, ...] | None]:
    """Return one SOMA coordinate that covers the channels, and which to pick."""
    if not isinstance(channel_coords, Sequence | np.ndarray) or isinstance(
        channel_coords, str | bytes
    ):
        return channel_coords, None
    picked = list(channel_coords)
    if not picked:
        msg = f"channel_coords is empty; give at least one channel of {uri!r}"
        raise ArgumentError(msg)
    for channel in picked:
        if not isinstance(channel, int | np.integer) or isinstance(channel, bool):
            msg = f"channel_coords must hold whole numbers, got {channel!r}"
            raise ArgumentTypeError(msg)
        if not 0 <= channel < count:
            msg = f"Channel {channel} is outside [0, {count}) of the image at {uri!r}"
            raise ArgumentError(msg)
    first, last = int(min(picked)), int(max(picked))
    return slice(first, last), tuple(int(channel) - first for channel in picked)


def arrange(
    block: npt.NDArray[Any],
    stored_order: tuple[str, ...],
    data_axis_order: Sequence[str] | None,
) -> npt.NDArray[Any]:
    """Return the block with its axes in the order asked for.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If that is not an arrangement of the stored axes.
    """
    if data_axis_order is None:
        return block
    wanted = check_axis_order(data_axis_order, stored_order)
    return block.transpose([stored_order.index(name) for name in wanted])


def check_axis_order(
    data_axis_order: Sequence[str], names: Sequence[str]
) -> tuple[str, ...]:
    """Return a data axis order if it holds each name once.

    Raises
    ------
    ArgumentError
        If it does not.
    ArgumentTypeError
        If it is not a sequence of names.
    """
    given: Any = data_axis_order
    if not isinstance(given, Sequence):
        msg = (
            f"data_axis_order must be a sequence of the names {tuple(names)}, got "
            f"{given!r}"
        )
        raise ArgumentTypeError(msg)
    order = tuple(given)
    if {*map(type, order)} != {str} or sorted(order) != sorted(names):
        msg = f"data_axis_order must hold each of {tuple(names)} once, got {order!r}"
        raise ArgumentError(msg)
    return order
