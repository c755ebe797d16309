"""The suites against tiledbsoma itself: their expectations are true."""

from __future__ import annotations

from . import suite
from .store_suite import UpstreamStore


class TestCreate(UpstreamStore, suite.CreateSuite):
    pass


class TestLocalFolder(UpstreamStore, suite.LocalFolderSuite):
    pass


class TestLevels(UpstreamStore, suite.LevelsSuite):
    pass


class TestMapping(UpstreamStore, suite.MappingSuite):
    pass


class TestMetadata(UpstreamStore, suite.MetadataSuite):
    pass


class TestTimestamps(UpstreamStore, suite.TimestampSuite):
    pass


class TestRegions(UpstreamStore, suite.RegionsSuite):
    pass


class TestChannels(UpstreamStore, suite.ChannelsSuite):
    pass


class TestCollections(UpstreamStore, suite.CollectionsSuite):
    pass


class TestCollectionHistory(UpstreamStore, suite.CollectionHistorySuite):
    pass


class TestScenes(UpstreamStore, suite.ScenesSuite):
    pass


class TestArrays(UpstreamStore, suite.ArraysSuite):
    pass
