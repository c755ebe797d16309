"""Where the array of a level is stored, and as which member of the image's group."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ._array_schema import create_array
from ._context import check_uri, is_local, normalize_uri
from ._dense_array import DenseNDArray
from ._group import Member
from ._names import directory_name
from ._probe import kind_of
from ._staging import missing_parents, remove_empty, remove_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from ._context import SOMATileDBContext
    from ._layout import Layout


def check_level_uri(uri: Any) -> str | None:
    """Return the wish where to store a level, if it can be one.

    Raises
    ------
    ArgumentTypeError
        If it is neither None nor a str.
    ArgumentError
        If it is empty, holds a NUL character, or names one of TileDB's own folders.
    """
    if uri is None:
        return None
    check_uri(uri)
    if _is_relative(uri) and any(part.startswith("__") for part in uri.split("/")):
        msg = (
            f"Cannot store a level at {uri!r}: names starting with '__' belong to "
            "TileDB. Choose another, such as 'level1'."
        )
        raise ArgumentError(msg)
    return str(uri)


def _is_relative(uri: str) -> bool:
    return is_local(uri) and not uri.startswith(("file://", "~", os.sep))


@contextlib.contextmanager
def place_level(
    key: str,
    uri: str | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    layout: Layout,
    *,
    target: str,
    address: str,
    context: SOMATileDBContext,
    timestamp_ms: int,
) -> Iterator[Member]:
    """Make the array of a level, or check the existing one that serves as it.

    A new array is removed again when the body of the ``with`` fails.

    Parameters
    ----------
    key : str
        Level key.
    uri : str or None
        The user's wish: relative text is a directory inside the image, anything else
        stands for itself; None for the directory named after the key.
    shape : tuple of int
        Shape of the level, data axis order.
    dtype : numpy.dtype
        Pixel type.
    layout : Layout
        Storage settings of a new array.
    target, address : str
        Where the group is now, and where it will be: a new image is made beside its
        place.
    context : SOMATileDBContext
        TileDB configuration.
    timestamp_ms : int
        Timestamp of what is written.

    Yields
    ------
    Member
        As it is to be stored in the group.

    Raises
    ------
    ArgumentError
        If the place is the image's own folder, or the array there does not fit.
    AlreadyExistsError
        If something else is there.
    """
    ctx = context.tiledb_ctx(address)
    member = _member_at(key, uri, target, address, ctx)
    if member.uri == address:
        msg = (
            f"The level {key!r} cannot be stored in the image's own folder "
            f"{address!r}; give it a folder of its own"
        )
        raise ArgumentError(msg)
    if kind_of(member.uri, ctx) == "array":
        check_existing(member.uri, shape, dtype, context)
        yield member
        return
    new = member.uri
    if member.is_relative:
        new = relative_member(key, member.stored, target).uri
    parents = missing_parents(new) if is_local(new) else []
    create_array(new, shape, dtype, layout, ctx, timestamp_ms)
    try:
        yield member
    except BaseException:
        remove_object(new, ctx)
        remove_empty(parents)
        raise


def _member_at(
    key: str, uri: str | None, target: str, address: str, ctx: Any
) -> Member:
    if uri is None:
        name = directory_name(key, lambda n: kind_of(f"{target}/{n}", ctx) != "missing")
        return relative_member(key, name, address)
    if _is_relative(uri):
        return relative_member(key, uri.rstrip("/"), address)
    final = normalize_uri(uri)
    return Member(key, final, is_relative=False, stored=final)


def relative_member(key: str, directory: str, group: str) -> Member:
    """Return the member for a directory given relative to its group."""
    joined = f"{group}/{directory}"
    uri = os.path.normpath(joined) if is_local(group) else joined
    return Member(key, uri, is_relative=True, stored=directory)


def member_for(
    address: str, key: str, array_uri: str, use_relative_uri: bool | None
) -> Member:
    """Return the member of the image at `address` for an existing array.

    Raises
    ------
    ArgumentError
        If a relative address is asked for, and there is none.
    """
    uri = normalize_uri(array_uri)
    inside = uri.startswith(address + "/")
    if use_relative_uri is None:
        use_relative_uri = inside
    if not use_relative_uri:
        return Member(key, uri, is_relative=False, stored=uri)
    if inside:
        return relative_member(key, uri[len(address) + 1 :], address)
    if is_local(uri) and is_local(address):
        path = os.path.relpath(uri, address).replace(os.sep, "/")
        return relative_member(key, path, address)
    msg = (
        f"The array at {uri!r} has no address relative to the image at {address!r}; "
        "use use_relative_uri=False"
    )
    raise ArgumentError(msg)


def check_existing(
    uri: str, shape: tuple[int, ...], dtype: np.dtype[Any], context: SOMATileDBContext
) -> None:
    """Check that an existing array can serve as a level.

    Raises
    ------
    ArgumentError
        If its shape or type is another.
    SOMAError
        If it is not a SOMA dense array.
    """
    with DenseNDArray.open(uri, context=context.replace(timestamp=None)) as array:
        if array.shape != shape or array.dtype != dtype:
            msg = (
                f"The array at {uri!r} has shape {array.shape} and type {array.dtype}; "
                f"the level needs {shape} and {dtype}"
            )
            raise ArgumentError(msg)
