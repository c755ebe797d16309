"""Tiles of new levels: the best to read that can be made within the bounds."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from ._level_passes import MAX_FRAGMENTS, PassRequest, plan_passes
from ._level_tiles import TileWish, tile_wishes
from ._pass_ways import has_costly_tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._level_passes import LevelPass
    from ._level_shapes import Shape

#: A layout is taken without looking further if tiles of the source are decoded no more
#: often than this.
_FEW_DECODINGS: Final = 2.5
#: What is better to read may take this many times more decodings to make.
_WORTH_READING: Final = 2.0


def choose_layout(
    request: PassRequest, extents_for: Callable[[Shape, TileWish], Shape]
) -> tuple[PassRequest, tuple[LevelPass, ...]]:
    """Choose the tile extents of all levels of a request.

    Parameters
    ----------
    request : PassRequest
        What is to be made; its extents do not count.
    extents_for : callable
        Returns the extents for the shape of a level and a wish.

    Returns
    -------
    request : PassRequest
        With the extents chosen.
    passes : tuple of LevelPass
        Its passes, which may be out of bounds; see `is_possible`.
    """
    is_costly = has_costly_tiles(request)
    tried: dict[tuple[Shape, ...], tuple[LevelPass, ...]] = {}
    for wish in _wishes(request):
        extents = tuple(extents_for(shape, wish) for shape in request.shapes)
        if extents in tried:
            continue
        passes = plan_passes(dataclasses.replace(request, extents=extents))
        tried[extents] = passes
        is_good = not is_costly or all(one.work <= _FEW_DECODINGS for one in passes)
        if is_good and not _cost(passes)[0]:
            break
    least = min(map(_cost, tried.values()))
    best = next(
        extents
        for extents, passes in tried.items()
        if _cost(passes) <= (least[0], _WORTH_READING * least[1])
    )
    return dataclasses.replace(request, extents=best), tried[best]


def is_possible(passes: Sequence[LevelPass]) -> bool:
    """Tell whether fragments, and what jobs hold until it is written, are in bounds.

    Memory for single tiles of the source does not count: there is no way around it.
    """
    return not any(
        one.n_fragments > MAX_FRAGMENTS
        or (one.job_bytes > one.most_bytes and one.held_bytes > one.most_bytes // 2)
        for one in passes
    )


def _wishes(request: PassRequest) -> list[TileWish]:
    channel = request.channel_axis
    extents = list(request.source_extents)
    n_channels, shared = 1, False
    if channel is not None:
        n_channels = request.source_shape[channel]
        shared = extents.pop(channel) > 1 < n_channels
    return tile_wishes(n_channels, extents, shares_channels=shared)


def _cost(passes: Sequence[LevelPass]) -> tuple[int, float]:
    return sum(one.excess for one in passes), sum(one.work for one in passes)
