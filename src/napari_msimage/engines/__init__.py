"""Work over images: write them, make what a viewer shows of them. No viewer, no Qt."""

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
from ._progress import Progress, run
from ._stored_level import LevelPixels
from ._tile_maker import TileMaker, tile_maker

__all__ = [
    "MAX_READ_BYTES",
    "Display",
    "DisplayArray",
    "DisplayChange",
    "DisplayLevelPlan",
    "DisplayPlan",
    "LevelPixels",
    "Progress",
    "TileMaker",
    "build_display",
    "plan_display",
    "run",
    "tile_maker",
    "write_image",
]
