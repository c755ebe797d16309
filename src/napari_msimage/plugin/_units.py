"""Units of coordinate spaces as napari knows them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ..errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

PIXEL: Final = "pixel"
_MAX_UNIT: Final = 64
_UNIT_WORD: Final = re.compile(r"[^\W\d_]+(_[^\W\d_]+)*")
_PIXEL_WORDS: Final = {"pixel", "pixels", "px", "pix"}


def unit_for_napari(unit: str | None) -> str | None:
    """Return the name of a unit for napari; None if it is no known length or time.

    An axis without a unit, or in "px", is in pixels.
    """
    import pint

    if unit is None or unit.strip().lower() in _PIXEL_WORDS:
        return PIXEL
    # a single word only: pint would calculate an expression
    if not _UNIT_WORD.fullmatch(unit.strip()):
        return None
    registry: Any = pint.get_application_registry()  # type: ignore[no-untyped-call]
    try:
        known = registry.Unit(unit.strip())
    except (pint.errors.PintError, ValueError, AttributeError):
        return None
    if any(known.is_compatible_with(base) for base in ("meter", "second")):
        return str(known)
    return None


def units_of_layer(units: Any, n_axes: int, subject: str) -> tuple[str, ...]:
    """Return the names of a layer's units, one per axis.

    Parameters
    ----------
    units : None, str, pint.Unit, or a sequence of them
        As a layer or a layer tuple has them; None is pixels.
    n_axes : int
        Axes of the layer.
    subject : str
        Which layer, for messages.

    Raises
    ------
    ArgumentError
        If pint does not know one, or there are not as many as axes.
    """
    is_one = units is None or isinstance(units, str) or not hasattr(units, "__len__")
    given: Sequence[Any] = (units,) * n_axes if is_one else tuple(units)
    if len(given) != n_axes:
        msg = (
            f"{subject} has {n_axes} axes and {len(given)} units: "
            f"{[str(unit) for unit in given]}. Give one unit per axis."
        )
        raise ArgumentError(msg)
    return tuple(_known_unit(unit, subject) for unit in given)


def _known_unit(unit: Any, subject: str) -> str:
    import pint

    if unit is None:
        return PIXEL
    text = str(unit).strip()
    if text.lower() in _PIXEL_WORDS:
        return PIXEL
    registry: Any = pint.get_application_registry()  # type: ignore[no-untyped-call]
    try:
        # pint would calculate an expression in a text
        is_safe = isinstance(unit, pint.Unit) or _UNIT_WORD.fullmatch(text)
        if not is_safe or len(text) > _MAX_UNIT:
            raise ValueError
        return str(registry.Unit(text))
    except (pint.errors.PintError, ValueError, TypeError, AttributeError) as err:
        msg = (
            f"{subject} has the unit {text[:_MAX_UNIT]!r}, which pint does not know. "
            "Set layer.units to one such as 'micrometer' or 'pixel'."
        )
        raise ArgumentError(msg) from err


def unit_factor(unit: str, target: str) -> float | None:
    """Return how many of one unit make another; None if they do not compare.

    Parameters
    ----------
    unit, target : str
        Names as of `units_of_layer`.

    Returns
    -------
    float or None
        ``factor`` in ``number in target = factor * number in unit``.
    """
    import pint

    if unit == target:
        return 1.0
    if PIXEL in (unit, target):
        return None
    registry: Any = pint.get_application_registry()  # type: ignore[no-untyped-call]
    try:
        return float(registry.Quantity(1.0, unit).to(target).magnitude)
    except (pint.errors.PintError, ValueError):
        return None
