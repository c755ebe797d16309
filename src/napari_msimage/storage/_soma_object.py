"""What all objects have in common: a session, its mode, and the getters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from ..errors import ModeError
from ._context import ms_to_datetime

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable

    from ._clock import WriteClock
    from ._context import SOMATileDBContext
    from ._metadata import Metadata

#: Writes something new at a normalized address.
Maker: TypeAlias = "Callable[[str, SOMATileDBContext, WriteClock], None]"
OpenMode = Literal["r", "w", "d"]


class Session:
    """Base of what an open object holds in memory: where, how, and what that allows."""

    uri: str
    mode: OpenMode
    closed: bool
    context: SOMATileDBContext
    timestamp_ms: int
    metadata: Metadata

    def flush(self) -> None:
        """Write what is pending."""
        raise NotImplementedError

    def flush_all(self) -> None:
        """Write what is pending, here and in open members."""
        self.flush()

    def close(self) -> None:
        """Write what is pending and release what is held. May be called again."""
        raise NotImplementedError

    def verify_open(self, action: str) -> None:
        """Raise `ModeError` if the object is closed."""
        if self.closed:
            msg = f"Cannot {action} {self.uri!r}: it is closed; open it again"
            raise ModeError(msg)

    def verify_mode(self, action: str, *modes: OpenMode) -> None:
        """Raise `ModeError` unless the object is open in one of the modes."""
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


class SOMAObject:
    """Base of all objects: getters that outlive closing."""

    __slots__ = ("__weakref__", "_owner", "_state")

    _state: Session
    #: What opened this and will close it: kept alive, and so open, with its member.
    _owner: SOMAObject | None

    @classmethod
    def _of_owner(cls, state: Session, owner: SOMAObject | None) -> Self:
        """Return the object for an open state, which its owner will close, if any."""
        self = object.__new__(cls)
        self._state = state
        self._owner = owner
        return self

    @property
    def uri(self) -> str:
        """Address as it was given."""
        return self._state.uri

    @property
    def mode(self) -> OpenMode:
        """Mode it was opened in: ``"r"``, ``"w"`` or ``"d"``."""
        return self._state.mode

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._state.closed

    @property
    def context(self) -> SOMATileDBContext:
        """TileDB configuration it was opened with."""
        return self._state.context

    @property
    def metadata(self) -> Metadata:
        """Metadata; changes are written by ``close``."""
        return self._state.metadata.view(self)

    @property
    def tiledb_timestamp_ms(self) -> int:
        """Time it was opened at, in ms since 1970-01-01 UTC."""
        return self._state.timestamp_ms

    @property
    def tiledb_timestamp(self) -> datetime.datetime:
        """Time it was opened at, UTC."""
        return ms_to_datetime(self._state.timestamp_ms)
