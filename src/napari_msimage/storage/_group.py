"""One TileDB group: its members and metadata, read at a time, committed at once."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import tiledb

from ..errors import FormatError
from ._context import is_local, storage_errors
from ._header_check import check_headers
from ._metadata import MetadataValue, Unreadable, plain_value
from ._staging import staging_name, sync_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Stands for all members of a group among the names of its entries.
MEMBERSHIP: Final = "\0members"
MAX_MEMBERS: Final = 256
_STAMP: Final = re.compile(r"__\d+_(\d+)_")
_FOLDERS: Final = ("__group", "__meta")


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a group."""

    name: str
    """Name in the group."""
    uri: str
    """Absolute address."""
    is_relative: bool
    """Whether the address is stored relative to the group."""
    is_array: bool = True
    """Whether it is an array (not a group)."""
    stored: str = ""
    """What to store as its address, when it is added: relative text if relative."""


@dataclass(frozen=True, slots=True)
class GroupContents:
    """Members (sorted by name) and metadata of a group at one time."""

    members: dict[str, Member]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class GroupChange:
    """What one commit changes."""

    add: tuple[Member, ...] = ()
    """Members to add."""
    remove: tuple[str, ...] = ()
    """Names of members to remove."""
    set_metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    """Metadata entries to write."""
    drop_metadata: tuple[str, ...] = ()
    """Metadata entries to remove."""

    def __bool__(self) -> bool:
        return bool(self.add or self.remove or self.set_metadata or self.drop_metadata)


def load_group(uri: str, ctx: Any, timestamp_ms: int) -> GroupContents:
    """Read a group as of ``[0, timestamp_ms]``.

    A commit of another program is looked at again for up to 0.3 s before its files
    are called damaged: TileDB writes them in place.

    Raises
    ------
    SOMAError
        One that says what is wrong; see `storage_errors`.
    """
    for pause in (0.1, 0.2, None):
        try:
            return _load_once(uri, ctx, timestamp_ms)
        except FormatError:
            if pause is None:
                raise
            time.sleep(pause)
    raise AssertionError


def _load_once(uri: str, ctx: Any, timestamp_ms: int) -> GroupContents:
    with storage_errors("open the group", uri):
        if is_local(uri):
            check_headers(uri)
        with tiledb.Group(uri, "r", _config(timestamp_ms), ctx) as group:
            metadata = read_entries(group.meta)
            if len(group) > MAX_MEMBERS:
                msg = (
                    f"The group at {uri!r} has {len(group)} members; at most "
                    f"{MAX_MEMBERS} are read"
                )
                raise FormatError(msg)
            members = [
                Member(
                    m.name,
                    m.uri,
                    bool(group.is_relative(m.name)),
                    m.type is not tiledb.Group,
                )
                for m in group
                if m.name  # TileDB allows members without a name; a level has one
            ]
    members.sort(key=lambda m: m.name.encode("utf-8", "surrogateescape"))
    return GroupContents({m.name: m for m in members}, metadata)


def read_entries(meta: Any) -> dict[str, Any]:
    """Return the metadata entries of an open TileDB group or array."""
    entries: dict[str, Any] = {}
    for key in meta.keys():  # noqa: SIM118 - items() fails at the first unreadable one
        try:
            entries[key] = plain_value(meta[key])
        except tiledb.TileDBError as err:
            if "datatype not supported" not in str(err):
                raise
            entries[key] = Unreadable()
    return entries


def create_group(uri: str, ctx: Any) -> None:
    """Make an empty group."""
    with storage_errors("create the group", uri):
        tiledb.Group.create(uri, ctx)


def commit(
    uri: str,
    change: GroupChange,
    ctx: Any,
    timestamp_ms: int,
    latest_ms: int | None = None,
) -> int:
    """Write members and metadata entries of a group.

    TileDB writes its two files in place, and a torn one locks everybody out of the
    group. For a local group a commit is therefore made in a scratch copy, and the
    finished files are renamed into place. What is announced exists at every moment:
    members come before the metadata that names them, and go after it.

    Parameters
    ----------
    uri : str
        Normalized address of the group.
    change : GroupChange
        A name that is removed and added is replaced.
    ctx : tiledb.Ctx
        TileDB context for the address.
    timestamp_ms : int
        Timestamp of the new state.
    latest_ms : int, optional
        A change of members comes after those made by other sessions up to this time;
        by default up to `timestamp_ms`.

    Returns
    -------
    int
        Timestamp of the last file written. Later than asked for when members were
        changed then or later: every membership file lists all members, so that an
        older one would not take back what a newer one lists, and TileDB 2.30 takes
        files of equal timestamps in random order.

    Raises
    ------
    SOMAError
        One that says what is wrong; see `storage_errors`.
    """
    replaced = tuple(m.name for m in change.add if m.name in change.remove)
    first = GroupChange(change.add, replaced, change.set_metadata)
    then = GroupChange(
        remove=tuple(name for name in change.remove if name not in replaced),
        drop_metadata=change.drop_metadata,
    )
    with storage_errors("change the group", uri):
        for part, order in ((first, _FOLDERS), (then, _FOLDERS[::-1])):
            if not part:
                continue
            if part.add or part.remove:
                timestamp_ms = _unused_timestamp(uri, ctx, timestamp_ms, latest_ms)
            if is_local(uri):
                _commit_staged(uri, part, order, ctx, timestamp_ms)
            else:
                _commit_in_place(uri, part, order, ctx, timestamp_ms)
    return timestamp_ms


def _unused_timestamp(
    uri: str, ctx: Any, timestamp_ms: int, latest_ms: int | None
) -> int:
    """Return a timestamp after the membership files of others; see `commit`."""
    folder = f"{uri}/__group"
    used: set[int] = set()
    names: list[str] = []
    if is_local(uri):
        names = os.listdir(folder) if os.path.isdir(folder) else []
    elif uri.startswith("mem://"):
        used = _used_in_memory.setdefault(uri, used)
    else:
        vfs = tiledb.VFS(ctx=ctx)
        found = vfs.ls(folder) if vfs.is_dir(folder) else []
        names = [path.rpartition("/")[2] for path in found]
    used.update(int(match[1]) for match in map(_STAMP.match, names) if match)
    latest_ms = max(timestamp_ms, latest_ms or 0)
    timestamp_ms = max([timestamp_ms, *(t + 1 for t in used if t <= latest_ms)])
    while timestamp_ms in used:
        timestamp_ms += 1
    used.add(timestamp_ms)
    return timestamp_ms


#: TileDB shows nobody the folders of its memory file system, which lives as long as
#: this process.
_used_in_memory: Final[dict[str, set[int]]] = {}


def _commit_in_place(
    uri: str, change: GroupChange, order: tuple[str, ...], ctx: Any, stamp: int
) -> None:
    sessions = {
        "__group": GroupChange(change.add, change.remove),
        "__meta": GroupChange(
            set_metadata=change.set_metadata, drop_metadata=change.drop_metadata
        ),
    }
    for folder in order:
        if sessions[folder]:
            _write(uri, sessions[folder], ctx, stamp)


def _write(uri: str, change: GroupChange, ctx: Any, stamp: int) -> None:
    with tiledb.Group(uri, "w", _config(stamp), ctx) as group:
        for name in change.remove:
            group.remove(name)
        for member in change.add:
            # without the type TileDB would look for the member beside the scratch copy
            kind = tiledb.Array if member.is_array else tiledb.Group
            group.add(member.stored, member.name, member.is_relative, kind)
        for key, value in change.set_metadata.items():
            group.meta[key] = value
        for key in change.drop_metadata:
            del group.meta[key]


def _commit_staged(
    path: str, change: GroupChange, order: tuple[str, ...], ctx: Any, stamp: int
) -> None:
    scratch = os.path.join(path, staging_name())
    try:
        known = _copy_group_files(path, scratch)
        _write(scratch, change, ctx, stamp)
        for folder in order:
            for name in sorted(set(os.listdir(os.path.join(scratch, folder))) - known):
                _move_into_place(
                    os.path.join(scratch, folder, name), os.path.join(path, folder)
                )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy_group_files(path: str, scratch: str) -> set[str]:
    known: set[str] = set()
    os.mkdir(scratch)
    shutil.copyfile(
        os.path.join(path, "__tiledb_group.tdb"),
        os.path.join(scratch, "__tiledb_group.tdb"),
    )
    for folder in _FOLDERS:
        os.mkdir(os.path.join(scratch, folder))
        os.makedirs(os.path.join(path, folder), exist_ok=True)  # git drops empty ones
        for name in os.listdir(os.path.join(path, folder)):
            known.add(name)
            source = os.path.join(path, folder, name)
            target = os.path.join(scratch, folder, name)
            try:
                os.link(source, target)
            except OSError:  # a file system without hard links
                shutil.copyfile(source, target)
    return known


def _move_into_place(source: str, folder: str) -> None:
    with open(source, "rb") as file:
        os.fsync(file.fileno())
    os.rename(source, os.path.join(folder, os.path.basename(source)))
    sync_folder(folder)


def _config(timestamp_ms: int) -> Any:
    return tiledb.Config({"sm.group.timestamp_end": str(timestamp_ms)})
