"""What images, collections and scenes have in common: their life as open objects."""

from __future__ import annotations

import atexit
import contextlib
import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Self
from weakref import WeakSet, WeakValueDictionary

from ..errors import ArgumentTypeError, SOMAError, StoreWarning
from ._clock import WriteClock
from ._context import check_context, check_uri, normalize_uri, now_ms
from ._soma_coords import check_mode
from ._soma_object import SOMAObject

if TYPE_CHECKING:
    from ._context import OpenTimestamp, SOMATileDBContext
    from ._group_state import GroupState
    from ._soma_object import Maker, OpenMode, Session


class SOMAGroup(SOMAObject):
    """Base of what is stored as a group: opening, closing, and members that are open.

    Raises
    ------
    ArgumentTypeError
        When constructed directly.
    """

    __slots__ = ("_children",)

    _state: GroupState
    _children: WeakValueDictionary[str, SOMAObject]
    _state_class: ClassVar[type[GroupState]]

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        name = type(self).__name__
        msg = f"{name} is not made directly; use {name}.open(uri) or {name}.create(uri)"
        raise ArgumentTypeError(msg)

    @classmethod
    def open(
        cls,
        uri: str,
        mode: OpenMode = "r",
        *,
        tiledb_timestamp: OpenTimestamp | None = None,
        context: SOMATileDBContext | None = None,
        platform_config: Any = None,
    ) -> Self:
        """Open what is stored; nothing but members and metadata is read.

        Parameters
        ----------
        uri : str
            Folder or address of the object.
        mode : {"r", "w", "d"}
            Read, write (also adds and removes members), or delete members only.
        tiledb_timestamp : int or datetime.datetime, optional
            Reading: show the state of that time. Writing: write with it; what is
            changed is the present state. Integers are ms since 1970-01-01 UTC.
        context : SOMATileDBContext, optional
            TileDB configuration.
        platform_config : optional
            As upstream's; has no effect.

        Raises
        ------
        DoesNotExistError
            If no TileDB group is there.
        FormatError
            If it is a SOMA object of another type (said which, and what opens it),
            damaged, or of an unknown version.
        """
        check_mode(mode)
        address = normalize_uri(check_uri(uri))
        context = check_context(context)
        clock = WriteClock(context.open_timestamp_ms(tiledb_timestamp))
        return cls._open(uri, address, mode, context, clock)

    @classmethod
    def _create(
        cls,
        uri: str,
        make: Maker,
        context: SOMATileDBContext | None,
        tiledb_timestamp: OpenTimestamp | None,
    ) -> Self:
        """Write a new object with `make`, and return it open for writing."""
        address = normalize_uri(check_uri(uri))
        context = check_context(context)
        clock = WriteClock(context.open_timestamp_ms(tiledb_timestamp))
        make(address, context, clock)
        return cls._open(uri, address, "w", context, clock)

    @classmethod
    def _prepare(cls, *args: Any, **options: Any) -> Maker:
        """Check the options of `create`, and return the function that writes."""
        raise NotImplementedError

    @classmethod
    def _open(
        cls,
        uri: str,
        address: str,
        mode: OpenMode,
        context: SOMATileDBContext,
        clock: WriteClock,
    ) -> Self:
        """Open at a normalized address."""
        state = cls._state_class(uri, address, context, clock)
        state.load(mode, clock.base_ms, stacklevel=3)
        self = cls._of_owner(state, None)
        _open_groups.add(self)
        return self

    @classmethod
    def _of_owner(cls, state: Session, owner: SOMAObject | None) -> Self:
        """Return the object for an open member, which its collection will close."""
        self = super()._of_owner(state, owner)
        self._children = WeakValueDictionary()
        return self

    @classmethod
    def exists(
        cls,
        uri: str,
        context: SOMATileDBContext | None = None,
        tiledb_timestamp: OpenTimestamp | None = None,
    ) -> bool:
        """Tell whether such an object is at the URI (at that time)."""
        check_uri(uri)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StoreWarning)
            try:
                cls.open(
                    uri, context=context, tiledb_timestamp=tiledb_timestamp
                ).close()
            except SOMAError:
                return False
        return True

    def reopen(
        self, mode: OpenMode, tiledb_timestamp: OpenTimestamp | None = None
    ) -> Self:
        """Write pending changes and open again in another mode, in place.

        Members fetched before stay open in their mode; new ones get the new mode.

        Returns
        -------
        SOMAGroup
            This same object.
        """
        check_mode(mode)
        state = self._state
        explicit = state.context.open_timestamp_ms(tiledb_timestamp)
        if not state.closed:
            state.flush_all()
            state.clock.settle()
        timestamp_ms = now_ms() if explicit is None else explicit
        state.load(mode, timestamp_ms, stacklevel=2)
        if self._owner is not None:  # whose own times stay as they are
            state.clock = state.clock.branch()
            _open_groups.add(self)
        state.clock.restart(explicit, timestamp_ms)
        return self

    def close(self) -> None:
        """Write pending changes and close the object and its open members.

        May be called again. When writing fails it stays open and keeps the changes.
        """
        self._state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not hasattr(self, "_children"):  # not made completely
            return
        if self._owner is None or self._owner.closed:
            with contextlib.suppress(SOMAError):
                self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        noun = self._state.noun
        msg = (
            f"An open {noun} cannot be copied or pickled ({self!r}); pass its uri, "
            f"{self.uri!r}, and open it there"
        )
        raise ArgumentTypeError(msg)

    def verify_open_for_writing(self) -> None:
        """Do nothing if the object is open for writing.

        Raises
        ------
        ModeError
            If it is closed or open in another mode.
        """
        self._state.verify_mode("write to", "w")

    def members_outside(self) -> dict[str, str]:
        """Return key and address of the members stored outside this object's folder.

        Links are followed. Stores that others made can point anywhere, and opening
        such a member reads there with the user's rights.
        """
        return self._state.members_outside()

    def __repr__(self) -> str:
        state = "CLOSED" if self.closed else "open"
        return f"<{type(self).__name__} {self.uri!r} ({state} for {self.mode!r})>"

    def _child(self, key: str, state: Session, kind: type[SOMAObject]) -> Any:
        """Return the object of an open member: the same one as long as it is used."""
        child = self._children.get(key)
        if child is None or child._state is not state:
            child = kind._of_owner(state, self)
            self._children[key] = child
        return child


_open_groups: Final[WeakSet[SOMAGroup]] = WeakSet()


@atexit.register
def _close_open_groups() -> None:
    """Write what is pending in objects that nobody closed before the program ends."""
    for group in list(_open_groups):
        with contextlib.suppress(SOMAError):
            group.close()
