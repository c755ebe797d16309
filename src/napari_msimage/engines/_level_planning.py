"""plan_levels: from what a user wants, and what an image has, to a `LevelPlan`."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..errors import ArgumentError, ArgumentTypeError, LevelKeyError
from ..storage import CHANNEL_AXIS, DenseNDArray, MultiscaleImage, describe_layout
from ._downsample import METHODS
from ._level_names import check_new_key, new_keys
from ._level_passes import MEMORY_BYTES, PassRequest, plan_passes
from ._level_plan import (
    LevelPlan,
    PlannedLevel,
    check_pixel_type,
    factors_between,
    level_nbytes,
)
from ._level_shapes import (
    Factors,
    Shape,
    is_within,
    ladder,
    round_size,
    shapes_below,
    shapes_between,
    shapes_until,
)
from ._level_tiles import choose_extents

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from ..storage import SOMATileDBContext

#: One factor for all spatial axes, or one by name; axes not named get the default.
FactorSpec: TypeAlias = "float | Mapping[str, float]"

DEFAULT_FACTOR: Final = 2
DEFAULT_MAX_SIDE: Final = 512
_MAX_LEVELS: Final = 64
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
        facts = _facts_of(open_image)
    check_pixel_type(facts.dtype, facts.uri)
    if method not in METHODS:
        msg = f"method must be one of {', '.join(METHODS)}, got {method!r}"
        raise ArgumentError(msg)
    if shapes is not None or factors is not None:
        if (
            n_levels is not None
            or max_side is not None
            or None not in (shapes, factors)
        ):
            msg = "Give only one of shapes, factors, n_levels and max_side"
            raise ArgumentError(msg)
        wanted = _explicit_shapes(facts, shapes, factors)
        named = _name_explicit(facts, wanted, keys, replace=replace)
    else:
        wish = _StepWish(factor, max_side, n_levels, between, replace)
        wanted = _missing_shapes(facts, wish)
        named = _name_missing(facts, wanted, keys, replace=replace)
    return _complete(facts, named, method, n_threads, platform_config)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the plan asks of an image."""

    uri: str
    axis_names: tuple[str, ...]
    displayed_axes: tuple[int, ...]
    dtype: np.dtype[Any]
    levels: tuple[tuple[str, Shape], ...]
    source_extents: Shape

    @property
    def channel_axis(self) -> int | None:
        names = self.axis_names
        return names.index(CHANNEL_AXIS) if CHANNEL_AXIS in names else None

    @property
    def spatial_axes(self) -> list[int]:
        return [i for i, name in enumerate(self.axis_names) if name != CHANNEL_AXIS]

    @property
    def source(self) -> Shape:
        return self.levels[0][1]

    @property
    def shapes(self) -> list[Shape]:
        return [shape for _, shape in self.levels]


@contextlib.contextmanager
def opened(
    image: MultiscaleImage | str | os.PathLike[str],
    context: SOMATileDBContext | None,
) -> Iterator[MultiscaleImage]:
    """Lend an image for reading: the one given, or the one at an address.

    Raises
    ------
    ArgumentTypeError
        If it is neither.
    """
    if isinstance(image, MultiscaleImage):
        yield image
        return
    if not isinstance(image, str | os.PathLike):
        msg = (
            "image must be an open MultiscaleImage or an address (str or path), got "
            f"{type(image).__name__}"
        )
        raise ArgumentTypeError(msg)
    with MultiscaleImage.open(os.fspath(image), context=context) as found:
        yield found


def _facts_of(image: MultiscaleImage) -> _Facts:
    if not image.level_count:
        msg = (
            f"The image at {image.uri!r} has no levels; write its finest level first, "
            "the others are made from it."
        )
        raise ArgumentError(msg)
    order = image.data_axis_order
    displayed = image.coordinate_space.axis_names[:2]
    return _Facts(
        uri=image.uri,
        axis_names=order,
        displayed_axes=tuple(order.index(name) for name in displayed),
        dtype=image.dtype,
        levels=tuple((key, shape) for key, (_, shape) in image.levels().items()),
        source_extents=_source_extents(image),
    )


def _source_extents(image: MultiscaleImage) -> Shape:
    """Return the tile extents of the finest level; its schema is read, no pixels."""
    with DenseNDArray.open(image.level_uri(0), context=image.context) as level:
        return level.schema.tile_extents


# Shapes -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _StepWish:
    factor: FactorSpec
    max_side: int | None
    n_levels: int | None
    between: bool
    replace: bool


def _missing_shapes(facts: _Facts, wish: _StepWish) -> list[Shape]:
    factors = _factors(facts, wish.factor, "factor", default=DEFAULT_FACTOR)
    steps = ladder(facts.shapes)
    last = steps[-1]
    shrinking = [axis for axis in facts.spatial_axes if factors[axis] > 1]
    if all(facts.source[axis] == 1 for axis in shrinking):
        raise _nothing_to_shrink(facts, shrinking)
    if wish.n_levels is not None:
        if wish.max_side is not None:
            msg = "Give either n_levels or max_side, not both"
            raise ArgumentError(msg)
        count = _whole("n_levels", wish.n_levels, _MAX_LEVELS)
        below = shapes_below(last, factors, count)
        if len(below) < count:
            names = _names(facts, shrinking)
            msg = (
                f"{count} levels below {last} are asked for, but along {names} only "
                f"{len(below)} more can be made by a factor of {wish.factor}; ask for "
                "fewer, or for a smaller factor"
            )
            raise ArgumentError(msg)
    else:
        side = DEFAULT_MAX_SIDE
        if wish.max_side is not None:
            side = _whole("max_side", wish.max_side, 2**31)
        displayed = [axis for axis in facts.displayed_axes if factors[axis] > 1]
        below = shapes_until(last, factors, side, displayed or shrinking)
    gaps = shapes_between(steps, factors) if wish.between else []
    again = [shape for shape in steps[1:] if wish.replace]
    return sorted({*gaps, *again, *below}, key=_fineness)


def _fineness(shape: Shape) -> tuple[int, ...]:
    """Sort key of SOMA: finest first, along the first axis first."""
    return tuple(-n for n in shape)


def _nothing_to_shrink(facts: _Facts, shrinking: Sequence[int]) -> ArgumentError:
    names = _names(facts, shrinking or facts.spatial_axes)
    return ArgumentError(
        f"No level can be made of {facts.uri!r}, whose finest level is {facts.source} "
        f"along the axes {facts.axis_names}: no spatial axis is left to shrink "
        f"({names} {'has' if len(shrinking) == 1 else 'have'} one pixel)."
    )


def _names(facts: _Facts, axes: Sequence[int]) -> str:
    return ", ".join(repr(facts.axis_names[axis]) for axis in axes)


def _explicit_shapes(
    facts: _Facts,
    shapes: Sequence[Sequence[int]] | None,
    factors: Sequence[FactorSpec] | None,
) -> list[Shape]:
    if shapes is not None:
        found = [_explicit_shape(facts, shape) for shape in _sequence("shapes", shapes)]
    else:
        found = [
            _shape_by_factor(facts, factor)
            for factor in _sequence("factors", factors or ())
        ]
    if not found:
        msg = "shapes or factors must name at least one level"
        raise ArgumentError(msg)
    if len(set(found)) < len(found):
        msg = f"The levels asked for have the same shape twice: {found}"
        raise ArgumentError(msg)
    return found


def _sequence(name: str, value: Any) -> Sequence[Any]:
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        msg = f"{name} must be a sequence with an entry per level, got {value!r}"
        raise ArgumentTypeError(msg)
    return value


def _explicit_shape(facts: _Facts, value: Any) -> Shape:
    try:
        shape = tuple(_whole("A size", n, 2**31) for n in value)
    except TypeError as err:
        msg = f"A shape must be a sequence of whole numbers, got {value!r}"
        raise ArgumentTypeError(msg) from err
    axes = f"({', '.join(facts.axis_names)})"
    if len(shape) != len(facts.source):
        msg = (
            f"The shape {shape} has {len(shape)} sizes; expected {len(facts.source)}, "
            f"in data axis order {axes}"
        )
        raise ArgumentError(msg)
    channel = facts.channel_axis
    if channel is not None and shape[channel] != facts.source[channel]:
        msg = (
            f"The shape {shape} has {shape[channel]} channels; the image at "
            f"{facts.uri!r} has {facts.source[channel]}. All levels must share the "
            "channel count."
        )
        raise ArgumentError(msg)
    if shape == facts.source or not is_within(shape, facts.source):
        msg = (
            f"The shape {shape} does not make a coarser level: the finest one has "
            f"{facts.source} (axes {axes}). A level must be smaller along one axis and "
            "larger along none."
        )
        raise ArgumentError(msg)
    return shape


def _shape_by_factor(facts: _Facts, factor: FactorSpec) -> Shape:
    factors = _factors(facts, factor, "factors", default=1)
    return _explicit_shape(
        facts,
        [round_size(n / f) for n, f in zip(facts.source, factors, strict=True)],
    )


def _factors(facts: _Facts, spec: FactorSpec, name: str, *, default: int) -> Factors:
    """Return a checked factor per axis, data axis order; 1 for the channel axis."""
    spatial = {facts.axis_names[axis]: axis for axis in facts.spatial_axes}
    if isinstance(spec, Mapping):
        if unknown := [key for key in spec if key not in spatial]:
            msg = (
                f"{name} names {', '.join(map(repr, unknown))}; the spatial axes of "
                f"{facts.uri!r} are {', '.join(map(repr, spatial))}"
            )
            raise ArgumentError(msg)
        by_name = {key: spec.get(key, default) for key in spatial}
    else:
        by_name = dict.fromkeys(spatial, spec)
    factors = [1.0] * len(facts.axis_names)
    for key, value in by_name.items():
        factors[spatial[key]] = _factor(value, name)
    shrinking = [axis for axis in spatial.values() if factors[axis] > 1]
    if not shrinking:
        msg = (
            f"{name} must be larger than 1 along at least one axis for levels to get "
            f"smaller, got {spec!r}; 2 is usual"
        )
        raise ArgumentError(msg)
    longest = max(facts.source[axis] for axis in shrinking)
    if longest > 1 and max(factors[axis] for axis in shrinking) > longest:
        msg = (
            f"{name} {spec!r} is too large: the finest level of {facts.uri!r} has "
            f"{longest} pixels along its longest side; choose at most that"
        )
        raise ArgumentError(msg)
    return tuple(factors)


def _factor(value: Any, name: str) -> float:
    try:
        factor = float(value)
    except (TypeError, ValueError, OverflowError) as err:
        msg = (
            f"{name} must be a number, or a mapping of axis names to numbers such as "
            f"{{'x': 2, 'y': 2, 'z': 1}}, got {value!r}"
        )
        raise ArgumentTypeError(msg) from err
    if isinstance(value, bool | str) or not math.isfinite(factor) or factor < 1:
        msg = (
            f"{name} must be a finite number of at least 1, got {value!r}; 2 halves an "
            "axis, 1 keeps it"
        )
        raise ArgumentError(msg)
    return factor


def _whole(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        msg = f"{name} must be a whole number, got {value!r}"
        raise ArgumentTypeError(msg)
    number = value.__index__()
    if not 1 <= number <= most:
        msg = f"{name} must be between 1 and {most}, got {value!r}"
        raise ArgumentError(msg)
    return int(number)


# Keys ---------------------------------------------------------------------------


def _name_explicit(
    facts: _Facts, shapes: list[Shape], keys: Sequence[str] | None, *, replace: bool
) -> list[tuple[str, Shape]]:
    by_shape = {shape: key for key, shape in facts.levels[:0:-1]}
    if keys is None:
        shapes = sorted(shapes, key=_fineness)
        if not replace and (taken := [s for s in shapes if s in by_shape]):
            msg = (
                f"The image at {facts.uri!r} has a level of shape {taken[0]} already: "
                f"{by_shape[taken[0]]!r}. Leave it out, or replace it (replace=True)."
            )
            raise LevelKeyError(msg)
        fresh = iter(new_keys([key for key, _ in facts.levels], len(shapes)))
        keys = [by_shape.get(shape) or next(fresh) for shape in shapes]
    named = _pair(facts, shapes, keys, replace=replace)
    kept = {shape: key for key, shape in facts.levels if key not in dict(named)}
    for key, shape in named:
        if shape in kept:
            msg = (
                f"Level {key!r} would have the shape of level {kept[shape]!r}, {shape};"
                f" a viewer could not tell them apart. Leave it out, or replace "
                f"{kept[shape]!r} (replace=True)."
            )
            raise LevelKeyError(msg)
    return sorted(named, key=lambda level: _fineness(level[1]))


def _name_missing(
    facts: _Facts, shapes: list[Shape], keys: Sequence[str] | None, *, replace: bool
) -> list[tuple[str, Shape]]:
    existing = dict(reversed([(s, k) for k, s in facts.levels]))
    n_new = sum(shape not in existing for shape in shapes)
    fresh = iter(
        new_keys([k for k, _ in facts.levels], n_new) if keys is None else keys
    )
    if keys is not None and len(_sequence("keys", keys)) != n_new:
        msg = f"{n_new} keys are needed, one for each new level {shapes}, got {keys!r}"
        raise ArgumentError(msg)
    found = [existing.get(shape) or next(fresh) for shape in shapes]
    return _pair(facts, shapes, found, replace=replace)


def _pair(
    facts: _Facts, shapes: list[Shape], keys: Sequence[str], *, replace: bool
) -> list[tuple[str, Shape]]:
    """Pair keys with shapes, if the image can take them."""
    if len(_sequence("keys", keys)) != len(shapes):
        msg = f"{len(shapes)} keys are needed, one for each level, got {keys!r}"
        raise ArgumentError(msg)
    existing = [key for key, _ in facts.levels]
    for key in keys:
        if key not in existing:
            check_new_key(key)
        elif key == existing[0]:
            msg = (
                f"Level {key!r} of {facts.uri!r} is the finest one, which all others "
                "are made from; it cannot be replaced"
            )
            raise LevelKeyError(msg)
        elif not replace:
            msg = (
                f"The image at {facts.uri!r} has a level {key!r} already; choose "
                "another key, or replace it (replace=True)"
            )
            raise LevelKeyError(msg)
    if len(set(keys)) < len(keys):
        msg = f"Each level needs a key of its own, got {list(keys)}"
        raise ArgumentError(msg)
    if (total := len({*existing, *keys})) > _MAX_LEVELS:
        msg = (
            f"The image at {facts.uri!r} would have {total} levels; at most "
            f"{_MAX_LEVELS} can be read. Choose a larger factor, or fewer levels."
        )
        raise ArgumentError(msg)
    return list(zip(keys, shapes, strict=True))


# Storage and cost ---------------------------------------------------------------


def _complete(
    facts: _Facts,
    named: list[tuple[str, Shape]],
    method: Any,
    n_threads: int | None,
    platform_config: Any,
) -> LevelPlan:
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
            choose_extents(shape, default, facts.source_extents, facts.channel_axis),
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
    threads, peak = _threads_and_memory(facts, levels, method, n_threads)
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
    facts: _Facts, levels: list[PlannedLevel], method: Any, n_threads: int | None
) -> tuple[int, int]:
    """Return how many threads to use, and the memory that the run takes with them."""
    wanted = min(os.cpu_count() or 1, _MAX_THREADS)
    if n_threads is not None:
        wanted = _whole("n_threads", n_threads, 64)
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
