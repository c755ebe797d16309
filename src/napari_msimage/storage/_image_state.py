"""What an open image holds in memory, read from its group and written back to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..errors import AlreadyExistsError
from ._array_state import ArrayState
from ._context import is_local, local_path, normalize_uri
from ._group import (
    MEMBERSHIP,
    GroupChange,
    GroupContents,
    Member,
    commit,
    load_group,
)
from ._image_levels import Level, find_levels, sort_levels
from ._image_members import check_array
from ._metadata import LEVEL_PREFIX, Metadata, read_image_metadata, shape_to_json
from ._probe import require_group
from ._soma_object import Session

if TYPE_CHECKING:
    from ..coordinates import CoordinateSpace
    from ._clock import WriteClock
    from ._context import SOMATileDBContext
    from ._metadata import ImageSchema
    from ._soma_object import OpenMode


class ImageState(Session):
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
    members: dict[str, Member]

    def __init__(
        self, uri: str, address: str, context: SOMATileDBContext, clock: WriteClock
    ) -> None:
        self.uri = uri
        self.address = address
        self.context = context
        self.clock = clock
        self.closed = True
        self._opened: list[ArrayState] = []
        self._current: dict[str, ArrayState] = {}

    @property
    def ctx(self) -> Any:
        """TileDB context for the image's address."""
        return self.context.tiledb_ctx(self.address)

    def load(self, mode: OpenMode, timestamp_ms: int, stacklevel: int | None) -> None:
        """Read members and metadata; the state stays as it was when that fails.

        Parameters
        ----------
        mode : {"r", "w", "d"}
            Read, write or delete.
        timestamp_ms : int
            Time to read at, or first one to write with.
        stacklevel : int or None
            Whom warnings are for; 1 is the function that calls this. None for no
            warnings.

        Raises
        ------
        DoesNotExistError
            If no group is there.
        FormatError
            If it is not a SOMA multiscale image, or damaged.
        """
        require_group(self.address, self.ctx)
        read_ms = timestamp_ms
        if mode != "r":
            read_ms = max(timestamp_ms, self.clock.present_ms)
        stored = load_group(self.address, self.ctx, read_ms)
        space, schema = read_image_metadata(stored.metadata, self.address)
        shown = _without_leftovers(stored) if stacklevel is None else stored
        levels = find_levels(
            shown.metadata, shown.members, schema, self.address, (stacklevel or 0) + 1
        )
        self.space, self.schema, self.levels = space, schema, levels
        self.mode, self.closed, self.timestamp_ms = mode, False, timestamp_ms
        self.metadata = Metadata(stored.metadata, self.guard_metadata, self.uri)
        kept = {level.key for level in levels}
        self.members = {k: m for k, m in stored.members.items() if k in kept}
        self._stored = stored.members
        self._deleted: set[str] = set()
        self._current = {}

    def array(self, key: str, stacklevel: int) -> ArrayState:
        """Return the open array of a level; the image closes it.

        Raises
        ------
        FormatError
            If it does not fit what the image says of it.
        """
        array = self._current.get(key)
        if array is None or array.closed:
            address = normalize_uri(self.members[key].uri)
            array = ArrayState(
                self.level_uri(key), address, self.mode, self.context, self.clock
            )
            try:
                check_array(self, key, array.schema, stacklevel + 1)
            except BaseException:
                array.close()
                raise
            self._opened = [one for one in self._opened if not one.closed]
            self._opened.append(array)
            self._current[key] = array
        return array

    def level_uri(self, key: str) -> str:
        """Return the absolute address of a level, as upstream spells it."""
        uri = self.members[key].uri
        return f"file://{uri}" if uri.startswith("/") else uri

    def flush_arrays(self) -> None:
        """Write what is pending in the levels' arrays."""
        for array in self._opened:
            if not array.closed:
                array.flush()

    def close(self) -> None:
        """Write what is pending and close the levels' arrays.

        When writing fails the image stays open and keeps the changes.
        """
        for array in self._opened:
            array.close()
        self.flush()
        if self.mode != "r":
            self.clock.settle()
        self._opened, self._current = [], {}
        self.closed = True

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
        self._current.pop(key, None)

    def flush(self) -> None:
        """Write what changed since the image was opened or last flushed.

        Raises
        ------
        AlreadyExistsError
            If another session has added a level of the same key meanwhile.
        """
        if self.mode == "r":
            return
        changed, dropped = self.metadata.changes()
        before, now = self._stored, self.members
        added = tuple(m for k, m in now.items() if before.get(k) is not m)
        removed = tuple(k for k in self._deleted if k in before and k not in now)
        replaced: tuple[str, ...] = ()
        if added or removed:
            # other sessions may have changed the group since it was read
            present = load_group(self.address, self.ctx, self.clock.present_ms).members
            self._check_clashes(added, present)
            removed = tuple(name for name in removed if name in present)
            replaced = tuple(m.name for m in added if m.name in present)
        change = GroupChange(added, removed + replaced, changed, tuple(dropped))
        if not change:
            return
        names = [*changed, *dropped, *([MEMBERSHIP] if added or removed else [])]
        stamp = self.clock.for_names(self.address, names)
        latest = None if self.clock.is_explicit else self.clock.present_ms
        stamp = commit(self.address, change, self.ctx, stamp, latest)
        self.clock.note_names(self.address, names, stamp)
        self.metadata.written()
        gone = self._deleted - set(now)
        self._stored = {k: m for k, m in before.items() if k not in gone} | now
        self._deleted.clear()

    def _check_clashes(
        self, added: tuple[Member, ...], present: dict[str, Member]
    ) -> None:
        for member in added:
            other = present.get(member.name)
            known = self._stored.get(member.name)
            ours = {normalize_uri(m.uri) for m in (member, known) if m is not None}
            if other is not None and normalize_uri(other.uri) not in ours:
                msg = (
                    f"Another session has added a level {member.name!r} to "
                    f"{self.uri!r} meanwhile. Remove yours, del image["
                    f"{member.name!r}], and close the image again; its pixels stay at "
                    f"{member.uri!r}."
                )
                raise AlreadyExistsError(msg)

    def members_outside(self) -> dict[str, str]:
        """Return key and address of the levels stored outside the image's folder."""
        return {
            key: member.uri
            for key, member in self.members.items()
            if not self._is_inside(member.uri)
        }

    def _is_inside(self, uri: str) -> bool:
        if not (is_local(uri) and is_local(self.address)):
            return uri.startswith(self.address + "/") and ".." not in uri.split("/")
        root = os.path.realpath(self.address)
        return os.path.realpath(local_path(uri)).startswith(root + os.sep)


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
