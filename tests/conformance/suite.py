"""Every behaviour that upstream has and that this package matches."""

from __future__ import annotations

from .suite_arrays import ArraysSuite
from .suite_collections import CollectionHistorySuite, CollectionsSuite
from .suite_create import CreateSuite, LocalFolderSuite
from .suite_levels import LevelsSuite
from .suite_mapping import MappingSuite
from .suite_metadata import MetadataSuite
from .suite_regions import ChannelsSuite, RegionsSuite
from .suite_scenes import ScenesSuite
from .suite_timestamps import TimestampSuite

__all__ = [
    "ArraysSuite",
    "ChannelsSuite",
    "CollectionHistorySuite",
    "CollectionsSuite",
    "CreateSuite",
    "LevelsSuite",
    "LocalFolderSuite",
    "MappingSuite",
    "MetadataSuite",
    "RegionsSuite",
    "ScenesSuite",
    "TimestampSuite",
]
