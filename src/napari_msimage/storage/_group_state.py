"""What any open group holds in memory: members and metadata, written in one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import AlreadyExistsError
from ._context import normalize_uri
from ._group import MEMBERSHIP, GroupChange, GroupContents, Member, commit, load_group
from ._member_places import is_inside
from ._metadata import Metadata
from ._probe import require_group
from ._soma_object import Session

if TYPE_CHECKING:
    from ._clock import WriteClock
    from ._context import SOMATileDBContext
    from ._soma_object import OpenMode


class GroupState(Session):
    """Members and metadata of a group in one session, and the members that are open.

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

    #: What the group is, and what a member is to it; for messages.
    noun: ClassVar[str] = "group"
    member_noun: ClassVar[str] = "member"

    members: dict[str, Member]

    def __init__(
        self, uri: str, address: str, context: SOMATileDBContext, clock: WriteClock
    ) -> None:
        self.uri = uri
        self.address = address
        self.context = context
        self.clock = clock
        self.closed = True
        self._opened: list[Session] = []
        self._current: dict[str, Session] = {}

    @property
    def ctx(self) -> Any:
        """TileDB context for the group's address."""
        return self.context.tiledb_ctx(self.address)

    def load(
        self,
        mode: OpenMode,
        timestamp_ms: int,
        stacklevel: int | None,
        stored: GroupContents | None = None,
    ) -> None:
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
        stored : GroupContents, optional
            What is stored, when it was read already.

        Raises
        ------
        DoesNotExistError
            If no group is there.
        FormatError
            If it is an object of another type, or damaged.
        """
        raise NotImplementedError

    def _read(self, mode: OpenMode, timestamp_ms: int) -> GroupContents:
        """Return what is stored: for a reader at that time, else at present."""
        require_group(self.address, self.ctx, self.noun)
        return load_group(self.address, self.ctx, self.read_ms(mode, timestamp_ms))

    def read_ms(self, mode: OpenMode, timestamp_ms: int) -> int:
        """Return the time at which a session of this mode reads."""
        if mode == "r":
            return timestamp_ms
        return max(timestamp_ms, self.clock.present_ms)

    def _assume(
        self,
        mode: OpenMode,
        timestamp_ms: int,
        stored: GroupContents,
        members: dict[str, Member],
    ) -> None:
        """Begin a session with what was read; `members` are those that are shown."""
        self.mode, self.closed, self.timestamp_ms = mode, False, timestamp_ms
        self.metadata = Metadata(stored.metadata, self.guard_metadata, self.uri)
        self.members = members
        self._stored = stored.members
        self._deleted: set[str] = set()
        self._current = {}

    # Open members

    def opened(self, key: str) -> Session | None:
        """Return what is open of a member in the present session, or None."""
        child = self._current.get(key)
        return None if child is None or child.closed else child

    def adopt(self, key: str, child: Session) -> None:
        """Note what was opened of a member; it is closed with this group."""
        self._opened = [one for one in self._opened if not one.closed]
        self._opened.append(child)
        self._current[key] = child

    def lend(self, key: str, child: Session) -> None:
        """Note what somebody else has opened of a member, and will close."""
        self._current[key] = child

    def member_uri(self, key: str) -> str:
        """Return the absolute address of a member, as upstream spells it."""
        uri = self.members[key].uri
        return f"file://{uri}" if uri.startswith("/") else uri

    # Changes

    def put_member(self, member: Member) -> None:
        """Note a new member."""
        self.members[member.name] = member

    def drop_member(self, key: str) -> None:
        """Note that a member goes."""
        del self.members[key]
        self._deleted.add(key)
        self._current.pop(key, None)

    def flush_all(self) -> None:
        """Write what is pending, in open members first."""
        for child in self._opened:
            if not child.closed:
                child.flush_all()
        self.flush()

    def close(self) -> None:
        """Write what is pending and close the open members.

        When writing fails the group stays open and keeps the changes.
        """
        if self.closed:
            return
        for child in self._opened:
            child.close()
        self.flush()
        if self.mode != "r":
            self.clock.settle()
        self._opened, self._current = [], {}
        self.closed = True

    def flush(self) -> None:
        """Write what changed here since the group was opened or last flushed.

        Raises
        ------
        AlreadyExistsError
            If another session has added a member of the same name meanwhile.
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
                    f"Another session has added a {self.member_noun} {member.name!r} "
                    f"to {self.uri!r} meanwhile. Remove yours, del {self.noun}["
                    f"{member.name!r}], and close the {self.noun} again; what it holds "
                    f"stays at {member.uri!r}."
                )
                raise AlreadyExistsError(msg)

    # Places

    def members_outside(self) -> dict[str, str]:
        """Return key and address of the members stored outside the group's folder."""
        return {
            key: member.uri
            for key, member in self.members.items()
            if not is_inside(member.uri, self.address)
        }
