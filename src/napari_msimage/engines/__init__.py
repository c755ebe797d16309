"""Work over images: writing, levels, what a viewer shows of them. No viewer, no Qt."""

from __future__ import annotations

from ._display import Display, build_display
from ._display_array import DisplayArray
from ._display_pyramid import (
    MAX_READ_BYTES,
    DisplayLevelPlan,
    DisplayPlan,
    plan_display,
)
from ._display_tiles import DisplayChange
from ._image_write import write_image
from ._level_plan import METHODS, LevelPlan, PlannedLevel, bytes_in_words
from ._level_planning import plan_levels
from ._levels import create_levels, write_levels
from ._pixel_source import PixelSource
from ._progress import Progress, run
from ._store_plan import ImageToWrite, SceneToWrite, StorePlan, plan_store
from ._store_write import write_store
from ._stored_level import LevelPixels
from ._tile_maker import TileMaker, tile_maker

__all__ = [
    "MAX_READ_BYTES",
    "METHODS",
    "Display",
    "DisplayArray",
    "DisplayChange",
    "DisplayLevelPlan",
    "DisplayPlan",
    "ImageToWrite",
    "LevelPixels",
    "LevelPlan",
    "PixelSource",
    "PlannedLevel",
    "Progress",
    "SceneToWrite",
    "StorePlan",
    "TileMaker",
    "build_display",
    "bytes_in_words",
    "create_levels",
    "plan_display",
    "plan_levels",
    "plan_store",
    "run",
    "tile_maker",
    "write_image",
    "write_levels",
    "write_store",
]
