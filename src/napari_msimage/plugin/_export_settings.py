"""The last settings of an export, kept on the plugin's page of the preferences."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, Final

from ._settings import PLUGIN_NAME

_LOGGER = logging.getLogger(__name__)

#: Endings of the files, by format.
ENDINGS: Final = {
    "ome-tiff": ".ome.tif",
    "ome-zarr": ".ome.zarr",
    "png": ".png",
    "npy": ".npy",
    "soma": ".soma",
}
#: The target that is no file.
NEW_LAYER: Final = "layer"
#: Level that has no more pixels than the screen.
SCREEN_LEVEL: Final = "screen"


@dataclasses.dataclass(frozen=True, slots=True)
class ExportSettings:
    """What an export was done with; names as on the page of the preferences."""

    folder: str = ""
    """Where files go; "" is the user's home folder."""
    format: str = "ome-tiff"
    """One of `ENDINGS`, or "layer"."""
    level: str = SCREEN_LEVEL
    """Number of a level, 0 is the finest; or "screen": the coarsest one with at least
    one pixel per pixel of the screen."""
    as_displayed: bool = False
    """Whether colours are exported instead of raw data."""
    mask: bool = False
    """Whether pixels outside of an outline are left out."""

    @property
    def folder_path(self) -> Path:
        """Where files go."""
        return Path(self.folder).expanduser() if self.folder else Path.home()


#: Used where napari does not know the plugin, as in plain scripts.
_unsaved: list[ExportSettings] = []


def load_settings() -> ExportSettings:
    """Return the settings of the last export."""
    page = _page()
    if page is None:
        return _unsaved[-1] if _unsaved else ExportSettings()
    values = {
        field.name: getattr(page, field.name)
        for field in dataclasses.fields(ExportSettings)
        if hasattr(page, field.name)
    }
    return ExportSettings(**values)


def save_settings(settings: ExportSettings) -> None:
    """Keep the settings of an export for the next one."""
    _unsaved[:] = [settings]
    page = _page()
    if page is None:
        return
    for name, value in dataclasses.asdict(settings).items():
        if hasattr(page, name) and getattr(page, name) != value:
            setattr(page, name, value)


def _page() -> Any:
    """Return the section of the preferences; None where napari has none."""
    from napari.settings import get_plugin_settings

    try:
        return getattr(get_plugin_settings(PLUGIN_NAME), "export", None)
    except KeyError:
        _LOGGER.debug("napari does not know the plugin; settings are not kept")
        return None
