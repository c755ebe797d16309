"""Local folders that appear complete or not at all, and the removal of failed ones."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import tiledb

from ..errors import AlreadyExistsError, StorageError
from ._context import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Everything this package is in the middle of writing carries this in its name.
STAGING_MARK: Final = "__msimage_tmp_"
#: What makes a folder a TileDB group or array; moved last.
_MARKS: Final = ("__tiledb_group.tdb", "__schema")
_ABANDONED_AFTER_S: Final = 24 * 3600.0
#: Room for file names, metadata and tiles that do not compress.
_SPACE_MARGIN: Final = 1.1


def staging_name() -> str:
    """Return a new name that tells which process is writing there; see `is_abandoned`.

    ``__msimage_tmp_<host>_<pid>_<hex>``.
    """
    return f"{STAGING_MARK}{host_hash()}_{os.getpid()}_{uuid.uuid4().hex[:12]}"


def is_abandoned(path: str) -> bool:
    """Tell whether nobody is going to finish what is staged at a path.

    Its process is dead, or runs elsewhere and the folder is older than a day.
    """
    owner = os.path.basename(path).rpartition(STAGING_MARK)[2]
    host, _, rest = owner.partition("_")
    pid = rest.partition("_")[0]
    if host == host_hash() and pid.isdecimal() and os.name != "nt":
        return not is_running(int(pid))
    return is_old(path)


def is_old(path: str) -> bool:
    """Tell whether what is at a path was last changed more than a day ago."""
    try:
        return time.time() - os.stat(path).st_mtime > _ABANDONED_AFTER_S
    except OSError:
        return False


def is_running(pid: int) -> bool:
    """Tell whether a process of this host is alive; not for Windows, where it ends."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def host_hash() -> str:
    """Return a short text that stands for this host, or this container on it.

    Containers can share the name of their host, but not the numbers of processes.
    """
    name = socket.gethostname()
    with contextlib.suppress(OSError):  # Linux only
        name += os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def check_space(folder: str, nbytes: int, destination: str) -> None:
    """Check that a disk has room for new arrays.

    Parameters
    ----------
    folder : str
        Existing folder on that disk.
    nbytes : int
        Size of the pixels, uncompressed.
    destination : str
        What is to be written, for the message.

    Raises
    ------
    StorageError
        If there is too little space; says how much is needed, and how much is free.
    OSError
        If the system does not tell.
    """
    needed = int(nbytes * _SPACE_MARGIN)
    free = shutil.disk_usage(folder).free
    if needed > free:
        msg = (
            f"Too little space for {destination!r}: up to {needed / 2**20:.1f} MiB are "
            f"needed and {free / 2**20:.1f} MiB are free in {folder!r}. Free some "
            "space or choose another disk."
        )
        raise StorageError(msg)


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
    staged = os.path.join(parent, f"{name[:40]}.{staging_name()}")
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
        if uri.startswith("mem://"):  # does not know its folders
            tiledb.remove(uri, ctx)
        else:
            tiledb.VFS(ctx=ctx).remove_dir(uri)


def sync_folders(path: str) -> None:
    """Flush the entries of a folder and of all folders in it to disk."""
    for folder, _, _ in os.walk(path, topdown=False):
        sync_folder(folder)


def sync_folder(path: str) -> None:
    """Flush a folder's entries to disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
