"""All behaviours, in a local folder."""

from __future__ import annotations

from . import suite
from .improved_create import ImprovedCreateSuite, ImprovedFolderSuite
from .improved_levels import ImprovedLevelsSuite
from .improved_reads import ImprovedReadsSuite
from .improved_scenes import (
    ImprovedCollectionFolderSuite,
    ImprovedCollectionsSuite,
    ImprovedScenesSuite,
)
from .improved_sessions import ImprovedSessionsSuite
from .improved_writes import ImprovedFragmentsSuite, ImprovedWritesSuite
from .store_suite import LocalStore


class TestCreate(LocalStore, suite.CreateSuite):
    pass


class TestLocalFolder(LocalStore, suite.LocalFolderSuite):
    pass


class TestLevels(LocalStore, suite.LevelsSuite):
    pass


class TestMapping(LocalStore, suite.MappingSuite):
    pass


class TestMetadata(LocalStore, suite.MetadataSuite):
    pass


class TestTimestamp(LocalStore, suite.TimestampSuite):
    pass


class TestRegions(LocalStore, suite.RegionsSuite):
    pass


class TestChannels(LocalStore, suite.ChannelsSuite):
    pass


class TestCollections(LocalStore, suite.CollectionsSuite):
    pass


class TestCollectionHistory(LocalStore, suite.CollectionHistorySuite):
    pass


class TestScenes(LocalStore, suite.ScenesSuite):
    pass


class TestArrays(LocalStore, suite.ArraysSuite):
    pass


class TestImprovedCreate(LocalStore, ImprovedCreateSuite):
    pass


class TestImprovedLevels(LocalStore, ImprovedLevelsSuite):
    pass


class TestImprovedReads(LocalStore, ImprovedReadsSuite):
    pass


class TestImprovedWrites(LocalStore, ImprovedWritesSuite):
    pass


class TestImprovedFolder(LocalStore, ImprovedFolderSuite):
    pass


class TestImprovedFragments(LocalStore, ImprovedFragmentsSuite):
    pass


class TestImprovedSessions(LocalStore, ImprovedSessionsSuite):
    pass


class TestImprovedCollections(LocalStore, ImprovedCollectionsSuite):
    pass


class TestImprovedScenes(LocalStore, ImprovedScenesSuite):
    pass


class TestImprovedCollectionFolder(LocalStore, ImprovedCollectionFolderSuite):
    pass
