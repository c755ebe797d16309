"""What is at a URI: cheap, and without an error for what is not ours."""

from __future__ import annotations

import os
import stat
from typing import Any, Literal

import tiledb

from ..errors import DoesNotExistError, SOMAError
from ._context import (
    SOMATileDBContext,
    check_context,
    check_uri,
    is_local,
    normalize_uri,
    now_ms,
    storage_errors,
)
from ._group import load_group, read_entries
from ._header_check import check_headers
from ._metadata import OBJECT_TYPE

Kind = Literal["missing", "file", "folder", "array", "group"]


def kind_of(uri: str, ctx: Any) -> Kind:
    """Tell what is stored at a normalized URI, without opening it.

    Raises
    ------
    SOMAError
        If it cannot be looked at: no permission, no answer.
    """
    with storage_errors("look at the object", uri):
        if is_local(uri):
            return _local_kind(uri)
        if uri.startswith("mem://"):  # does not know its folders
            return tiledb.object_type(uri, ctx) or "missing"
        # One short listing, which releases the interpreter lock, unlike object_type:
        # a dead end point must not freeze the window.
        if not tiledb.VFS(ctx=ctx).is_dir(uri):
            return "missing"
        return tiledb.object_type(uri, ctx) or "folder"


def _local_kind(path: str) -> Kind:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "file" if os.path.islink(path) else "missing"
    if not stat.S_ISDIR(found.st_mode):
        return "file"
    os.scandir(path).close()  # says so when the folder cannot be read
    if os.path.isfile(os.path.join(path, "__tiledb_group.tdb")):
        return "group"
    return "array" if os.path.isdir(os.path.join(path, "__schema")) else "folder"


def require_group(uri: str, ctx: Any, noun: str = "image") -> None:
    """Check that a TileDB group is at a normalized URI.

    Parameters
    ----------
    uri : str
        Where.
    ctx : tiledb.Ctx
        TileDB context for the address.
    noun : str
        What is expected there, for the message.

    Raises
    ------
    DoesNotExistError
        If there is something else, or nothing; the message says which.
    """
    kind = kind_of(uri, ctx)
    if kind == "group":
        return
    reasons = {
        "missing": f"Nothing is stored at {uri!r}. Check the spelling of the address.",
        "file": (
            f"{uri!r} is a file or a broken link. A SOMA {noun} is a folder; choose "
            "the folder."
        ),
        "folder": (
            f"The folder {uri!r} is not a TileDB store. Choose the folder of the "
            f"{noun} itself (it holds a file named '__tiledb_group.tdb')."
        ),
        "array": (
            f"{uri!r} is a TileDB array, not {'an' if noun == 'image' else 'a'} "
            f"{noun}. It may be one level of an image; choose the folder of the {noun} "
            "around it."
        ),
    }
    raise DoesNotExistError(reasons[kind])


def probe(uri: str, context: SOMATileDBContext | None = None) -> str | None:
    """Tell what kind of TileDB object is at a URI.

    Never raises.

    Returns
    -------
    str or None
        A SOMA type such as ``"SOMAMultiscaleImage"``; ``"group"`` or ``"array"`` for
        a TileDB object that does not say, or is damaged; None for anything else.
    """
    kind: Kind = "missing"
    found: Any = None
    try:
        address = normalize_uri(check_uri(uri))
        ctx = check_context(context).tiledb_ctx(address)
        kind = kind_of(address, ctx)
        if kind == "group":
            found = load_group(address, ctx, now_ms()).metadata.get(OBJECT_TYPE)
        elif kind == "array":
            found = array_entries(address, ctx, now_ms()).get(OBJECT_TYPE)
    except SOMAError:
        pass  # damaged: what is known so far is the answer
    if kind not in ("group", "array"):
        return None
    if isinstance(found, bytes):
        found = found.decode("utf-8", "replace")
    return found if isinstance(found, str) and found else kind


def array_entries(uri: str, ctx: Any, timestamp_ms: int) -> dict[str, Any]:
    """Return the metadata of an array of any kind as of ``[0, timestamp_ms]``.

    Raises
    ------
    SOMAError
        One that says what is wrong; see `storage_errors`.
    """
    with storage_errors("open the array", uri):
        if is_local(uri):
            check_headers(uri)
        with tiledb.open(uri, "r", timestamp=(0, timestamp_ms), ctx=ctx) as array:
            return read_entries(array.meta)
