"""Names of a layer's axes: as they were given, and as an image can have them."""

from __future__ import annotations

import re
from typing import Any, Final

from ._hint_fields import MAX_AXIS_LABEL

#: Spatial axes of an image, coordinate axis order; the first ones where fewer.
SPATIAL_AXES: Final = ("x", "y", "z")
#: napari's own names for axes nobody named.
_DEFAULT_LABEL: Final = re.compile(r"(axis )?-?\d+")


def axis_names(
    labels: Any, n_axes: int, subject: str
) -> tuple[tuple[str, ...], list[str]]:
    """Return a usable name per axis, napari's order, and notes."""
    defaults = default_names(n_axes)
    given = [str(label).strip() for label in labels or ()]
    if len(given) != n_axes:
        return defaults, []
    names, odd = [], []
    for label, default in zip(given, defaults, strict=True):
        is_default = _is_default(label)
        is_good = label.isprintable() and not label.lower().startswith("soma_")
        names.append(label if is_good and not is_default else default)
        if not (is_good or is_default):
            odd.append(label)
    if len(set(names)) != n_axes:
        odd = given
        names = [*defaults]
    notes = []
    if odd:
        notes.append(
            f"{subject} has axes named {', '.join(map(repr, given))}; they are stored "
            f"as {', '.join(names)}: names must differ and not start with 'soma_'."
        )
    return tuple(names), notes


def default_names(n_axes: int) -> tuple[str, ...]:
    """Return the names of spatial axes that nobody named, napari's order."""
    names = tuple(reversed(SPATIAL_AXES[:n_axes]))
    # more axes than supported: for messages only
    return (*(f"axis {i}" for i in range(n_axes - len(names))), *names)


def given_labels(labels: Any, n_axes: int) -> tuple[str | None, ...]:
    """Return the names of the axes as they were given, None for defaults."""
    given = [str(label) for label in labels or ()]
    if len(given) != n_axes:
        return (None,) * n_axes
    return tuple(
        None if _is_default(label) or len(label) > MAX_AXIS_LABEL else _utf8(label)
        for label in given
    )


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _is_default(label: str) -> bool:
    text = label.strip()
    return not text or _DEFAULT_LABEL.fullmatch(text) is not None
