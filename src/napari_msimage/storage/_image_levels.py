"""The levels of an image: which there are, their order, and their geometry."""

from __future__ import annotations

import operator
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import (
    ArgumentTypeError,
    FormatError,
    LevelIndexError,
    LevelKeyError,
    StoreWarning,
)
from ._metadata import LEVEL_PREFIX, MAX_LEVELS, ImageSchema, read_level_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._group import Member


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution level as the image's metadata has it."""

    key: str
    """Name in the group."""
    shape: tuple[int, ...]
    """Shape in data axis order."""


def sort_levels(levels: Iterable[Level]) -> list[Level]:
    """Order levels finest first: shape descending by stored axis, then key.

    Same order as tiledbsoma 2.3; ties by code points of the key.
    """
    return sorted(levels, key=lambda level: ([-n for n in level.shape], level.key))


def find_levels(
    metadata: Mapping[str, Any],
    members: Mapping[str, Member],
    schema: ImageSchema,
    uri: str,
    stacklevel: int,
) -> list[Level]:
    """Return the levels that have metadata and a member, finest first.

    Leftovers that have only one of the two are skipped with a `StoreWarning`.

    Raises
    ------
    FormatError
        If a shape is damaged, the channel counts differ, or there are too many levels.
    """
    named = [k[len(LEVEL_PREFIX) :] for k in metadata if k.startswith(LEVEL_PREFIX)]
    complete = [key for key in named if key in members and members[key].is_array]
    _warn_of_leftovers({*named, *members} - {*complete}, uri, stacklevel + 1)
    if len(complete) > MAX_LEVELS:
        msg = f"The image at {uri!r} has {len(complete)} levels, more than {MAX_LEVELS}"
        raise FormatError(msg)
    levels = sort_levels(
        Level(key, read_level_shape(metadata, key, uri)) for key in complete
    )
    for level in levels:
        _check_level(level, levels[0], schema, uri)
    return levels


def _warn_of_leftovers(leftovers: set[str], uri: str, stacklevel: int) -> None:
    if leftovers:
        names = ", ".join(map(repr, sorted(leftovers)))
        msg = (
            f"Skipped what is left of removed or unfinished levels of {uri!r}: "
            f"{names} (a level needs its array in the group "
            "and its shape in the metadata)"
        )
        warnings.warn(msg, StoreWarning, stacklevel=stacklevel + 1)


def _check_level(level: Level, first: Level, schema: ImageSchema, uri: str) -> None:
    permutation = schema.data_axis_permutation
    if len(level.shape) != len(permutation):
        msg = (
            f"Level {level.key!r} of {uri!r} has shape {level.shape} in the metadata; "
            f"the image has {len(permutation)} axes"
        )
        raise FormatError(msg)
    channels = channel_count(level.shape, schema)
    if channels != channel_count(first.shape, schema):
        msg = (
            f"Level {level.key!r} has {channels} channels; level {first.key!r} of "
            f"{uri!r} has {channel_count(first.shape, schema)}. All levels must share "
            "the channel count."
        )
        raise FormatError(msg)


def channel_position(schema: ImageSchema) -> int | None:
    """Return which stored axis is the channel, or None."""
    if not schema.has_channel_axis:
        return None
    return schema.data_axis_permutation.index(len(schema.data_axis_permutation) - 1)


def channel_count(shape: tuple[int, ...], schema: ImageSchema) -> int:
    """Return the number of channels of a shape in data axis order."""
    position = channel_position(schema)
    return 1 if position is None else shape[position]


def spatial_shape(shape: tuple[int, ...], schema: ImageSchema) -> tuple[int, ...]:
    """Return the sizes of the spatial axes, coordinate axis order."""
    pairs = zip(schema.data_axis_permutation, shape, strict=True)
    position = channel_position(schema)
    spatial = [pair for i, pair in enumerate(pairs) if i != position]
    return tuple(size for _, size in sorted(spatial))


def resolve_level(level: Any, levels: list[Level], uri: str) -> int:
    """Return the index of a level given by key or index.

    Negative indices count from the coarsest, as in a list.

    Raises
    ------
    LevelKeyError, LevelIndexError
        If there is no such level.
    ArgumentTypeError
        If it is neither a str nor a whole number.
    """
    if isinstance(level, str):
        for index, known in enumerate(levels):
            if known.key == level:
                return index
        names = ", ".join(repr(known.key) for known in levels) or "none"
        msg = f"No level {level!r} in the image at {uri!r}; its levels are {names}"
        raise LevelKeyError(msg)
    try:
        index = operator.index(level)
    except TypeError as err:
        msg = f"A level is given by its key or its index, got {level!r}"
        raise ArgumentTypeError(msg) from err
    if not -len(levels) <= index < len(levels):
        msg = (
            f"No level with index {index} in the image at {uri!r}, which has "
            f"{len(levels)} (0 is the finest)"
        )
        raise LevelIndexError(msg)
    return index % len(levels)
