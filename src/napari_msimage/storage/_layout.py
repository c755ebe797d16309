"""How a level's array is laid out: tile extents and filters, chosen by measurement."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tiledb

from ..errors import ArgumentError, ArgumentTypeError

_MAX_TILE_BYTES: Final = 64 * 2**20
_PLANE_EXTENT: Final = 512
_MAX_DEPTH: Final = 16
#: Channels that come last, side by side as colours, share a tile if there are no more.
_MAX_SIDE_BY_SIDE: Final = 4
_MAX_TILE_CELLS: Final = _PLANE_EXTENT**2


@dataclass(frozen=True, slots=True)
class Layout:
    """Storage settings of one array, in data axis order."""

    tile_extents: tuple[int, ...]
    """Tile extent per stored axis."""
    filters: Any
    """TileDB filter list of the pixels."""
    dim_filters: tuple[Any, ...]
    """TileDB filter list per dimension (unused by dense arrays, but stored)."""
    capacity: int = 100_000
    """Cells per sparse tile (unused by dense arrays, but stored)."""


def plan_layout(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    channel_axis: int | None,
    platform_config: Any = None,
    tile_extents: Sequence[int] | None = None,
) -> Layout:
    """Choose tile extents and filters for a level.

    Parameters
    ----------
    shape : sequence of int
        Shape of the level, data axis order.
    dtype : numpy.dtype
        Pixel type.
    channel_axis : int or None
        Position of the channel axis in `shape`.
    platform_config : mapping or object, optional
        ``{"tiledb": {"create": {"dims": {"soma_dim_0": {"tile": 64}}, "attrs":
        {"soma_data": {"filters": [...]}}}}}`` as for tiledbsoma, the inner mapping, or
        an object with ``dims`` and ``attrs``. Overrides the choices.
    tile_extents : sequence of int, optional
        Tile extents instead of the choices below; `platform_config` still wins.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the settings make no sense, or one tile would exceed 64 MiB.

    Notes
    -----
    Tiles hold one channel, so that a single-channel layer reads one channel, and
    512 x 512 pixels; up to 4 channels on the last axis (colours) stay together, which
    is 2.5 times faster than taking them apart. Small planes are stacked up to 256 K
    cells, large ones are not, so that showing a plane decodes that plane. LZ4 decodes
    twice as fast as Zstandard for 10 % more bytes; bit shuffling makes it work for
    wider types. Measured with TileDB 2.30; see ``benchmarks/README.md``.
    """
    options = _create_options(platform_config)
    if tile_extents is None:
        extents = _default_extents(shape, channel_axis)
    else:
        extents = _check_extents(tile_extents, shape)
    dim_filters = []
    for i in range(len(shape)):
        config = _column(options, "dims", f"soma_dim_{i}")
        tile = _entry(config, "tile")
        if tile is not None:
            what = f"The tile extent of soma_dim_{i} in platform_config"
            extents[i] = _check_count(tile, what)
        filters = _entry(config, "filters")
        dim_filters.append(_filter_list(["ZstdFilter"] if filters is None else filters))
    if (nbytes := math.prod(extents) * dtype.itemsize) > _MAX_TILE_BYTES:
        msg = (
            f"Tile extents {tuple(extents)} make tiles of {nbytes / 2**20:.0f} MiB; at "
            "most 64 MiB are allowed. Choose smaller extents."
        )
        raise ArgumentError(msg)
    filters = _entry(_column(options, "attrs", "soma_data"), "filters")
    pixels = _default_filters(dtype) if filters is None else _filter_list(filters)
    capacity = _entry(options, "capacity")
    capacity = (
        100_000
        if capacity is None
        else _check_count(capacity, "capacity in platform_config")
    )
    return Layout(tuple(extents), pixels, tuple(dim_filters), capacity)


def describe_layout(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    channel_axis: int | None,
    platform_config: Any = None,
    tile_extents: Sequence[int] | None = None,
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return tile extents and filters of a level before it is made; see `plan_layout`.

    Parameters
    ----------
    shape : sequence of int
        Shape of the level, data axis order.
    dtype : numpy.dtype
        Pixel type.
    channel_axis : int or None
        Position of the channel axis in `shape`.
    platform_config : mapping or object, optional
        Overrides the choices.
    tile_extents : sequence of int, optional
        Tile extents instead of the default ones; `platform_config` still wins.

    Returns
    -------
    tile_extents : tuple of int
        Data axis order.
    filters : tuple of str
        Names as in ``ArraySchema.filters``, such as ``"LZ4Filter"``.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the settings make no sense, or one tile would exceed 64 MiB.
    """
    layout = plan_layout(shape, dtype, channel_axis, platform_config, tile_extents)
    names = tuple(type(one).__name__ for one in layout.filters)
    return layout.tile_extents, names


def _default_extents(shape: Sequence[int], channel_axis: int | None) -> list[int]:
    """Return extents: mostly 1 for the channel; the last two axes before others."""
    extents = [1] * len(shape)
    spatial = [i for i in range(len(shape)) if i != channel_axis]
    room = _MAX_TILE_CELLS
    for number, axis in enumerate(reversed(spatial)):
        limit = _MAX_DEPTH
        if len(spatial) == 1:
            limit = room
        elif number < 2:
            limit = _PLANE_EXTENT
        extents[axis] = max(1, min(shape[axis], limit, room))
        room //= extents[axis]
    if channel_axis == len(shape) - 1 and shape[-1] <= _MAX_SIDE_BY_SIDE:
        extents[-1] = shape[-1]
    return extents


def _check_extents(extents: Any, shape: Sequence[int]) -> list[int]:
    if isinstance(extents, str) or not isinstance(extents, Iterable):
        msg = f"tile_extents must be a sequence of ints, got {extents!r}"
        raise ArgumentTypeError(msg)
    sizes = [
        _check_count(extent, f"The tile extent of axis {i}")
        for i, extent in enumerate(extents)
    ]
    if len(sizes) != len(shape):
        msg = (
            f"tile_extents {tuple(sizes)} has {len(sizes)} entries; expected one for "
            f"each axis of the shape {tuple(shape)}"
        )
        raise ArgumentError(msg)
    return sizes


def _default_filters(dtype: np.dtype[Any]) -> Any:
    if dtype.itemsize == 1:
        return tiledb.FilterList([tiledb.LZ4Filter()])
    return tiledb.FilterList([tiledb.BitShuffleFilter(), tiledb.LZ4Filter()])


# platform_config ----------------------------------------------------------------


def _create_options(platform_config: Any) -> Any:
    if platform_config is None:
        return {}
    if isinstance(platform_config, Mapping):
        if "tiledb" in platform_config:
            return _create_options(platform_config["tiledb"])
        if "create" in platform_config:
            return _create_options(platform_config["create"])
        return platform_config
    if hasattr(platform_config, "dims") or hasattr(platform_config, "attrs"):
        return platform_config
    msg = (
        "platform_config must be a mapping such as {'tiledb': {'create': {'dims': "
        f"{{'soma_dim_0': {{'tile': 64}}}}}}}}, got {type(platform_config).__name__}"
    )
    raise ArgumentTypeError(msg)


def _entry(settings: Any, name: str) -> Any:
    if isinstance(settings, Mapping):
        return settings.get(name)
    return getattr(settings, name, None)


def _column(options: Any, group: str, name: str) -> Any:
    """Return the settings of one dimension or attribute."""
    columns = _entry(options, group)
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        msg = (
            f"{group!r} in platform_config must be a mapping such as {{{name!r}: "
            f"{{...}}}}, got {columns!r}"
        )
        raise ArgumentTypeError(msg)
    return columns.get(name) or {}


def _check_count(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        msg = f"{what} must be an int of 1 or more, got {value!r}"
        raise ArgumentError(msg)
    return int(value)


def _filter_list(filters: Any) -> Any:
    if isinstance(filters, tiledb.FilterList):
        return filters
    if isinstance(filters, str) or not isinstance(filters, Iterable):
        msg = (
            "filters in platform_config must be a sequence such as ['ZstdFilter'], got "
            f"{filters!r}"
        )
        raise ArgumentTypeError(msg)
    return tiledb.FilterList([_filter(spec) for spec in filters])


def _filter(spec: Any) -> Any:
    if isinstance(spec, tiledb.Filter):
        return spec
    arguments: dict[str, Any] = {}
    name = spec
    if isinstance(spec, Mapping):
        arguments = dict(spec)
        name = arguments.pop("_type", None)
    kind = getattr(tiledb, str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, tiledb.Filter)):
        msg = (
            f"Unknown filter {spec!r} in platform_config; expected a name such as "
            "'ZstdFilter' or {'_type': 'ZstdFilter', 'level': 3}"
        )
        raise ArgumentError(msg)
    if name == "ZstdFilter":
        arguments.setdefault("level", 3)
    try:
        return kind(**arguments)
    except (TypeError, ValueError, tiledb.TileDBError) as err:
        msg = f"Filter {spec!r} in platform_config cannot be made: {err}"
        raise ArgumentError(msg) from err
