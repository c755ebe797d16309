"""Local folders that appear complete or not at all, and the removal of failed ones."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from typing import TYPE_CHECKING, Any, Final

import tiledb

from ..errors import AlreadyExistsError
from ._context import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Everything this package is in the middle of writing carries this in its name.
STAGING_MARK: Final = "__msimage_tmp_"
#: What makes a folder a TileDB group or array; moved last.
_MARKS: Final = ("__tiledb_group.tdb", "__schema")


@contextlib.contextmanager
def staged_folder(target: str) -> Iterator[str]:
    """Make a folder beside its place, and move it there when the body succeeds.

    Missing parent folders are made. When anything fails, all that was made is removed.

    Parameters
    ----------
    target : str
        Absolute path: missing, or a folder that holds nothing of the same names.

    Yields
    ------
    str
        Path to fill, in the same parent folder; it does not exist yet.

    Raises
    ------
    AlreadyExistsError
        If the target holds something of the same name.
    OSError
        As the file system raises it.
    """
    parent, name = os.path.split(target)
    parents = missing_parents(target)
    staged = os.path.join(parent, f"{name[:40]}.{STAGING_MARK}{uuid.uuid4().hex}")
    try:
        os.makedirs(parent, exist_ok=True)
        yield staged
        _move(staged, target)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        remove_empty(parents)
        raise
    shutil.rmtree(staged, ignore_errors=True)
    sync_folder(parent)


def _move(staged: str, target: str) -> None:
    """Rename into place; into a folder with content, or a link to one, by entry."""
    if os.path.islink(target) or (os.path.isdir(target) and os.listdir(target)):
        _move_entries(staged, target)
    else:
        os.rename(staged, target)


def _move_entries(staged: str, target: str) -> None:
    names = sorted(os.listdir(staged), key=lambda name: name in _MARKS)
    for name in names:
        if os.path.lexists(os.path.join(target, name)):
            msg = (
                f"Cannot write to the folder {target!r}: it already holds {name!r}. "
                "Choose another place, or remove that first."
            )
            raise AlreadyExistsError(msg)
    moved: list[str] = []
    try:
        for name in names:
            os.rename(os.path.join(staged, name), os.path.join(target, name))
            moved.append(name)
    except BaseException:
        for name in reversed(moved):
            os.rename(os.path.join(target, name), os.path.join(staged, name))
        raise


def missing_parents(path: str) -> list[str]:
    """Return the parent folders that do not exist, innermost first."""
    missing = []
    parent = os.path.dirname(path)
    while parent and not os.path.lexists(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    return missing


def remove_empty(folders: list[str]) -> None:
    """Remove folders, innermost first, as far as they are empty."""
    with contextlib.suppress(OSError):
        for folder in folders:
            os.rmdir(folder)


def remove_object(uri: str, ctx: Any) -> None:
    """Remove what was just made at a URI, as far as that works."""
    if is_local(uri):
        shutil.rmtree(uri, ignore_errors=True)
        return
    # The failure that led here is what the caller needs to see.
    with contextlib.suppress(Exception):
        tiledb.VFS(ctx=ctx).remove_dir(uri)


def sync_folder(path: str) -> None:
    """Flush a folder's entries to disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
