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
from ._export_formats import FORMATS
from ._export_levels import LevelRow, level_table, level_within, nearest_level
from ._export_open import export_source
from ._export_plan import ExportOptions, ExportPlan, PlannedFile
from ._export_planning import plan_export
from ._export_source import ExportSource, ImageRegion
from ._export_write import check_places, export_region, write_export
from ._image_write import write_image
from ._level_plan import METHODS, LevelPlan, PlannedLevel, bytes_in_words
from ._level_planning import plan_levels
from ._levels import create_levels, write_levels
from ._pixel_source import BoxReader, PixelSource
from ._progress import Progress, run
from ._staging import REPLACED_MARK, find_replaced, restore_replaced
from ._store_plan import ImageToWrite, SceneToWrite, StorePlan, plan_store
from ._store_write import write_store
from ._stored_level import LevelPixels
from ._tile_maker import TileMaker, tile_maker

__all__ = [
    "FORMATS",
    "MAX_READ_BYTES",
    "METHODS",
    "REPLACED_MARK",
    "BoxReader",
    "Display",
    "DisplayArray",
    "DisplayChange",
    "DisplayLevelPlan",
    "DisplayPlan",
    "ExportOptions",
    "ExportPlan",
    "ExportSource",
    "ImageRegion",
    "ImageToWrite",
    "LevelPixels",
    "LevelPlan",
    "LevelRow",
    "PixelSource",
    "PlannedFile",
    "PlannedLevel",
    "Progress",
    "SceneToWrite",
    "StorePlan",
    "TileMaker",
    "build_display",
    "bytes_in_words",
    "check_places",
    "create_levels",
    "export_region",
    "export_source",
    "find_replaced",
    "level_table",
    "level_within",
    "nearest_level",
    "plan_display",
    "plan_export",
    "plan_levels",
    "plan_store",
    "restore_replaced",
    "run",
    "tile_maker",
    "write_export",
    "write_image",
    "write_levels",
    "write_store",
]
