"""Which levels are wanted: shapes from factors, counts or sizes, and bad wishes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..errors import ArgumentError, ArgumentTypeError
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._level_facts import ImageFacts

#: One factor for all spatial axes, or one by name; axes not named get the default.
FactorSpec: TypeAlias = "float | Mapping[str, float]"

DEFAULT_FACTOR: Final = 2
DEFAULT_MAX_SIDE: Final = 512
MAX_LEVELS: Final = 64


@dataclass(frozen=True, slots=True)
class StepWish:
    """Levels asked for by step factor."""

    factor: FactorSpec
    """Step factor between neighbours."""
    max_side: int | None
    """Longest displayed side of the coarsest level, or None for the default."""
    n_levels: int | None
    """Levels below the coarsest existing one, instead."""
    between: bool
    """Whether to fill gaps."""
    replace: bool
    """Whether to make existing levels anew."""


def missing_shapes(facts: ImageFacts, wish: StepWish) -> list[Shape]:
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
        count = whole_number("n_levels", wish.n_levels, MAX_LEVELS)
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
            side = whole_number("max_side", wish.max_side, 2**31)
        displayed = [axis for axis in facts.displayed_axes if factors[axis] > 1]
        below = shapes_until(last, factors, side, displayed or shrinking)
        longest = max(last[axis] for axis in displayed or shrinking)
        if not below and longest > side:
            msg = (
                f"By a factor of {wish.factor} the sizes {last} of the coarsest level "
                "do not change; choose a larger one, 2 is usual"
            )
            raise ArgumentError(msg)
    gaps = shapes_between(steps, factors) if wish.between else []
    again = [shape for shape in steps[1:] if wish.replace]
    return sorted({*gaps, *again, *below}, key=fineness)


def fineness(shape: Shape) -> tuple[int, ...]:
    """Sort key of SOMA: finest first, along the first axis first."""
    return tuple(-n for n in shape)


def _nothing_to_shrink(facts: ImageFacts, shrinking: Sequence[int]) -> ArgumentError:
    names = _names(facts, shrinking or facts.spatial_axes)
    return ArgumentError(
        f"No level can be made of {facts.uri!r}, whose finest level is {facts.source} "
        f"along the axes {facts.axis_names}: no spatial axis is left to shrink "
        f"({names} {'has' if len(shrinking) == 1 else 'have'} one pixel)."
    )


def _names(facts: ImageFacts, axes: Sequence[int]) -> str:
    return ", ".join(repr(facts.axis_names[axis]) for axis in axes)


def explicit_shapes(
    facts: ImageFacts,
    shapes: Sequence[Sequence[int]] | None,
    factors: Sequence[FactorSpec] | None,
) -> list[Shape]:
    if shapes is not None:
        found = [
            _explicit_shape(facts, shape) for shape in sequence_of("shapes", shapes)
        ]
    else:
        found = [
            _shape_by_factor(facts, factor)
            for factor in sequence_of("factors", () if factors is None else factors)
        ]
    if not found:
        msg = "shapes or factors must name at least one level"
        raise ArgumentError(msg)
    if len(set(found)) < len(found):
        msg = f"The levels asked for have the same shape twice: {found}"
        raise ArgumentError(msg)
    return found


def sequence_of(name: str, value: Any) -> list[Any]:
    """Return the entries, one per level.

    Raises
    ------
    ArgumentTypeError
        If it is text, a mapping, or nothing to go through.
    """
    if not isinstance(value, str | bytes | Mapping):
        with contextlib.suppress(TypeError):
            return list(value)
    msg = f"{name} must be a sequence with an entry per level, got {value!r}"
    raise ArgumentTypeError(msg)


def _explicit_shape(facts: ImageFacts, value: Any) -> Shape:
    try:
        shape = tuple(whole_number("A size", n, 2**31) for n in value)
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


def _shape_by_factor(facts: ImageFacts, factor: FactorSpec) -> Shape:
    factors = _factors(facts, factor, "factors", default=1)
    return _explicit_shape(
        facts,
        [round_size(n / f) for n, f in zip(facts.source, factors, strict=True)],
    )


def _factors(
    facts: ImageFacts, spec: FactorSpec, name: str, *, default: int
) -> Factors:
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


def whole_number(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        msg = f"{name} must be a whole number, got {value!r}"
        raise ArgumentTypeError(msg)
    number = value.__index__()
    if not 1 <= number <= most:
        msg = f"{name} must be between 1 and {most}, got {value!r}"
        raise ArgumentError(msg)
    return int(number)
