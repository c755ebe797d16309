"""Units of coordinate spaces as napari knows them."""

from __future__ import annotations

import re
from typing import Any, Final

_UNIT_WORD: Final = re.compile(r"[^\W\d_]+(_[^\W\d_]+)*")
_PIXEL_WORDS: Final = {"pixel", "pixels", "px", "pix"}


def unit_for_napari(unit: str | None) -> str | None:
    """Return the name of a unit for napari; None if it is no known length or time.

    An axis without a unit, or in "px", is in pixels.
    """
    import pint

    if unit is None or unit.strip().lower() in _PIXEL_WORDS:
        return "pixel"
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
