"""What is stored: SOMA images, their levels, and lazy views of them.

The only room that imports tiledb.
"""

from __future__ import annotations

from ._array_schema import ArraySchema
from ._context import SOMATileDBContext, is_local, normalize_uri
from ._dense_array import DenseNDArray
from ._layout import describe_layout
from ._lazy import LevelArray
from ._metadata import CHANNEL_AXIS
from ._multiscale_image import MultiscaleImage
from ._new_levels import LevelSpec, StagedLevels, stage_levels
from ._probe import probe
from ._selection import Selection
from ._spatial_read import SpatialRead
from ._staging import STAGING_MARK, check_space, is_abandoned, staging_name
from ._tile_cache import TileCache, tile_cache
from ._tile_stream import ArrayWriter, TileStream

__all__ = [
    "CHANNEL_AXIS",
    "STAGING_MARK",
    "ArraySchema",
    "ArrayWriter",
    "DenseNDArray",
    "LevelArray",
    "LevelSpec",
    "MultiscaleImage",
    "SOMATileDBContext",
    "Selection",
    "SpatialRead",
    "StagedLevels",
    "TileCache",
    "TileStream",
    "check_space",
    "describe_layout",
    "is_abandoned",
    "is_local",
    "normalize_uri",
    "probe",
    "stage_levels",
    "staging_name",
    "tile_cache",
]
