"""A folder that appears under its final name only when it is complete (local disks)."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Final

from ..errors import (
    AccessError,
    AlreadyExistsError,
    DoesNotExistError,
    SOMAError,
    StorageError,
)
from ..storage import STAGING_MARK, check_space, is_abandoned, staging_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARK: Final = f".{STAGING_MARK}"


@contextlib.contextmanager
def staged_folder(destination: str, nbytes: int) -> Iterator[str]:
    """Give a temporary path beside `destination`, and rename it when the block ends.

    The block makes the folder at that path. If it raises (or the generator that it is
    in gets closed), the folder is removed and `destination` never existed. What
    processes that died have left for the same destination is removed first.

    Parameters
    ----------
    destination : str
        Absolute local path of the folder to make.
    nbytes : int
        How much will be written at most, uncompressed.

    Yields
    ------
    str
        Path to write to; nothing is there yet.

    Raises
    ------
    AlreadyExistsError
        If there is something at `destination`, before or after the block.
    DoesNotExistError
        If the folder around it is missing.
    StorageError
        If the disk has too little space.
    """
    parent = os.path.dirname(destination)
    with _system_errors(destination):
        if os.path.lexists(destination):
            raise _already_exists(destination)
        if not os.path.isdir(parent):
            msg = (
                f"Cannot write {destination!r}: the folder {parent!r} does not exist. "
                "Make it first."
            )
            raise DoesNotExistError(msg)
        _remove_leftovers(destination)
        check_space(parent, nbytes, destination)
    staging = f"{destination}.{staging_name()}"
    try:
        yield staging
        with _system_errors(destination):
            _move_into_place(staging, destination)
    finally:
        # After success there is nothing left at this path.
        shutil.rmtree(staging, ignore_errors=True)


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


def _move_into_place(staging: str, destination: str) -> None:
    if os.path.lexists(destination):
        raise _already_exists(destination)
    try:
        os.rename(staging, destination)
    except OSError as err:
        # Somebody made the destination since the look above.
        if os.path.lexists(destination):
            raise _already_exists(destination) from err
        raise
    if os.name != "nt":  # Windows cannot open a folder
        handle = os.open(os.path.dirname(destination), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _already_exists(destination: str) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"There is something at {destination!r} already; it is left as it is. Choose "
        "another place or remove it first."
    )


def _remove_leftovers(destination: str) -> None:
    prefix = os.path.basename(destination) + _MARK
    with os.scandir(os.path.dirname(destination)) as entries:
        leftovers = [e.path for e in entries if e.name.startswith(prefix)]
    for path in leftovers:
        if is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)
