"""A folder that appears under its final name only when it is complete (local disks)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from typing import TYPE_CHECKING, Final

from ..errors import (
    AccessError,
    AlreadyExistsError,
    ArgumentError,
    DoesNotExistError,
    SOMAError,
    StorageError,
)
from ..storage import STAGING_MARK, check_space, is_abandoned, probe, staging_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARK: Final = f".{STAGING_MARK}"
#: In the names of what was moved aside. With the mark: people call their own copies
#: ``.old.`` too.
REPLACED_MARK: Final = f".old{_MARK}"
_REPLACEABLE: Final = ("SOMAMultiscaleImage", "SOMAScene")
#: Bytes of a name that file systems take, and what has room for our marks.
_MAX_NAME: Final = 255
_MAX_STEM: Final = 180
_KEPT_OF_NAME: Final = 40


@contextlib.contextmanager
def staged_folder(
    destination: str, nbytes: int, *, replace: bool = False
) -> Iterator[str]:
    """Give a temporary path beside `destination`, and rename it when the block ends.

    The block makes the folder at that path. If it raises (or the generator that it is
    in gets closed), the folder is removed and `destination` is what it was. What
    processes that died have left for the same destination is put right first.

    Parameters
    ----------
    destination : str
        Absolute local path of the folder to make.
    nbytes : int
        How much will be written at most, uncompressed.
    replace : bool
        Whether a SOMA object at `destination` may be replaced. When the block ends it
        is moved aside, to a name with ``.old.`` in it, and removed after the swap; if
        the swap does not finish it is moved back, at the latest by the next run.

    Yields
    ------
    str
        Path to write to; nothing is there yet.

    Raises
    ------
    ArgumentError
        If no folder can have that name.
    AlreadyExistsError
        If there is something at `destination`, before or after the block, that may
        not be replaced.
    DoesNotExistError
        If the folder around it is missing.
    StorageError
        If the disk has too little space.
    """
    parent = os.path.dirname(destination)
    _check_name(destination)
    restore_replaced(destination)
    with _system_errors(destination):
        _check_free(destination, replace=replace)
        if not os.path.isdir(parent):
            msg = (
                f"Cannot write {destination!r}: the folder {parent!r} does not exist. "
                "Make it first."
            )
            raise DoesNotExistError(msg)
        _remove_leftovers(destination)
        check_space(parent, nbytes, destination)
    staging = f"{_stem(destination)}.{staging_name()}"
    try:
        yield staging
        with _system_errors(destination):
            _check_free(destination, replace=replace)
            if os.path.lexists(destination):
                _swap(staging, destination)
            else:
                _move_into_place(staging, destination)
    finally:
        # After success there is nothing left at this path.
        shutil.rmtree(staging, ignore_errors=True)


def find_replaced(destination: str) -> tuple[str, bool] | None:
    """Return what a swap that did not finish has moved aside; changes nothing.

    Parameters
    ----------
    destination : str
        Absolute local path.

    Returns
    -------
    path : str
        Where the object lies that was at `destination`.
    is_abandoned : bool
        Whether the process that moved it has ended, so that it may be moved back.

    None if there is something at `destination`, or nothing was moved aside.
    """
    if os.path.lexists(destination):
        return None
    with contextlib.suppress(OSError, ValueError):
        aside = _beside(destination, REPLACED_MARK)
        found = [(is_abandoned(path), path) for path in aside]
        if found:
            is_free, path = max(found)
            return path, is_free
    return None


def restore_replaced(destination: str) -> None:
    """Finish, or undo, the swaps of processes that died.

    Parameters
    ----------
    destination : str
        Absolute local path. If nothing is there, what was moved aside is moved back;
        else that is removed.

    Raises
    ------
    AccessError, StorageError
        If the file system refuses.
    """
    with _system_errors(destination):
        for old in _beside(destination, REPLACED_MARK):
            if not is_abandoned(old):
                continue
            if os.path.lexists(destination):
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.rename(old, destination)


@contextlib.contextmanager
def _system_errors(destination: str) -> Iterator[None]:
    try:
        yield
    except SOMAError:
        raise
    except OSError as err:
        kind = AccessError if isinstance(err, PermissionError) else StorageError
        msg = f"Cannot write {destination!r}: {err}"
        raise kind(msg) from err


def _check_name(destination: str) -> None:
    """Refuse a name that no folder can have."""
    name = os.path.basename(destination)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        problem = "has characters that cannot be stored"
    else:
        if size <= _MAX_NAME:
            return
        problem = f"has {size} bytes, {_MAX_NAME} at most are possible"
    msg = f"Cannot write {destination!r}: its name {problem}. Choose another name."
    raise ArgumentError(msg)


def _stem(destination: str) -> str:
    """Return a path that names beside a destination begin with; short enough."""
    parent, name = os.path.split(destination)
    if len(name.encode()) <= _MAX_STEM:
        return destination
    mark = hashlib.sha256(name.encode()).hexdigest()[:16]
    return os.path.join(parent, f"{name[:_KEPT_OF_NAME]}~{mark}")


def _check_free(destination: str, *, replace: bool) -> None:
    if not os.path.lexists(destination):
        return
    is_replaceable = _is_replaceable(destination)
    if not replace:
        raise _already_exists(destination, is_replaceable=is_replaceable)
    if not is_replaceable:
        msg = (
            f"What is at {destination!r} is no SOMA image or scene of its own, so it "
            "is not replaced. Choose another place or remove it yourself."
        )
        raise AlreadyExistsError(msg)


def _is_replaceable(destination: str) -> bool:
    return not os.path.islink(destination) and probe(destination) in _REPLACEABLE


def _swap(staging: str, destination: str) -> None:
    """Move the old object aside and the new one into place; back on failure."""
    old = f"{_stem(destination)}.old.{staging_name()}"
    os.rename(destination, old)
    try:
        _move_into_place(staging, destination)
    except BaseException:
        if not os.path.lexists(destination):
            os.rename(old, destination)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _move_into_place(staging: str, destination: str) -> None:
    try:
        os.rename(staging, destination)
    except OSError as err:
        # Somebody made the destination since the look above.
        if os.path.lexists(destination):
            is_replaceable = _is_replaceable(destination)
            raise _already_exists(destination, is_replaceable=is_replaceable) from err
        raise
    if os.name != "nt":  # Windows cannot open a folder
        handle = os.open(os.path.dirname(destination), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _already_exists(destination: str, *, is_replaceable: bool) -> AlreadyExistsError:
    msg = (
        f"There is something at {destination!r} already; it is left as it is. Choose "
        "another place or remove it first"
    )
    return AlreadyExistsError(
        f"{msg}, or ask to replace it (replace=True)." if is_replaceable else f"{msg}."
    )


def _remove_leftovers(destination: str) -> None:
    for path in _beside(destination, _MARK):
        if is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)


def _beside(destination: str, mark: str) -> list[str]:
    """Return the paths beside a destination whose names are its own and a mark."""
    parent, name = os.path.split(_stem(destination))
    if not os.path.isdir(parent):
        return []
    with os.scandir(parent) as entries:
        return sorted(e.path for e in entries if e.name.startswith(name + mark))
