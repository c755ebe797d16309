"""What a user fills in to get levels, and what that makes of an image; no Qt."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import ArgumentError, SOMAError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..engines import LevelPlan
    from ._new_levels import OpenImage

#: How the levels to make are chosen.
Mode = Literal["side", "count", "factors", "shapes"]

DEFAULT_SIDE: Final = 512
DEFAULT_FACTOR: Final = 2.0
_TIMES: Final = re.compile("[x\N{MULTIPLICATION SIGN}*,\\s]+")


@dataclasses.dataclass(frozen=True, slots=True)
class LevelWish:
    """The options of the form, as typed."""

    mode: Mode = "side"
    """Which of the next four counts."""
    max_side: int = DEFAULT_SIDE
    """Until the longest displayed side is at most this many pixels."""
    n_levels: int = 1
    """How many levels below the coarsest."""
    factors: str = ""
    """Downsampling factors, such as ``2, 4`` or ``x=2 y=2 z=1; x=4 y=4 z=2``."""
    shapes: str = ""
    """Shapes, such as ``3 x 512 x 512; 3 x 256 x 256``."""
    steps: tuple[tuple[str, float], ...] = ()
    """Step factor by axis name, of axes that the image may not have."""
    between: bool = True
    """Whether gaps between existing levels are filled."""
    method: str = "mean"
    """How pixels are combined."""
    keys: str = ""
    """Names of the new levels, comma-separated; empty for automatic ones."""
    replace: bool = False
    """Whether existing levels are made anew."""

    def arguments(self, axis_names: Sequence[str]) -> dict[str, Any]:
        """Return the keyword arguments for `plan_levels`.

        Parameters
        ----------
        axis_names : sequence of str
            Spatial axes of the image.

        Raises
        ------
        ArgumentError
            If a text cannot be read.
        """
        found: dict[str, Any] = {"method": self.method, "replace": self.replace}
        if self.keys.strip():
            found["keys"] = [key.strip() for key in re.split("[,;]", self.keys)]
        if self.mode == "factors":
            return found | {"factors": parse_factors(self.factors)}
        if self.mode == "shapes":
            return found | {"shapes": parse_shapes(self.shapes)}
        steps = dict(self.steps)
        found["factor"] = {name: steps.get(name, DEFAULT_FACTOR) for name in axis_names}
        found["between"] = self.between
        if self.mode == "count":
            return found | {"n_levels": self.n_levels}
        return found | {"max_side": self.max_side}


@dataclasses.dataclass(frozen=True, slots=True)
class Preview:
    """What a wish makes of an image."""

    image: OpenImage
    """The image."""
    axis_names: tuple[str, ...]
    """Its spatial axes."""
    data_axis_order: tuple[str, ...]
    """Its axes as stored."""
    existing: tuple[tuple[str, tuple[int, ...]], ...]
    """Keys and shapes of its levels, finest first."""
    itemsize: int
    """Bytes of a pixel."""
    plan: LevelPlan | None = None
    """The levels to make, if the wish makes sense."""
    error: SOMAError | None = None
    """What is wrong with the wish."""


def preview_levels(image: OpenImage, wish: LevelWish) -> Preview:
    """Plan the levels of an image; reads metadata only, in any thread.

    Raises
    ------
    SOMAError
        If the image cannot be opened, or not changed the way it is open.
    """
    from ..engines import plan_levels
    from ..storage import MultiscaleImage
    from ._image_levels import check_inside

    if image.is_past:
        msg = (
            f"{image.name!r} is shown as it was in the past, which cannot be changed. "
            "Open it without a time to make levels."
        )
        raise ArgumentError(msg)
    request = image.request
    with MultiscaleImage.open(request.uri, context=request.context) as found:
        if not request.allow_outside:
            check_inside(found)
        axis_names = tuple(found.coordinate_space.axis_names)
        plan, error = None, None
        try:
            arguments = wish.arguments(axis_names)
            plan = plan_levels(found, **arguments)
            n_threads = max(1, (os.cpu_count() or 1) - 1)
            if plan.n_threads > n_threads:  # the window needs a processor, too
                plan = plan_levels(found, **arguments, n_threads=n_threads)
        except SOMAError as err:
            error = err
        return Preview(
            image=image,
            axis_names=axis_names,
            data_axis_order=tuple(found.data_axis_order),
            existing=tuple((key, shape) for key, (_, shape) in found.levels().items()),
            itemsize=found.dtype.itemsize,
            plan=plan,
            error=error,
        )


def parse_factors(text: str) -> list[float | Mapping[str, float]]:
    """Return downsampling factors, one per level, or by axis name.

    Raises
    ------
    ArgumentError
        If the text is empty or has anything else.
    """
    separator = "[;\n]" if "=" in text or ";" in text else ","
    return [_parse_factor(part) for part in _parts(text, separator, _FACTORS_HELP)]


_FACTORS_HELP: Final = (
    "Write a factor per level, such as '2, 4, 8', or by axis, such as "
    "'x=2 y=2 z=1; x=4 y=4 z=2'"
)


def _parse_factor(text: str) -> float | dict[str, float]:
    try:
        if "=" not in text:
            return float(text)
        pairs = [pair.split("=") for pair in re.split(r"[,\s]+", _tight(text))]
        found = {name: float(value) for name, value in pairs}
    except ValueError as err:
        msg = f"Cannot read {text!r} as a factor. {_FACTORS_HELP}."
        raise ArgumentError(msg) from err
    if len(found) < len(pairs):
        msg = f"{text!r} names an axis twice. {_FACTORS_HELP}."
        raise ArgumentError(msg)
    return found


def _tight(text: str) -> str:
    return re.sub(r"\s*=\s*", "=", text)


def parse_shapes(text: str) -> list[tuple[int, ...]]:
    """Return level shapes, data axis order.

    Raises
    ------
    ArgumentError
        If the text is empty or has anything but whole numbers.
    """
    return [_parse_shape(part) for part in _parts(text, "[;\n]", _SHAPES_HELP)]


_SHAPES_HELP: Final = (
    "Write a shape per level, such as '3 x 512 x 512; 3 x 256 x 256', sizes in the "
    "order of the table"
)


def _parse_shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in _TIMES.split(text.strip("() \t")))
    except ValueError as err:
        msg = f"Cannot read {text!r} as a shape. {_SHAPES_HELP}."
        raise ArgumentError(msg) from err


def _parts(text: str, separator: str, advice: str) -> list[str]:
    parts = [part.strip() for part in re.split(separator, text)]
    if parts and not parts[-1]:
        parts.pop()
    if not parts:
        msg = f"{advice}."
        raise ArgumentError(msg)
    return parts
