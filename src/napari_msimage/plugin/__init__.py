"""The napari face: reader, commands, sample data.

Nothing here is loaded before it is used: napari imports this room for every folder
that is dropped on it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._hints import ChannelHints, DisplayHints, make_hints, read_hints, write_hints
    from ._open import open_image
    from ._reader import get_reader
    from ._write_layers import write_layers

_HOME = {
    "ChannelHints": "_hints",
    "DisplayHints": "_hints",
    "get_reader": "_reader",
    "make_hints": "_hints",
    "open_image": "_open",
    "read_hints": "_hints",
    "write_hints": "_hints",
    "write_layers": "_write_layers",
}

__all__ = [
    "ChannelHints",
    "DisplayHints",
    "get_reader",
    "make_hints",
    "open_image",
    "read_hints",
    "write_hints",
    "write_layers",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
