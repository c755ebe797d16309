"""Files that appear under their final names only when they are complete."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING, Final

from ..errors import (
    AccessError,
    AlreadyExistsError,
    ArgumentError,
    BusyError,
    DoesNotExistError,
    SOMAError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What is being written has this at the end of its name.
PART: Final = ".part"
_OLD: Final = ".old.part"
#: Coarser levels are kept in a folder with this at the end of its name for a while.
LEVELS: Final = f".levels{PART}"
#: Bytes of a name that file systems take, without what we add.
_MAX_NAME: Final = 255 - len(LEVELS)
#: How files of an export begin.
_BEGINNINGS: Final = (b"\x93NUMPY", b"\x89PNG", b"II", b"MM", b"{", b"index,")
#: What is in a folder of one: levels by their numbers, and what the format adds.
_IN_FOLDER: Final = re.compile(r"\d+|zarr\.json.*|\.levels")
#: What a folder has in it that may be replaced by another image.
_ZARR_MARKS: Final = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


def check_name(path: str) -> None:
    """Refuse a destination that no file can have.

    Raises
    ------
    ArgumentError
        Says what is wrong with it.
    """
    name = os.path.basename(path)
    problem = None
    if name in ("", ".", ".."):
        problem = "it has no file name"
    elif "\0" in path:
        problem = "a name cannot have the character NUL in it"
    elif any(ord(c) < 32 for c in name):
        problem = "its name has control characters in it"
    elif os.name == "nt" and set(name) & set('<>:"|?*'):
        problem = 'its name has one of the characters <>:"|?* in it'
    else:
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            problem = "its name has characters that cannot be stored"
        else:
            if size > _MAX_NAME:
                problem = f"its name has {size} bytes, at most {_MAX_NAME} are possible"
    if problem:
        msg = f"Cannot export to {path!r}: {problem}. Choose another name."
        raise ArgumentError(msg)


def check_target(path: str, *, is_folder: bool, overwrite: bool) -> None:
    """Check, before any work, that something can be written to a path.

    Parameters
    ----------
    path : str
        Absolute local path.
    is_folder : bool
        Whether a folder is going to be there, not a file.
    overwrite : bool
        Whether what is there may be replaced.

    Raises
    ------
    ArgumentError
        If there is a folder where a file shall be, or a file instead of a folder.
    AlreadyExistsError
        If there is something that may not be replaced, or in the place of its part.
    DoesNotExistError
        If the folder around it is missing.
    AccessError
        If that folder cannot be written to, or a file there is write-protected.
    """
    with system_errors(path):
        if os.path.isdir(path) and not is_folder:
            msg = (
                f"Cannot export to {path!r}: that is a folder. Give the name of a file "
                "in it."
            )
            raise ArgumentError(msg)
        if os.path.lexists(path):
            _check_replaceable(path, is_folder=is_folder, overwrite=overwrite)
        check_parent(path)
        _check_part(path + PART, path, is_folder=is_folder)


def check_parent(path: str) -> None:
    """Check that there is a folder for a file, and that it can be written to.

    Raises
    ------
    ArgumentError
        If it is a file.
    DoesNotExistError
        If it is missing.
    AccessError
        If it cannot be written to.
    """
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        there = parent
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        if not os.path.isdir(there):
            msg = f"Cannot export to {path!r}: {there!r} is a file, not a folder."
            raise ArgumentError(f"{msg} Choose another place.")
        msg = (
            f"Cannot export to {path!r}: the folder {parent!r} does not exist. "
            "Make it first."
        )
        raise DoesNotExistError(msg)
    if not os.access(parent, os.W_OK | os.X_OK):
        msg = (
            f"Cannot export to {path!r}: you may not write to the folder "
            f"{parent!r}. Choose another one."
        )
        raise AccessError(msg)


def _check_part(part: str, path: str, *, is_folder: bool) -> None:
    """Refuse to remove what is in the place of a part, but is none."""
    if os.path.lexists(part) and not is_leftover(part, is_folder=is_folder):
        msg = (
            f"There is something at {part!r}, where {path!r} is to be kept until it is "
            "complete; it is left as it is. Move it away, or choose another name."
        )
        raise AlreadyExistsError(msg)


def is_leftover(part: str, *, is_folder: bool) -> bool:
    """Tell whether an export that was killed has left something, not somebody else."""
    if os.path.islink(part) or is_folder != os.path.isdir(part):
        return False
    if is_folder:
        return all(map(_IN_FOLDER.fullmatch, os.listdir(part)))
    with open(part, "rb") as file:
        head = file.read(max(map(len, _BEGINNINGS)))
    return not head or head.startswith(_BEGINNINGS)


def _check_replaceable(path: str, *, is_folder: bool, overwrite: bool) -> None:
    if not overwrite:
        msg = (
            f"There is something at {path!r} already; it is left as it is. Choose "
            "another name, or allow to replace it (overwrite=True)."
        )
        raise AlreadyExistsError(msg)
    if not is_folder:
        if not os.path.islink(path) and not os.access(path, os.W_OK):
            msg = (
                f"{path!r} is write-protected, so it is not replaced. Choose another "
                "name, or make it writable first."
            )
            raise AccessError(msg)
        return
    is_zarr = os.path.isdir(path) and any(
        os.path.exists(os.path.join(path, mark)) for mark in _ZARR_MARKS
    )
    if os.path.islink(path) or not is_zarr:
        msg = (
            f"What is at {path!r} is no Zarr folder, so it is not replaced. Choose "
            "another place, or remove it yourself."
        )
        raise AlreadyExistsError(msg)


def check_room(folder: str, n_bytes: int, what: str) -> None:
    """Check that a disk has room.

    Parameters
    ----------
    folder : str
        Existing folder on that disk.
    n_bytes : int
        How much may be written.
    what : str
        What is to be written, for the message.

    Raises
    ------
    StorageError
        If there is too little space; says how much is needed, and how much is free.
    """
    from ._level_plan import bytes_in_words

    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        msg = (
            f"Too little space for {what}: up to {bytes_in_words(n_bytes)} are needed "
            f"and {bytes_in_words(free)} are free in {folder!r}. Free some space, "
            "choose another disk, a coarser level or a smaller region."
        )
        raise StorageError(msg)


def reserve(handle: int, size: int) -> None:
    """Give an open file a size, and have the system set the space aside if it can.

    Writing is faster then, and a disk that is too small is noticed now.

    Parameters
    ----------
    handle : int
        Of a file open for writing.
    size : int
        Bytes.

    Raises
    ------
    OSError
        If there is too little space.
    """
    os.truncate(handle, size)
    if sys.platform != "linux":
        return
    # Not `os.posix_fallocate`, which writes to every page where the file system
    # cannot do it (fallocate(2), "mode 0"; posix_fallocate(3), notes).
    libc = ctypes.CDLL(None, use_errno=True)
    size_type = ctypes.c_int64
    if libc.fallocate64(handle, 0, size_type(0), size_type(size)):
        code = ctypes.get_errno()
        if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OSError(code, os.strerror(code))


@contextlib.contextmanager
def part_of(path: str, *, is_folder: bool, overwrite: bool) -> Iterator[str]:
    """Give a path beside another one, and move what is made there when the block ends.

    If the block raises, or the generator that it is in is closed, what was made is
    removed and what was at `path` is still there. What a dead process has left there
    is removed first.

    Parameters
    ----------
    path : str
        Absolute local path, which was checked.
    is_folder : bool
        Whether a folder is made, not a file.
    overwrite : bool
        Whether what is at `path` may be replaced.

    Yields
    ------
    str
        ``path`` with ``.part`` at its end: an empty file, or an empty folder.

    Raises
    ------
    BusyError
        If another process is writing there.
    SOMAError
        As of `check_target`, before and after the block.
    AccessError, StorageError
        If the system refuses, or the disk is full.
    """
    part = path + PART
    with system_errors(path), contextlib.ExitStack() as stack:
        stack.enter_context(_locked_part(part, path, is_folder=is_folder))
        try:
            yield part
            if os.path.lexists(path):
                check_target(path, is_folder=is_folder, overwrite=overwrite)
            _move(part, path, is_folder=is_folder)
        except BaseException:
            with contextlib.suppress(OSError):
                _clear(part)
            raise


@contextlib.contextmanager
def _locked_part(part: str, path: str, *, is_folder: bool) -> Iterator[None]:
    """Make an empty part and keep other processes away from it.

    The system forgets the lock of a dead process.
    """
    _check_part(part, path, is_folder=is_folder)
    if is_folder:
        os.makedirs(part, exist_ok=True)
        handle = os.open(part, os.O_RDONLY) if os.name != "nt" else None
    else:
        handle = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if handle is not None:
            _lock(handle, path)
            _check_same(handle, part, path)
        if is_folder:
            for entry in os.listdir(part):
                _clear(os.path.join(part, entry))
        elif handle is not None:
            os.ftruncate(handle, 0)
            if os.name == "nt":  # an open file could not be moved
                os.close(handle)
                handle = None
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _lock(handle: int, path: str) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        msg = f"Another export is writing to {path!r}. Wait for it to finish."
        raise BusyError(msg) from err
    except OSError:
        # A file system without locks.
        return


def _check_same(handle: int, part: str, path: str) -> None:
    """Refuse a part that another export has finished while we opened it.

    What is locked then is a complete file, under its final name.
    """
    if os.name == "nt":
        return
    try:
        is_same = os.path.samestat(os.fstat(handle), os.stat(part))
    except FileNotFoundError:
        is_same = False
    if not is_same:
        msg = f"Another export has just written {path!r}. Try again."
        raise BusyError(msg)


def _is_dir(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _clear(path: str) -> None:
    if _is_dir(path):
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _move(part: str, path: str, *, is_folder: bool) -> None:
    if not (is_folder and os.path.lexists(path)):
        os.replace(part, path)
        return
    old = path + _OLD
    _clear(old)
    os.rename(path, old)
    try:
        os.rename(part, path)
    except BaseException:
        os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def system_errors(path: str) -> Iterator[None]:
    """Say in plain words what the system refused."""
    try:
        yield
    except SOMAError:
        raise
    except OSError as err:
        reason = os.strerror(err.errno) if err.errno else str(err)
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            msg = (
                f"The disk was full before {path!r} was complete; nothing of it was "
                "kept. Free some space or choose another disk."
            )
            raise StorageError(msg) from err
        kind = AccessError if isinstance(err, PermissionError) else StorageError
        msg = f"Cannot write {path!r}: {reason}. Choose another place."
        raise kind(msg) from err
