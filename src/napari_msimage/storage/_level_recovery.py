"""Levels that were registered half-way, by a program that died or failed: put right."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Any

from ._clock import WriteClock
from ._context import normalize_uri, now_ms, storage_errors
from ._group import MEMBERSHIP, GroupChange, commit, load_group
from ._level_journal import Journal, array_mark, has_shape
from ._metadata import LEVEL_PREFIX, shape_to_json
from ._staging import STAGING_MARK, is_abandoned, staging_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._group import GroupContents, Member
    from ._image_lock import ImageLock
    from ._level_journal import NewLevel


def recover(lock: ImageLock, address: str, ctx: Any) -> None:
    """Put right what dead programs left in a local image; the caller holds its lock.

    Every level is complete afterwards, or what it was before. Folders are removed if
    the dead program noted that they are its own, or their name says so; everything
    else stays.

    Parameters
    ----------
    lock : ImageLock
        Held; its `previous` records are dealt with and forgotten.
    address : str
        Absolute path of the image.
    ctx : tiledb.Ctx
        TileDB context for it.

    Raises
    ------
    SOMAError
        If the group cannot be read or changed; then the records are kept.
    """
    keep, lock.keep = lock.keep, lock.keep or bool(lock.previous)
    for record in reversed(lock.previous):
        journal = Journal.from_record(record)
        if journal is not None:
            if journal.levels:
                _settle(journal.levels, address, ctx)
            remove_tree(os.path.join(address, journal.staging))
    with storage_errors("clean up the image", address):
        names = [n for n in os.listdir(address) if n.startswith(STAGING_MARK)]
    for path in (os.path.join(address, name) for name in names):
        if is_abandoned(path):
            remove_tree(path)
    if lock.previous:
        lock.forget_previous()
    lock.keep = keep


def _settle(levels: Sequence[NewLevel], address: str, ctx: Any) -> None:
    """Finish or undo one registration."""
    present = load_group(address, ctx, now_ms())
    unfinished = [one for one in levels if not one.has_entry(present, address)]
    # The members file comes last but one, and takes all new arrays into the group.
    all_there = all(one.is_member(present, address) for one in levels)
    if all_there and unfinished and any(one.old.folder for one in levels):
        finish_levels(unfinished, address, ctx)
    else:
        undo_levels(unfinished, present, address, ctx, WriteClock(None))
    present = load_group(address, ctx, now_ms())
    for level in levels:
        folder = os.path.join(address, level.directory)
        discard_folder(folder, level.mark, present.members.values(), address)
    discard_old(levels, present, address)


def finish_levels(levels: Iterable[NewLevel], address: str, ctx: Any) -> None:
    """Announce levels whose new arrays are members already."""
    entries = {LEVEL_PREFIX + one.key: shape_to_json(one.shape) for one in levels}
    _commit(address, [GroupChange(set_metadata=entries)], ctx, WriteClock(None))


def _commit(
    address: str, changes: Iterable[GroupChange], ctx: Any, clock: WriteClock
) -> None:
    for change in changes:
        names = [*change.set_metadata, *change.drop_metadata]
        names += [MEMBERSHIP] if change.add or change.remove else []
        if names:
            stamp = clock.for_names(address, names)
            stamp = commit(address, change, ctx, stamp, clock.present_ms)
            clock.note_names(address, names, stamp)
    clock.settle()


def undo_levels(
    levels: Iterable[NewLevel],
    present: GroupContents,
    address: str,
    ctx: Any,
    clock: WriteClock,
) -> None:
    """Give the keys of levels back what they stood for; files stay where they are.

    A key that somebody else has taken meanwhile is left alone.

    Parameters
    ----------
    levels : iterable of NewLevel
        Levels to undo.
    present : GroupContents
        What the group holds now.
    address : str
        Normalized address of the image.
    ctx : tiledb.Ctx
        TileDB context for it.
    clock : WriteClock
        Of the session that is undone, or a new one.

    Raises
    ------
    SOMAError
        If the group cannot be changed.
    """
    hide: list[str] = []
    remove: list[str] = []
    add: list[Member] = []
    entries: dict[str, str] = {}
    for level in levels:
        entry = LEVEL_PREFIX + level.key
        is_new = level.is_member(present, address)
        if not is_new and not level.is_old_member(present, address):
            continue
        if is_new:
            remove.append(level.key)
            old = level.old.member(level.key, address)
            add += [] if old is None else [old]
        if entry in present.metadata and present.metadata[entry] != level.old.entry:
            hide.append(entry)
        if level.old.entry is not None and (
            entry in hide or entry not in present.metadata
        ):
            entries[entry] = level.old.entry
    # hidden first: a member must never meet the shape of another array
    hidden = GroupChange(drop_metadata=tuple(hide))
    restored = GroupChange(tuple(add), tuple(remove), entries)
    _commit(address, (hidden, restored), ctx, clock)


def discard_old(
    levels: Iterable[NewLevel], present: GroupContents, address: str
) -> None:
    """Remove the arrays that new levels have replaced, as far as that works."""
    for level in levels:
        old = level.old
        if (
            old.folder
            and level.is_member(present, address)
            and has_shape(present.metadata, level.key, level.shape, address)
        ):
            path = os.path.join(address, old.folder)
            discard_folder(path, old.mark, present.members.values(), address)


def discard_folder(
    path: str, mark: str | None, members: Iterable[Member], address: str
) -> None:
    """Remove an array's folder from a local image, if it is that array and unused."""
    if any(normalize_uri(member.uri) == normalize_uri(path) for member in members):
        return
    root = os.path.realpath(address)
    if os.path.islink(path) or not os.path.realpath(path).startswith(root + os.sep):
        return
    with contextlib.suppress(OSError):
        if mark is not None and array_mark(path) == mark:
            # Removing takes a while; a name that says so, in case that is cut short.
            doomed = os.path.join(address, staging_name())
            os.rename(path, doomed)
            remove_tree(doomed)
        else:
            os.rmdir(path)  # made, and died before the array was moved there


def remove_tree(path: str) -> None:
    """Remove a folder as far as that works; never follows a link."""
    shutil.rmtree(path, ignore_errors=True)
