"""What a program that adds levels notes beforehand, for whoever comes if it dies."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, ArgumentTypeError, FormatError
from ._context import normalize_uri
from ._group import Member
from ._member_places import relative_member
from ._metadata import LEVEL_PREFIX, check_shape, read_level_shape
from ._names import check_level_key
from ._staging import STAGING_MARK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._group import GroupContents


@dataclass(frozen=True, slots=True)
class OldLevel:
    """What the image had under a key before a new level takes it."""

    entry: str | None = None
    """Its shape as the image's metadata has it."""
    address: str | None = None
    """Where its array is, as stored in the group; None without a member."""
    is_relative: bool = True
    """Whether that is relative to the group."""
    is_array: bool = True
    """Whether the member is an array (not a group)."""
    folder: str | None = None
    """Folder to remove once the new level is there, relative to the image."""
    mark: str | None = None
    """What tells the array in that folder from any other; see `array_mark`."""

    def member(self, key: str, group: str) -> Member | None:
        """Return its member of the group at an address, None if it had none."""
        if self.address is None:
            return None
        member = Member(key, self.address, is_relative=False, stored=self.address)
        if self.is_relative:
            member = relative_member(key, self.address, group)
        return replace(member, is_array=self.is_array)


@dataclass(frozen=True, slots=True)
class NewLevel:
    """One level that is being registered."""

    key: str
    """Level key."""
    directory: str
    """Name of its folder in the image's."""
    mark: str
    """What tells its array from any other; see `array_mark`."""
    shape: tuple[int, ...]
    """Shape in data axis order."""
    old: OldLevel
    """What it replaces."""

    def is_member(self, present: GroupContents, address: str) -> bool:
        """Tell whether the key stands for the new array in the group."""
        return self._is_at(present.members.get(self.key), f"{address}/{self.directory}")

    def is_old_member(self, present: GroupContents, address: str) -> bool:
        """Tell whether the key stands for what it stood for before."""
        member = present.members.get(self.key)
        old = self.old.member(self.key, address)
        return member is None if old is None else self._is_at(member, old.uri)

    def has_entry(self, present: GroupContents, uri: str) -> bool:
        """Tell whether the image's metadata has the new shape."""
        return has_shape(present.metadata, self.key, self.shape, uri)

    @staticmethod
    def _is_at(member: Member | None, uri: str) -> bool:
        return member is not None and normalize_uri(member.uri) == normalize_uri(uri)


@dataclass(frozen=True, slots=True)
class Journal:
    """Everything that one program is about to do to an image."""

    staging: str
    """Name of the folder in the image's where arrays are made."""
    levels: tuple[NewLevel, ...] = ()
    """Levels that are being registered; none while they are written."""

    def to_record(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Journal | None:
        """Return what a record says, or None if this package has not written it.

        The file may come from anywhere: it can name nothing outside the image.
        """
        try:
            levels = tuple(_new_level(raw) for raw in record["levels"])
            journal = cls(_plain_name(record["staging"]), levels)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        return journal if journal.staging.startswith(STAGING_MARK) else None


def _new_level(raw: Mapping[str, Any]) -> NewLevel:
    key, directory = check_level_key(raw["key"]), _plain_name(raw["directory"])
    if directory.startswith("__"):
        raise ValueError(directory)
    shape = check_shape(raw["shape"])
    return NewLevel(key, directory, _text(raw["mark"]), shape, _old_level(raw["old"]))


def _old_level(raw: Mapping[str, Any]) -> OldLevel:
    folder = _optional(raw["folder"])
    for name in [] if folder is None else folder.split("/"):
        if _plain_name(name).startswith("__"):
            raise ValueError(folder)
    return OldLevel(
        entry=_optional(raw["entry"]),
        address=_optional(raw["address"]),
        is_relative=bool(raw["is_relative"]),
        is_array=bool(raw["is_array"]),
        folder=folder,
        mark=_optional(raw["mark"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError(value)
    return value


def _optional(value: Any) -> str | None:
    return None if value is None else _text(value)


def _plain_name(value: Any) -> str:
    name = _text(value)
    if name in ("", ".", "..") or any(sep in name for sep in ("/", "\\", os.sep)):
        raise ValueError(name)
    return name


def has_shape(
    metadata: Mapping[str, Any], key: str, shape: tuple[int, ...], uri: str
) -> bool:
    """Tell whether an image's metadata has this shape for a level key."""
    if LEVEL_PREFIX + key not in metadata:
        return False
    try:
        return read_level_shape(metadata, key, uri) == shape
    except (FormatError, ArgumentError, ArgumentTypeError):
        return False


def array_mark(path: str) -> str | None:
    """Return the name of a local array's first schema file, different for each array.

    None if there is no array.
    """
    try:
        names = os.listdir(os.path.join(path, "__schema"))
    except OSError:
        return None
    return min((name for name in names if name != "__enumerations"), default=None)
