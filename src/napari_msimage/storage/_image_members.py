"""Which arrays may be levels of an image."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, FormatError, LevelKeyError, StoreWarning
from ._image_levels import channel_count
from ._metadata import MAX_LEVELS, check_shape
from ._names import check_level_key

if TYPE_CHECKING:
    from ._array_schema import ArraySchema
    from ._image_state import ImageState
    from ._lazy import LevelArray


def check_array(
    state: ImageState, key: str, array: ArraySchema | LevelArray, stacklevel: int
) -> None:
    """Compare an array with what the image says of it.

    Warns of an array that was resized.

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
        warnings.warn(msg, StoreWarning, stacklevel=stacklevel + 1)


def check_new_level(state: ImageState, key: Any, shape: Any) -> tuple[int, ...]:
    """Return the shape of a new level as plain ints, if the image can take it.

    Raises
    ------
    LevelKeyError
        If the image has a level of this key.
    ArgumentError, ArgumentTypeError
        If key or shape make no sense, the channel count differs, or the image has as
        many levels as can be read.
    """
    check_level_key(key)
    if key in state.members:
        msg = (
            f"The image at {state.uri!r} already has a level {key!r}; choose another "
            "key, or remove that level first"
        )
        raise LevelKeyError(msg)
    if len(state.levels) >= MAX_LEVELS:
        msg = (
            f"The image at {state.uri!r} has {MAX_LEVELS} levels, which is the most "
            f"that can be read; no room for {key!r}"
        )
        raise ArgumentError(msg)
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
