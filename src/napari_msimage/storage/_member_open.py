"""Members of a collection: what they are, and opening them as that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..errors import FormatError, UnsupportedError
from ._array_state import ArrayState
from ._collection_state import CollectionState, SceneState
from ._context import normalize_uri
from ._group import load_group
from ._image_state import ImageState
from ._metadata import OBJECT_TYPE, read_text
from ._probe import array_entries, require_group
from ._soma_types import (
    ARRAY_TYPE,
    IMAGE_TYPE,
    PLAIN_COLLECTIONS,
    SCENE_TYPE,
    canonical_type,
    opening_advice,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._group import GroupContents
    from ._group_state import GroupState
    from ._soma_object import Session

_GROUPS: Final[dict[str, type[GroupState]]] = {
    IMAGE_TYPE: ImageState,
    SCENE_TYPE: SceneState,
    **dict.fromkeys(PLAIN_COLLECTIONS, CollectionState),
}


def open_member(parent: CollectionState, key: str, stacklevel: int) -> Session:
    """Open a member in the session of its collection, which will close it.

    Parameters
    ----------
    parent : CollectionState
        Where; it has the member.
    key : str
        Which.
    stacklevel : int
        Whom warnings are for; 1 is the function that calls this.

    Raises
    ------
    UnsupportedError
        If it is of a type that this package does not read.
    DoesNotExistError, FormatError
        If nothing is there, or it is damaged.
    """
    address = normalize_uri(parent.members[key].uri)
    uri = parent.member_uri(key)
    found, contents = _look_at(parent, key)
    child: Session
    if contents is None and found == ARRAY_TYPE:
        child = ArrayState(uri, address, parent.mode, parent.context, parent.clock)
    elif contents is not None and found in _GROUPS:
        group = _GROUPS[found](uri, address, parent.context, parent.clock)
        group.load(parent.mode, parent.timestamp_ms, stacklevel + 1, contents)
        child = group
    else:
        msg = (
            f"The member {key!r} of {parent.uri!r} is a {found!r}. "
            f"{opening_advice(found)}"
        )
        raise UnsupportedError(msg.rstrip())
    parent.adopt(key, child)
    return child


def member_type(parent: CollectionState, key: str) -> str:
    """Return the SOMA type of a member; see `open_member` for errors."""
    return _look_at(parent, key)[0]


def member_entries(parent: CollectionState, key: str) -> Mapping[str, Any]:
    """Return the metadata of a member; see `open_member` for errors."""
    contents = _contents(parent, key)
    return contents if isinstance(contents, dict) else contents.metadata


def _look_at(parent: CollectionState, key: str) -> tuple[str, GroupContents | None]:
    """Return the type of a member, and what is in it if it is a group."""
    address = normalize_uri(parent.members[key].uri)
    contents = _contents(parent, key)
    entries = contents if isinstance(contents, dict) else contents.metadata
    if OBJECT_TYPE not in entries:
        msg = (
            f"The member {key!r} of {parent.uri!r} does not say what it is: the "
            f"metadata entry {OBJECT_TYPE!r} is missing at {address!r}. It may be "
            "damaged or made by another program."
        )
        raise FormatError(msg)
    found = canonical_type(read_text(entries, OBJECT_TYPE, address))
    return found, None if isinstance(contents, dict) else contents


def _contents(parent: CollectionState, key: str) -> GroupContents | dict[str, Any]:
    member = parent.members[key]
    address = normalize_uri(member.uri)
    ctx = parent.context.tiledb_ctx(address)
    read_ms = parent.read_ms(parent.mode, parent.timestamp_ms)
    if member.is_array:
        return array_entries(address, ctx, read_ms)
    require_group(address, ctx, "collection")
    return load_group(address, ctx, read_ms)
