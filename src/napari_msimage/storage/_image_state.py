"""What an open image holds in memory, read from its group and written back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._array_state import ArrayState
from ._context import normalize_uri
from ._group import GroupContents
from ._group_state import GroupState
from ._image_levels import Level, find_levels, sort_levels
from ._image_members import check_array
from ._metadata import LEVEL_PREFIX, read_image_metadata, shape_to_json

if TYPE_CHECKING:
    from ..coordinates import CoordinateSpace
    from ._group import Member
    from ._metadata import ImageSchema
    from ._soma_object import OpenMode


class ImageState(GroupState):
    """Levels, members and metadata of an image in one session; see `GroupState`."""

    noun = "image"
    member_noun = "level"

    space: CoordinateSpace
    schema: ImageSchema
    levels: list[Level]

    def load(
        self,
        mode: OpenMode,
        timestamp_ms: int,
        stacklevel: int | None,
        stored: GroupContents | None = None,
    ) -> None:
        """Read levels and metadata; see `GroupState.load`.

        Raises
        ------
        DoesNotExistError
            If no group is there.
        FormatError
            If it is not a SOMA multiscale image, or damaged.
        """
        if stored is None:
            stored = self._read(mode, timestamp_ms)
        space, schema = read_image_metadata(stored.metadata, self.address)
        shown = _without_leftovers(stored) if stacklevel is None else stored
        levels = find_levels(
            shown.metadata, shown.members, schema, self.address, (stacklevel or 0) + 1
        )
        self.space, self.schema, self.levels = space, schema, levels
        kept = {level.key for level in levels}
        members = {k: m for k, m in stored.members.items() if k in kept}
        self._assume(mode, timestamp_ms, stored, members)

    def array(self, key: str, stacklevel: int) -> ArrayState:
        """Return the open array of a level; the image closes it.

        Raises
        ------
        FormatError
            If it does not fit what the image says of it.
        """
        array = self.opened(key)
        if isinstance(array, ArrayState):
            return array
        address = normalize_uri(self.members[key].uri)
        array = ArrayState(
            self.member_uri(key), address, self.mode, self.context, self.clock
        )
        try:
            check_array(self, key, array.schema, stacklevel + 1)
        except BaseException:
            array.close()
            raise
        self.adopt(key, array)
        return array

    def add(self, level: Level, member: Member) -> None:
        """Note a new level."""
        self.put_member(member)
        self.metadata.put(LEVEL_PREFIX + level.key, shape_to_json(level.shape))
        self.levels = sort_levels([*self.levels, level])

    def remove(self, key: str) -> None:
        """Note that a level goes."""
        self.drop_member(key)
        self.metadata.drop(LEVEL_PREFIX + key)
        self.levels = [level for level in self.levels if level.key != key]


def _without_leftovers(stored: GroupContents) -> GroupContents:
    """Leave out level entries without a member, and members without such an entry."""
    metadata = stored.metadata
    members = {
        key: member
        for key, member in stored.members.items()
        if member.is_array and LEVEL_PREFIX + key in metadata
    }
    shown = {
        entry: value
        for entry, value in metadata.items()
        if not entry.startswith(LEVEL_PREFIX)
        or entry.removeprefix(LEVEL_PREFIX) in members
    }
    return GroupContents(members, shown)
