"""A collection as a mapping of keys to objects, with removing."""

from __future__ import annotations

import warnings
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from ..errors import MemberKeyError
from ._array_state import ArrayState
from ._dense_array import DenseNDArray
from ._image_state import ImageState
from ._member_open import member_type, open_member
from ._multiscale_image import MultiscaleImage
from ._soma_group import SOMAGroup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from ._collection_state import CollectionState
    from ._soma_object import Session, SOMAObject

#: What the user gets for an open member; collections and scenes are added where they
#: are defined.
CLASSES: Final[dict[type[Session], type[SOMAObject]]] = {
    ArrayState: DenseNDArray,
    ImageState: MultiscaleImage,
}


class CollectionMapping(SOMAGroup, MutableMapping[str, Any]):
    """What a `Collection` does as a mapping of keys to open members.

    Changes of the collection itself are written when it is closed.
    """

    __slots__ = ()

    _state: CollectionState

    def __getitem__(self, key: str) -> Any:
        """Return a member, open in the collection's mode.

        The same object as long as somebody keeps it. It keeps the collection alive, and
        is closed with it.

        Raises
        ------
        MemberKeyError
            If there is no such member.
        UnsupportedError
            If it is of a type that this package does not read.
        ModeError
            If the collection is closed.
        DoesNotExistError, FormatError
            If nothing is stored there, or it is damaged.
        """
        state = self._state
        state.verify_open("open a member of")
        if key not in state.members:
            raise self._no_member(key)
        child = state.opened(key)
        if child is None:
            child = open_member(state, key, stacklevel=2)
        return self._child(key, child, CLASSES[type(child)])

    def __setitem__(self, key: str, value: SOMAObject) -> None:
        self.set(key, value)

    def set(
        self, key: str, value: SOMAObject, *, use_relative_uri: bool | None = None
    ) -> Self:
        """Make an existing object a member."""
        raise NotImplementedError

    def __delitem__(self, key: str) -> None:
        """Remove a member; what it holds stays in its folder, as upstream leaves it.

        A transform from the scene to it goes as well.
        """
        state = self._state
        state.verify_mode("remove a member of", "d", "w")
        if key not in state.members:
            raise self._no_member(key)
        if state.mode == "w":
            warnings.warn(
                "Removing a member in mode 'w' is deprecated upstream; use mode 'd'",
                DeprecationWarning,
                stacklevel=2,
            )
        state.remove(key)

    def popitem(self) -> tuple[str, Any]:
        """Remove the first member by name; return its key and itself, still open.

        Raises
        ------
        MemberKeyError
            If the collection is empty.
        """
        for key in self:
            return key, self.pop(key)
        msg = f"The {self._state.noun} at {self.uri!r} has no member to remove"
        raise MemberKeyError(msg)

    def clear(self) -> None:
        """Remove all members, of any type."""
        for key in self:
            del self[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._state.members))

    def __len__(self) -> int:
        return len(self._state.members)

    def __contains__(self, key: object) -> bool:
        return key in self._state.members

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def members(self) -> dict[str, tuple[str, str]]:
        """Return absolute address and ``"SOMAGroup"`` or ``"SOMAArray"`` by key."""
        return {
            key: (
                self._state.member_uri(key),
                "SOMAArray" if member.is_array else "SOMAGroup",
            )
            for key, member in self._state.members.items()
        }

    def member_type(self, key: str) -> str:
        """Return the SOMA type of a member, such as ``"SOMAPointCloudDataFrame"``.

        Also of one that this package does not open.

        Raises
        ------
        MemberKeyError
            If there is no such member.
        ModeError
            If the collection is closed.
        DoesNotExistError, FormatError
            If nothing is stored there, or it does not say what it is.
        """
        self._state.verify_open("look at a member of")
        if key not in self._state.members:
            raise self._no_member(key)
        return member_type(self._state, key)

    # Attributes

    @property
    def soma_type(self) -> str:
        """``"SOMACollection"``, ``"SOMAExperiment"`` or ``"SOMAMeasurement"``."""
        return self._state.soma_type

    def __repr__(self) -> str:
        state = "CLOSED" if self.closed else "open"
        count = f"{len(self)} member{'' if len(self) == 1 else 's'}"
        return (
            f"<{type(self).__name__} {self.uri!r} ({state} for {self.mode!r}, {count})>"
        )

    def _no_member(self, key: object) -> MemberKeyError:
        names = ", ".join(map(repr, self)) or "none"
        return MemberKeyError(
            f"No member {key!r} in the {self._state.noun} at {self.uri!r}; its members "
            f"are {names}"
        )
