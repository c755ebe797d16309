"""Look at the small files of a local store before TileDB sees them.

A damaged size field in one of them makes TileDB allocate gigabytes, and a stray file
makes it refuse the whole object without a usable message (measured with TileDB 2.30).
"""

from __future__ import annotations

import os
import re
import struct
from typing import Final

from ..errors import FormatError

#: Generic tile header: version, persisted size, tile size, datatype, cell size,
#: encryption, size of the filter pipeline (TileDB format spec, "generic tile").
_HEADER: Final = struct.Struct("<IQQBQBI")
_NAME: Final = re.compile(r"__\d+_\d+_[0-9A-Za-z]+(_\d+)?(\.vac)?$")
_MAX_UNPACKED: Final = 8 * 2**20
_MAX_FILES: Final = 1000
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
        If a file is not TileDB's, cut short, or claims more than 8 MiB.
    """
    for name in _FOLDERS:
        folder = os.path.join(path, name)
        if os.path.isdir(folder):
            with os.scandir(folder) as entries:
                for number, entry in enumerate(entries):
                    if number >= _MAX_FILES:
                        break
                    _check_entry(entry)


def _check_entry(entry: os.DirEntry[str]) -> None:
    if entry.is_dir() and entry.name in _SUBFOLDERS:
        return
    if not _NAME.match(entry.name) or entry.is_dir():
        msg = (
            f"{entry.path!r} does not belong into a TileDB store and makes it "
            "unreadable. Move it elsewhere, then open the image again."
        )
        raise FormatError(msg)
    if entry.name.endswith(".vac"):
        return
    size = entry.stat().st_size
    with open(entry.path, "rb") as file:
        header = file.read(_HEADER.size)
    if len(header) == _HEADER.size:
        _, persisted, unpacked, _, _, encryption, filters = _HEADER.unpack(header)
        whole = _HEADER.size + filters + persisted == size
        if encryption or (whole and unpacked <= _MAX_UNPACKED):
            return
    msg = (
        f"{entry.path!r} ({size} bytes) is cut short or damaged, probably because a "
        "program was stopped while writing it. Restore it from a copy, or move that "
        "one file elsewhere to get back the state before it."
    )
    raise FormatError(msg)
