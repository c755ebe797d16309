"""Where the array of a level is stored, and as which member of the image's group."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ._array_schema import create_array
from ._context import is_local
from ._dense_array import DenseNDArray
from ._member_places import check_member_uri, member_at, relative_member
from ._probe import kind_of
from ._staging import missing_parents, remove_empty, remove_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from ._context import SOMATileDBContext
    from ._group import Member
    from ._layout import Layout


def check_level_uri(uri: Any) -> str | None:
    """Return the wish where to store a level; see `check_member_uri`."""
    return check_member_uri(uri, "level")


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
    member = member_at(key, uri, target, address, ctx)
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
