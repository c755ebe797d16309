"""The last settings of an export, kept on the plugin's page of the preferences."""

from __future__ import annotations

import dataclasses
import logging
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ._settings import PLUGIN_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

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
#: What a format does by itself.
DEFAULT: Final = "default"
#: What formats can be compressed with, the default first.
COMPRESSIONS: Final[dict[str, tuple[str, ...]]] = {
    "ome-tiff": ("zlib", "zstd", "none"),
    "ome-zarr": ("zstd", "zlib", "none"),
}
#: Formats that can have coarser levels, and whether they have by default.
PYRAMIDS: Final[dict[str, bool]] = {"ome-tiff": False, "ome-zarr": True, "soma": True}


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
    planes: Literal["current", "all"] = "current"
    """Which planes of a volume the current view means."""
    outside: Literal["keep", "fill", "alpha"] = "keep"
    """What becomes of pixels outside of an outline: as they are, one value, or
    transparent where the format can do that."""
    fill_value: str = "0"
    """That value."""
    compression: str = DEFAULT
    """How files are compressed, where the format can be; or "default": as the format
    is by itself."""
    pyramid: str = DEFAULT
    """Whether files get coarser levels: "yes", "no", or "default"."""
    json_file: bool = False
    """Whether formats that hold metadata get a .json file too."""

    @property
    def folder_path(self) -> Path:
        """Where files go."""
        return Path(self.folder).expanduser() if self.folder else Path.home()

    def compression_of(self, format: str) -> str | None:
        """Return how a format is compressed; None: as it is by itself."""
        choices = COMPRESSIONS.get(format, ())
        return self.compression if self.compression in choices else None

    def pyramid_of(self, format: str) -> bool | None:
        """Return whether a format gets coarser levels; None: as it is by itself."""
        if format not in PYRAMIDS or self.pyramid == DEFAULT:
            return None
        return self.pyramid == "yes"


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


@dataclasses.dataclass(frozen=True, slots=True)
class LayerSettings:
    """What the last export of some layers was done with."""

    n_layers: int = 0
    """How many layers they were."""
    channel_axis: int | None = None
    """Which axis of one layer was taken for its channels."""
    channels: tuple[int, ...] | None = None
    """Which channels were exported; None: all."""


#: By the first layer, as long as it is open.
_of_layers: weakref.WeakKeyDictionary[Any, LayerSettings] = weakref.WeakKeyDictionary()


def layer_settings(layers: Sequence[Any]) -> LayerSettings:
    """Return what the last export of these layers was done with."""
    found = _of_layers.get(layers[0])
    is_same = found is not None and found.n_layers == len(layers)
    return found if found is not None and is_same else LayerSettings()


def keep_layer_settings(
    layers: Sequence[Any], channel_axis: int | None, channels: tuple[int, ...] | None
) -> None:
    """Keep what an export of layers was done with for the next one."""
    _of_layers[layers[0]] = LayerSettings(len(layers), channel_axis, channels)


def _page() -> Any:
    """Return the section of the preferences; None where napari has none."""
    from napari.settings import get_plugin_settings

    try:
        return getattr(get_plugin_settings(PLUGIN_NAME), "export", None)
    except KeyError:
        _LOGGER.debug("napari does not know the plugin; settings are not kept")
        return None
