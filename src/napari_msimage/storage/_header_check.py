"""Look at the small files of a local store before TileDB sees them.

A damaged size field in one of them makes TileDB allocate gigabytes, and a stray file
makes it refuse the whole object without a usable message (measured with TileDB 2.30).
"""

from __future__ import annotations

import os
import re
import stat
import struct
from typing import Final

from ..errors import FormatError

#: Generic tile header: version, persisted size, tile size, datatype, cell size,
#: encryption, size of the filter pipeline (TileDB format spec, "generic tile").
_HEADER: Final = struct.Struct("<IQQBQBI")
_NAME: Final = re.compile(r"__\d+_\d+_[0-9A-Za-z]+(_\d+)?(\.vac)?")
_MAX_UNPACKED: Final = 8 * 2**20
_MAX_UNPACKED_IN_ALL: Final = 64 * 2**20
_MAX_FILES: Final = 10_000
_FOLDERS: Final = ("__schema", "__group", "__meta")
_SUBFOLDERS: Final = ("__enumerations",)


def check_headers(path: str) -> None:
    """Check schema, membership and metadata files of a local group or array.

    Parameters
    ----------
    path : str
        Local folder of the TileDB object.

    Raises
    ------
    FormatError
        If a file is not TileDB's, cut short, or claims more than 8 MiB; if there are
        more than 10 000 files or 64 MiB in a folder.
    """
    for name in _FOLDERS:
        folder = os.path.join(path, name)
        if os.path.isdir(folder):
            _check_folder(folder)


def _check_folder(folder: str) -> None:
    unpacked = 0
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            unpacked += _check_entry(entry)
            if number >= _MAX_FILES or unpacked > _MAX_UNPACKED_IN_ALL:
                msg = (
                    f"{folder!r} holds more than {_MAX_FILES} files or "
                    f"{_MAX_UNPACKED_IN_ALL // 2**20} MiB, too much to open it safely. "
                    "If the store is yours, consolidate and vacuum its metadata with "
                    "TileDB."
                )
                raise FormatError(msg)


def _check_entry(entry: os.DirEntry[str]) -> int:
    """Check one file, and return what it takes in memory."""
    if entry.name in _SUBFOLDERS and entry.is_dir():
        return 0
    found = entry.stat()  # of what a link leads to; opening a pipe would block
    if not _NAME.fullmatch(entry.name) or not stat.S_ISREG(found.st_mode):
        msg = (
            f"{entry.path!r} does not belong into a TileDB store and makes it "
            "unreadable. Move it elsewhere, then open the image again."
        )
        raise FormatError(msg)
    if entry.name.endswith(".vac"):
        return 0
    with open(entry.path, "rb") as file:
        header = file.read(_HEADER.size)
    if len(header) == _HEADER.size:
        _, persisted, unpacked, _, _, _, filters = _HEADER.unpack(header)
        whole = _HEADER.size + filters + persisted == found.st_size
        if whole and unpacked <= _MAX_UNPACKED:
            return int(unpacked)
    msg = (
        f"{entry.path!r} ({found.st_size} bytes) is cut short or damaged, probably "
        "because a program was stopped while writing it. Restore it from a copy, or "
        "move that one file elsewhere to get back the state before it."
    )
    raise FormatError(msg)
