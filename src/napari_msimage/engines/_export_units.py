"""Units of world coordinates as file formats know them."""

from __future__ import annotations

import re
from typing import Any, Final

#: Names of units as OME-XML writes them.
_OME: Final = {
    "meter": "m",
    "centimeter": "cm",
    "millimeter": "mm",
    "micrometer": "µm",
    "micron": "µm",
    "nanometer": "nm",
    "picometer": "pm",
    "angstrom": "Å",
    "kilometer": "km",
    "inch": "in",
    "foot": "ft",
}
#: A name or symbol; pint would calculate an expression.
_WORD: Final = re.compile(r"[^\W\d_]+(_[^\W\d_]+)*")
_PIXELS: Final = ("pixel", "pixels", "px", "pix")
#: Units that OME-Zarr lists.
_NGFF_PREFIXES: Final = (
    *("", "atto", "centi", "deci", "exa", "femto", "giga", "hecto", "kilo", "mega"),
    *("micro", "milli", "nano", "peta", "pico", "tera", "yocto", "yotta", "zepto"),
    "zetta",
)
_NGFF: Final = frozenset(
    {
        *(prefix + base for prefix in _NGFF_PREFIXES for base in ("meter", "second")),
        *("angstrom", "foot", "inch", "mile", "parsec", "yard"),
        *("day", "hour", "minute"),
    }
)


def full_name(unit: str | None) -> str | None:
    """Return the full name of a unit, as in "micrometer"; None if it is unknown.

    Parameters
    ----------
    unit : str, optional
        Name or symbol that pint knows, such as "um".
    """
    if unit is None or len(unit) > 64 or not _WORD.fullmatch(unit.strip()):
        return None
    import pint

    registry: Any = pint.get_application_registry()  # type: ignore[no-untyped-call]
    try:
        name = str(registry.Unit(unit.strip()))
    except (pint.errors.PintError, ValueError, TypeError, AttributeError):
        return None
    return {"micron": "micrometer"}.get(name, name)


def unit_ratio(unit: str | None, other: str | None) -> float | None:
    """Return how many of another unit one of a unit is; None if they do not compare.

    Parameters
    ----------
    unit, other : str, optional
        None, and "pixel", are pixels.
    """
    one, two = (
        None if name is None or name.strip().lower() in _PIXELS else name
        for name in (unit, other)
    )
    if one == two:
        return 1.0
    names = full_name(one), full_name(two)
    if None in names:
        return None
    import pint

    registry: Any = pint.get_application_registry()  # type: ignore[no-untyped-call]
    try:
        return float(registry.Quantity(1.0, names[0]).to(names[1]).magnitude)
    except (pint.errors.PintError, ValueError, AttributeError):
        return None


def ome_unit(unit: str | None) -> tuple[str, float]:
    """Return a unit of OME-XML, and how many of it one of the given units is.

    Lengths that OME has no name for become micrometers, all else pixels.
    """
    name = full_name(unit)
    if name in _OME:
        return _OME[name], 1.0
    if name is None:
        return "pixel", 1.0
    import pint

    registry: Any = pint.get_application_registry()  # type: ignore[no-untyped-call]
    try:
        return "µm", float(registry.Quantity(1.0, name).to("micrometer").magnitude)
    except (pint.errors.PintError, ValueError):
        return "pixel", 1.0


def ngff_unit(unit: str | None) -> str | None:
    """Return a unit of OME-Zarr; None if it has no name for it."""
    name = full_name(unit)
    return name if name in _NGFF else None
