"""The plugin's page in napari's Preferences, applied to the storage room."""

from __future__ import annotations

import logging
from typing import Any

_LOGGER = logging.getLogger(__name__)

PLUGIN_NAME = "napari-msimage"
_CONNECTED: set[int] = set()


def apply_settings() -> None:
    """Apply the preferences now, and again whenever they change.

    Without napari's plugin manager (plain scripts) the defaults stay.
    """
    settings = _plugin_settings()
    if settings is None:
        return
    memory = settings.memory
    _set_cache_size(memory.tile_cache_mib)
    if id(memory) not in _CONNECTED:
        _CONNECTED.add(id(memory))
        memory.events.tile_cache_mib.connect(_on_cache_size)


def _plugin_settings() -> Any:
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(PLUGIN_NAME)
    except KeyError:
        _LOGGER.debug("napari does not know the plugin; its preferences do not apply")
        return None


def _on_cache_size(event: Any) -> None:
    _set_cache_size(event.value)


def _set_cache_size(mebibytes: int) -> None:
    from ..storage import tile_cache

    tile_cache().set_max_bytes(mebibytes * 2**20)
