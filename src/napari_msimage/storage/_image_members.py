"""Which arrays may be levels of an image, and as which members."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, FormatError, LevelKeyError, StoreWarning
from ._context import is_local, normalize_uri
from ._group import Member
from ._image_create import relative_member
from ._image_levels import channel_count
from ._metadata import check_shape
from ._names import check_level_key

if TYPE_CHECKING:
    from ._dense_array import DenseNDArray
    from ._image_state import ImageState


def check_array(state: ImageState, key: str, array: DenseNDArray) -> None:
    """Compare an array with what the image says of it.

    Raises
    ------
    FormatError
        If the type differs, or pixels are missing.
    """
    shape = next(level.shape for level in state.levels if level.key == key)
    problem = ""
    if array.dtype != state.schema.dtype:
        problem = f"type {array.dtype}, but the image has {state.schema.dtype}"
    elif len(array.shape) != len(shape) or any(
        a < b for a, b in zip(array.shape, shape, strict=True)
    ):
        problem = f"shape {array.shape}, but the image's metadata says {shape}"
    elif channel_count(array.shape, state.schema) != channel_count(shape, state.schema):
        problem = f"shape {array.shape}, but the metadata says {shape}"
    if problem:
        array.close()
        msg = (
            f"The array of level {key!r} of {state.uri!r} has {problem}. The image "
            "is damaged; restore a copy or remove the level."
        )
        raise FormatError(msg)
    if array.shape != shape:
        msg = (
            f"The array of level {key!r} of {state.uri!r} was resized to "
            f"{array.shape}; transforms still use the shape {shape}"
        )
        warnings.warn(msg, StoreWarning, stacklevel=3)


def member_for(
    state: ImageState, key: str, array: DenseNDArray, use_relative_uri: bool | None
) -> Member:
    """Return the member for an existing array.

    Raises
    ------
    ArgumentError
        If a relative address is asked for, and there is none.
    """
    uri = normalize_uri(array.uri)
    inside = uri.startswith(state.address + "/")
    if use_relative_uri is None:
        use_relative_uri = inside
    if not use_relative_uri:
        return Member(key, uri, is_relative=False, stored=uri)
    if inside:
        return relative_member(key, uri[len(state.address) + 1 :], state.address)
    if is_local(uri) and is_local(state.address):
        path = os.path.relpath(uri, state.address).replace(os.sep, "/")
        return relative_member(key, path, state.address)
    msg = (
        f"The array at {uri!r} has no address relative to the image at "
        f"{state.uri!r}; use use_relative_uri=False"
    )
    raise ArgumentError(msg)


def check_new_level(state: ImageState, key: Any, shape: Any) -> tuple[int, ...]:
    """Return the shape of a new level as plain ints, if the image can take it.

    Raises
    ------
    LevelKeyError
        If the image has a level of this key.
    ArgumentError, ArgumentTypeError
        If key or shape make no sense, or the channel count differs.
    """
    check_level_key(key)
    if key in state.members:
        msg = f"The image at {state.uri!r} already has a level {key!r}"
        raise LevelKeyError(msg)
    sizes = check_shape(shape, "shape")
    n_axes = len(state.schema.data_axis_permutation)
    if len(sizes) != n_axes:
        msg = f"shape {sizes} has {len(sizes)} sizes; the image has {n_axes} axes"
        raise ArgumentError(msg)
    if state.levels:
        found = channel_count(sizes, state.schema)
        expected = channel_count(state.levels[0].shape, state.schema)
        if found != expected:
            msg = (
                f"Level {key!r} would have {found} channels; the image at "
                f"{state.uri!r} has {expected}. All levels must share the channel "
                "count."
            )
            raise ArgumentError(msg)
    return sizes
