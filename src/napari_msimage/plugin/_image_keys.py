"""Names of images in a scene, made from names of layers: folders on any system."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\ud800-\udfff]')
#: Device names of Windows, with any extension.
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
#: A key may take 100 bytes; a number may have to be added.
_MAX_BYTES: Final = 90


def image_keys(names: Sequence[str], fallbacks: Sequence[str]) -> tuple[str, ...]:
    """Return a different key for each layer, as close to its name as can be.

    Parameters
    ----------
    names : sequence of str
        Names of layers; may be empty, repeat, or be no folder names.
    fallbacks : sequence of str
        What to call those without a usable name.

    Examples
    --------
    >>> image_keys(["DAPI", "a/b", "dapi", ""], ["image"] * 4)
    ('DAPI', 'a_b', 'dapi [1]', 'image')
    """
    taken: set[str] = set()
    keys = []
    for name, fallback in zip(names, fallbacks, strict=True):
        key = base = _safe(name) or fallback
        number = 1
        while key.casefold() in taken:
            key, number = f"{base} [{number}]", number + 1
        taken.add(key.casefold())
        keys.append(key)
    return tuple(keys)


def _safe(name: str) -> str:
    """Return a name without what folders cannot be called."""
    text = _UNSAFE.sub("_", name).strip(" .")
    text = text.encode()[:_MAX_BYTES].decode(errors="ignore").rstrip(" .")
    if not text.strip("_"):
        return ""
    if text.startswith("__"):
        text = text.lstrip("_")
    return f"{text}_" if _DEVICES.fullmatch(text) else text
