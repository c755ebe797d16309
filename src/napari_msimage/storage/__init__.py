"""What is stored: SOMA images, their levels, and lazy views of them.

The only room that imports tiledb.
"""

from __future__ import annotations

from ._array_schema import ArraySchema
from ._context import SOMATileDBContext, is_local, normalize_uri
from ._dense_array import DenseNDArray
from ._lazy import LevelArray
from ._metadata import CHANNEL_AXIS
from ._multiscale_image import MultiscaleImage
from ._probe import probe
from ._selection import Selection
from ._spatial_read import SpatialRead
from ._staging import STAGING_MARK
from ._tile_cache import TileCache, tile_cache

__all__ = [
    "CHANNEL_AXIS",
    "STAGING_MARK",
    "ArraySchema",
    "DenseNDArray",
    "LevelArray",
    "MultiscaleImage",
    "SOMATileDBContext",
    "Selection",
    "SpatialRead",
    "TileCache",
    "is_local",
    "normalize_uri",
    "probe",
    "tile_cache",
]
