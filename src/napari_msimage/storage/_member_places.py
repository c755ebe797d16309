"""Where a member of a group is stored, and how the group names that place."""

from __future__ import annotations

import os
from typing import Any

from ..errors import ArgumentError
from ._context import check_uri, is_local, local_path, normalize_uri
from ._group import Member
from ._names import directory_name
from ._probe import kind_of


def check_member_uri(uri: Any, noun: str = "member") -> str | None:
    """Return the wish where to store a member, if it can be one.

    Raises
    ------
    ArgumentTypeError
        If it is neither None nor a str.
    ArgumentError
        If it is empty, holds a NUL character, or names one of TileDB's own folders,
        the group's own folder or one above it.
    """
    if uri is None:
        return None
    check_uri(uri)
    if _is_relative(uri) and any(part.startswith("__") for part in uri.split("/")):
        msg = (
            f"Cannot store a {noun} at {uri!r}: names starting with '__' belong to "
            f"TileDB. Choose another, such as '{noun}1'."
        )
        raise ArgumentError(msg)
    if _is_relative(uri) and set(uri.split("/")) <= {"", ".", ".."}:
        msg = (
            f"Cannot store a {noun} at {uri!r}: that is the own folder of the group, "
            f"or one above it. Choose another, such as '{noun}1'."
        )
        raise ArgumentError(msg)
    return str(uri)


def _is_relative(uri: str) -> bool:
    return is_local(uri) and not uri.startswith(("file://", "~", os.sep))


def member_at(
    key: str,
    uri: str | None,
    target: str,
    address: str,
    ctx: Any,
    *,
    is_array: bool = True,
) -> Member:
    """Return the member for something new.

    Parameters
    ----------
    key : str
        Name in the group.
    uri : str or None
        The user's wish: relative text is a directory inside the group, anything else
        stands for itself; None for the directory named after the key.
    target, address : str
        Where the group is now, and where it will be: a new one is made beside its
        place.
    ctx : tiledb.Ctx
        TileDB context for the group's address.
    is_array : bool
        Whether it is to be an array, not a group.
    """
    if uri is None:
        name = directory_name(key, lambda n: kind_of(f"{target}/{n}", ctx) != "missing")
        return relative_member(key, name, address, is_array=is_array)
    if _is_relative(uri):
        return relative_member(key, uri.rstrip("/"), address, is_array=is_array)
    final = normalize_uri(uri)
    return Member(key, final, is_relative=False, is_array=is_array, stored=final)


def relative_member(
    key: str, directory: str, group: str, *, is_array: bool = True
) -> Member:
    """Return the member for a directory given relative to its group."""
    joined = f"{group}/{directory}"
    uri = os.path.normpath(joined) if is_local(group) else joined
    return Member(key, uri, is_relative=True, is_array=is_array, stored=directory)


def member_for(
    address: str,
    key: str,
    member_uri: str,
    use_relative_uri: bool | None,
    *,
    is_array: bool = True,
) -> Member:
    """Return the member of the group at `address` for an existing object.

    Raises
    ------
    ArgumentError
        If a relative address is asked for, and there is none.
    """
    uri = normalize_uri(member_uri)
    inside = uri.startswith(address + "/")
    if use_relative_uri is None:
        use_relative_uri = inside
    if not use_relative_uri:
        return Member(key, uri, is_relative=False, is_array=is_array, stored=uri)
    if inside:
        path = uri[len(address) + 1 :]
        return relative_member(key, path, address, is_array=is_array)
    if is_local(uri) and is_local(address):
        path = os.path.relpath(uri, address).replace(os.sep, "/")
        return relative_member(key, path, address, is_array=is_array)
    msg = f"{uri!r} has no address relative to {address!r}; use use_relative_uri=False"
    raise ArgumentError(msg)


def is_inside(uri: str, folder: str) -> bool:
    """Tell whether something is stored within a folder, links followed.

    Parameters
    ----------
    uri, folder : str
        Normalized.
    """
    if not (is_local(uri) and is_local(folder)):
        return uri.startswith(folder + "/") and ".." not in uri.split("/")
    root = os.path.realpath(folder)
    return os.path.realpath(local_path(uri)).startswith(root + os.sep)
