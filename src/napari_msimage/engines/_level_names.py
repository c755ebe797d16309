"""Keys of new levels: what they may be, and names that continue an image's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
#: Windows has no files of these names, whatever their ending.
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"(.*?)(\d+)", re.DOTALL)
_MAX_LENGTH: Final = 100


def check_new_key(key: object) -> str:
    """Return the key if a new level may have it.

    Letters, digits, ``.``, ``_`` and ``-``, the first a letter or digit, the last no
    ``.``, at most 100, and no device names of Windows such as ``nul``: what every file
    system and object store can hold.

    Raises
    ------
    ArgumentTypeError
        If it is not a str.
    ArgumentError
        If it has other characters, or is too long.
    """
    if not isinstance(key, str):
        msg = f"A level key must be a str, got {type(key).__name__}: {key!r}"
        raise ArgumentTypeError(msg)
    if len(key) > _MAX_LENGTH:
        msg = (
            f"The level key {key[:20]!r}... has {len(key)} characters; at most "
            f"{_MAX_LENGTH} are allowed. Choose a shorter one, such as 'level1'."
        )
        raise ArgumentError(msg)
    if not _KEY.fullmatch(key) or _DEVICES.fullmatch(key):
        msg = (
            f"Cannot use {key!r} as the key of a new level: letters, digits, '.', '_' "
            "and '-' are allowed, the first a letter or digit, the last no '.', and no "
            "device names of Windows. Choose another, such as 'level1'."
        )
        raise ArgumentError(msg)
    return key


def new_keys(existing: Sequence[str], n_keys: int) -> list[str]:
    """Return keys for new levels, finest first, that continue the image's own scheme.

    Numbered keys are continued with the next numbers (``level0`` gives ``level1``,
    ``s00`` gives ``s01``); otherwise the keys are ``level1``, ``level2`` and so on.

    Parameters
    ----------
    existing : sequence of str
        Keys that are taken, finest level first.
    n_keys : int
        How many are needed.
    """
    prefix, number, width = _scheme(existing)
    taken = {key.lower() for key in existing}  # some disks ignore case
    keys: list[str] = []
    while len(keys) < n_keys:
        key = f"{prefix}{number:0{width}d}"
        number += 1
        if key.lower() not in taken:
            keys.append(key)
    return keys


def _scheme(existing: Sequence[str]) -> tuple[str, int, int]:
    """Return prefix, next number and number of digits of an image's keys."""
    found: dict[str, list[str]] = {}
    for key in existing:
        match = _NUMBERED.fullmatch(key)
        if match and len(key) < _MAX_LENGTH and _KEY.fullmatch(match[1] + "0"):
            found.setdefault(match[1], []).append(match[2])
    if not found:
        return "level", 1, 1
    prefix = max(found, key=lambda p: len(found[p]))
    digits = found[prefix]
    is_padded = any(len(text) > 1 and text.startswith("0") for text in digits)
    width = max(map(len, digits)) if is_padded else 1
    return prefix, max(map(int, digits)) + 1, width
