"""plan_levels: from what a user wants, and what an image has, to a `LevelPlan`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from ..errors import ArgumentError, ModeError
from ..storage import MultiscaleImage, describe_layout
from ._downsample import METHODS
from ._level_facts import facts_of, opened
from ._level_keys import name_explicit, name_missing
from ._level_passes import MAX_FRAGMENTS, RUN_BYTES, PassRequest
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
from ._pass_layout import choose_layout, is_possible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..storage import SOMATileDBContext
    from ._level_facts import ImageFacts
    from ._level_passes import LevelPass
    from ._level_shapes import Shape
    from ._level_tiles import TileWish
    from ._level_wishes import FactorSpec

_MAX_THREADS: Final = 8


def plan_levels(
    image: MultiscaleImage | str | os.PathLike[str],
    *,
    factor: FactorSpec | None = None,
    max_side: int | None = None,
    n_levels: int | None = None,
    between: bool | None = None,
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
        Step factor between neighbouring levels, >= 1, 2 by default: for all spatial
        axes, or by axis name. Axes that are not named get 2; 1 keeps an axis as it is,
        such as ``{"z": 1}``. An axis stops where a step would leave less than a pixel.
    max_side : int, optional
        See above; 512 by default. Not together with `n_levels`.
    n_levels : int, optional
        Number of levels below the coarsest existing one, instead of `max_side`.
    between : bool, optional
        Whether to fill gaps between existing levels too; they are by default.
    shapes : sequence of sequence of int, optional
        Make exactly these levels: shapes in data axis order, channel axis included.
        In any order; `keys` come in the same one.
    factors : sequence of float or mapping of str to float, optional
        Make exactly these levels: downsampling factors, reference level's size divided
        by the level's, as for `factor`; axes that are not named get 1. Each level is as
        near to its factor as whole pixels allow, so that ``factors=[2]`` makes the
        level that ``factor=2, n_levels=1`` makes of an image with one level, but
        ``factors=[2, 4]`` need not nest as those of ``factor=2`` do. An axis of fewer
        pixels than its factor gets one pixel.
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
        If a wish makes no sense, no spatial axis is left to shrink, or levels with the
        tile extents of `platform_config` would take too much memory or fragments.
    ModeError
        If the image is closed.
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
    if isinstance(image, MultiscaleImage):
        check_open_now(image)
    with opened(image, context) as open_image:
        facts = facts_of(open_image)
    check_pixel_type(facts.dtype, facts.uri)
    if method not in METHODS:
        msg = f"method must be one of {', '.join(METHODS)}, got {method!r}"
        raise ArgumentError(msg)
    if keys is not None:
        keys = sequence_of("keys", keys)
    if shapes is not None or factors is not None:
        _check_no_steps(
            shapes=shapes,
            factors=factors,
            factor=factor,
            max_side=max_side,
            n_levels=n_levels,
            between=between,
        )
        wanted = explicit_shapes(facts, shapes, factors)
        named = name_explicit(facts, wanted, keys, replace=replace)
    else:
        wish = StepWish(
            DEFAULT_FACTOR if factor is None else factor,
            max_side,
            n_levels,
            between is None or between,
            replace,
        )
        wanted = missing_shapes(facts, wish)
        named = name_missing(facts, wanted, keys, replace=replace)
    plan, passes = _planned(facts, named, method, n_threads, platform_config)
    if not is_possible(passes):
        raise _no_way(plan, facts, named)
    return plan


def check_open_now(image: MultiscaleImage) -> None:
    """Check that an image that is handed over shows what is stored now.

    Raises
    ------
    ModeError
        If it is closed.
    ArgumentError
        If it shows a time in the past, and has changed since.
    """
    if image.closed:
        msg = (
            f"The image at {image.uri!r} is closed. Open it again with reopen('r'), or "
            "pass its address."
        )
        raise ModeError(msg)
    is_past = bool(image.context.timestamp_ms)
    if not is_past and image.mode == "r":
        with MultiscaleImage.open(image.uri, context=image.context) as now:
            is_past = now.levels() != image.levels()
    if is_past:
        msg = (
            f"The image at {image.uri!r} is open as it was at "
            f"{image.tiledb_timestamp}; levels are made of what is stored now. Open it "
            "again without a timestamp (also in its context), or pass its address."
        )
        raise ArgumentError(msg)


def _check_no_steps(*, shapes: Any, factors: Any, **steps: Any) -> None:
    """Refuse wishes about steps beside levels that are named one by one."""
    given = [name for name, value in steps.items() if value is not None]
    if shapes is not None and factors is not None:
        msg = "Give only one of shapes and factors, got both"
        raise ArgumentError(msg)
    if given:
        name = "factors" if shapes is None else "shapes"
        others = " and ".join(given)
        msg = (
            f"Give only one of {name} and {others}: {name} says what each level is, "
            f"{others} would be without effect. Leave out one or the other."
        )
        raise ArgumentError(msg)


def _no_way(
    plan: LevelPlan, facts: ImageFacts, named: Sequence[tuple[str, Shape]]
) -> ArgumentError:
    """Return the error for tiles that levels cannot be made with, and a way out."""
    asked = ", ".join(f"{one.key!r} {one.tile_extents}" for one in plan.levels)
    own, passes = _planned(facts, named, plan.method, plan.n_threads, None)
    advice = "make fewer levels, or store the image with smaller tiles first"
    if is_possible(passes):
        works = ", ".join(f"{one.key!r} {one.tile_extents}" for one in own.levels)
        advice = f"leave out tile extents in platform_config, which gives {works}"
    return ArgumentError(
        f"Levels of {plan.uri!r} with tile extents {asked} (axes {plan.axis_names}) "
        f"cannot be made of tiles of {plan.source_extents}: they would take more than "
        f"{RUN_BYTES // 2**20} MiB of memory, or {MAX_FRAGMENTS + 1} fragments and "
        f"more; {advice}."
    )


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
    plan, _ = _planned(
        facts,
        named,
        method,
        n_threads,
        platform_config,
        extents_of=extents_of,
        keeps_tiles_whole=keeps_tiles_whole,
    )
    return plan


def _planned(
    facts: ImageFacts,
    named: Sequence[tuple[str, Shape]],
    method: Any,
    n_threads: int | None,
    platform_config: Any,
    *,
    extents_of: Mapping[str, Shape] | None = None,
    keeps_tiles_whole: bool = False,
) -> tuple[LevelPlan, tuple[LevelPass, ...]]:
    """Return the plan of levels, and the passes that it takes; see `complete_plan`."""
    request = PassRequest(
        facts.source,
        facts.source_extents,
        facts.dtype,
        method,
        tuple(shape for _, shape in named),
        (),
        facts.channel_axis,
        keeps_tiles_whole,
    )
    given = {shape: (extents_of or {}).get(key) for key, shape in named}

    def extents_for(shape: Shape, wish: TileWish) -> Shape:
        return _extents(facts, shape, wish, platform_config, given[shape])

    passes: tuple[LevelPass, ...] = ()
    if named:
        request, passes = choose_layout(request, extents_for)
    existing = {key for key, _ in facts.levels}
    levels = []
    for (key, shape), chosen in zip(named, request.extents, strict=True):
        extents, filters = describe_layout(
            shape, facts.dtype, facts.channel_axis, platform_config, chosen
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
    threads, peak = _threads_and_memory(request, passes, n_threads)
    plan = LevelPlan(
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
    return plan, passes


def _extents(
    facts: ImageFacts,
    shape: Shape,
    wish: TileWish,
    platform_config: Any,
    given: Shape | None = None,
) -> Shape:
    """Return the tile extents that a level gets; `platform_config` wins."""
    channel = facts.channel_axis
    if given is None:
        default, _ = describe_layout(shape, facts.dtype, channel, platform_config)
        given = choose_extents(shape, default, facts.source_extents, channel, wish)
    extents, _ = describe_layout(shape, facts.dtype, channel, platform_config, given)
    return extents


def _threads_and_memory(
    request: PassRequest, passes: Sequence[LevelPass], n_threads: int | None
) -> tuple[int, int]:
    """Return how many threads to use, and the memory that the run takes with them."""
    wanted = min(os.cpu_count() or 1, _MAX_THREADS)
    if n_threads is not None:
        wanted = whole_number("n_threads", n_threads, 64)
    if not passes:
        return wanted, 0

    def peak(threads: int) -> int:
        jobs = max(one.job_bytes * min(threads, one.n_boxes) for one in passes)
        return request.base_bytes + jobs

    if n_threads is None:
        while wanted > 1 and peak(wanted) > RUN_BYTES:
            wanted -= 1
    return wanted, peak(wanted)
