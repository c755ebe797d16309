"""What an open image holds in memory, read from its group and written back to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ModeError
from ._context import is_local, local_path, now_ms
from ._group import GroupChange, Member, commit, load_group
from ._image_levels import Level, find_levels, sort_levels
from ._metadata import LEVEL_PREFIX, Metadata, read_image_metadata, shape_to_json
from ._probe import require_group

if TYPE_CHECKING:
    from ..coordinates import CoordinateSpace
    from ._array_state import OpenMode
    from ._clock import WriteClock
    from ._context import SOMATileDBContext
    from ._metadata import ImageSchema


class ImageState:
    """Levels, members and metadata of an image in one session.

    Changes stay in memory until `flush` writes them in one commit.

    Parameters
    ----------
    uri : str
        Address as the user gave it, for messages.
    address : str
        Normalized address.
    context : SOMATileDBContext
        TileDB configuration.
    clock : WriteClock
        Timestamps of the session.
    """

    space: CoordinateSpace
    schema: ImageSchema
    levels: list[Level]
    metadata: Metadata
    members: dict[str, Member]
    mode: OpenMode
    timestamp_ms: int

    def __init__(
        self, uri: str, address: str, context: SOMATileDBContext, clock: WriteClock
    ) -> None:
        self.uri = uri
        self.address = address
        self.context = context
        self.clock = clock
        self.closed = True

    @property
    def ctx(self) -> Any:
        """TileDB context for the image's address."""
        return self.context.tiledb_ctx(self.address)

    def load(self, mode: OpenMode, stacklevel: int) -> None:
        """Read members and metadata; the state stays as it was when that fails.

        Raises
        ------
        DoesNotExistError
            If no group is there.
        FormatError
            If it is not a SOMA multiscale image, or damaged.
        """
        require_group(self.address, self.ctx)
        timestamp_ms = self.clock.base_ms
        # changes apply to the present state, whatever time they are written with
        read_ms = timestamp_ms if mode == "r" else now_ms()
        stored = load_group(self.address, self.ctx, read_ms)
        space, schema = read_image_metadata(stored.metadata, self.address)
        levels = find_levels(
            stored.metadata, stored.members, schema, self.address, stacklevel + 1
        )
        self.space, self.schema, self.levels = space, schema, levels
        self.mode, self.closed, self.timestamp_ms = mode, False, timestamp_ms
        self.metadata = Metadata(stored.metadata, self.guard_metadata, self.uri)
        kept = {level.key for level in levels}
        self.members = {k: m for k, m in stored.members.items() if k in kept}
        self._stored = stored.members
        self._deleted: set[str] = set()

    def add(self, level: Level, member: Member) -> None:
        """Note a new level."""
        self.members[level.key] = member
        self.metadata.put(LEVEL_PREFIX + level.key, shape_to_json(level.shape))
        self.levels = sort_levels([*self.levels, level])

    def remove(self, key: str) -> None:
        """Note that a level goes."""
        del self.members[key]
        self._deleted.add(key)
        self.metadata.drop(LEVEL_PREFIX + key)
        self.levels = [level for level in self.levels if level.key != key]

    def flush(self) -> None:
        """Write what changed since the image was opened or last flushed."""
        changed, dropped = self.metadata.changes()
        before, now = self._stored, self.members
        added = tuple(m for k, m in now.items() if before.get(k) is not m)
        removed = tuple(k for k in self._deleted if k in before and k not in now)
        replaced = tuple(m.name for m in added if m.name in before)
        change = GroupChange(added, removed + replaced, changed, tuple(dropped))
        if self.mode == "r" or not change:
            return
        names = [*changed, *dropped, *removed, *(member.name for member in added)]
        stamp = self.clock.for_names(self.address, names)
        commit(self.address, change, self.ctx, stamp)
        self.metadata.written()
        self._stored = {k: m for k, m in before.items() if k not in removed} | now
        self._deleted.clear()

    def members_outside(self) -> dict[str, str]:
        """Return key and address of the levels stored outside the image's folder."""
        return {
            key: member.uri
            for key, member in self.members.items()
            if not self._is_inside(member.uri)
        }

    def _is_inside(self, uri: str) -> bool:
        if not (is_local(uri) and is_local(self.address)):
            return uri.startswith(self.address + "/")
        root = os.path.realpath(self.address)
        return os.path.realpath(local_path(uri)).startswith(root + os.sep)

    # What the mode allows

    def verify_open(self, action: str) -> None:
        """Raise `ModeError` if the image is closed."""
        if self.closed:
            msg = f"Cannot {action} {self.uri!r}: it is closed; open it again"
            raise ModeError(msg)

    def verify_mode(self, action: str, *modes: OpenMode) -> None:
        """Raise `ModeError` unless the image is open in one of the modes."""
        self.verify_open(action)
        if self.mode not in modes:
            msg = (
                f"Cannot {action} {self.uri!r}: it is open in mode {self.mode!r}; open "
                f"it with mode={modes[0]!r}"
            )
            raise ModeError(msg)

    def guard_metadata(self, access: Literal["read", "write"]) -> None:
        """Check an access to the metadata."""
        if access == "write":
            self.verify_mode("change metadata of", "w")
        else:
            self.verify_open("read metadata of")
