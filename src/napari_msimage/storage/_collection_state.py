"""What an open collection or scene holds in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ._group_state import GroupState
from ._metadata import (
    COORDINATE_SPACE,
    SCENE_PREFIX,
    check_object,
    check_spatial_version,
    read_coordinate_space,
)
from ._soma_types import PLAIN_COLLECTIONS, SCENE_TYPE

if TYPE_CHECKING:
    from ..coordinates import CoordinateSpace
    from ._group import GroupContents, Member
    from ._soma_object import OpenMode


class CollectionState(GroupState):
    """Members and metadata of a collection in one session; see `GroupState`."""

    noun = "collection"
    types: ClassVar[tuple[str, ...]] = PLAIN_COLLECTIONS

    soma_type: str

    def load(
        self,
        mode: OpenMode,
        timestamp_ms: int,
        stacklevel: int | None,
        stored: GroupContents | None = None,
    ) -> None:
        """Read members and metadata; see `GroupState.load`."""
        if stored is None:
            stored = self._read(mode, timestamp_ms)
        self.soma_type = check_object(stored.metadata, self.address, *self.types)
        self._assume(mode, timestamp_ms, stored, dict(stored.members))

    def add(self, member: Member) -> None:
        """Note a new member; a transform left behind by another of its key goes."""
        self.put_member(member)
        self.metadata.drop(SCENE_PREFIX + member.name)

    def remove(self, key: str) -> None:
        """Note that a member goes, and the transform to it."""
        self.drop_member(key)
        self.metadata.drop(SCENE_PREFIX + key)


class SceneState(CollectionState):
    """Members, metadata and coordinate space of a scene in one session."""

    noun = "scene"
    types = (SCENE_TYPE,)

    space: CoordinateSpace | None

    def load(
        self,
        mode: OpenMode,
        timestamp_ms: int,
        stacklevel: int | None,
        stored: GroupContents | None = None,
    ) -> None:
        """Read members, metadata and coordinate space; see `GroupState.load`."""
        if stored is None:
            stored = self._read(mode, timestamp_ms)
        check_object(stored.metadata, self.address, *self.types)
        check_spatial_version(stored.metadata, self.address)
        space = None
        if COORDINATE_SPACE in stored.metadata:
            space = read_coordinate_space(stored.metadata, self.address)
        super().load(mode, timestamp_ms, stacklevel, stored)
        self.space = space
