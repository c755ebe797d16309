"""What is stored: SOMA images, their levels, scenes, and lazy views of levels.

The only room that imports tiledb.
"""

from __future__ import annotations

from ._array_schema import ArraySchema
from ._collection import Collection
from ._context import SOMATileDBContext, check_uri, is_local, normalize_uri, now_ms
from ._dense_array import DenseNDArray
from ._layout import describe_layout
from ._lazy import LevelArray
from ._level_array import create_level_array
from ._member_places import is_inside
from ._metadata import CHANNEL_AXIS, SCENE_PREFIX
from ._multiscale_image import MultiscaleImage
from ._names import directory_name
from ._new_levels import LevelSpec, StagedLevels, stage_levels
from ._probe import kind_of, probe
from ._scene import Scene
from ._selection import Selection
from ._spatial_read import SpatialRead
from ._staged_array import StagedArray
from ._staging import (
    STAGING_MARK,
    check_space,
    is_abandoned,
    remove_object,
    staging_name,
)
from ._tile_cache import TileCache, tile_cache
from ._tile_stream import ArrayWriter, TileStream

__all__ = [
    "CHANNEL_AXIS",
    "SCENE_PREFIX",
    "STAGING_MARK",
    "ArraySchema",
    "ArrayWriter",
    "Collection",
    "DenseNDArray",
    "LevelArray",
    "LevelSpec",
    "MultiscaleImage",
    "SOMATileDBContext",
    "Scene",
    "Selection",
    "SpatialRead",
    "StagedArray",
    "StagedLevels",
    "TileCache",
    "TileStream",
    "check_space",
    "check_uri",
    "create_level_array",
    "describe_layout",
    "directory_name",
    "is_abandoned",
    "is_inside",
    "is_local",
    "kind_of",
    "normalize_uri",
    "now_ms",
    "probe",
    "remove_object",
    "stage_levels",
    "staging_name",
    "tile_cache",
]
