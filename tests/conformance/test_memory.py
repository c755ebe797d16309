"""All behaviours, in TileDB's memory file system."""

from __future__ import annotations

from . import suite
from .improved_create import ImprovedCreateSuite
from .improved_levels import ImprovedLevelsSuite
from .improved_reads import ImprovedReadsSuite
from .improved_scenes import ImprovedCollectionsSuite, ImprovedScenesSuite
from .improved_sessions import ImprovedSessionsSuite
from .improved_writes import ImprovedWritesSuite
from .store_suite import MemoryStore


class TestCreate(MemoryStore, suite.CreateSuite):
    pass


class TestLevels(MemoryStore, suite.LevelsSuite):
    pass


class TestMapping(MemoryStore, suite.MappingSuite):
    pass


class TestMetadata(MemoryStore, suite.MetadataSuite):
    pass


class TestTimestamp(MemoryStore, suite.TimestampSuite):
    pass


class TestRegions(MemoryStore, suite.RegionsSuite):
    pass


class TestChannels(MemoryStore, suite.ChannelsSuite):
    pass


class TestCollections(MemoryStore, suite.CollectionsSuite):
    pass


class TestCollectionHistory(MemoryStore, suite.CollectionHistorySuite):
    pass


class TestScenes(MemoryStore, suite.ScenesSuite):
    pass


class TestArrays(MemoryStore, suite.ArraysSuite):
    pass


class TestImprovedCreate(MemoryStore, ImprovedCreateSuite):
    pass


class TestImprovedLevels(MemoryStore, ImprovedLevelsSuite):
    pass


class TestImprovedReads(MemoryStore, ImprovedReadsSuite):
    pass


class TestImprovedWrites(MemoryStore, ImprovedWritesSuite):
    pass


class TestImprovedSessions(MemoryStore, ImprovedSessionsSuite):
    pass


class TestImprovedCollections(MemoryStore, ImprovedCollectionsSuite):
    pass


class TestImprovedScenes(MemoryStore, ImprovedScenesSuite):
    pass
