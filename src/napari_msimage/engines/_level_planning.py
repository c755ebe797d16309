"""plan_levels: from what a user wants, and what an image has, to a `LevelPlan`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from ..errors import ArgumentError
from ..storage import describe_layout
from ._downsample import METHODS
from ._level_facts import facts_of, opened
from ._level_keys import name_explicit, name_missing
from ._level_passes import MEMORY_BYTES, PassRequest, plan_passes
from ._level_plan import (
    LevelPlan,
    PlannedLevel,
    check_pixel_type,
    factors_between,
    level_nbytes,
)
from ._level_tiles import choose_extents
from ._level_wishes import (
    DEFAULT_FACTOR,
    StepWish,
    explicit_shapes,
    missing_shapes,
    sequence_of,
    whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..storage import MultiscaleImage, SOMATileDBContext
    from ._level_facts import ImageFacts
    from ._level_shapes import Shape
    from ._level_wishes import FactorSpec

_MAX_THREADS: Final = 8
#: What TileDB, and Python's own work, take on top of pixels and tiles.
_BASE_BYTES: Final = 48 * 2**20
#: Memory that a run may take by itself; fewer threads keep to it.
_RUN_BYTES: Final = 224 * 2**20


def plan_levels(
    image: MultiscaleImage | str | os.PathLike[str],
    *,
    factor: FactorSpec = DEFAULT_FACTOR,
    max_side: int | None = None,
    n_levels: int | None = None,
    between: bool = True,
    shapes: Sequence[Sequence[int]] | None = None,
    factors: Sequence[FactorSpec] | None = None,
    keys: Sequence[str] | None = None,
    method: str = "mean",
    replace: bool = False,
    n_threads: int | None = None,
    platform_config: Any = None,
    context: SOMATileDBContext | None = None,
) -> LevelPlan:
    """Plan the levels that an image lacks; reads metadata only.

    Without `shapes` and `factors`, levels follow the coarsest one, step by step, until
    the longest displayed side (of the first two axes of the coordinate space) is at
    most `max_side`, and fill gaps between existing levels. Levels that exist are left
    alone. All new levels are made from the finest level.

    Parameters
    ----------
    image : MultiscaleImage, str or path
        An open image, or the address of one.
    factor : float or mapping of str to float
        Step factor between neighbouring levels, >= 1: for all spatial axes, or by axis
        name. Axes that are not named get 2; 1 keeps an axis as it is, such as ``{"z":
        1}``. An axis stops shrinking at one pixel.
    max_side : int, optional
        See above; 512 by default. Not together with `n_levels`.
    n_levels : int, optional
        Number of levels below the coarsest existing one, instead of `max_side`.
    between : bool
        Whether to fill gaps between existing levels too.
    shapes : sequence of sequence of int, optional
        Make exactly these levels: shapes in data axis order, channel axis included.
        In any order; `keys` come in the same one.
    factors : sequence of float or mapping of str to float, optional
        Make exactly these levels: downsampling factors, reference level's size divided
        by the level's, as for `factor`; axes that are not named get 1.
    keys : sequence of str, optional
        Keys of the new levels, finest first unless `shapes` or `factors` are given in
        another order: letters, digits, ``.``, ``_``, ``-``. By
        default they continue the image's own.
    method : {"mean", "stride", "mode", "median", "min", "max"}
        How the pixels under a new one are combined; ``"mode"`` for labels. The mean of
        integers is rounded half up.
    replace : bool
        Make existing levels anew as well (never the finest): all of them, or those
        that `shapes`, `factors` and `keys` name.
    n_threads : int, optional
        Threads at a time, up to 64; by default the number of processors, at most 8.
    platform_config : optional
        Tile extents and filters of the new levels, as for tiledbsoma.
    context : SOMATileDBContext, optional
        TileDB configuration, for an address.

    Returns
    -------
    LevelPlan
        Without levels if none is missing.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a wish makes no sense, or no spatial axis is left to shrink.
    LevelKeyError
        If a key is taken, and `replace` is False.
    UnsupportedError
        If the pixels are timestamps.
    SOMAError
        If the image cannot be opened.

    Notes
    -----
    Geometry is the ratio of shapes, as in SOMA and napari. With whole factors the
    coarsest shape is chosen first and multiplied upwards, so that all new levels nest.
    """
    with opened(image, context) as open_image:
        facts = facts_of(open_image)
    check_pixel_type(facts.dtype, facts.uri)
    if method not in METHODS:
        msg = f"method must be one of {', '.join(METHODS)}, got {method!r}"
        raise ArgumentError(msg)
    if keys is not None:
        keys = sequence_of("keys", keys)
    if shapes is not None or factors is not None:
        if (
            n_levels is not None
            or max_side is not None
            or (shapes is not None and factors is not None)
        ):
            msg = "Give only one of shapes, factors, n_levels and max_side"
            raise ArgumentError(msg)
        wanted = explicit_shapes(facts, shapes, factors)
        named = name_explicit(facts, wanted, keys, replace=replace)
    else:
        wish = StepWish(factor, max_side, n_levels, between, replace)
        wanted = missing_shapes(facts, wish)
        named = name_missing(facts, wanted, keys, replace=replace)
    return complete_plan(facts, named, method, n_threads, platform_config)


def complete_plan(
    facts: ImageFacts,
    named: Sequence[tuple[str, Shape]],
    method: Any,
    n_threads: int | None,
    platform_config: Any,
    *,
    extents_of: Mapping[str, Shape] | None = None,
    keeps_tiles_whole: bool = False,
) -> LevelPlan:
    """Return the plan of levels whose keys and shapes are decided.

    Parameters
    ----------
    facts : ImageFacts
        The image; its finest level is the source.
    named : sequence of (str, tuple of int)
        Keys and shapes, finest first.
    method, n_threads, platform_config
        As for `plan_levels`.
    extents_of : mapping of str to tuple of int, optional
        Tile extents of some levels, instead of those that would be chosen.
    keeps_tiles_whole : bool
        See `PassRequest`.
    """
    existing = {key for key, _ in facts.levels}
    levels = []
    for key, shape in named:
        default, _ = describe_layout(
            shape, facts.dtype, facts.channel_axis, platform_config
        )
        extents, filters = describe_layout(
            shape,
            facts.dtype,
            facts.channel_axis,
            platform_config,
            (extents_of or {}).get(key)
            or choose_extents(shape, default, facts.source_extents, facts.channel_axis),
        )
        levels.append(
            PlannedLevel(
                key=key,
                shape=shape,
                downsample_factors=factors_between(facts.source, shape),
                tile_extents=extents,
                filters=filters,
                nbytes=level_nbytes(shape, facts.dtype),
                replaces=key in existing,
            )
        )
    threads, peak = _threads_and_memory(
        facts, levels, method, n_threads, keeps_tiles_whole=keeps_tiles_whole
    )
    return LevelPlan(
        uri=facts.uri,
        axis_names=facts.axis_names,
        dtype=facts.dtype,
        method=method,
        existing=facts.levels,
        source_extents=facts.source_extents,
        levels=tuple(levels),
        n_threads=threads,
        peak_bytes=peak,
        platform_config=platform_config,
    )


def _threads_and_memory(
    facts: ImageFacts,
    levels: list[PlannedLevel],
    method: Any,
    n_threads: int | None,
    *,
    keeps_tiles_whole: bool,
) -> tuple[int, int]:
    """Return how many threads to use, and the memory that the run takes with them."""
    wanted = min(os.cpu_count() or 1, _MAX_THREADS)
    if n_threads is not None:
        wanted = whole_number("n_threads", n_threads, 64)
    if not levels:
        return wanted, 0
    request = PassRequest(
        facts.source,
        facts.source_extents,
        facts.dtype,
        method,
        tuple(level.shape for level in levels),
        tuple(level.tile_extents for level in levels),
        facts.channel_axis,
        keeps_tiles_whole,
    )
    passes = plan_passes(request)
    kept = sum(level.nbytes for level in levels[len(levels) - request.n_in_memory :])
    base = _BASE_BYTES + min(2 * kept, 2 * MEMORY_BYTES)

    def peak(threads: int) -> int:
        return base + max(
            one.job_bytes * min(threads, max(1, len(one.jobs))) for one in passes
        )

    if n_threads is None:
        while wanted > 1 and peak(wanted) > _RUN_BYTES:
            wanted -= 1
    return wanted, peak(wanted)
