"""The plugin's page in napari's Preferences, applied to the storage room."""

from __future__ import annotations

import logging
from typing import Any, Final

_LOGGER = logging.getLogger(__name__)

PLUGIN_NAME: Final = "napari-msimage"
#: The cache's budget before any preference was applied: chosen by the memory there is.
_automatic_bytes: list[int] = []


def apply_settings() -> None:
    """Apply the preferences now, and again whenever they change.

    Without napari's plugin manager (plain scripts) the defaults stay.
    """
    from napari.settings import get_plugin_settings

    try:
        memory = get_plugin_settings(PLUGIN_NAME).memory
    except KeyError:
        _LOGGER.debug("napari does not know the plugin; its preferences do not apply")
        return
    _set_cache_size(memory.tile_cache_mib)
    # connecting the same function again has no effect
    memory.events.tile_cache_mib.connect(_on_cache_size)


def _on_cache_size(event: Any) -> None:
    _set_cache_size(event.value)


def _set_cache_size(mebibytes: int) -> None:
    from ..storage import tile_cache

    cache = tile_cache()
    if not _automatic_bytes:
        _automatic_bytes.append(cache.max_bytes)
    cache.set_max_bytes(mebibytes * 2**20 if mebibytes else _automatic_bytes[0])
