"""Making a new image: checked first, then all or nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..coordinates import Axis, CoordinateSpace, coordinate_space_to_json
from ..errors import AlreadyExistsError, ArgumentError, ArgumentTypeError
from ._array_schema import create_array
from ._context import SOMATileDBContext, is_local, normalize_uri, storage_errors
from ._datatypes import to_dtype
from ._dense_array import DenseNDArray
from ._group import (
    STAGING_MARK,
    GroupChange,
    Member,
    commit,
    create_group,
    sync_folder,
)
from ._image_levels import channel_position
from ._layout import Layout, plan_layout
from ._metadata import (
    CHANNEL_AXIS,
    COORDINATE_SPACE,
    ENCODING_VERSION,
    IMAGE_SCHEMA,
    IMAGE_TYPE,
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
from ._names import check_level_key, directory_name
from ._probe import kind_of
from ._spatial_read import check_axis_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from ._clock import WriteClock


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
    level_uri: str | None,
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
    space = _coordinate_space(coordinate_space)
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
    return ImageSpec(space, schema, check_level_key(level_key), level_uri, layout)


def _coordinate_space(value: Any) -> CoordinateSpace:
    if isinstance(value, CoordinateSpace):
        return value
    try:
        names = tuple(value)
    except TypeError as err:
        msg = (
            "coordinate_space must be a CoordinateSpace or a sequence of axis names, "
            f"got {value!r}"
        )
        raise ArgumentTypeError(msg) from err
    return CoordinateSpace(tuple(Axis(name) for name in names))


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
    kind = kind_of(address, context.tiledb_ctx(address))
    if kind not in ("missing", "folder"):
        msg = (
            f"Cannot create an image at {address!r}: something ({kind}) is already there. "
            "Choose another place, or remove it first."
        )
        raise AlreadyExistsError(msg)
    with storage_errors("create the image", address):
        if not is_local(address):
            _build(spec, address, address, context, clock)
            return
        parent = os.path.dirname(address)
        os.makedirs(parent, exist_ok=True)
        staged = os.path.join(
            parent, f"{os.path.basename(address)}.{STAGING_MARK}{uuid.uuid4().hex}"
        )
        try:
            _build(spec, staged, address, context, clock)
            _move(staged, address)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        sync_folder(parent)


def _build(
    spec: ImageSpec,
    target: str,
    address: str,
    context: SOMATileDBContext,
    clock: WriteClock,
) -> None:
    schema, ctx = spec.schema, context.tiledb_ctx(address)
    create_group(target, ctx)
    entries: dict[str, MetadataValue] = {
        OBJECT_TYPE: IMAGE_TYPE,
        ENCODING_VERSION: VERSION_WRITTEN,
        SPATIAL_ENCODING_VERSION: SPATIAL_VERSION_WRITTEN,
        COORDINATE_SPACE: coordinate_space_to_json(spec.space),
        IMAGE_SCHEMA: schema.to_json(),
        LEVEL_PREFIX + spec.level_key: shape_to_json(schema.shape),
    }
    stamp = clock.for_names(address, [*entries, spec.level_key])
    with level_array(
        spec.level_key,
        spec.level_uri,
        schema.shape,
        schema.dtype,
        spec.layout,
        target=target,
        address=address,
        context=context,
        timestamp_ms=clock.base_ms,
    ) as member:
        commit(target, GroupChange(add=(member,), set_metadata=entries), ctx, stamp)


def _move(staged: str, address: str) -> None:
    """Rename into place; into an existing plain folder entry by entry."""
    if not os.path.isdir(address) or not os.listdir(address):
        os.rename(staged, address)
        return
    names = sorted(os.listdir(staged), key=lambda name: name == "__tiledb_group.tdb")
    for name in names:
        if os.path.lexists(os.path.join(address, name)):
            msg = f"Cannot create an image in {address!r}: it already holds {name!r}"
            raise AlreadyExistsError(msg)
    for name in names:  # what makes the folder a group comes last
        os.rename(os.path.join(staged, name), os.path.join(address, name))


# Where a level's array goes -----------------------------------------------------


@contextlib.contextmanager
def level_array(
    key: str,
    uri: str | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    layout: Layout,
    *,
    target: str,
    address: str,
    context: SOMATileDBContext,
    timestamp_ms: int,
) -> Iterator[Member]:
    """Make the array of a level, or check the existing one that serves as it.

    A new array is removed again when the body of the ``with`` fails.

    Parameters
    ----------
    key : str
        Level key.
    uri : str or None
        The user's wish: relative text is a directory inside the image, anything else
        stands for itself; None for the directory named after the key.
    shape : tuple of int
        Shape of the level, data axis order.
    dtype : numpy.dtype
        Pixel type.
    layout : Layout
        Storage settings of a new array.
    target, address : str
        Where the group is now, and where it will be: a new image is made beside its
        place.
    context : SOMATileDBContext
        TileDB configuration.
    timestamp_ms : int
        Timestamp of what is written.

    Yields
    ------
    Member
        As it is to be stored in the group.
    """
    ctx = context.tiledb_ctx(address)
    if uri is None:
        name = directory_name(key, lambda n: kind_of(f"{target}/{n}", ctx) != "missing")
        member = relative_member(key, name, address)
    elif is_local(uri) and not uri.startswith("file://") and not os.path.isabs(uri):
        member = relative_member(key, uri.rstrip("/"), address)
    else:
        final = normalize_uri(uri)
        member = Member(key, final, is_relative=False, stored=final)
    final = member.uri
    if final in (address, target):
        msg = f"The level {key!r} cannot be stored in the image's own folder {final!r}"
        raise ArgumentError(msg)
    if kind_of(final, ctx) == "array":
        check_existing(final, shape, dtype, context)
        yield member
        return
    new = (
        relative_member(key, member.stored, target).uri if member.is_relative else final
    )
    create_array(new, shape, dtype, layout, ctx, timestamp_ms)
    try:
        yield member
    except BaseException:
        if is_local(new):
            shutil.rmtree(new, ignore_errors=True)
        raise


def relative_member(key: str, directory: str, group: str) -> Member:
    """Return the member for a directory given relative to its group."""
    joined = f"{group}/{directory}"
    uri = os.path.normpath(joined) if is_local(group) else joined
    return Member(key, uri, is_relative=True, stored=directory)


def check_existing(
    uri: str, shape: tuple[int, ...], dtype: np.dtype[Any], context: SOMATileDBContext
) -> None:
    """Check that an existing array can serve as a level.

    Raises
    ------
    ArgumentError
        If its shape or type is another.
    SOMAError
        If it is not a SOMA dense array.
    """
    with DenseNDArray.open(uri, context=context.replace(timestamp=None)) as array:
        if array.shape != shape or array.dtype != dtype:
            msg = (
                f"The array at {uri!r} has shape {array.shape} and type {array.dtype}; "
                f"the level needs {shape} and {dtype}"
            )
            raise ArgumentError(msg)
