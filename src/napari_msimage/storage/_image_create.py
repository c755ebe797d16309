"""Making a new image: checked first, then all or nothing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..coordinates import coordinate_space_from, coordinate_space_to_json
from ..errors import ArgumentError
from ._datatypes import to_dtype
from ._group import MEMBERSHIP, GroupChange, commit
from ._group_create import new_group
from ._image_levels import channel_position
from ._layout import Layout, plan_layout
from ._level_places import check_level_uri, place_level
from ._metadata import (
    CHANNEL_AXIS,
    COORDINATE_SPACE,
    ENCODING_VERSION,
    IMAGE_SCHEMA,
    LEVEL_PREFIX,
    OBJECT_TYPE,
    SPATIAL_ENCODING_VERSION,
    SPATIAL_VERSION_WRITTEN,
    VERSION_WRITTEN,
    ImageSchema,
    MetadataValue,
    check_shape,
    shape_to_json,
)
from ._names import check_level_key
from ._soma_types import IMAGE_TYPE
from ._spatial_read import check_axis_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..coordinates import CoordinateSpace
    from ._clock import WriteClock
    from ._context import SOMATileDBContext


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Everything that `create` was asked for, checked."""

    space: CoordinateSpace
    """Coordinate space of the reference level."""
    schema: ImageSchema
    """Axis order, type and shape."""
    level_key: str
    """Key of the first level."""
    level_uri: str | None
    """Where the user wants the first level, or None."""
    layout: Layout
    """Storage settings of the first level."""


def check_spec(
    *,
    pixel_type: Any,
    level_shape: Any,
    level_key: Any,
    level_uri: Any,
    coordinate_space: Any,
    data_axis_order: Sequence[str] | None,
    has_channel_axis: bool,
    platform_config: Any,
) -> ImageSpec:
    """Check the arguments of `create`, writing nothing.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If one makes no sense.
    """
    space = coordinate_space_from(coordinate_space)
    names = [*space.axis_names, *([CHANNEL_AXIS] if has_channel_axis else [])]
    shape = check_shape(level_shape)
    if len(shape) != len(names):
        msg = (
            f"level_shape {shape} has {len(shape)} sizes; expected {len(names)}, one "
            f"for each of the axes {tuple(names)}"
        )
        raise ArgumentError(msg)
    if not len(space) <= 4:
        msg = f"An image has at most 4 spatial axes, got {space.axis_names}"
        raise ArgumentError(msg)
    order = names[::-1]
    if data_axis_order is not None:
        order = list(check_axis_order(data_axis_order, names))
    dtype = to_dtype(pixel_type)
    schema = ImageSchema(
        tuple(names.index(name) for name in order), bool(has_channel_axis), shape, dtype
    )
    layout = plan_layout(shape, dtype, channel_position(schema), platform_config)
    return ImageSpec(
        space, schema, check_level_key(level_key), check_level_uri(level_uri), layout
    )


def create_image(
    spec: ImageSpec, address: str, context: SOMATileDBContext, clock: WriteClock
) -> None:
    """Write a new image with its first level, pixels not written yet.

    A local image is made beside its place and renamed into it.

    Raises
    ------
    AlreadyExistsError
        If something is stored at the address.
    SOMAError
        If writing fails; then nothing is left behind.
    """
    # a level outside the image's folder goes again when anything fails
    with ExitStack() as undo, new_group(address, context, "image") as target:
        _build(spec, target, address, context, clock, undo)


def _build(
    spec: ImageSpec,
    target: str,
    address: str,
    context: SOMATileDBContext,
    clock: WriteClock,
    undo: ExitStack,
) -> None:
    schema, ctx = spec.schema, context.tiledb_ctx(address)
    entries: dict[str, MetadataValue] = {
        OBJECT_TYPE: IMAGE_TYPE,
        ENCODING_VERSION: VERSION_WRITTEN,
        SPATIAL_ENCODING_VERSION: SPATIAL_VERSION_WRITTEN,
        COORDINATE_SPACE: coordinate_space_to_json(spec.space),
        IMAGE_SCHEMA: schema.to_json(),
        LEVEL_PREFIX + spec.level_key: shape_to_json(schema.shape),
    }
    names = [*entries, MEMBERSHIP]
    stamp = clock.for_names(address, names)
    place = place_level(
        spec.level_key,
        spec.level_uri,
        schema.shape,
        schema.dtype,
        spec.layout,
        target=target,
        address=address,
        context=context,
        timestamp_ms=clock.base_ms,
    )
    change = GroupChange(add=(undo.enter_context(place),), set_metadata=entries)
    clock.note_names(address, names, commit(target, change, ctx, stamp))
